#include "model/number_tracker.hpp"

#include <algorithm>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using positions = std::vector<std::uint64_t>;

constexpr std::uint64_t huge = std::uint64_t{1} << 63;
constexpr std::uint64_t all_ones = ~std::uint64_t{0};

entry_numbers start() { return {.kind = entry_kind::start}; }
entry_numbers data(std::uint64_t number) { return {.number = number}; }
entry_numbers end() { return {.kind = entry_kind::end}; }

entry_numbers with_message(entry_numbers n, std::uint64_t message) {
  n.message_number = message;
  return n;
}
entry_numbers of_series(entry_numbers n, std::uint64_t series) {
  n.series = series;
  return n;
}
entry_numbers with_count(entry_numbers n, std::uint64_t count) {
  n.count = count;
  return n;
}

/// A tracker together with what it gave up.
struct tracked {
  explicit tracked(std::uint64_t entries, std::uint64_t late_window = 4) : tracker(entries, late_window) {}

  number_tracker::decision take(const entry_numbers& n) { return tracker.take(n, missing); }
  verdict verdict_of(const entry_numbers& n) { return take(n).what; }
  std::optional<std::uint64_t> place_of(const entry_numbers& n) {
    auto d = take(n);
    if (!d.place) return std::nullopt;
    return d.place->value;
  }
  void settle() { tracker.settle(missing); }
  std::optional<std::uint64_t> released() {
    auto p = tracker.released_end();
    if (!p) return std::nullopt;
    return p->value;
  }
  /// Positions given up so far.
  positions given_up() const {
    positions all;
    for (auto& m : missing)
      for (std::uint64_t i = 0; i < m.count; ++i) all.push_back(m.first.value + i);
    std::sort(all.begin(), all.end());
    return all;
  }

  number_tracker tracker;
  std::vector<missing_run> missing;
};

// -- one series ----------------------------------------------------------------------------------

TEST(number_tracker, number_n_is_the_nth_entry_behind_the_start) {
  tracked t(5);
  EXPECT_EQ(t.place_of(start()), 0u);
  for (std::uint64_t n = 0; n < 3; ++n) EXPECT_EQ(t.place_of(data(n)), n + 1);
  EXPECT_EQ(t.place_of(end()), 4u);
  EXPECT_TRUE(t.tracker.complete());
  EXPECT_THAT(t.given_up(), IsEmpty());
  EXPECT_EQ(t.tracker.count(verdict::ok), 5u);
  EXPECT_EQ(t.tracker.last_number(), 2u);
}

TEST(number_tracker, data_without_numbers_are_matched_by_position) {
  tracked t(4);
  t.take(start());
  EXPECT_EQ(t.place_of({}), 1u);
  EXPECT_EQ(t.place_of({}), 2u);
  EXPECT_EQ(t.place_of(end()), 3u);
  EXPECT_FALSE(t.tracker.last_number());
}

TEST(number_tracker, what_is_left_of_another_scan_is_stray) {
  tracked t(4);
  EXPECT_EQ(t.verdict_of(data(7)), verdict::stray);
  EXPECT_EQ(t.verdict_of(data(8)), verdict::stray);
  EXPECT_EQ(t.verdict_of(end()), verdict::stray);
  EXPECT_EQ(t.place_of(start()), 0u);
  EXPECT_EQ(t.place_of(data(0)), 1u);
}

// -- data before their start -----------------------------------------------------------------------

TEST(number_tracker, data_from_number_0_on_wait_for_their_start) {
  tracked t(5);
  EXPECT_EQ(t.take(data(0)).hold, number_tracker::decision::keep::early);
  EXPECT_EQ(t.take(data(1)).hold, number_tracker::decision::keep::early);
  EXPECT_TRUE(t.tracker.unsettled());
  EXPECT_THAT(t.tracker.released_early(), IsEmpty());
  EXPECT_THAT(t.given_up(), IsEmpty());
}

TEST(number_tracker, a_series_that_ended_before_any_start_is_stray_when_a_start_follows) {
  tracked t(4);
  t.take(data(0));
  EXPECT_EQ(t.take(end()).hold, number_tracker::decision::keep::early);
  EXPECT_EQ(t.place_of(start()), 0u);
  EXPECT_THAT(t.tracker.released_early(), ElementsAre(std::nullopt, std::nullopt));
  EXPECT_EQ(t.tracker.count(verdict::stray), 2u);
  EXPECT_EQ(t.place_of(data(0)), 1u);
}

TEST(number_tracker, a_start_that_never_came_costs_itself_alone) {
  tracked t(5);
  for (auto n : {0, 1, 2}) t.take(data(static_cast<std::uint64_t>(n)));
  t.take(end());
  t.settle();
  EXPECT_THAT(t.tracker.released_early(),
              ElementsAre(stream_position(1), stream_position(2), stream_position(3), stream_position(4)));
  EXPECT_EQ(t.given_up(), positions{0});
  EXPECT_STREQ(t.missing.front().cause, "the start message is missing");
  EXPECT_TRUE(t.tracker.complete());
}

