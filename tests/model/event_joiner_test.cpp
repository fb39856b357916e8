#include "model/event_joiner.hpp"

#include <algorithm>
#include <map>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const stream_names names = {"a", "b", "c"};
constexpr stream_index a(0), b(1), c(2);

outgoing_entry data(std::uint64_t event, std::string_view text) {
  return {event_number(event), dispatch_id(1), memory_frames::of("TEST", {text}), {}};
}

outgoing_entry tombstone(std::uint64_t event, fate how = fate::incomplete, std::string cause = "gap") {
  return {event_number(event), dispatch_id(1), {}, missing_data{how, std::move(cause)}};
}

worker_run run(std::uint64_t first, std::uint32_t count, stream_mask streams, std::uint32_t stride = 1) {
  return {{event_number(first), count, stride}, worker_index(0), slot_index(0), 1, streams};
}

/// What a worker was given since the last call: event, then stream and text of each entry.
std::vector<std::string> taken(event_joiner& joiner, std::size_t worker = 0) {
  std::vector<std::string> lines;
  auto batch = std::exchange(joiner.batch(worker), {});
  for (auto& e : batch.events) {
    auto line = std::to_string(e.number.value);
    for (auto i = e.first_entry; i < e.first_entry + e.entries; ++i) {
      auto& entry = batch.entries.at(i);
      line += " " + names[entry.stream.value] + "=";
      line += entry.data.frames()[0].text();
    }
    lines.push_back(line);
  }
  return lines;
}

TEST(event_joiner, an_event_is_handed_over_when_it_is_whole) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(7, 1, 0b11), dispatch_id(1));
  joiner.match();
  joiner.add(b, data(7, "y"));
  EXPECT_THAT(taken(joiner), IsEmpty());
  EXPECT_EQ(joiner.open_bytes(), 1u);
  joiner.add(a, data(7, "x"));
  EXPECT_EQ(joiner.batch(0).events.at(0).dispatch, dispatch_id(1));
  EXPECT_THAT(taken(joiner), ElementsAre("7 a=x b=y"));
  EXPECT_EQ(joiner.open(), 0u);
  EXPECT_EQ(joiner.open_bytes(), 0u);
}

TEST(event_joiner, frames_may_come_before_they_are_expected) {
  event_joiner joiner(names, 1, false);
  joiner.add(a, data(1, "later"));
  joiner.add(a, data(0, "first"));
  EXPECT_EQ(joiner.open(), 2u);
  joiner.expect(0, run(0, 2, 0b1), dispatch_id(1));
  joiner.match();
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=first", "1 a=later"));
  EXPECT_EQ(joiner.open(), 0u);
}

TEST(event_joiner, an_event_waits_for_those_before_it) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(0, 3, 0b1, 2), dispatch_id(1));
  joiner.match();
  joiner.add(a, data(4, "4"));
  joiner.add(a, data(2, "2"));
  EXPECT_THAT(taken(joiner), IsEmpty());
  joiner.add(a, data(0, "0"));
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=0", "2 a=2", "4 a=4"));
}

TEST(event_joiner, workers_get_the_streams_of_their_mask_of_the_same_event) {
  event_joiner joiner(names, 2, false);
  joiner.expect(0, run(0, 1, 0b011), dispatch_id(1));
  joiner.expect(1, run(0, 1, 0b110), dispatch_id(1));
  joiner.match();
  joiner.add(a, data(0, "x"));
  joiner.add(b, data(0, "y"));
  EXPECT_THAT(taken(joiner, 0), ElementsAre("0 a=x b=y"));
  EXPECT_THAT(taken(joiner, 1), IsEmpty());
  joiner.add(c, data(0, "z"));
  EXPECT_THAT(taken(joiner, 1), ElementsAre("0 b=y c=z"));
  EXPECT_EQ(joiner.open(), 0u);
  EXPECT_EQ(joiner.open_bytes(), 0u);
}

TEST(event_joiner, the_frames_of_several_workers_are_shared) {
  event_joiner joiner(names, 2, false);
  joiner.expect(0, run(0, 1, 0b1), dispatch_id(1));
  joiner.expect(1, run(0, 1, 0b1), dispatch_id(1));
  joiner.match();
  auto entry = data(0, "x");
  joiner.add(a, entry);
  for (std::size_t w : {0, 1})
    EXPECT_EQ(joiner.batch(w).entries.at(0).data.frames()[0].data(), entry.data.frames()[0].data());
}

