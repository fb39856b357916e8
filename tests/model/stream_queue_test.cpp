#include "model/stream_queue.hpp"

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/event_joiner.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

constexpr std::uint64_t no_limit = std::uint64_t{1} << 60;
constexpr stream_queue::budget unlimited{no_limit, no_limit};

entry_numbers start() { return {.kind = entry_kind::start}; }
entry_numbers number(std::uint64_t n) { return {.number = n}; }
entry_numbers end() { return {.kind = entry_kind::end}; }
entry_numbers recorded(std::uint64_t event) { return {.event = event}; }

stream_packet packet(const entry_numbers& numbers, std::string_view text) {
  return {memory_frames::of("TEST", {text}), numbers};
}

packet_batch batch_of(std::vector<stream_packet> packets) {
  packet_batch batch{std::move(packets), 0};
  for (auto& p : batch.packets) batch.bytes += budgeted_bytes(p.data.bytes());
  return batch;
}

void receive(stream_queue& queue, const entry_numbers& numbers, std::string_view text) {
  queue.receive(batch_of({packet(numbers, text)}));
}

/// What came in but is no good: it counts for its bytes only.
void receive_fault(stream_queue& queue, const entry_numbers& numbers, bool numbered = true) {
  packet_batch batch{{{{}, numbers, packet_fault::truncated, numbered}}, budgeted_bytes(100)};
  queue.receive(batch);
}

stream_run run(std::uint64_t first, std::uint32_t count, std::vector<process_index> targets = {0},
               std::uint32_t stride = 1) {
  return {{event_number(first), count, stride}, std::move(targets)};
}

event_range range(std::uint64_t first, std::uint64_t end) { return {event_number(first), event_number(end)}; }

std::string line_of(const outgoing_entry& e) {
  auto line = std::to_string(e.event.value) + " ";
  if (e.missing) return line + name_of(e.missing->how);
  return line + (e.data ? std::string(e.data.frames()[0].text()) : "nothing");
}

/// What goes out to a process, since the last call.
std::vector<std::string> taken(stream_queue& queue, process_index process = 0) {
  std::vector<std::string> lines;
  auto& ready = queue.ready_processes();
  if (std::find(ready.begin(), ready.end(), process) == ready.end()) return lines;
  for (auto& e : std::exchange(queue.outgoing(process), {})) lines.push_back(line_of(e));
  std::erase(ready, process);
  return lines;
}

// -- order of arrival ----------------------------------------------------------------------------

TEST(stream_queue, an_entry_goes_out_when_it_is_there_and_assigned) {
  stream_queue queue(3, 4, unlimited);
  receive(queue, start(), "s");
  EXPECT_THAT(taken(queue), IsEmpty());
  queue.assign(run(0, 2), dispatch_id(1));
  EXPECT_THAT(taken(queue), ElementsAre("0 s"));
  receive(queue, number(0), "d0");
  EXPECT_THAT(taken(queue), ElementsAre("1 d0"));
  EXPECT_TRUE(queue.idle());
}

TEST(stream_queue, positions_follow_the_events_that_read_the_stream) {
  stream_queue queue(4, 4, unlimited);
  queue.assign(run(10, 2, {0}, 5), dispatch_id(1));
  queue.assign(run(100, 2, {0}, 1), dispatch_id(2));
  receive(queue, start(), "s");
  for (std::uint64_t n = 0; n < 3; ++n) receive(queue, number(n), std::to_string(n));
  EXPECT_THAT(taken(queue), ElementsAre("10 s", "15 0", "100 1", "101 2"));
}

TEST(stream_queue, an_entry_goes_to_each_of_its_processes_with_the_same_bytes) {
  stream_queue queue(1, 4, unlimited);
  queue.assign(run(0, 1, {0, 2}), dispatch_id(9));
  receive(queue, start(), "s");
  EXPECT_THAT(queue.ready_processes(), ElementsAre(0, 2));
  auto& a = queue.outgoing(0).at(0);
  auto& b = queue.outgoing(2).at(0);
  EXPECT_EQ(a.dispatch, dispatch_id(9));
  EXPECT_EQ(a.data.frames()[0].data(), b.data.frames()[0].data());
  EXPECT_THAT(queue.outgoing(1), IsEmpty());
}

TEST(stream_queue, a_discarded_entry_goes_nowhere_and_frees_its_bytes) {
  stream_queue queue(2, 4, unlimited);
  queue.assign(run(0, 2, {}), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(0), "d");
  EXPECT_THAT(queue.ready_processes(), IsEmpty());
  EXPECT_EQ(queue.held_bytes(), 0u);
  EXPECT_EQ(queue.discarded(), 2u);
  EXPECT_TRUE(queue.idle());
}

TEST(stream_queue, entries_are_held_until_their_events_are_committed) {
  stream_queue queue(3, 4, unlimited);
  queue.assign(run(0, 3), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(0), "0");
  receive(queue, number(1), "1");
  auto one = queue.held_bytes() / 3;
  queue.forget(range(1, 2));
  EXPECT_EQ(queue.held_bytes(), 2 * one);
  queue.forget(range(0, 1));
  queue.forget(range(0, 2));
  EXPECT_EQ(queue.held_bytes(), one);
  queue.forget(range(0, 1000));
  EXPECT_EQ(queue.held_bytes(), 0u);
}