TEST(number_tracker, a_start_is_given_up_when_the_window_has_gone_by) {
  tracked t(10, 2);
  t.take(data(0));
  t.take(data(1));
  EXPECT_EQ(t.place_of(data(2)), 3u);
  EXPECT_THAT(t.tracker.released_early(), ElementsAre(stream_position(1), stream_position(2)));
  EXPECT_EQ(t.given_up(), positions{0});
}

TEST(number_tracker, a_late_start_is_met_by_data_of_its_series) {
  tracked t(5);
  t.take(of_series(data(0), 7));
  t.take(of_series(data(1), 6));
  EXPECT_EQ(t.place_of(of_series(start(), 7)), 0u);
  EXPECT_THAT(t.tracker.released_early(), ElementsAre(stream_position(1), std::nullopt));
  EXPECT_EQ(t.place_of(of_series(data(1), 7)), 2u);
}

TEST(number_tracker, a_late_start_is_met_by_data_whose_message_numbers_follow_it) {
  tracked t(5);
  t.take(with_message(data(0), 21));
  t.take(with_message(data(1), 12));
  EXPECT_EQ(t.place_of(with_message(start(), 20)), 0u);
  EXPECT_THAT(t.tracker.released_early(), ElementsAre(stream_position(1), std::nullopt));
}

// -- a counter that begins again within its series -------------------------------------------------

entry_numbers again() { return {.number = 0, .restarts = true}; }

TEST(number_tracker, a_counter_that_begins_again_goes_on_behind_what_came) {
  tracked t(8);
  t.take(start());
  for (auto n : {0, 1, 2}) t.take(data(static_cast<std::uint64_t>(n)));
  auto d = t.take(again());
  EXPECT_EQ(d.what, verdict::restarted);
  EXPECT_EQ(d.hold, number_tracker::decision::keep::leap);
  EXPECT_EQ(t.place_of(data(1)), 5u);
  EXPECT_EQ(t.tracker.released_leap(), stream_position(4));
  EXPECT_EQ(t.place_of(data(2)), 6u);
  EXPECT_EQ(t.place_of(end()), 7u);
  EXPECT_THAT(t.given_up(), IsEmpty());
}

TEST(number_tracker, segments_of_one_frame_follow_each_other) {
  tracked t(5);
  t.take(start());
  t.take(data(0));
  positions places;
  for (int i = 0; i < 2; ++i) {
    t.take(again());
    if (auto p = t.tracker.released_leap()) places.push_back(p->value);
  }
  EXPECT_EQ(t.place_of(end()), 4u);
  if (auto p = t.tracker.released_leap()) places.push_back(p->value);
  EXPECT_EQ(places, (positions{2, 3}));
}

TEST(number_tracker, the_last_of_a_segment_may_come_behind_the_first_of_the_next) {
  tracked t(8);
  t.take(start());
  for (auto n : {0, 1}) t.take(data(static_cast<std::uint64_t>(n)));
  t.take(again());
  EXPECT_EQ(t.place_of(data(2)), 3u);
  EXPECT_FALSE(t.tracker.released_leap());
  EXPECT_EQ(t.place_of(data(1)), 5u);
  EXPECT_EQ(t.tracker.released_leap(), stream_position(4));
}

// -- streams without numbers, without starts -------------------------------------------------------

TEST(number_tracker, behind_an_interruption_of_an_unnumbered_stream_nothing_is_guessed) {
  tracked t(6);
  entry_numbers plain;
  t.take(start());
  EXPECT_EQ(t.place_of(plain), 1u);
  t.tracker.interrupt();
  EXPECT_EQ(t.verdict_of(plain), verdict::doubtful);
  t.take(end());
  t.settle();
  EXPECT_EQ(t.released(), 5u);
  EXPECT_EQ(t.given_up(), (positions{2, 3, 4}));
}

TEST(number_tracker, an_interruption_costs_a_numbered_stream_nothing) {
  tracked t(4);
  t.take(start());
  t.take(data(0));
  t.tracker.interrupt();
  EXPECT_EQ(t.place_of(data(1)), 2u);
}

TEST(number_tracker, without_starts_number_n_is_the_nth_entry_of_all) {
  number_tracker tracker(4, 4, true);
  std::vector<missing_run> missing;
  for (std::uint64_t n : {0, 1, 3}) EXPECT_EQ(tracker.take(data(n), missing).place, stream_position(n));
  tracker.settle(missing);
  tracker.close(missing, "stopped");
  ASSERT_EQ(missing.size(), 1u);
  EXPECT_EQ(missing[0].first, stream_position(2));
  EXPECT_EQ(missing[0].number, 2u);
}