TEST(event_joiner, the_same_entry_twice_counts_once) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(0, 1, 0b11), dispatch_id(1));
  joiner.match();
  joiner.add(a, data(0, "x"));
  joiner.add(a, data(0, "other"));
  joiner.add(a, tombstone(0));
  joiner.add(b, data(0, "y"));
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=x b=y"));
  EXPECT_THAT(joiner.given_up(), IsEmpty());
  EXPECT_EQ(joiner.open_bytes(), 0u);
}

// -- what is missing -----------------------------------------------------------------------------

TEST(event_joiner, an_event_without_a_streams_data_cannot_be_mapped) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(0, 1, 0b11), dispatch_id(1));
  joiner.match();
  joiner.add(a, tombstone(0, fate::incomplete, "missing in the stream"));
  joiner.add(b, data(0, "y"));
  EXPECT_THAT(taken(joiner), IsEmpty());
  ASSERT_EQ(joiner.given_up().size(), 1u);
  auto& u = joiner.given_up()[0];
  EXPECT_EQ(u.slots, (slot_run{{event_number(0), 1, 1}, slot_index(0), 1}));
  EXPECT_EQ(u.how, fate::incomplete);
  EXPECT_THAT(u.cause, AllOf(HasSubstr("'a'"), HasSubstr("missing in the stream")));
  EXPECT_EQ(joiner.take_given_up_events(0), 1u);
  EXPECT_EQ(joiner.take_given_up_events(0), 0u);
  EXPECT_EQ(joiner.open(), 0u);
  EXPECT_EQ(joiner.open_bytes(), 0u);
}

TEST(event_joiner, what_cannot_be_mapped_keeps_its_place_in_the_order) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(0, 3, 0b1), dispatch_id(1));
  joiner.match();
  joiner.add(a, tombstone(1));
  joiner.add(a, data(2, "2"));
  EXPECT_THAT(joiner.given_up(), IsEmpty());
  joiner.add(a, data(0, "0"));
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=0", "2 a=2"));
  EXPECT_EQ(joiner.given_up().size(), 1u);
}

TEST(event_joiner, neighbours_that_cannot_be_mapped_are_one_run) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(0, 100, 0b1, 3), dispatch_id(1));
  joiner.match();
  for (std::uint64_t e = 0; e < 300; e += 3) joiner.add(a, tombstone(e));
  ASSERT_EQ(joiner.given_up().size(), 1u);
  EXPECT_EQ(joiner.given_up()[0].slots.events, (event_run{event_number(0), 100, 3}));
}

TEST(event_joiner, a_lost_stream_is_worse_than_an_incomplete_one) {
  for (bool lost_first : {false, true}) {
    event_joiner joiner(names, 1, false);
    joiner.expect(0, run(0, 1, 0b11), dispatch_id(1));
    joiner.match();
    joiner.add(a, tombstone(0, lost_first ? fate::lost : fate::incomplete));
    joiner.add(b, tombstone(0, lost_first ? fate::incomplete : fate::lost));
    EXPECT_EQ(joiner.given_up().at(0).how, fate::lost);
    EXPECT_THAT(joiner.given_up()[0].cause, AllOf(HasSubstr("'a'"), HasSubstr("'b'")));
  }
}

TEST(event_joiner, the_cause_does_not_depend_on_which_stream_came_first) {
  std::vector<std::string> causes;
  for (auto first : {a, b}) {
    event_joiner joiner(names, 1, false);
    joiner.expect(0, run(0, 1, 0b11), dispatch_id(1));
    joiner.match();
    joiner.add(first, tombstone(0));
    joiner.add(first == a ? b : a, tombstone(0));
    causes.push_back(joiner.given_up().at(0).cause);
  }
  EXPECT_EQ(causes[0], causes[1]);
}

TEST(event_joiner, a_stream_that_a_worker_does_not_get_has_no_say_in_its_fate) {
  event_joiner joiner(names, 2, false);
  joiner.expect(0, run(0, 1, 0b01), dispatch_id(1));
  joiner.expect(1, run(0, 1, 0b10), dispatch_id(1));
  joiner.match();
  joiner.add(b, tombstone(0, fate::lost, "ingester died"));
  joiner.add(a, tombstone(0, fate::incomplete, "gap"));
  ASSERT_EQ(joiner.given_up().size(), 2u);
  auto& of_first = joiner.given_up()[1];
  EXPECT_EQ(of_first.how, fate::incomplete);
  EXPECT_THAT(of_first.cause, AllOf(HasSubstr("'a'"), Not(HasSubstr("'b'"))));
}

