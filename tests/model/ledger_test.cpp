#include "model/ledger.hpp"

#include <algorithm>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

slot_run slots(std::uint64_t event, std::uint16_t first = 0, std::uint16_t count = 1) {
  return {{event_number(event), 1, 1}, slot_index(first), count};
}

slot_run events(std::uint64_t first, std::uint32_t count, std::uint32_t stride = 1) {
  return {{event_number(first), count, stride}, slot_index(0), 1};
}

event_range range(std::uint64_t first, std::uint64_t end) { return {event_number(first), event_number(end)}; }

ledger opened(std::initializer_list<std::uint32_t> slots_of_events) {
  ledger l(slots_of_events.size());
  for (auto n : slots_of_events) l.open(n);
  return l;
}

std::uint64_t sum_of_fates(const ledger& l) {
  std::uint64_t sum = 0;
  for (std::size_t f = 0; f < fate_count; ++f) sum += l.count(static_cast<fate>(f));
  return sum;
}

TEST(ledger, of_an_empty_map_is_complete) {
  ledger l(0);
  EXPECT_TRUE(l.complete());
  l.end_unopened(fate::lost, "stopped");
  EXPECT_EQ(sum_of_fates(l), 0u);
  EXPECT_THAT(l.take_ended(), IsEmpty());
}

TEST(ledger, an_event_without_slots_is_discarded_at_once) {
  auto l = opened({0, 0});
  EXPECT_EQ(l.count(fate::discarded), 2u);
  EXPECT_THAT(l.take_ended(), ElementsAre(range(0, 2)));
  EXPECT_TRUE(l.complete());
  EXPECT_THAT(l.troubles(), IsEmpty());
}

TEST(ledger, an_event_ends_with_its_last_slot) {
  auto l = opened({3});
  l.end(slots(0, 1), fate::folded);
  l.end(slots(0, 0), fate::folded);
  EXPECT_EQ(l.ended(), 0u);
  l.end(slots(0, 2), fate::folded);
  EXPECT_EQ(l.ended(), 1u);
  EXPECT_EQ(l.count(fate::folded), 1u);
}

TEST(ledger, slots_may_end_together) {
  auto l = opened({3});
  l.end(slots(0, 1, 2), fate::folded);
  EXPECT_EQ(l.ended(), 0u);
  l.end(slots(0, 0, 1), fate::empty);
  EXPECT_EQ(l.count(fate::folded), 1u);
}

TEST(ledger, an_event_has_the_worst_fate_of_its_slots) {
  const fate in_order[] = {fate::empty, fate::folded, fate::failed, fate::incomplete, fate::lost};
  for (auto a : in_order)
    for (auto b : in_order) {
      auto l = opened({2});
      l.end(slots(0, 0), a);
      l.end(slots(0, 1), b);
      EXPECT_EQ(l.count(std::max(a, b)), 1u) << name_of(a) << ' ' << name_of(b);
    }
}

TEST(ledger, the_cause_is_that_of_the_worst_slot) {
  auto l = opened({3});
  l.end(slots(0, 0), fate::failed, "threw");
  l.end(slots(0, 1), fate::lost, "worker died");
  l.end(slots(0, 2), fate::incomplete, "no frame");
  ASSERT_EQ(l.troubles().size(), 1u);
  EXPECT_EQ(l.troubles()[0].how, fate::lost);
  EXPECT_EQ(l.troubles()[0].cause, "worker died");
}

TEST(ledger, fates_are_final) {
  auto l = opened({1, 1});
  l.end(slots(0), fate::folded);
  l.end(slots(0), fate::lost, "too late");
  EXPECT_EQ(l.count(fate::folded), 1u);
  EXPECT_EQ(l.count(fate::lost), 0u);
  EXPECT_EQ(l.ended(), 1u);
}

TEST(ledger, a_slot_that_ends_twice_does_not_end_its_neighbour) {
  auto l = opened({2});
  l.end(slots(0, 0), fate::folded);
  l.end(slots(0, 0), fate::folded);
  EXPECT_EQ(l.ended(), 0u);
  l.end(slots(0, 1), fate::lost, "gone");
  EXPECT_EQ(l.count(fate::lost), 1u);
}

TEST(ledger, a_late_fate_of_an_ended_slot_changes_nothing_while_its_event_is_open) {
  auto l = opened({2});
  l.end(slots(0, 0), fate::folded);
  l.end(slots(0, 0), fate::lost, "too late");
  l.end(slots(0, 1), fate::folded);
  EXPECT_EQ(l.count(fate::folded), 1u);
}

TEST(ledger, a_slot_that_the_event_does_not_have_is_ignored) {
  auto l = opened({2});
  l.end(slots(0, 7), fate::lost, "nonsense");
  l.end(slots(0, 2, 2), fate::lost, "nonsense");
  EXPECT_EQ(l.ended(), 0u);
  l.end(slots(0, 0, 2), fate::folded);
  EXPECT_EQ(l.count(fate::folded), 1u);
}