TEST(number_tracker, another_series_is_stray) {
  tracked t(4);
  t.take(of_series(start(), 7));
  EXPECT_EQ(t.verdict_of(of_series(data(0), 6)), verdict::stray);
  EXPECT_EQ(t.verdict_of(of_series(end(), 6)), verdict::stray);
  EXPECT_EQ(t.place_of(of_series(data(0), 7)), 1u);
  EXPECT_EQ(t.tracker.series(), 7u);
}

TEST(number_tracker, a_gap_costs_only_what_is_missing) {
  tracked t(6);
  t.take(start());
  t.take(data(0));
  auto d = t.take(data(2));
  EXPECT_EQ(d.what, verdict::gap);
  EXPECT_EQ(d.place, stream_position(3));
  EXPECT_EQ(t.place_of(data(3)), 4u);
  EXPECT_EQ(t.place_of(end()), 5u);
  EXPECT_FALSE(t.tracker.complete());
  EXPECT_TRUE(t.tracker.unsettled());
  t.settle();
  EXPECT_THAT(t.given_up(), ElementsAre(2));
  EXPECT_TRUE(t.tracker.complete());
  EXPECT_FALSE(t.tracker.unsettled());
}

TEST(number_tracker, a_duplicate_changes_nothing) {
  tracked t(6);
  t.take(start());
  t.take(data(0));
  t.take(data(2));
  EXPECT_EQ(t.verdict_of(data(0)), verdict::duplicate);
  EXPECT_EQ(t.verdict_of(data(2)), verdict::duplicate);
  EXPECT_EQ(t.place_of(data(1)), 2u);
  EXPECT_THAT(t.given_up(), IsEmpty());
}

TEST(number_tracker, a_late_one_takes_its_place_within_the_window) {
  tracked t(10, 3);
  t.take(start());
  for (auto n : {1, 2}) t.take(data(static_cast<std::uint64_t>(n)));
  auto d = t.take(data(0));
  EXPECT_EQ(d.what, verdict::late);
  EXPECT_EQ(d.place, stream_position(1));
  EXPECT_EQ(t.tracker.next(), stream_position(4));
}

TEST(number_tracker, what_is_missing_is_given_up_when_the_window_has_gone_by) {
  tracked t(20, 3);
  t.take(start());
  for (std::uint64_t n = 1; n <= 2; ++n) t.take(data(n));
  EXPECT_THAT(t.given_up(), IsEmpty());
  for (std::uint64_t n = 3; n <= 4; ++n) t.take(data(n));
  EXPECT_THAT(t.given_up(), ElementsAre(1));
  auto d = t.take(data(0));
  EXPECT_EQ(d.what, verdict::late);
  EXPECT_FALSE(d.place);
  EXPECT_EQ(t.place_of(data(5)), 6u);
}

TEST(number_tracker, without_a_window_a_gap_is_given_up_at_once) {
  tracked t(20, 0);
  t.take(start());
  EXPECT_EQ(t.place_of(data(3)), 4u);
  EXPECT_THAT(t.given_up(), ElementsAre(1, 2, 3));
  EXPECT_FALSE(t.take(data(1)).place);
}

TEST(number_tracker, a_long_gap_is_a_few_runs) {
  tracked t(10'000'000, 4);
  t.take(start());
  for (std::uint64_t n = 5'000'000; n < 5'000'020; ++n) t.take(data(n));
  EXPECT_LE(t.missing.size(), 6u);
  std::uint64_t sum = 0;
  for (auto& m : t.missing) sum += m.count;
  EXPECT_EQ(sum, 5'000'000u);
}

TEST(number_tracker, data_behind_the_map_are_after_the_end) {
  tracked t(3);
  t.take(start());
  EXPECT_EQ(t.verdict_of(data(2)), verdict::after_end);
  EXPECT_EQ(t.place_of(data(0)), 1u);
}

TEST(number_tracker, data_behind_the_end_of_their_series_are_after_the_end) {
  tracked t(10);
  t.take(start());
  t.take(data(0));
  t.take(with_count(end(), 1));
  EXPECT_EQ(t.verdict_of(data(1)), verdict::after_end);
  EXPECT_EQ(t.verdict_of(end()), verdict::duplicate);
}

TEST(number_tracker, an_end_that_cannot_know_its_place_is_moved_by_data_that_come_behind_it) {
  tracked t(5);
  t.take(start());
  t.take(data(0));
  EXPECT_EQ(t.take(end()).hold, number_tracker::decision::keep::end);
  EXPECT_EQ(t.place_of(data(1)), 2u);
  EXPECT_FALSE(t.released());
  EXPECT_EQ(t.place_of(data(2)), 3u);
  EXPECT_EQ(t.released(), 4u);
  EXPECT_EQ(t.verdict_of(data(3)), verdict::after_end);
  EXPECT_TRUE(t.tracker.complete());
}