TEST(event_joiner, a_worker_that_lacks_nothing_gets_an_event_that_another_cannot_map) {
  event_joiner joiner(names, 2, false);
  joiner.expect(0, run(0, 1, 0b01), dispatch_id(1));
  joiner.expect(1, run(0, 1, 0b11), dispatch_id(1));
  joiner.match();
  joiner.add(b, tombstone(0));
  joiner.add(a, data(0, "x"));
  EXPECT_THAT(taken(joiner, 0), ElementsAre("0 a=x"));
  EXPECT_THAT(taken(joiner, 1), IsEmpty());
  EXPECT_EQ(joiner.take_given_up_events(0), 0u);
  EXPECT_EQ(joiner.take_given_up_events(1), 1u);
}

TEST(event_joiner, incomplete_events_are_delivered_where_that_is_asked_for) {
  event_joiner joiner(names, 1, true);
  joiner.expect(0, run(0, 1, 0b11), dispatch_id(1));
  joiner.match();
  joiner.add(a, tombstone(0));
  joiner.add(b, data(0, "y"));
  EXPECT_EQ(joiner.batch(0).events.at(0).missing, 0b1u);
  EXPECT_THAT(taken(joiner), ElementsAre("0 b=y"));
  EXPECT_THAT(joiner.given_up(), IsEmpty());
}

TEST(event_joiner, what_was_delivered_in_part_is_named_with_its_reason) {
  event_joiner joiner(names, 2, true);
  joiner.expect(0, run(0, 3, 0b11), dispatch_id(1));
  joiner.expect(1, run(0, 3, 0b10), dispatch_id(1));
  joiner.match();
  for (std::uint64_t e = 0; e < 3; ++e) {
    joiner.add(a, e == 1 ? data(e, "x") : tombstone(e, fate::lost, "died"));
    joiner.add(b, data(e, "y"));
  }
  ASSERT_EQ(joiner.handed_over_in_part().size(), 1u);
  auto& part = joiner.handed_over_in_part()[0];
  EXPECT_EQ(part.slots.events, (event_run{event_number(0), 2, 2}));
  EXPECT_THAT(part.cause, AllOf(HasSubstr("'a'"), HasSubstr("died"), Not(HasSubstr("'b'"))));
  EXPECT_EQ(taken(joiner, 1).size(), 3u);
}

// -- property ------------------------------------------------------------------------------------

std::size_t below(std::mt19937_64& random, std::size_t n) { return random() % n; }

constexpr std::size_t worker_count = 3;

/// What is to come of one event at one worker.
struct share {
  stream_mask streams = 0;
  slot_index first_slot;
};

struct plain_event {
  std::map<std::size_t, share> shares;             ///< by worker
  std::map<std::uint16_t, outgoing_entry> entries; ///< by stream
};

std::map<std::uint64_t, plain_event> random_events(std::mt19937_64& random) {
  std::map<std::uint64_t, plain_event> events;
  std::uint64_t number = below(random, 1000);
  for (auto n = below(random, 30); n > 0; --n, number += 1 + below(random, 3)) {
    plain_event e;
    stream_mask all = 0;
    for (std::size_t w = 0; w < worker_count; ++w)
      if (stream_mask streams = below(random, 8)) {
        e.shares[w] = {streams, slot_index(static_cast<std::uint16_t>(e.shares.size()))};
        all |= streams;
      }
    for (std::uint16_t s = 0; s < names.size(); ++s)
      if (all & bit(stream_index(s))) {
        auto text = std::to_string(number) + names[s];
        auto dice = below(random, 10);
        e.entries[s] =
            dice > 1 ? data(number, text) : tombstone(number, dice == 0 ? fate::lost : fate::incomplete);
      }
    if (!e.shares.empty()) events[number] = e;
  }
  return events;
}

using outcomes = std::vector<std::vector<std::string>>; ///< per worker, in order of events

outcomes expected_of(const std::map<std::uint64_t, plain_event>& events, bool deliver_incomplete) {
  outcomes result(worker_count);
  for (auto& [number, e] : events)
    for (auto& [w, s] : e.shares) {
      auto line = std::to_string(number);
      bool whole = true;
      for (auto& [stream, entry] : e.entries) {
        if (!(s.streams & bit(stream_index(stream)))) continue;
        whole &= !entry.missing;
        if (!entry.missing) line += " " + names[stream] + "=" + std::string(entry.data.frames()[0].text());
      }
      if (whole || deliver_incomplete) result[w].push_back(line);
    }
  return result;
}

