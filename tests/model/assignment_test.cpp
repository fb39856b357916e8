#include "model/assignment.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.hpp"
#include "model/plain_map.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

bound_target target(std::uint32_t worker, stream_mask streams, std::uint16_t first = 0,
                    std::uint16_t slots = 1) {
  return {worker_index(worker), slot_index(first), slots, streams};
}

// -- runs ----------------------------------------------------------------------------------------

TEST(event_run, takes_its_step_from_the_second_event) {
  event_run run{event_number(5), 1, 1};
  EXPECT_TRUE(run.extend(event_number(8)));
  EXPECT_TRUE(run.extend(event_number(11)));
  EXPECT_FALSE(run.extend(event_number(12)));
  EXPECT_EQ(run, (event_run{event_number(5), 3, 3}));
  EXPECT_EQ(run.last(), event_number(11));
}

TEST(event_run, events_far_apart_are_runs_of_their_own) {
  event_run run{event_number(0), 1, 1};
  EXPECT_FALSE(run.extend(event_number(event_run::max_stride + 1)));
  EXPECT_EQ(run, (event_run{event_number(0), 1, 1}));
  EXPECT_TRUE(run.extend(event_number(event_run::max_stride)));
}

TEST(event_run, is_full_when_its_count_is) {
  event_run run{event_number(0), ~std::uint32_t{0}, 1};
  EXPECT_FALSE(run.extend(run.last() + 1));
}