TEST(number_tracker, an_arm_that_brought_what_its_start_announced_is_closed_exactly) {
  for (bool has_end : {true, false}) {
    tracked t(8);
    t.take(with_count(start(), 2));
    t.take(data(0));
    t.take(data(1));
    if (has_end) t.take(end());
    EXPECT_EQ(t.place_of(start()), 4u);
    EXPECT_EQ(t.place_of(data(0)), 5u);
  }
}

TEST(number_tracker, an_arm_that_lacks_what_its_start_announced_is_not) {
  tracked t(8);
  t.take(with_count(start(), 3));
  t.take(data(0));
  t.take(end());
  EXPECT_EQ(t.verdict_of(start()), verdict::doubtful);
}

TEST(number_tracker, a_map_without_entries_for_the_stream_takes_nothing) {
  tracked t(0);
  EXPECT_TRUE(t.tracker.complete());
  for (auto& n : {start(), data(0), end(), start(), end()}) EXPECT_FALSE(t.take(n).place);
  t.settle();
  EXPECT_THAT(t.given_up(), IsEmpty());
  EXPECT_FALSE(t.released());
}

// -- ends that come early ------------------------------------------------------------------------

TEST(number_tracker, an_early_end_is_held_until_time_has_passed) {
  tracked t(10);
  t.take(start());
  t.take(data(0));
  auto d = t.take(end());
  EXPECT_EQ(d.hold, number_tracker::decision::keep::end);
  EXPECT_FALSE(d.place);
  EXPECT_TRUE(t.tracker.unsettled());
  EXPECT_FALSE(t.released());
  t.settle();
  EXPECT_EQ(t.released(), 9u);
  EXPECT_FALSE(t.released()) << "asking clears it";
  EXPECT_THAT(t.given_up(), ElementsAre(2, 3, 4, 5, 6, 7, 8));
  EXPECT_TRUE(t.tracker.complete());
  EXPECT_FALSE(t.tracker.unsettled());
}

TEST(number_tracker, a_start_makes_an_early_end_an_entry_in_mid_scan) {
  tracked t(6);
  t.take(start());
  t.take(data(0));
  t.take(with_count(end(), 1));
  auto d = t.take(start());
  EXPECT_EQ(d.what, verdict::restarted);
  EXPECT_EQ(t.released(), 2u);
  EXPECT_EQ(d.place, stream_position(3));
  EXPECT_EQ(t.place_of(data(0)), 4u);
  EXPECT_EQ(t.place_of(with_count(end(), 1)), 5u);
  EXPECT_TRUE(t.tracker.complete());
}

TEST(number_tracker, a_rearmed_source_fills_a_wrapped_map_of_twenty_two_entries) {
  tracked t(22);
  positions places;
  for (int arm = 0; arm < 2; ++arm) {
    for (auto p : {t.place_of(start())}) places.push_back(p.value());
    if (auto held = t.released()) places.insert(places.end() - 1, *held);
    for (std::uint64_t n = 0; n < 9; ++n) places.push_back(t.place_of(data(n)).value());
    if (auto p = t.place_of(with_count(end(), 9))) places.push_back(*p);
  }
  positions expected(22);
  for (std::uint64_t i = 0; i < 22; ++i) expected[i] = i;
  EXPECT_EQ(places, expected);
}

TEST(number_tracker, late_data_still_find_their_place_while_an_end_is_held) {
  tracked t(10);
  t.take(start());
  t.take(data(1));
  t.take(with_count(end(), 2));
  EXPECT_EQ(t.place_of(data(0)), 1u);
  EXPECT_THAT(t.given_up(), IsEmpty());
}

TEST(number_tracker, an_end_that_announces_more_than_came_leaves_room_for_it) {
  tracked t(6);
  t.take(start());
  t.take(data(0));
  EXPECT_EQ(t.place_of(with_count(end(), 4)), 5u);
  t.settle();
  EXPECT_THAT(t.given_up(), ElementsAre(2, 3, 4));
}

TEST(number_tracker, an_end_that_announces_less_than_came_is_still_final) {
  tracked t(10);
  t.take(start());
  for (std::uint64_t n = 0; n < 5; ++n) t.take(data(n));
  t.take(with_count(end(), 2));
  EXPECT_TRUE(t.tracker.unsettled());
  t.settle();
  EXPECT_TRUE(t.tracker.complete());
}

TEST(number_tracker, an_end_that_announces_more_than_the_map_has_is_still_final) {
  tracked t(10);
  t.take(start());
  for (std::uint64_t n = 0; n < 5; ++n) t.take(data(n));
  t.take(with_count(end(), 20));
  EXPECT_TRUE(t.tracker.unsettled());
  t.settle();
  EXPECT_TRUE(t.tracker.complete());
}