TEST(event_joiner, any_order_of_arrival_gives_each_worker_the_same_events_in_order) {
  std::mt19937_64 random(19);
  for (int round = 0; round < 500; ++round) {
    bool deliver_incomplete = below(random, 2) == 0;
    auto events = random_events(random);
    event_joiner joiner(names, worker_count, deliver_incomplete);
    std::vector<std::pair<stream_index, outgoing_entry>> arrivals;
    for (auto& [number, e] : events)
      for (auto& [stream, entry] : e.entries) {
        arrivals.emplace_back(stream_index(stream), entry);
        arrivals.back().second.dispatch = dispatch_id(number);
      }
    std::shuffle(arrivals.begin(), arrivals.end(), random);

    outcomes found(worker_count);
    std::size_t given_up = 0;
    auto take = [&] {
      for (std::size_t w = 0; w < worker_count; ++w) {
        for (auto& line : taken(joiner, w)) found[w].push_back(line);
        given_up += joiner.take_given_up_events(w);
      }
    };
    auto next = events.begin();
    while (next != events.end() || !arrivals.empty()) {
      if (next != events.end() && below(random, 3) == 0) {
        // One message: some events, worker by worker.
        auto first = next;
        for (auto n = 1 + below(random, 5); n > 0 && next != events.end(); --n) ++next;
        for (std::size_t w = 0; w < worker_count; ++w)
          for (auto i = first; i != next; ++i)
            if (auto s = i->second.shares.find(w); s != i->second.shares.end())
              joiner.expect(w,
                            {{event_number(i->first), 1, 1},
                             worker_index(0),
                             s->second.first_slot,
                             1,
                             s->second.streams},
                            dispatch_id(i->first));
        joiner.match();
      } else if (!arrivals.empty()) {
        joiner.add(arrivals.back().first, arrivals.back().second);
        arrivals.pop_back();
      }
      if (below(random, 4) == 0) take();
    }
    take();
    EXPECT_EQ(found, expected_of(events, deliver_incomplete));
    EXPECT_EQ(joiner.open(), 0u);
    EXPECT_EQ(joiner.open_bytes(), 0u);

    std::size_t shares = 0, delivered = 0, slots = 0;
    for (auto& [number, e] : events) shares += e.shares.size();
    for (auto& lines : found) delivered += lines.size();
    for (auto& u : joiner.given_up()) slots += u.slots.events.count;
    EXPECT_EQ(delivered + given_up, shares);
    EXPECT_EQ(slots, given_up);
  }
}

TEST(event_joiner, the_fate_of_what_cannot_be_mapped_does_not_depend_on_the_order) {
  std::mt19937_64 random(20);
  for (int round = 0; round < 300; ++round) {
    auto events = random_events(random);
    using line = std::tuple<std::uint64_t, std::uint16_t, fate>;
    std::vector<line> expected;
    for (auto& [number, e] : events)
      for (auto& [w, s] : e.shares) {
        auto worst = fate::discarded;
        for (auto& [stream, entry] : e.entries)
          if (entry.missing && (s.streams & bit(stream_index(stream))))
            worst = std::max(worst, entry.missing->how);
        if (worst != fate::discarded) expected.emplace_back(number, s.first_slot.value, worst);
      }
    event_joiner joiner(names, worker_count, false);
    for (auto& [number, e] : events)
      for (auto& [w, s] : e.shares)
        joiner.expect(w, {{event_number(number), 1, 1}, worker_index(0), s.first_slot, 1, s.streams},
                      dispatch_id(1));
    joiner.match();
    std::vector<std::pair<stream_index, outgoing_entry>> arrivals;
    for (auto& [number, e] : events)
      for (auto& [stream, entry] : e.entries) arrivals.emplace_back(stream_index(stream), entry);
    std::shuffle(arrivals.begin(), arrivals.end(), random);
    for (auto& [stream, entry] : arrivals) joiner.add(stream, entry);

    std::vector<line> found;
    for (auto& u : joiner.given_up())
      for (std::uint32_t i = 0; i < u.slots.events.count; ++i)
        found.emplace_back(u.slots.events.at(i).value, u.slots.first_slot.value, u.how);
    std::sort(found.begin(), found.end());
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(found, expected);
  }
}