TEST(ledger, what_is_not_open_yet_is_ignored) {
  ledger l(3);
  l.open(1);
  l.end(slots(1), fate::folded);
  l.end(slots(~std::uint64_t{0}), fate::folded);
  l.end(events(0, 3), fate::folded);
  EXPECT_EQ(l.ended(), 1u);
  l.open(1);
  EXPECT_EQ(l.ended(), 1u);
}

TEST(ledger, an_empty_run_ends_nothing) {
  auto l = opened({1});
  l.end({{event_number(0), 0, 1}, slot_index(0), 1}, fate::lost);
  l.end({{event_number(0), 1, 1}, slot_index(0), 0}, fate::lost);
  EXPECT_EQ(l.ended(), 0u);
}

TEST(ledger, neighbours_with_the_same_trouble_are_one_line) {
  auto l = opened({1, 1, 1, 1, 1});
  l.end(events(0, 2), fate::lost, "a");
  l.end(slots(2), fate::lost, "b");
  l.end(slots(3), fate::incomplete, "b");
  l.end(slots(4), fate::folded);
  ASSERT_EQ(l.troubles().size(), 3u);
  EXPECT_EQ(l.troubles()[0].events, range(0, 2));
  EXPECT_EQ(l.troubles()[1].events, range(2, 3));
  EXPECT_EQ(l.troubles()[2].events, range(3, 4));
}

TEST(ledger, events_that_were_never_opened_end_when_the_scan_is_stopped) {
  ledger l(100);
  l.open(1);
  l.open(2);
  l.end(slots(1, 0), fate::folded);
  l.end_unopened(fate::lost, "stopped");
  EXPECT_EQ(l.count(fate::lost), 98u);
  EXPECT_FALSE(l.complete());
  l.end(slots(0), fate::folded);
  l.end(slots(1, 1), fate::folded);
  EXPECT_TRUE(l.complete());
  EXPECT_EQ(l.count(fate::folded), 2u);
  EXPECT_EQ(sum_of_fates(l), 100u);
}

TEST(ledger, ending_what_was_not_opened_twice_counts_once) {
  ledger l(10);
  l.end_unopened(fate::lost, "stopped");
  l.end_unopened(fate::lost, "stopped");
  l.end(slots(4), fate::folded);
  EXPECT_EQ(l.count(fate::lost), 10u);
  EXPECT_THAT(l.take_ended(), ElementsAre(range(0, 10)));
}

TEST(ledger, stopping_a_long_scan_costs_no_memory_per_event) {
  // As many as could not be kept one by one.
  ledger l(std::uint64_t{1} << 60);
  l.open(1);
  EXPECT_NO_THROW(l.end_unopened(fate::lost, "stopped"));
  l.end(slots(0), fate::folded);
  EXPECT_TRUE(l.complete());
}

TEST(ledger, giving_up_ends_what_is_open_and_what_is_not_opened) {
  ledger l(10);
  for (auto n : {1u, 2u, 0u, 1u, 3u}) l.open(n);
  l.end(slots(3), fate::folded);
  l.end(slots(1, 0), fate::failed, "threw");
  l.give_up(fate::lost, "stopped");
  EXPECT_TRUE(l.complete());
  EXPECT_EQ(l.count(fate::lost), 8u);
  EXPECT_EQ(l.count(fate::folded), 1u);
  EXPECT_EQ(l.count(fate::discarded), 1u);
  l.give_up(fate::lost, "again");
  EXPECT_EQ(sum_of_fates(l), 10u);
}

TEST(ledger, giving_up_leaves_a_worse_fate_as_it_was) {
  auto l = opened({2});
  l.end(slots(0, 0), fate::lost, "died");
  l.give_up(fate::incomplete, "stopped");
  EXPECT_EQ(l.count(fate::lost), 1u);
  EXPECT_EQ(l.troubles().at(0).cause, "died");
}

TEST(ledger, says_which_events_have_ended) {
  ledger l(5);
  for (int e = 0; e < 3; ++e) l.open(1);
  l.end(slots(1), fate::folded);
  EXPECT_FALSE(l.has_ended(event_number(0)));
  EXPECT_TRUE(l.has_ended(event_number(1)));
  EXPECT_FALSE(l.has_ended(event_number(2)));
  EXPECT_FALSE(l.has_ended(event_number(3)));
  l.end(slots(0), fate::folded);
  EXPECT_TRUE(l.has_ended(event_number(0)));
  l.end_unopened(fate::lost, "stopped");
  EXPECT_FALSE(l.has_ended(event_number(2)));
  EXPECT_TRUE(l.has_ended(event_number(4)));
}