// -- later arms ----------------------------------------------------------------------------------

TEST(number_tracker, message_numbers_tell_where_an_arm_begins_though_its_end_was_lost) {
  tracked t(8);
  t.take(with_message(start(), 100));
  t.take(with_message(data(0), 101));
  // data 1 and the end are lost
  EXPECT_EQ(t.place_of(with_message(start(), 104)), 4u);
  EXPECT_EQ(t.place_of(with_message(data(0), 105)), 5u);
  EXPECT_EQ(t.place_of(with_message(data(1), 106)), 6u);
  EXPECT_EQ(t.place_of(with_message(end(), 107)), 7u);
  t.settle();
  EXPECT_THAT(t.given_up(), ElementsAre(2, 3));
}

TEST(number_tracker, message_numbers_tell_where_an_end_belongs_though_data_before_it_were_lost) {
  tracked t(10);
  t.take(with_message(start(), 0));
  t.take(with_message(data(0), 1));
  t.take(with_message(end(), 4));
  t.take(with_message(start(), 5));
  EXPECT_EQ(t.released(), 4u);
}

TEST(number_tracker, a_count_tells_where_the_next_arm_begins_though_data_were_lost) {
  tracked t(9);
  t.take(start());
  t.take(data(0));
  t.take(with_count(end(), 3));
  EXPECT_EQ(t.place_of(start()), 5u);
  EXPECT_EQ(t.released(), 4u);
  EXPECT_EQ(t.place_of(data(1)), 7u);
}

TEST(number_tracker, behind_an_arm_that_did_not_close_exactly_nothing_is_guessed) {
  tracked t(9);
  t.take(start());
  t.take(data(0));
  EXPECT_EQ(t.verdict_of(start()), verdict::doubtful);
  EXPECT_TRUE(t.tracker.complete());
  EXPECT_EQ(t.given_up().size(), 7u);
  EXPECT_FALSE(t.take(data(0)).place);
  EXPECT_FALSE(t.take(data(5)).place);
  EXPECT_FALSE(t.take(end()).place);
}

TEST(number_tracker, behind_an_end_without_a_count_nothing_is_guessed) {
  tracked t(9);
  t.take(start());
  t.take(data(0));
  t.take(end());
  EXPECT_EQ(t.verdict_of(start()), verdict::doubtful);
  EXPECT_TRUE(t.tracker.complete());
}

TEST(number_tracker, behind_an_end_that_contradicts_its_data_nothing_is_guessed) {
  tracked t(12);
  t.take(start());
  for (std::uint64_t n = 0; n < 5; ++n) t.take(data(n));
  t.take(with_count(end(), 2));
  EXPECT_EQ(t.verdict_of(start()), verdict::doubtful);
  EXPECT_TRUE(t.tracker.complete());
}

TEST(number_tracker, a_second_start_before_data_replaces_the_first) {
  tracked t(4);
  t.take(of_series(start(), 1));
  auto d = t.take(of_series(start(), 2));
  EXPECT_EQ(d.what, verdict::restarted);
  EXPECT_EQ(d.place, stream_position(0));
  EXPECT_TRUE(d.replaces);
  EXPECT_EQ(t.verdict_of(of_series(data(0), 1)), verdict::stray);
  EXPECT_EQ(t.place_of(of_series(data(0), 2)), 1u);
}

TEST(number_tracker, a_second_start_of_a_later_arm_replaces_that_one) {
  tracked t(6);
  t.take(with_message(start(), 0));
  t.take(with_message(data(0), 1));
  t.take(with_message(end(), 2));
  t.take(with_message(start(), 3));
  auto d = t.take(with_message(start(), 4));
  EXPECT_EQ(d.place, stream_position(3));
  EXPECT_TRUE(d.replaces);
  EXPECT_EQ(t.place_of(with_message(data(0), 5)), 4u);
  EXPECT_EQ(t.place_of(with_message(end(), 6)), 5u);
}

TEST(number_tracker, a_start_that_came_twice_costs_nothing) {
  tracked t(5);
  auto first = with_message(of_series(start(), 1), 10);
  t.take(first);
  t.take(with_message(of_series(data(0), 1), 11));
  EXPECT_EQ(t.verdict_of(first), verdict::duplicate);
  EXPECT_EQ(t.place_of(with_message(of_series(data(1), 1), 12)), 2u);
  EXPECT_THAT(t.given_up(), IsEmpty());
}

TEST(number_tracker, message_numbers_that_contradict_what_came_shift_nothing) {
  tracked t(12);
  t.take(with_message(start(), 0));
  for (std::uint64_t n = 0; n < 5; ++n) t.take(with_message(data(n), n + 1));
  t.take(with_message(start(), 3));
  for (std::uint64_t n = 0; n < 10; ++n) {
    auto d = t.take(with_message(data(n), n + 4));
    EXPECT_FALSE(d.place) << n;
  }
}