// -- what recovery asks of it --------------------------------------------------------------------

outgoing_entry data_of(std::uint64_t event, std::uint64_t dispatch, std::string_view text) {
  auto entry = data(event, text);
  entry.dispatch = dispatch_id(dispatch);
  return entry;
}

TEST(event_joiner, an_entry_that_comes_again_is_dropped_when_its_event_was_handed_over) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(0, 1, 0b1), dispatch_id(1));
  joiner.add(a, data_of(0, 1, "x"));
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=x"));
  joiner.add(a, data_of(0, 1, "x"));
  EXPECT_EQ(joiner.open(), 0u);
  EXPECT_EQ(joiner.open_bytes(), 0u);
}

TEST(event_joiner, what_is_moved_here_is_joined_on_its_own) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(0, 1, 0b01), dispatch_id(1));
  joiner.expect(0, run(0, 1, 0b11), dispatch_id(2));
  joiner.match();
  joiner.add(a, data_of(0, 1, "first"));
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=first"));
  joiner.add(b, data_of(0, 2, "y"));
  EXPECT_THAT(taken(joiner), IsEmpty());
  joiner.add(a, data_of(0, 2, "second"));
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=second b=y"));
  EXPECT_EQ(joiner.open(), 0u);
}

TEST(event_joiner, an_early_entry_of_a_move_is_not_lost_with_the_event_it_had_before) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(0, 1, 0b01), dispatch_id(1));
  joiner.add(a, data_of(0, 2, "early"));
  joiner.add(a, data_of(0, 1, "x"));
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=x"));
  joiner.expect(0, run(0, 1, 0b01), dispatch_id(2));
  joiner.match();
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=early"));
}

TEST(event_joiner, what_is_moved_here_goes_before_what_waits_behind_it) {
  event_joiner joiner(names, 1, false);
  joiner.expect(0, run(10, 2, 0b1), dispatch_id(1));
  joiner.expect(0, run(3, 2, 0b1), dispatch_id(2));
  joiner.match();
  joiner.add(a, data_of(3, 2, "moved"));
  joiner.add(a, data_of(4, 2, "moved"));
  EXPECT_THAT(taken(joiner), ElementsAre("3 a=moved", "4 a=moved"));
}

TEST(event_joiner, what_is_only_looked_at_closes_no_slot) {
  event_joiner joiner(names, 1, false);
  auto look = run(0, 2, 0b1);
  look.slots = 0;
  joiner.expect(0, look, dispatch_id(1));
  joiner.add(a, data_of(0, 1, "start"));
  auto gone = tombstone(1, fate::lost, "gone");
  joiner.add(a, gone);
  EXPECT_EQ(joiner.batch(0).events.at(0).slots, 0);
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=start"));
  EXPECT_THAT(joiner.given_up(), IsEmpty());
  EXPECT_EQ(joiner.take_given_up_events(0), 1u);
}

TEST(event_joiner, a_worker_may_have_taken_over_several_slots_of_an_event) {
  event_joiner joiner(names, 1, false);
  auto other = run(0, 1, 0b10);
  other.first_slot = slot_index(4);
  joiner.expect(0, run(0, 1, 0b01), dispatch_id(1));
  joiner.expect(0, other, dispatch_id(1));
  joiner.match();
  joiner.add(b, data_of(0, 1, "y"));
  EXPECT_THAT(taken(joiner), IsEmpty());
  joiner.add(a, data_of(0, 1, "x"));
  EXPECT_EQ(joiner.batch(0).events.at(1).first_slot, slot_index(4));
  EXPECT_THAT(taken(joiner), ElementsAre("0 a=x", "0 b=y"));
  EXPECT_EQ(joiner.open(), 0u);
}

TEST(event_joiner, says_whose_slots_it_gives_up) {
  event_joiner joiner(names, 2, false);
  joiner.expect(0, run(0, 1, 0b1), dispatch_id(1));
  joiner.expect(1, run(0, 1, 0b1), dispatch_id(1));
  joiner.match();
  joiner.add(a, tombstone(0));
  ASSERT_EQ(joiner.given_up().size(), 2u);
  EXPECT_EQ(joiner.given_up()[0].worker, worker_index(0));
  EXPECT_EQ(joiner.given_up()[1].worker, worker_index(1));
}

} // namespace
} // namespace dtranspose