TEST(event_run, reaches_numbers_beyond_32_bits) {
  event_run run{event_number(std::uint64_t{1} << 40), ~std::uint32_t{0}, event_run::max_stride};
  EXPECT_EQ(run.last().value, (std::uint64_t{1} << 40) + (std::uint64_t{0xffff'fffe} << 20));
}

// -- batches -------------------------------------------------------------------------------------

TEST(assignment_batch, is_empty_without_events) {
  assignment_batch batch(2, 1);
  EXPECT_THAT(batch.of_stream(0), IsEmpty());
  EXPECT_THAT(batch.of_process(0), IsEmpty());
  EXPECT_EQ(batch.events(), 0u);
}

TEST(assignment_batch, alternating_workers_are_one_run_each) {
  assignment_batch batch(1, 2);
  for (std::uint64_t e = 0; e < 100; ++e)
    batch.add({event_number(e), 1, {target(static_cast<std::uint32_t>(e % 2), 1)}}, {0, 1});
  EXPECT_THAT(batch.of_process(0),
              ElementsAre(worker_run{{event_number(0), 50, 2}, worker_index(0), slot_index(0), 1, 1}));
  EXPECT_THAT(batch.of_process(1),
              ElementsAre(worker_run{{event_number(1), 50, 2}, worker_index(1), slot_index(0), 1, 1}));
  EXPECT_EQ(batch.events(), 100u);
}

TEST(assignment_batch, a_frame_goes_to_a_process_once) {
  assignment_batch batch(1, 2);
  batch.add({event_number(0), 1, {target(2, 1), target(0, 1, 1), target(1, 1, 2)}}, {1, 1, 0});
  EXPECT_THAT(batch.of_stream(0), ElementsAre(stream_run{{event_number(0), 1, 1}, {0, 1}}));
  EXPECT_EQ(batch.of_process(1).size(), 2u);
}

TEST(assignment_batch, a_discarded_frame_is_a_run_without_processes) {
  assignment_batch batch(2, 1);
  batch.add({event_number(0), 0b11, {target(0, 0b01)}}, {0});
  EXPECT_THAT(batch.of_stream(1), ElementsAre(stream_run{{event_number(0), 1, 1}, {}}));
}

TEST(assignment_batch, events_without_a_frame_are_in_no_run_of_the_stream) {
  assignment_batch batch(1, 1);
  for (std::uint64_t e = 0; e < 10; ++e) batch.add({event_number(e), e % 3 == 0 ? 1u : 0u, {}}, {0});
  EXPECT_THAT(batch.of_stream(0), ElementsAre(stream_run{{event_number(0), 4, 3}, {}}));
}

// -- property ------------------------------------------------------------------------------------

using stream_entry_line = std::pair<std::uint64_t, std::vector<process_index>>;
using worker_line = std::tuple<std::uint32_t, std::uint64_t, std::uint16_t, std::uint16_t, stream_mask>;

struct lines {
  std::vector<std::vector<stream_entry_line>> streams;
  std::vector<std::vector<worker_line>> processes;
  bool operator==(const lines&) const = default;
};

void note(lines& to, const bound_event& event, const std::vector<process_index>& process_of) {
  for (std::size_t s = 0; s < to.streams.size(); ++s) {
    auto mask = stream_mask{1} << s;
    if (!(event.read & mask)) continue;
    std::set<process_index> targets;
    for (auto& t : event.targets)
      if (t.streams & mask) targets.insert(process_of[t.worker.value]);
    to.streams[s].push_back({event.number.value, {targets.begin(), targets.end()}});
  }
  for (auto& t : event.targets)
    to.processes[process_of[t.worker.value]].push_back(
        {t.worker.value, event.number.value, t.first_slot.value, t.slots, t.streams});
}

void expand(lines& to, assignment_batch& batch) {
  for (std::size_t s = 0; s < to.streams.size(); ++s)
    for (auto& run : batch.of_stream(s))
      for (std::uint32_t i = 0; i < run.events.count; ++i)
        to.streams[s].push_back({run.events.at(i).value, run.targets});
  for (std::size_t p = 0; p < to.processes.size(); ++p)
    for (auto& run : batch.of_process(p))
      for (std::uint32_t i = 0; i < run.events.count; ++i)
        to.processes[p].push_back(
            {run.worker.value, run.events.at(i).value, run.first_slot.value, run.slots, run.streams});
}

/// Per worker in the order given, workers one after the other.
void by_worker(lines& l) {
  for (auto& process : l.processes)
    std::stable_sort(process.begin(), process.end(),
                     [](auto& a, auto& b) { return std::get<0>(a) < std::get<0>(b); });
}

TEST(assignment_batch, runs_expand_to_exactly_the_events_that_were_bound) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 300; ++round) {
    auto parsed = trigger_map::parse(plain::request(plain::random_map(random)), round % 2 == 0);
    ASSERT_TRUE(parsed);
    auto map = *parsed;
    assigner a(map, static_cast<std::uint32_t>(1 + plain::below(random, 4)));
    std::size_t workers = 1 + plain::below(random, 5), processes = 1 + plain::below(random, 3);
    std::vector<process_index> process_of;
    for (std::size_t w = 0; w < workers; ++w) {
      a.grant(a.add_worker({"generic", "gpu"}), 1000);
      process_of.push_back(static_cast<process_index>(plain::below(random, processes)));
    }
    lines expected{std::vector<std::vector<stream_entry_line>>(map->streams().size()),
                   std::vector<std::vector<worker_line>>(processes)};
    auto found = expected;
    for (bool more = true; more;) {
      assignment_batch batch(map->streams().size(), processes);
      bound_event event;
      for (auto n = 1 + plain::below(random, 10); n > 0 && (more = a.next(event)); --n) {
        note(expected, event, process_of);
        batch.add(event, process_of);
      }
      expand(found, batch);
    }
    EXPECT_TRUE(a.done());
    by_worker(expected);
    by_worker(found);
    EXPECT_EQ(found, expected);
  }
}

TEST(assignment_batch, events_with_gaps_of_any_size_come_back) {
  std::mt19937_64 random(8);
  for (int round = 0; round < 100; ++round) {
    assignment_batch batch(2, 2);
    lines expected{std::vector<std::vector<stream_entry_line>>(2), std::vector<std::vector<worker_line>>(2)};
    auto found = expected;
    const std::vector<process_index> process_of{0, 1, 0};
    std::uint64_t number = random() >> 2;
    for (int e = 0; e < 50; ++e) {
      number += plain::below(random, 3) == 0 ? random() >> 20 >> plain::below(random, 44) : 1;
      bound_event event{event_number(number), plain::below(random, 4), {}};
      for (std::uint32_t w = 0; w < 3; ++w)
        if (event.read && plain::below(random, 2))
          event.targets.push_back(target(w, event.read, static_cast<std::uint16_t>(event.targets.size())));
      note(expected, event, process_of);
      batch.add(event, process_of);
      ++number;
    }
    expand(found, batch);
    by_worker(expected);
    by_worker(found);
    EXPECT_EQ(found, expected);
  }
}

} // namespace
} // namespace dtranspose