// -- hostile numbers -----------------------------------------------------------------------------

TEST(number_tracker, numbers_out_of_all_bounds_are_dropped) {
  for (auto n : {std::uint64_t{10}, huge - 1, huge, huge + 1, all_ones - 1, all_ones}) {
    tracked t(6);
    t.take(start());
    t.take(data(0));
    EXPECT_EQ(t.verdict_of(data(n)), verdict::after_end) << n;
    EXPECT_EQ(t.place_of(data(1)), 2u);
    EXPECT_THAT(t.given_up(), IsEmpty());
  }
}

TEST(number_tracker, counts_out_of_all_bounds_do_no_harm) {
  for (auto n : {huge - 1, huge, all_ones - 2, all_ones - 1, all_ones}) {
    tracked t(6);
    t.take(start());
    t.take(data(0));
    t.take(data(1));
    EXPECT_FALSE(t.take(with_count(end(), n)).place) << n;
    auto d = t.take(start());
    EXPECT_FALSE(d.place) << n << ": no start can follow such an end";
    t.settle();
    EXPECT_TRUE(t.tracker.complete()) << n;
  }
}

TEST(number_tracker, message_numbers_out_of_all_bounds_shift_nothing) {
  for (auto n : {huge, all_ones - 4, all_ones - 1, all_ones}) {
    tracked t(20, 10);
    t.take(with_message(start(), 1000));
    for (std::uint64_t i = 0; i < 3; ++i) t.take(with_message(data(i), 1001 + i));
    t.take(with_message(with_count(end(), 3), 1004));
    EXPECT_EQ(t.place_of(with_message(start(), 0)), 5u) << "its counter began anew";
    t.take(with_message(data(2), 3)); // data 0 and 1, at 6 and 7, may still come
    t.take(with_message(start(), n));
    for (std::uint64_t i = 0; i < 20; ++i) {
      EXPECT_FALSE(t.take(data(i)).place) << n << ' ' << i;
    }
  }
}