TEST(ledger, a_known_cause_is_named_however_many_causes_there_were) {
  constexpr std::uint64_t many = ledger::most_troubles + 10;
  ledger l(many);
  for (std::uint64_t e = 0; e < many; ++e) l.open(1);
  l.end(slots(0), fate::lost, "known");
  for (std::uint64_t e = 1; e + 1 < many; ++e) l.end(slots(e), fate::folded, std::to_string(e));
  l.end(slots(many - 1), fate::lost, "known");
  ASSERT_EQ(l.troubles().size(), 2u);
  EXPECT_EQ(l.troubles()[1].cause, "known");
}

TEST(ledger, an_event_may_have_any_number_of_slots) {
  std::mt19937_64 random(29);
  for (std::uint32_t count : {63u, 64u, 65u, 128u, 1000u, 65535u}) {
    ledger l(1);
    l.open(count);
    std::vector<std::uint16_t> order(count);
    for (std::uint32_t s = 0; s < count; ++s) order[s] = static_cast<std::uint16_t>(s);
    std::shuffle(order.begin(), order.end(), random);
    for (auto s : order) {
      EXPECT_FALSE(l.complete());
      l.end(slots(0, s), fate::folded);
      l.end(slots(0, s), fate::lost, "too late");
    }
    EXPECT_TRUE(l.complete());
    EXPECT_EQ(l.count(fate::folded), 1u);
  }
}

TEST(ledger, a_run_that_holds_ended_and_open_slots_ends_the_open_ones) {
  auto l = opened({3, 3});
  l.end(slots(0, 1), fate::folded);
  l.end({{event_number(0), 2, 1}, slot_index(0), 3}, fate::empty);
  EXPECT_TRUE(l.complete());
  EXPECT_EQ(l.count(fate::folded), 1u);
  EXPECT_EQ(l.count(fate::empty), 1u);
}

TEST(ledger, an_event_that_was_mapped_in_part_is_listed_and_keeps_its_fate) {
  auto l = opened({1, 1, 1});
  l.remark({event_number(0), 2, 2}, "stream 'det': gap");
  l.end(events(0, 3), fate::folded);
  EXPECT_EQ(l.count(fate::folded), 3u);
  EXPECT_EQ(sum_of_fates(l), 3u);
  ASSERT_EQ(l.troubles().size(), 2u);
  EXPECT_EQ(l.troubles()[1].events, range(2, 3));
  EXPECT_EQ(l.troubles()[1].cause, "stream 'det': gap");
}

TEST(ledger, nothing_is_opened_after_it_was_closed_nor_behind_the_map) {
  ledger l(3);
  for (int e = 0; e < 5; ++e) l.open(0);
  EXPECT_EQ(l.count(fate::discarded), 3u);
  ledger closed(3);
  closed.end_unopened(fate::lost, "stopped");
  closed.open(1);
  EXPECT_TRUE(closed.complete());
  EXPECT_EQ(sum_of_fates(closed), 3u);
}

/// Workers have every other event, and end them batch by batch.
TEST(ledger, neighbours_of_one_cause_are_reported_as_one) {
  ledger l(20);
  for (int e = 0; e < 20; ++e) l.open(1);
  for (std::uint64_t e : {1, 3, 5, 7, 2, 4, 6}) l.end(slots(e), fate::failed, "no such key");
  l.end(slots(8), fate::failed, "another");
  l.end(slots(9), fate::failed, "no such key");
  l.end(slots(10), fate::lost, "no such key");
  auto report = l.report();
  auto& list = *report.find("troubles")->as_list();
  ASSERT_EQ(list.size(), 4u);
  auto place = [&](std::size_t i, const char* key) { return *list[i].find(key); };
  EXPECT_EQ(place(0, "first"), value(std::uint64_t{1}));
  EXPECT_EQ(place(0, "last"), value(std::uint64_t{7}));
  EXPECT_EQ(place(1, "cause"), value("another"));
  EXPECT_EQ(place(2, "first"), value(std::uint64_t{9}));
  EXPECT_EQ(place(3, "fate"), value("lost"));
}

TEST(ledger, a_full_list_of_neighbours_makes_room) {
  constexpr std::uint64_t many = ledger::most_troubles + 2;
  ledger l(many);
  for (std::uint64_t e = 0; e < many; ++e) l.open(1);
  for (std::uint64_t first : {0, 1})
    for (auto e = first; e < many; e += 2) l.end(slots(e), fate::failed, "no such key");
  auto report = l.report();
  EXPECT_EQ(report.find("troubles")->as_list()->size(), 1u);
  EXPECT_EQ(*report.find("troubles_not_listed"), value(std::uint64_t{0}));
}