TEST(stream_queue, knows_how_long_entries_took) {
  stream_queue queue(4, 0, unlimited);
  constexpr std::int64_t ms = 1'000'000;
  queue.assign(run(0, 4), dispatch_id(1));
  queue.tell_time(1000 * ms);
  receive(queue, start(), "s");
  queue.tell_time(1005 * ms);
  receive(queue, number(0), "d0");
  queue.tell_time(1012 * ms);
  queue.forget(range(0, 4)); // two of which never came
  auto& counts = queue.latencies().counts();
  EXPECT_EQ(std::accumulate(counts.begin(), counts.end(), 0u), 2u);
  EXPECT_NEAR(queue.latencies().sum(), 0.019, 1e-9);
}

TEST(stream_queue, says_which_event_it_waits_for) {
  stream_queue queue(3, 4, unlimited);
  EXPECT_FALSE(queue.waiting_for());
  queue.assign(run(5, 3, {0}, 2), dispatch_id(1));
  EXPECT_EQ(queue.waiting_for(), event_number(5));
  receive(queue, start(), "s");
  receive(queue, number(1), "1");
  EXPECT_EQ(queue.waiting_for(), event_number(7));
  receive(queue, number(0), "0");
  EXPECT_FALSE(queue.waiting_for());
}

// -- what is missing -----------------------------------------------------------------------------

TEST(stream_queue, a_gap_is_a_tombstone_for_its_event_alone) {
  stream_queue queue(5, 1, unlimited);
  queue.assign(run(0, 5), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(1), "1");
  receive(queue, number(2), "2");
  receive(queue, end(), "e");
  auto lines = taken(queue);
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("0 s", "1 incomplete", "2 1", "3 2", "4 e"));
}

TEST(stream_queue, a_gap_that_is_assigned_later_is_a_tombstone_then) {
  stream_queue queue(1000, 1, unlimited);
  receive(queue, start(), "s");
  receive(queue, number(500), "500");
  receive(queue, number(501), "501");
  queue.assign(run(0, 100), dispatch_id(1));
  EXPECT_EQ(taken(queue).size(), 100u);
  queue.assign(run(100, 403), dispatch_id(1));
  auto lines = taken(queue);
  ASSERT_EQ(lines.size(), 403u);
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(), [](auto& l) { return l.ends_with("incomplete"); }),
            401);
}

TEST(stream_queue, a_faulty_message_with_a_number_names_its_event) {
  stream_queue queue(4, 4, unlimited);
  queue.assign(run(0, 4), dispatch_id(1));
  receive(queue, start(), "s");
  receive_fault(queue, number(0));
  receive(queue, number(1), "1");
  auto& out = queue.outgoing(0);
  ASSERT_EQ(out.size(), 3u);
  ASSERT_TRUE(out[1].missing);
  EXPECT_EQ(out[1].event, event_number(1));
  EXPECT_EQ(out[1].missing->how, fate::incomplete);
  EXPECT_THAT(out[1].missing->cause, AllOf(HasSubstr("truncated"), HasSubstr("0")));
  EXPECT_EQ(queue.faults(packet_fault::truncated), 1u);
}

TEST(stream_queue, a_faulty_message_without_a_number_is_counted_and_costs_its_event_as_a_gap) {
  stream_queue queue(4, 0, unlimited);
  queue.assign(run(0, 4), dispatch_id(1));
  receive(queue, start(), "s");
  receive_fault(queue, {}, false);
  receive(queue, number(1), "1");
  auto lines = taken(queue);
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("0 s", "1 incomplete", "2 1"));
  EXPECT_EQ(queue.faults(packet_fault::truncated), 1u);
}

TEST(stream_queue, a_faulty_message_before_its_assignment_is_a_tombstone_then) {
  stream_queue queue(3, 4, unlimited);
  receive(queue, start(), "s");
  receive_fault(queue, number(0));
  queue.assign(run(0, 3), dispatch_id(1));
  EXPECT_THAT(taken(queue), ElementsAre("0 s", "1 incomplete"));
}

TEST(stream_queue, good_data_behind_a_faulty_message_of_that_number_are_dropped) {
  stream_queue queue(3, 4, unlimited);
  receive(queue, start(), "s");
  receive_fault(queue, number(0));
  receive(queue, number(0), "again");
  queue.assign(run(0, 3), dispatch_id(1));
  EXPECT_THAT(taken(queue), ElementsAre("0 s", "1 incomplete"));
  EXPECT_EQ(queue.held_bytes(), budgeted_bytes(1));
}

TEST(stream_queue, an_early_end_goes_to_the_last_event_once_it_is_final) {
  stream_queue queue(6, 4, unlimited);
  queue.assign(run(0, 6), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(0), "0");
  receive(queue, end(), "e");
  EXPECT_THAT(taken(queue), ElementsAre("0 s", "1 0"));
  EXPECT_TRUE(queue.unsettled());
  queue.settle();
  auto lines = taken(queue);
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("2 incomplete", "3 incomplete", "4 incomplete", "5 e"));
  EXPECT_TRUE(queue.idle());
}

TEST(stream_queue, a_faulty_early_end_is_a_tombstone_once_it_is_final) {
  stream_queue queue(4, 4, unlimited);
  queue.assign(run(0, 4), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(0), "0");
  receive_fault(queue, end());
  queue.settle();
  auto lines = taken(queue);
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("0 s", "1 0", "2 incomplete", "3 incomplete"));
  EXPECT_TRUE(queue.idle());
}