TEST(number_tracker, one_wild_number_costs_no_other_event) {
  tracked t(10'000, 8);
  t.take(start());
  for (std::uint64_t n = 0; n < 10; ++n) t.take(data(n));
  t.take(data(5'000));
  for (std::uint64_t n = 10; n < 100; ++n) EXPECT_EQ(t.place_of(data(n)), n + 1);
  EXPECT_THAT(t.given_up(), IsEmpty());
}

// -- leaps ---------------------------------------------------------------------------------------

TEST(number_tracker, a_leap_is_believed_when_the_next_number_confirms_it) {
  tracked t(10'000, 8);
  t.take(start());
  t.take(data(0));
  auto d = t.take(data(5'000));
  EXPECT_EQ(d.hold, number_tracker::decision::keep::leap);
  EXPECT_FALSE(d.place);
  EXPECT_EQ(t.place_of(data(5'001)), 5'002u);
  EXPECT_EQ(t.tracker.released_leap(), stream_position(5'001));
  EXPECT_FALSE(t.tracker.dropped_leap());
}

TEST(number_tracker, a_leap_that_the_next_number_contradicts_is_dropped) {
  tracked t(10'000, 8);
  t.take(start());
  t.take(data(0));
  t.take(data(5'000));
  EXPECT_EQ(t.place_of(data(1)), 2u);
  EXPECT_TRUE(t.tracker.dropped_leap());
  EXPECT_FALSE(t.tracker.dropped_leap()) << "asking clears it";
  EXPECT_FALSE(t.tracker.released_leap());
}

TEST(number_tracker, a_leap_to_the_last_data_is_believed_when_the_end_follows) {
  tracked t(10'002, 8);
  t.take(start());
  t.take(data(0));
  t.take(data(9'999));
  EXPECT_EQ(t.place_of(with_count(end(), 10'000)), 10'001u);
  EXPECT_EQ(t.tracker.released_leap(), stream_position(10'000));
}

TEST(number_tracker, a_wild_number_just_before_the_end_does_not_move_the_end) {
  tracked t(10'002, 8);
  t.take(start());
  for (std::uint64_t n = 0; n < 10; ++n) t.take(data(n));
  t.take(data(5'000));
  t.take(with_count(end(), 10));
  EXPECT_TRUE(t.tracker.dropped_leap());
  EXPECT_EQ(t.place_of(start()), 12u);
  EXPECT_EQ(t.released(), 11u);
}

TEST(number_tracker, a_wild_number_at_any_distance_costs_no_other_event) {
  for (std::uint64_t late_window : {40, 64, 100})
    for (std::uint64_t distance = 1; distance < 300; ++distance) {
      tracked t(10'000, late_window);
      t.take(start());
      for (std::uint64_t n = 0; n < 10; ++n) t.take(data(n));
      t.take(data(10 + distance));
      for (std::uint64_t n = 10; n < 10 + distance; ++n) t.take(data(n));
      EXPECT_THAT(t.given_up(), IsEmpty()) << distance << " ahead, window " << late_window;
    }
}

TEST(number_tracker, wild_numbers_one_after_the_other_cost_no_other_event) {
  std::mt19937_64 random(30);
  tracked t(1'000'000, 8);
  t.take(start());
  std::uint64_t n = 0;
  for (int i = 0; i < 200; ++i) {
    // Far apart from one another, so that none confirms the one before.
    t.take(data(100'000 + 1000 * (random() % 800)));
    EXPECT_EQ(t.place_of(data(n)), n + 1);
    ++n;
  }
  EXPECT_THAT(t.given_up(), IsEmpty());
}

// -- properties ----------------------------------------------------------------------------------

struct message {
  entry_numbers numbers;
  std::uint64_t position = 0; ///< where it belongs
  bool is_data() const { return numbers.kind == entry_kind::data; }
};

struct convention {
  bool counts, messages, series;
};

/// All messages of some arms, in order and whole.
std::vector<message> arms(const std::vector<std::uint64_t>& lengths, convention c) {
  std::vector<message> all;
  std::uint64_t series = 40;
  for (auto length : lengths) {
    auto add = [&](entry_numbers n) {
      if (c.messages) n.message_number = 1000 + all.size();
      if (c.series) n.series = series;
      all.push_back({n, all.size()});
    };
    add(start());
    for (std::uint64_t n = 0; n < length; ++n) add(data(n));
    add(c.counts ? with_count(end(), length) : end());
    ++series;
  }
  return all;
}

std::size_t below(std::mt19937_64& random, std::size_t n) { return random() % n; }

/// Takes away, doubles and swaps data; starts and ends stay.
std::vector<message> disturb(const std::vector<message>& whole, std::mt19937_64& random) {
  std::vector<message> result;
  for (auto& m : whole) {
    auto dice = m.is_data() ? below(random, 10) : 9;
    if (dice != 0) result.push_back(m);
    if (dice == 1) result.push_back(m);
    if (dice == 2 && result.size() > 2 && result[result.size() - 2].is_data())
      std::swap(result.back(), result[result.size() - 2]);
  }
  return result;
}

struct outcome {
  positions placed, given_up;
};

/// Feeds them, and checks that whatever is placed is placed where it belongs. The one exception is
/// an end that no start followed, which is that of the scan.
outcome feed(number_tracker& tracker, const std::vector<message>& messages, std::uint64_t entries) {
  outcome result;
  std::vector<missing_run> missing;
  std::optional<message> held, leap;
  auto release = [&] {
    if (auto position = tracker.released_leap()) {
      EXPECT_EQ(position->value, leap.value().position);
      result.placed.push_back(position->value);
    }
    auto position = tracker.released_end();
    if (!position) return;
    if (position->value + 1 != entries) {
      EXPECT_EQ(position->value, held.value().position);
    }
    result.placed.push_back(position->value);
    held.reset();
  };
  for (auto& m : messages) {
    auto d = tracker.take(m.numbers, missing);
    release();
    if (d.hold == number_tracker::decision::keep::end) held = m;
    if (d.hold == number_tracker::decision::keep::leap) leap = m;
    if (!d.place) continue;
    EXPECT_EQ(d.place->value, m.position);
    result.placed.push_back(d.place->value);
  }
  tracker.settle(missing);
  release();
  tracker.close(missing, "stopped");
  for (auto& run : missing)
    for (std::uint64_t i = 0; i < run.count; ++i) result.given_up.push_back(run.first.value + i);
  std::sort(result.placed.begin(), result.placed.end());
  std::sort(result.given_up.begin(), result.given_up.end());
  return result;
}

positions positions_of(const std::vector<message>& messages) {
  std::set<std::uint64_t> all;
  for (auto& m : messages) all.insert(m.position);
  return {all.begin(), all.end()};
}

positions without(const std::vector<message>& whole, const positions& there) {
  positions rest;
  for (auto& m : whole)
    if (!std::binary_search(there.begin(), there.end(), m.position)) rest.push_back(m.position);
  return rest;
}

TEST(number_tracker, only_what_was_dropped_is_given_up_and_nothing_shifts) {
  std::mt19937_64 random(11);
  for (int round = 0; round < 1000; ++round) {
    convention c{below(random, 2) == 0, true, below(random, 2) == 0};
    if (c.counts) c.messages = below(random, 2) == 0;
    std::vector<std::uint64_t> lengths;
    for (auto n = 1 + below(random, 4); n > 0; --n) lengths.push_back(below(random, 12));
    auto whole = arms(lengths, c);
    auto messages = disturb(whole, random);
    number_tracker tracker(whole.size(), 16);
    auto result = feed(tracker, messages, whole.size());
    auto there = positions_of(messages);
    EXPECT_EQ(result.placed, there);
    EXPECT_EQ(result.given_up, without(whole, there));
    EXPECT_TRUE(tracker.complete());
  }
}

TEST(number_tracker, lost_ends_cost_themselves_where_messages_are_numbered) {
  std::mt19937_64 random(12);
  for (int round = 0; round < 500; ++round) {
    auto whole = arms({below(random, 5) + 1, below(random, 5) + 1, below(random, 5) + 1},
                      {false, true, below(random, 2) == 0});
    auto messages = whole;
    std::erase_if(messages,
                  [&](auto& m) { return m.numbers.kind == entry_kind::end && below(random, 2) == 0; });
    number_tracker tracker(whole.size(), 4);
    auto result = feed(tracker, messages, whole.size());
    auto there = positions_of(messages);
    EXPECT_EQ(result.placed, there);
    EXPECT_EQ(result.given_up, without(whole, there));
  }
}

TEST(number_tracker, lost_starts_cost_their_series_and_shift_nothing) {
  std::mt19937_64 random(13);
  for (int round = 0; round < 500; ++round) {
    auto whole =
        arms({below(random, 5) + 1, below(random, 5) + 1, below(random, 5) + 1}, {false, true, true});
    auto messages = whole;
    std::erase_if(messages, [&](auto& m) {
      return m.numbers.kind == entry_kind::start && m.position > 0 && below(random, 2) == 0;
    });
    number_tracker tracker(whole.size(), 4);
    auto result = feed(tracker, messages, whole.size());
    EXPECT_EQ(result.given_up, without(whole, result.placed));
  }
}

TEST(number_tracker, every_position_is_placed_or_given_up_once_whatever_comes) {
  std::mt19937_64 random(14);
  auto some = [&](std::uint64_t n) -> std::optional<std::uint64_t> {
    switch (below(random, 8)) {
    case 0:
      return random();
    case 1:
      return all_ones - below(random, 4);
    case 2:
      return std::nullopt;
    default:
      return below(random, n);
    }
  };
  for (int round = 0; round < 3000; ++round) {
    std::uint64_t entries = below(random, 30);
    number_tracker tracker(entries, below(random, 8));
    std::vector<missing_run> missing;
    std::vector<int> decided(entries);
    for (int i = 0; i < 60; ++i) {
      entry_numbers n{static_cast<entry_kind>(below(random, 3)),
                      some(20),
                      some(60),
                      some(2),
                      some(20),
                      {},
                      below(random, 6) == 0};
      if (below(random, 40) == 0) tracker.interrupt();
      auto d = tracker.take(n, missing);
      auto take_released = [&] {
        auto released = tracker.released_early();
        released.insert(released.end(), {tracker.released_end(), tracker.released_leap()});
        for (auto p : released)
          if (p) {
            ASSERT_LT(p->value, entries);
            ++decided[p->value];
          }
      };
      take_released();
      if (d.place && !d.replaces) {
        ASSERT_LT(d.place->value, entries);
        ++decided[d.place->value];
      }
      if (below(random, 20) == 0) tracker.settle(missing);
      take_released();
    }
    tracker.close(missing, "stopped");
    for (auto& run : missing)
      for (std::uint64_t i = 0; i < run.count; ++i) {
        ASSERT_LT(run.first.value + i, entries);
        ++decided[run.first.value + i];
      }
    EXPECT_EQ(decided, std::vector<int>(entries, 1));
    EXPECT_TRUE(tracker.complete());
  }
}

TEST(number_tracker, closing_gives_up_all_that_is_not_there_with_the_cause_given) {
  tracked t(6);
  t.take(start());
  t.take(data(1));
  t.tracker.close(t.missing, "stopped");
  EXPECT_THAT(t.given_up(), ElementsAre(1, 3, 4, 5));
  for (auto& m : t.missing) EXPECT_STREQ(m.cause, "stopped");
  EXPECT_TRUE(t.tracker.complete());
}

TEST(number_tracker, every_verdict_is_counted_under_its_name) {
  tracked t(6, 0);
  t.take(data(0));
  t.take(start());
  t.take(start());
  t.take(data(1));
  t.take(data(0));
  t.take(data(1));
  t.take(data(90));
  std::vector<std::string> names;
  for (std::size_t v = 0; v < verdict_count; ++v)
    for (auto n = t.tracker.count(static_cast<verdict>(v)); n > 0; --n)
      names.push_back(name_of(static_cast<verdict>(v)));
  EXPECT_THAT(names, ElementsAre("ok", "gap", "duplicate", "late", "restarted", "stray", "after_end"));
}

} // namespace
} // namespace dtranspose