TEST(ledger, troubles_beyond_the_list_are_counted) {
  constexpr std::uint64_t many = 2 * (ledger::most_troubles + 5);
  ledger l(many);
  for (std::uint64_t e = 0; e < many; ++e) {
    l.open(1);
    l.end(slots(e), e % 2 == 0 ? fate::lost : fate::folded, "x");
  }
  EXPECT_EQ(l.troubles().size(), ledger::most_troubles);
  EXPECT_EQ(*l.report().find("troubles_not_listed"), value(std::uint64_t{5}));
  EXPECT_EQ(l.count(fate::lost), many / 2);
}

TEST(ledger, reports_counts_and_troubles) {
  auto l = opened({1, 1, 0});
  l.end(events(0, 2), fate::incomplete, "stream 'det': missing in the stream");
  auto report = l.report();
  EXPECT_EQ(*report.find("events"), value(3u));
  EXPECT_EQ(*report.find("ended"), value(3u));
  EXPECT_EQ(*report.find("fates")->find("incomplete"), value(2u));
  EXPECT_EQ(*report.find("fates")->find("discarded"), value(1u));
  auto& trouble = report.find("troubles")->as_list()->at(0);
  EXPECT_EQ(*trouble.find("first"), value(0u));
  EXPECT_EQ(*trouble.find("last"), value(1u));
  EXPECT_EQ(*trouble.find("fate"), value("incomplete"));
  EXPECT_EQ(*trouble.find("cause"), value("stream 'det': missing in the stream"));
}

// -- property ------------------------------------------------------------------------------------

std::size_t below(std::mt19937_64& random, std::size_t n) { return random() % n; }

/// Fates slot by slot.
struct plain_ledger {
  struct event {
    std::vector<fate> fates; ///< of slots that ended
    std::size_t slots = 0;
  };
  std::vector<event> events;

  std::array<std::uint64_t, fate_count> counts() const {
    std::array<std::uint64_t, fate_count> result{};
    for (auto& e : events) {
      if (e.fates.size() < e.slots) continue;
      auto worst = e.slots == 0 ? fate::discarded : *std::max_element(e.fates.begin(), e.fates.end());
      ++result[static_cast<std::size_t>(worst)];
    }
    return result;
  }
};

TEST(ledger, random_ends_count_as_a_plain_loop_does) {
  std::mt19937_64 random(15);
  for (int round = 0; round < 200; ++round) {
    auto count = below(random, 60);
    ledger l(count);
    plain_ledger plain;
    std::vector<slot_run> open;
    std::vector<int> reported(count);
    auto note_ended = [&] {
      for (auto& r : l.take_ended())
        for (auto e = r.first.value; e < r.end.value; ++e) ++reported[e];
    };
    while (l.opened() < count || !open.empty()) {
      if (l.opened() < count && below(random, 2) == 0) {
        auto n = static_cast<std::uint32_t>(below(random, 4));
        for (std::uint16_t s = 0; s < n; ++s) open.push_back(slots(l.opened(), s));
        plain.events.push_back({{}, n});
        l.open(n);
      } else if (!open.empty()) {
        auto i = open.begin() + static_cast<std::ptrdiff_t>(below(random, open.size()));
        auto how = static_cast<fate>(1 + below(random, fate_count - 1));
        l.end(*i, how, "some cause");
        plain.events[i->events.first.value].fates.push_back(how);
        open.erase(i);
      }
      if (below(random, 5) == 0) note_ended();
    }
    note_ended();
    EXPECT_EQ(reported, std::vector<int>(count, 1));
    EXPECT_TRUE(l.complete());
    auto expected = plain.counts();
    for (std::size_t f = 0; f < fate_count; ++f) EXPECT_EQ(l.count(static_cast<fate>(f)), expected[f]);
    std::uint64_t troubled = 0;
    for (auto& t : l.troubles()) troubled += t.events.end - t.events.first;
    EXPECT_EQ(troubled, expected[3] + expected[4] + expected[5]);
  }
}

TEST(ledger, runs_with_a_stride_end_each_of_their_events) {
  std::mt19937_64 random(16);
  for (int round = 0; round < 100; ++round) {
    std::uint32_t count = static_cast<std::uint32_t>(1 + below(random, 200));
    auto stride = static_cast<std::uint32_t>(1 + below(random, 7));
    ledger l(count);
    for (std::uint32_t e = 0; e < count; ++e) l.open(1);
    for (std::uint32_t first = 0; first < std::min(stride, count); ++first)
      l.end(events(first, (count - first + stride - 1) / stride, stride), fate::folded);
    EXPECT_EQ(l.count(fate::folded), count);
    std::vector<int> reported(count);
    for (auto& r : l.take_ended())
      for (auto e = r.first.value; e < r.end.value; ++e) ++reported[e];
    EXPECT_EQ(reported, std::vector<int>(count, 1));
    EXPECT_THAT(l.take_ended(), IsEmpty());
  }
}

} // namespace
} // namespace dtranspose