TEST(stream_queue, a_faulty_end_in_mid_scan_is_a_tombstone_once_a_start_follows) {
  stream_queue queue(6, 4, unlimited);
  queue.assign(run(0, 6), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(0), "0");
  auto faulty = end();
  faulty.count = 1;
  receive_fault(queue, faulty);
  receive(queue, start(), "t");
  auto lines = taken(queue);
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("0 s", "1 0", "2 incomplete", "3 t"));
}

TEST(stream_queue, a_wild_number_frees_its_bytes_once_it_is_contradicted) {
  stream_queue queue(100'000, 4, unlimited);
  queue.assign(run(0, 3), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(50'000), "wild");
  receive(queue, number(0), "0");
  receive(queue, number(1), "1");
  EXPECT_THAT(taken(queue), ElementsAre("0 s", "1 0", "2 1"));
  queue.forget(range(0, 3));
  EXPECT_EQ(queue.held_bytes(), 0u);
}

TEST(stream_queue, data_behind_a_leap_go_where_their_numbers_say) {
  stream_queue queue(100'000, 4, unlimited);
  receive(queue, start(), "s");
  receive(queue, number(50'000), "a");
  receive(queue, number(50'001), "b");
  queue.assign(run(0, 50'003), dispatch_id(1));
  auto lines = taken(queue);
  // Those that may still come late are waited for.
  EXPECT_EQ(std::count_if(lines.begin(), lines.end(), [](auto& l) { return l.ends_with("incomplete"); }),
            50'000 - 2);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "50001 a"), 1);
  EXPECT_EQ(std::count(lines.begin(), lines.end(), "50002 b"), 1);
}

TEST(stream_queue, a_faulty_message_behind_a_leap_names_its_event) {
  stream_queue queue(1000, 0, unlimited);
  queue.assign(run(0, 502), dispatch_id(1));
  receive(queue, start(), "s");
  receive_fault(queue, number(499));
  receive(queue, number(500), "500");
  auto out = std::exchange(queue.outgoing(0), {});
  ASSERT_EQ(out.size(), 502u);
  auto faulty = std::find_if(out.begin(), out.end(), [](auto& e) { return e.event == event_number(500); });
  ASSERT_TRUE(faulty != out.end() && faulty->missing);
  EXPECT_THAT(faulty->missing->cause, HasSubstr("truncated"));
  EXPECT_TRUE(queue.idle());
}

TEST(stream_queue, a_second_start_before_data_replaces_the_first) {
  stream_queue queue(3, 4, unlimited);
  receive(queue, start(), "old");
  receive(queue, start(), "new");
  EXPECT_EQ(queue.held_bytes(), budgeted_bytes(3));
  queue.assign(run(0, 1), dispatch_id(1));
  EXPECT_THAT(taken(queue), ElementsAre("0 new"));
}

TEST(stream_queue, messages_that_belong_nowhere_free_their_bytes) {
  stream_queue queue(3, 4, unlimited);
  receive(queue, number(0), "before any start");
  receive(queue, start(), "s");
  receive(queue, number(0), "0");
  receive(queue, number(0), "twice");
  receive(queue, number(77), "behind the map");
  receive_fault(queue, {}, false);
  EXPECT_EQ(queue.held_bytes(), 2 * budgeted_bytes(1));
}

// -- commits that come early ---------------------------------------------------------------------

TEST(stream_queue, an_entry_whose_event_was_committed_before_it_came_is_not_held) {
  stream_queue queue(3, 4, unlimited);
  queue.assign(run(0, 3), dispatch_id(1));
  receive(queue, start(), "s");
  queue.forget(range(0, 2));
  receive(queue, number(0), "0");
  EXPECT_EQ(queue.held_bytes(), 0u);
}

TEST(stream_queue, entries_may_be_committed_behind_one_that_has_not_come) {
  stream_queue queue(4, 4, unlimited);
  queue.assign(run(0, 4), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(1), "1");
  queue.forget(range(0, 3));
  receive(queue, number(0), "0");
  receive(queue, number(2), "2");
  queue.forget(range(3, 4));
  EXPECT_EQ(queue.held_bytes(), 0u);
  EXPECT_TRUE(queue.idle());
  EXPECT_FALSE(queue.waiting_for());
}

TEST(stream_queue, a_discarded_entry_may_be_committed_before_it_comes) {
  stream_queue queue(4, 4, unlimited);
  queue.assign(run(0, 4, {}), dispatch_id(1));
  queue.forget(range(0, 4));
  receive(queue, start(), "s");
  for (std::uint64_t n : {1, 0, 2}) receive(queue, number(n), "d");
  EXPECT_EQ(queue.held_bytes(), 0u);
  EXPECT_TRUE(queue.idle());
}

// -- closing -------------------------------------------------------------------------------------

TEST(stream_queue, closing_loses_what_has_not_come) {
  stream_queue queue(6, 4, unlimited);
  queue.assign(run(0, 3), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(1), "1");
  queue.close("stopped by request");
  auto entries = std::exchange(queue.outgoing(0), {});
  std::vector<std::string> lines;
  for (auto& e : entries) {
    lines.push_back(line_of(e));
    if (e.missing) {
      EXPECT_EQ(e.missing->cause, "stopped by request");
    }
  }
  EXPECT_THAT(lines, ElementsAre("0 s", "2 1", "1 lost"));
  EXPECT_TRUE(queue.idle());
}

TEST(stream_queue, what_is_assigned_after_closing_is_lost_unless_it_is_there) {
  stream_queue queue(6, 4, unlimited);
  receive(queue, start(), "s");
  queue.close("stopped");
  receive(queue, number(0), "too late");
  queue.assign(run(0, 3), dispatch_id(1));
  auto lines = taken(queue);
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("0 s", "1 lost", "2 lost"));
  EXPECT_EQ(queue.held_bytes(), budgeted_bytes(1));
}

TEST(stream_queue, closing_frees_a_held_end_and_waiting_recorded_packets) {
  stream_queue queue(9, 4, unlimited);
  receive(queue, start(), "s");
  receive(queue, end(), "e");
  stream_queue other(9, 4, unlimited);
  receive(other, recorded(5), "r");
  for (auto q : {&queue, &other}) q->close("stopped");
  EXPECT_EQ(queue.held_bytes(), budgeted_bytes(1));
  EXPECT_EQ(other.held_bytes(), 0u);
}

TEST(stream_queue, closing_passes_over_discarded_entries_behind_a_gap) {
  stream_queue queue(5, 10, unlimited);
  queue.assign(run(0, 3, {}), dispatch_id(1));
  queue.assign(run(3, 2), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(1), "1"); // number 0 is missing in front of it
  receive(queue, number(2), "2");
  queue.close("stopped");
  EXPECT_THAT(taken(queue), ElementsAre("3 2", "4 lost"));
  EXPECT_TRUE(queue.idle());
  queue.forget(range(0, 5));
  EXPECT_EQ(queue.held_bytes(), 0u);
}

TEST(stream_queue, discarded_entries_may_be_assigned_after_closing) {
  stream_queue queue(6, 10, unlimited);
  receive(queue, start(), "s");
  receive(queue, number(1), "1");
  receive(queue, number(2), "2");
  receive(queue, number(3), "3");
  queue.close("stopped");
  queue.assign(run(0, 3, {}), dispatch_id(1));
  queue.assign(run(3, 3), dispatch_id(1));
  EXPECT_THAT(taken(queue), ElementsAre("3 2", "4 3", "5 lost"));
  EXPECT_TRUE(queue.idle());
  queue.forget(range(0, 6));
  EXPECT_EQ(queue.held_bytes(), 0u);
}

// -- recordings ----------------------------------------------------------------------------------

TEST(stream_queue, a_recording_knows_the_events_of_its_packets) {
  stream_queue queue(4, 0, unlimited);
  receive(queue, recorded(3), "3");
  queue.assign(run(0, 4, {0}, 3), dispatch_id(1));
  receive(queue, recorded(6), "6");
  receive(queue, recorded(9), "9");
  auto lines = taken(queue);
  std::sort(lines.begin(), lines.end());
  EXPECT_THAT(lines, ElementsAre("0 incomplete", "3 3", "6 6", "9 9"));
}

TEST(stream_queue, a_recorded_packet_waits_until_its_event_is_assigned) {
  stream_queue queue(3, 0, unlimited);
  queue.assign(run(0, 1), dispatch_id(1));
  receive(queue, recorded(0), "0");
  receive(queue, recorded(1), "1");
  EXPECT_THAT(taken(queue), ElementsAre("0 0"));
  queue.assign(run(1, 2), dispatch_id(1));
  EXPECT_THAT(taken(queue), ElementsAre("1 1"));
}

TEST(stream_queue, recorded_packets_of_other_events_are_dropped) {
  stream_queue queue(2, 0, unlimited);
  queue.assign(run(0, 2, {0}, 2), dispatch_id(1));
  receive(queue, recorded(0), "0");
  receive(queue, recorded(0), "twice");
  receive(queue, recorded(1), "no event of this stream");
  receive(queue, recorded(2), "2");
  receive(queue, recorded(3), "behind the map");
  EXPECT_THAT(taken(queue), ElementsAre("0 0", "2 2"));
  queue.forget(range(0, 3));
  EXPECT_EQ(queue.held_bytes(), 0u);
}

TEST(stream_queue, a_recorded_packet_behind_the_map_is_dropped_though_all_is_committed) {
  stream_queue queue(1, 0, unlimited);
  queue.assign(run(0, 1), dispatch_id(1));
  receive(queue, recorded(0), "0");
  queue.forget(range(0, 1));
  receive(queue, recorded(5), "behind the map");
  EXPECT_EQ(queue.held_bytes(), 0u);
}

TEST(stream_queue, recorded_packets_without_a_place_in_the_map_are_dropped) {
  stream_queue queue(0, 0, unlimited);
  receive(queue, recorded(0), "0");
  EXPECT_EQ(queue.held_bytes(), 0u);
}

// -- properties ----------------------------------------------------------------------------------

std::size_t below(std::mt19937_64& random, std::size_t n) { return random() % n; }

/// A stream of a scan: where its entries go, and what of it arrives.
struct scenario {
  std::vector<stream_run> runs;
  std::vector<stream_packet> packets;
  std::vector<std::uint64_t> events; ///< of each position
  std::map<std::uint64_t, std::set<process_index>> targets;
  std::set<std::uint64_t> dropped; ///< positions
  std::uint64_t last_event() const { return events.back(); }
};

scenario random_scenario(std::mt19937_64& random, bool from_recording) {
  scenario s;
  std::uint64_t event = below(random, 100);
  for (auto n = 1 + below(random, 8); n > 0; --n) {
    std::set<process_index> targets;
    for (auto t = below(random, 3); t > 0; --t) targets.insert(static_cast<process_index>(below(random, 3)));
    auto r = run(event, static_cast<std::uint32_t>(1 + below(random, 6)), {targets.begin(), targets.end()},
                 static_cast<std::uint32_t>(1 + below(random, 3)));
    if (r.events.count == 1) r.events.stride = 1;
    for (std::uint32_t i = 0; i < r.events.count; ++i) {
      s.events.push_back(r.events.at(i).value);
      s.targets[s.events.back()] = targets;
    }
    s.runs.push_back(r);
    event = r.events.last().value + 1 + below(random, 3);
  }
  auto entries = s.events.size();
  for (std::uint64_t p = 0; p < entries; ++p) {
    auto numbers = p == 0 ? start() : p + 1 == entries ? end() : number(p - 1);
    if (numbers.kind == entry_kind::end) numbers.count = entries - 2;
    if (from_recording) numbers = recorded(s.events[p]);
    bool is_data = p > 0 && p + 1 < entries;
    auto dice = is_data ? below(random, 8) : 7;
    if (dice == 0) {
      s.dropped.insert(p);
      continue;
    }
    s.packets.push_back(packet(numbers, std::to_string(p)));
    if (dice == 1) s.packets.push_back(packet(numbers, "again"));
    if (dice == 2 && p > 2 && !from_recording && s.packets.size() > 2)
      std::swap(s.packets.back(), s.packets[s.packets.size() - 2]);
  }
  return s;
}

using outcome = std::map<process_index, std::multiset<std::string>>;

outcome expected_of(const scenario& s) {
  outcome result;
  for (std::uint64_t p = 0; p < s.events.size(); ++p)
    for (auto target : s.targets.at(s.events[p]))
      result[target].insert(std::to_string(s.events[p]) + " " +
                            (s.dropped.contains(p) ? "incomplete" : std::to_string(p)));
  return result;
}

/// Sends a scenario through a queue in an order that chance decides.
class interleaving {
 public:
  interleaving(const scenario& s, stream_queue& queue, std::mt19937_64& random, bool commits_early)
      : s_(s), queue_(queue), random_(random), commits_early_(commits_early) {}

  void play() {
    while (received_ < s_.packets.size() || assigned_ < s_.runs.size()) {
      switch (below(random_, 3)) {
      case 0:
        receive_some();
        break;
      case 1:
        assign_some();
        break;
      default:
        commit_some();
        break;
      }
      take();
    }
    queue_.settle();
    take();
  }

  const outcome& found() const { return found_; }

 private:
  void receive_some() {
    std::vector<stream_packet> packets;
    for (auto n = 1 + below(random_, 4); n > 0 && received_ < s_.packets.size(); --n)
      packets.push_back(s_.packets[received_++]);
    queue_.receive(batch_of(std::move(packets)));
  }

  void assign_some() {
    if (assigned_ < s_.runs.size()) queue_.assign(s_.runs[assigned_++], dispatch_id(1));
  }

  void commit_some() {
    if (assigned_ == 0) return;
    auto first = below(random_, s_.last_event() + 1), end = first + 1 + below(random_, 10);
    if (commits_early_) {
      // Whatever is assigned may be committed, for want of anything better.
      end = std::min(end, s_.runs[assigned_ - 1].events.last().value + 1);
      if (first < end) queue_.forget(range(first, end));
      return;
    }
    for (auto e = first; e < end; ++e)
      if (sent_.contains(e)) queue_.forget(range(e, e + 1));
  }

  void take() {
    for (auto process : queue_.ready_processes())
      for (auto& e : std::exchange(queue_.outgoing(process), {})) {
        found_[process].insert(line_of(e));
        ++copies_[e.event.value];
        if (copies_[e.event.value] == s_.targets.at(e.event.value).size()) sent_.insert(e.event.value);
      }
    queue_.ready_processes().clear();
  }

  const scenario& s_;
  stream_queue& queue_;
  std::mt19937_64& random_;
  bool commits_early_;
  std::size_t received_ = 0, assigned_ = 0;
  std::map<std::uint64_t, std::size_t> copies_;
  std::set<std::uint64_t> sent_;
  outcome found_;
};

TEST(stream_queue, any_order_of_packets_assignments_and_commits_gives_the_same_entries) {
  std::mt19937_64 random(21);
  for (int round = 0; round < 1000; ++round) {
    auto s = random_scenario(random, round % 4 == 0);
    stream_queue queue(s.events.size(), 8, unlimited);
    interleaving play(s, queue, random, false);
    play.play();
    EXPECT_EQ(play.found(), expected_of(s));
    EXPECT_TRUE(queue.idle());
    EXPECT_FALSE(queue.waiting_for());
    queue.forget(range(0, s.last_event() + 1));
    EXPECT_EQ(queue.held_bytes(), 0u);
  }
}

TEST(stream_queue, commits_at_any_time_leave_nothing_behind) {
  std::mt19937_64 random(22);
  for (int round = 0; round < 1000; ++round) {
    auto s = random_scenario(random, round % 4 == 0);
    stream_queue queue(s.events.size(), 8, unlimited);
    interleaving play(s, queue, random, true);
    play.play();
    auto expected = expected_of(s);
    for (auto& [process, lines] : play.found())
      EXPECT_TRUE(
          std::includes(expected[process].begin(), expected[process].end(), lines.begin(), lines.end()));
    queue.forget(range(0, s.last_event() + 1));
    ASSERT_EQ(queue.held_bytes(), 0u);
    ASSERT_TRUE(queue.idle());
  }
}

TEST(stream_queue, closing_at_any_time_ends_every_entry) {
  std::mt19937_64 random(23);
  for (int round = 0; round < 1000; ++round) {
    auto s = random_scenario(random, round % 4 == 0);
    for (auto& r : s.runs)
      if (below(random, 2)) {
        r.targets.clear();
        for (std::uint32_t i = 0; i < r.events.count; ++i) s.targets[r.events.at(i).value].clear();
      }
    s.packets.resize(below(random, s.packets.size() + 1));
    stream_queue queue(s.events.size(), 8, unlimited);
    interleaving play(s, queue, random, false);
    bool early = below(random, 2);
    if (early) queue.close("stopped");
    play.play();
    queue.close("stopped");
    for (auto process : queue.ready_processes()) queue.outgoing(process).clear();
    EXPECT_TRUE(queue.idle());
    queue.forget(range(0, s.last_event() + 1));
    ASSERT_EQ(queue.held_bytes(), 0u);
  }
}

// -- budgets -------------------------------------------------------------------------------------

TEST(stream_queue, one_item_of_any_size_passes_when_nothing_is_held) {
  stream_queue queue(3, 4, {10, 10});
  EXPECT_TRUE(queue.may_exceed());
  queue.assign(run(0, 3), dispatch_id(1));
  receive(queue, start(), std::string(1000, 'x'));
  EXPECT_FALSE(queue.may_exceed());
  EXPECT_LE(queue.allowance(), queue.received_bytes());
  queue.forget(range(0, 1));
  EXPECT_TRUE(queue.may_exceed());
}

TEST(stream_queue, read_ahead_is_what_is_not_assigned_yet) {
  stream_queue queue(100, 4, {no_limit, 1000});
  receive(queue, start(), std::string(2000, 'x'));
  EXPECT_FALSE(queue.may_exceed());
  EXPECT_LT(queue.allowance(), queue.received_bytes());
  queue.assign(run(0, 100), dispatch_id(1));
  EXPECT_EQ(queue.allowance(), queue.received_bytes() + 1000);
}

// They hold no frame, but what is known of each is kept until its event is assigned.
TEST(stream_queue, faulty_messages_that_are_not_assigned_count_against_the_budget) {
  constexpr std::uint64_t many = 100'000;
  stream_queue queue(many, 4, {1 << 20, 1 << 20});
  receive(queue, start(), "s");
  std::uint64_t taken_in = 0;
  while (taken_in < many && (queue.received_bytes() < queue.allowance() || queue.may_exceed()))
    receive_fault(queue, number(taken_in++));
  EXPECT_LT(taken_in, 10'000u);
}

/// An instrument, a queue, a worker process that takes events in order, and commits: as little as
/// it takes to see whether a scan comes to its end.
class pipeline {
 public:
  /// `excess`: how many items may be held beyond the budget.
  pipeline(const scenario& s, stream_queue::budget limits, std::uint64_t late_window, std::size_t credit,
           std::uint64_t excess)
      : s_(s), limits_(limits), credit_(credit), excess_(excess),
        queue_(s.events.size(), late_window, limits), joiner_({"det"}, 1, false) {}

  /// How many events ended before nothing moved any more.
  std::size_t play() {
    for (bool moved = true; moved;) {
      moved = assign();
      moved |= send();
      moved |= deliver();
      if (!moved && queue_.unsettled()) {
        queue_.settle();
        moved = true;
      }
    }
    return ended_;
  }

  const stream_queue& queue() const { return queue_; }
  const event_joiner& joiner() const { return joiner_; }

 private:
  bool assign() {
    bool moved = false;
    while (assigned_ < s_.runs.size() &&
           (assigned_events_ - ended_ < credit_ || assigned_events_ == ended_)) {
      auto& r = s_.runs[assigned_++];
      assigned_events_ += r.events.count;
      queue_.assign(r, dispatch_id(1));
      joiner_.expect(0, {r.events, worker_index(0), slot_index(0), 1, 1}, dispatch_id(1));
      joiner_.match();
      moved = true;
    }
    return moved;
  }

  bool send() {
    if (sent_ == s_.packets.size()) return false;
    if (queue_.received_bytes() >= queue_.allowance() && !queue_.may_exceed()) return false;
    auto batch = batch_of({s_.packets[sent_++]});
    largest_ = std::max(largest_, batch.bytes);
    queue_.receive(batch);
    EXPECT_LT(queue_.held_bytes(), limits_.retain + excess_ * largest_) << "beyond its budget";
    return true;
  }

  bool deliver() {
    for (auto& e : std::exchange(queue_.outgoing(0), {})) joiner_.add(stream_index(0), e);
    queue_.ready_processes().clear();
    auto batch = std::exchange(joiner_.batch(0), {});
    for (auto& e : batch.events) end(e.number);
    for (auto& u : std::exchange(joiner_.given_up(), {}))
      for (std::uint32_t i = 0; i < u.slots.events.count; ++i) end(u.slots.events.at(i));
    return !batch.events.empty();
  }

  void end(event_number event) {
    ++ended_;
    queue_.forget({event, event + 1});
  }

  const scenario& s_;
  stream_queue::budget limits_;
  std::size_t credit_;
  std::uint64_t excess_;
  stream_queue queue_;
  event_joiner joiner_;
  std::size_t sent_ = 0, assigned_ = 0, assigned_events_ = 0, ended_ = 0;
  std::uint64_t largest_ = 0;
};

scenario to_one_process(scenario s) {
  for (auto& r : s.runs) r.targets = {0};
  for (auto& [event, targets] : s.targets) targets = {0};
  return s;
}

scenario without_losses(std::uint64_t entries) {
  scenario s;
  s.runs = {run(0, static_cast<std::uint32_t>(entries))};
  for (std::uint64_t p = 0; p < entries; ++p) {
    s.events.push_back(p);
    s.targets[p] = {0};
    s.packets.push_back(packet(p == 0 ? start() : p + 1 == entries ? end() : number(p - 1), "frame"));
  }
  return s;
}

TEST(stream_queue, a_scan_ends_with_any_budget_and_exceeds_it_by_no_more_than_one_item) {
  std::mt19937_64 random(24);
  for (int round = 0; round < 300; ++round) {
    auto s = without_losses(3 + below(random, 30));
    auto limit = [&] { return std::uint64_t{1} << below(random, 13); };
    pipeline p(s, {limit(), limit()}, below(random, 3), 1 + below(random, 20), 1);
    EXPECT_EQ(p.play(), s.events.size());
    EXPECT_EQ(p.queue().held_bytes(), 0u);
    EXPECT_EQ(p.joiner().open(), 0u);
  }
}

// What is held behind a gap is freed only when the gap is closed: by the frame itself, which must
// be let in, or by giving it up. Either way a window of frames is all that may come on top of the
// budget.
TEST(stream_queue, a_scan_with_gaps_ends_with_any_budget) {
  std::mt19937_64 random(25);
  for (int round = 0; round < 300; ++round) {
    auto s = to_one_process(random_scenario(random, false));
    auto limit = [&] { return std::uint64_t{1} << below(random, 13); };
    auto late_window = below(random, 3);
    pipeline p(s, {limit(), limit()}, late_window, 1 + below(random, 20), late_window + 2);
    EXPECT_EQ(p.play(), s.events.size());
    EXPECT_EQ(p.queue().held_bytes(), 0u);
    EXPECT_EQ(p.joiner().open(), 0u);
  }
}

TEST(stream_queue, a_frame_that_is_missing_does_not_stop_a_scan_whose_budget_is_small) {
  auto s = without_losses(100);
  s.packets.erase(s.packets.begin() + 10);
  // Eight frames fill the budget; the window for late ones is eight times as long.
  pipeline p(s, {8 * budgeted_bytes(5), no_limit}, 64, 100, 66);
  EXPECT_EQ(p.play(), 100u);
}

TEST(stream_queue, a_number_far_ahead_costs_no_memory_for_what_lies_between) {
  constexpr std::uint64_t entries = std::uint64_t{1} << 60;
  stream_queue queue(entries, 4, unlimited);
  receive(queue, start(), "s");
  EXPECT_NO_THROW(receive(queue, number(entries / 2), "far ahead"));
}

// -- what recovery asks of it --------------------------------------------------------------------

repeat_run again(std::uint64_t first, std::uint32_t count, process_index target, std::uint64_t dispatch) {
  return {{event_number(first), count, 1}, target, dispatch_id(dispatch)};
}

TEST(stream_queue, repeats_what_is_there_and_what_comes_later) {
  stream_queue queue(5, 4, unlimited);
  queue.assign(run(0, 3), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(0), "d0");
  EXPECT_THAT(taken(queue), ElementsAre("0 s", "1 d0"));
  queue.repeat(again(1, 2, 7, 5));
  ASSERT_EQ(queue.outgoing(7).size(), 1u);
  EXPECT_EQ(queue.outgoing(7)[0].dispatch, dispatch_id(5));
  EXPECT_THAT(taken(queue, 7), ElementsAre("1 d0"));
  receive(queue, number(1), "d1");
  EXPECT_THAT(taken(queue, 7), ElementsAre("2 d1"));
  EXPECT_THAT(taken(queue), ElementsAre("2 d1"));
}

TEST(stream_queue, repeats_a_tombstone_and_names_what_was_forgotten) {
  stream_queue queue(5, 0, unlimited);
  queue.assign(run(0, 4), dispatch_id(1));
  receive(queue, start(), "s");
  receive(queue, number(0), "d0");
  receive(queue, number(2), "d2");
  taken(queue);
  queue.forget(range(0, 2));
  queue.repeat(again(1, 2, 3, 5));
  auto entries = queue.outgoing(3);
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].missing->how, fate::lost);
  EXPECT_EQ(entries[1].missing->how, fate::incomplete);
}

TEST(stream_queue, sends_everything_that_is_not_forgotten_again) {
  stream_queue queue(6, 4, unlimited);
  queue.assign(run(0, 5, {0, 1}), dispatch_id(1));
  receive(queue, start(), "s");
  for (int n = 0; n < 3; ++n) receive(queue, number(static_cast<std::uint64_t>(n)), "d" + std::to_string(n));
  taken(queue, 0);
  taken(queue, 1);
  queue.repeat(again(2, 1, 1, 9));
  taken(queue, 1);
  queue.forget(range(0, 2));
  queue.send_again(1);
  EXPECT_THAT(taken(queue, 1), ElementsAre("2 d1", "3 d2", "2 d1"));
  EXPECT_THAT(taken(queue, 0), IsEmpty());
  receive(queue, number(3), "d3");
  EXPECT_THAT(taken(queue, 1), ElementsAre("4 d3"));
}

TEST(stream_queue, keeps_for_others_what_a_process_that_is_gone_would_have_got) {
  stream_queue queue(4, 4, unlimited);
  queue.assign(run(0, 3), dispatch_id(1));
  queue.drop_process(0);
  receive(queue, start(), "s");
  receive(queue, number(0), "d0");
  EXPECT_THAT(taken(queue), IsEmpty());
  queue.repeat(again(0, 2, 1, 2));
  EXPECT_THAT(taken(queue, 1), ElementsAre("0 s", "1 d0"));
}

TEST(stream_queue, keeps_what_was_for_everyone_for_those_who_come_later) {
  stream_queue queue(4, 4, {no_limit, no_limit, 2 * budgeted_bytes(2)});
  auto everyone = run(0, 4);
  everyone.for_everyone = true;
  queue.assign(everyone, dispatch_id(1));
  receive(queue, start(), "s");
  for (int n = 0; n < 3; ++n) receive(queue, number(static_cast<std::uint64_t>(n)), "d" + std::to_string(n));
  taken(queue);
  queue.forget(range(0, 4));
  EXPECT_EQ(queue.held_bytes(), 0u);
  auto look = again(0, 3, 2, 4);
  look.to_look_at = true;
  queue.repeat(look);
  EXPECT_THAT(taken(queue, 2), ElementsAre("0 s", "1 d0", "2 lost"));
  // Whoever was not connected gets it again, whatever was forgotten meanwhile.
  queue.forget(range(0, 4));
  queue.send_again(2);
  EXPECT_THAT(taken(queue, 2), ElementsAre("0 s", "1 d0", "2 lost"));
}

TEST(stream_queue, is_taken_up_in_the_midst_of_an_arm) {
  stream_queue queue(10, 2, unlimited);
  queue.resume(stream_position(4), {.start = 0, .first = 1});
  auto kept = run(4, 6, {});
  kept.keep = true;
  queue.assign(kept, dispatch_id(3));
  queue.repeat(again(4, 6, 0, 2));
  receive(queue, number(2), "before");
  receive(queue, number(5), "d5");
  receive(queue, number(6), "d6");
  receive(queue, number(7), "d7");
  receive(queue, end(), "e");
  EXPECT_THAT(taken(queue), UnorderedElementsAre("6 d5", "7 d6", "4 lost", "5 lost", "8 d7", "9 e"));
  EXPECT_EQ(queue.tracker().count(verdict::duplicate), 1u);
}

TEST(stream_queue, what_was_recorded_is_there_again_when_the_stream_is_taken_up) {
  stream_queue queue(8, 2, unlimited);
  queue.resume(stream_position(2), {.start = 0, .first = 1});
  queue.know_events({{event_number(0), 8, 1}});
  queue.restore(event_number(1), memory_frames::of("TEST", {"over"}));
  queue.restore(event_number(2), memory_frames::of("TEST", {"d1"}));
  queue.restore(event_number(4), memory_frames::of("TEST", {"d3"}));
  auto kept = run(2, 6, {});
  kept.keep = true;
  queue.assign(kept, dispatch_id(3));
  queue.repeat(again(2, 6, 0, 2));
  EXPECT_THAT(taken(queue), ElementsAre("2 d1", "4 d3"));
  receive(queue, number(3), "twice");
  receive(queue, number(4), "d4");
  receive(queue, number(5), "d5");
  receive(queue, end(), "e");
  EXPECT_THAT(taken(queue), UnorderedElementsAre("5 d4", "3 lost", "6 d5", "7 e"));
  queue.forget(range(0, 8));
  EXPECT_EQ(queue.held_bytes(), 0u);
}

TEST(stream_queue, gives_what_comes_to_a_recording_with_its_event) {
  stream_queue queue(4, 2, unlimited);
  queue.know_events({{event_number(0), 2, 1}, {event_number(5), 2, 5}});
  queue.record();
  receive(queue, start(), "s");
  receive(queue, number(0), "d0");
  receive(queue, number(1), "d1");
  auto list = queue.take_recordable();
  ASSERT_EQ(list.size(), 3u);
  EXPECT_EQ(list[2].first, event_number(5));
  receive(queue, end(), "e");
  EXPECT_EQ(queue.take_recordable().at(0).first, event_number(10));
}

TEST(stream_queue, records_when_assigned_what_it_does_not_know_before) {
  stream_queue queue(4, 2, unlimited);
  queue.record();
  receive(queue, start(), "s");
  EXPECT_THAT(queue.take_recordable(), IsEmpty());
  queue.assign(run(3, 1), dispatch_id(1));
  EXPECT_EQ(queue.take_recordable().at(0).first, event_number(3));
}

} // namespace
} // namespace dtranspose
