#include "model/assigner.hpp"

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/error.hpp"
#include "model/plain_map.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using map_pointer = std::shared_ptr<const trigger_map>;

constexpr std::uint64_t plenty = 1 << 20;

map_pointer read(std::string_view text, bool wrap = false) {
  auto map = trigger_map::parse(text, wrap);
  if (map) return *map;
  ADD_FAILURE() << text_of(map.error());
  return nullptr;
}

map_pointer read_rows(std::string_view rows, bool wrap = false) {
  return read(fmt::format(R"({{"parts":{{"main":{}}},"sequence":["main"]}})", rows), wrap);
}

/// One stream, one constraint per event.
map_pointer read_constraints(const std::vector<int>& constraints, bool wrap = false) {
  std::string slots;
  for (auto c : constraints) slots += fmt::format("{}[{{\"constraint\":{}}}]", slots.empty() ? "" : ",", c);
  return read_rows("{\"det\":[" + slots + "]}", wrap);
}

/// Workers of one event for one stream, sorted.
std::vector<std::uint32_t> workers_of(const bound_event& event, std::uint16_t stream) {
  std::vector<std::uint32_t> workers;
  for (auto& target : event.targets)
    if (target.streams & bit(stream_index(stream))) workers.push_back(target.worker.value);
  std::sort(workers.begin(), workers.end());
  return workers;
}

std::vector<std::uint32_t> workers_of(const bound_event& event) {
  std::vector<std::uint32_t> workers;
  for (auto& target : event.targets) workers.push_back(target.worker.value);
  std::sort(workers.begin(), workers.end());
  return workers;
}

std::vector<bound_event> bind_all(assigner& a) {
  std::vector<bound_event> events;
  for (bound_event e; a.next(e);) events.push_back(e);
  return events;
}

assigner with_workers(map_pointer map, const std::vector<tag_set>& workers, std::uint64_t credit = plenty) {
  assigner a(std::move(map));
  for (auto& tags : workers) a.grant(a.add_worker(tags), credit);
  return a;
}

const tag_set generic = {"generic"};

// -- the worked examples of the specification ----------------------------------------------------

TEST(assigner, start_and_end_reach_both_workers_and_a_frame_in_between_one) {
  auto a = with_workers(read_constraints({0, 1, 2, 3}, true), {generic, generic});
  auto events = bind_all(a);
  ASSERT_EQ(events.size(), 6u);
  EXPECT_THAT(workers_of(events.front()), ElementsAre(0, 1));
  EXPECT_THAT(workers_of(events.back()), ElementsAre(0, 1));
  for (int e = 1; e < 5; ++e) EXPECT_EQ(workers_of(events[e]).size(), 1u);
  EXPECT_TRUE(a.done());
}

TEST(assigner, equal_constraints_of_different_streams_meet) {
  auto a = with_workers(read_rows(
                            R"({"eiger":[[{"constraint":2}],[{"constraint":4}]],
              "orca":[[{"constraint":3}],[{"constraint":5}]],
              "alba":[[{"constraint":2},{"constraint":3}],[{"constraint":4},{"constraint":5}]]})"),
                        {generic, generic, generic});
  for (auto& event : bind_all(a)) {
    auto eiger = workers_of(event, 0), orca = workers_of(event, 1);
    std::set<std::uint32_t> both{eiger.at(0), orca.at(0)};
    EXPECT_EQ(workers_of(event, 2), std::vector<std::uint32_t>(both.begin(), both.end()));
  }
}

TEST(assigner, nothing_is_read_for_null_and_a_discarded_frame_goes_to_nobody) {
  auto a = with_workers(
      read_rows(
          R"({"fast":[[{"constraint":0}],[{"constraint":1}],[{"constraint":2}],[{"constraint":3}]],
              "slow":[null,[{"constraint":1}],null,[]]})"),
      {generic, generic});
  auto events = bind_all(a);
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[0].read, 0b01u);
  EXPECT_EQ(events[1].read, 0b11u);
  EXPECT_EQ(workers_of(events[1], 0), workers_of(events[1], 1));
  EXPECT_EQ(events[2].read, 0b01u);
  EXPECT_EQ(events[3].read, 0b11u);
  EXPECT_THAT(workers_of(events[3], 1), IsEmpty());
}

TEST(assigner, tags_choose_who_is_fit) {
  auto a = with_workers(read_rows(R"({"det":[[{}],[{"constraint":1}],[{"constraint":2,"tags":["gpu"]}]],
                    "meta":[[{"tags":["gpu"]}],null,[{"constraint":2,"tags":["gpu"]}]]})",
                                  true),
                        {generic, {"generic", "gpu"}, {"post"}});
  auto events = bind_all(a);
  ASSERT_EQ(events.size(), 5u);
  for (auto place : {0, 4})
    for (std::uint16_t stream : {0, 1}) EXPECT_THAT(workers_of(events[place], stream), ElementsAre(0, 1));
  EXPECT_THAT(workers_of(events[1], 0), ElementsAre(0, 1));
  EXPECT_THAT(workers_of(events[1], 1), ElementsAre(1));
  EXPECT_EQ(workers_of(events[2], 0).size(), 1u);
  EXPECT_THAT(workers_of(events[3], 0), ElementsAre(1));
  EXPECT_THAT(workers_of(events[3], 1), ElementsAre(1));
  EXPECT_EQ(a.given(worker_index(2)), 0u);
}

TEST(assigner, constraints_are_local_to_an_instance_of_a_part) {
  auto a = with_workers(read(
                            R"({"parts":{"line":{"det":[[{"constraint":0}],[{"constraint":0}]]},
                       "dark":{"det":[[]],"slow":[[{"constraint":0}]]}},"sequence":["line","dark","line"]})"),
                        {generic, generic, generic});
  auto events = bind_all(a);
  ASSERT_EQ(events.size(), 5u);
  EXPECT_EQ(workers_of(events[0]), workers_of(events[1]));
  EXPECT_EQ(workers_of(events[3]), workers_of(events[4]));
  EXPECT_EQ(events[2].read, 0b11u);
  EXPECT_THAT(workers_of(events[2], 0), IsEmpty());
  std::set<std::uint32_t> used{workers_of(events[0])[0], workers_of(events[2])[0], workers_of(events[3])[0]};
  EXPECT_EQ(used.size(), 3u) << "three bindings, three free workers";
}

TEST(assigner, a_worker_is_given_no_more_than_it_is_ready_for) {
  auto a = with_workers(read_constraints({0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}), {generic, generic}, 0);
  a.grant(worker_index(0), 3);
  a.grant(worker_index(1), 5);
  EXPECT_EQ(bind_all(a).size(), 8u);
  EXPECT_EQ(a.given(worker_index(0)), 3u);
  EXPECT_EQ(a.given(worker_index(1)), 5u);
  a.grant(worker_index(0), 4);
  EXPECT_EQ(bind_all(a).size(), 1u);
  EXPECT_EQ(a.bound(), 9u);
}

TEST(assigner, a_slot_with_a_constraint_and_a_broadcast_goes_to_both) {
  auto a = with_workers(read_rows(R"({"det":[[{"constraint":0},{"tags":["gpu"]}]]})"), {generic, {"gpu"}});
  EXPECT_THAT(workers_of(bind_all(a).at(0)), ElementsAre(0, 1));
}

TEST(assigner, a_worker_needs_every_tag) {
  auto a = with_workers(read_rows(R"({"det":[[{"constraint":0,"tags":["a","b"]}]]})"),
                        {{"a"}, {"b"}, {"a", "b", "c"}});
  EXPECT_THAT(workers_of(bind_all(a).at(0)), ElementsAre(2));
}

TEST(assigner, a_broadcast_that_nobody_fits_goes_to_nobody_and_passes) {
  auto a = with_workers(read_rows(R"({"det":[[{"tags":["nobody"]}],[{"constraint":0}]]})"), {generic});
  auto events = bind_all(a);
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].read, 1u);
  EXPECT_THAT(events[0].targets, IsEmpty());
}

TEST(assigner, a_constraint_that_nobody_fits_holds_the_scan_until_somebody_comes) {
  auto a =
      with_workers(read_rows(R"({"det":[[{"constraint":0}],[{"constraint":1,"tags":["gpu"]}]]})"), {generic});
  EXPECT_EQ(bind_all(a).size(), 1u);
  EXPECT_FALSE(a.waits_for());
  a.grant(a.add_worker({"generic", "gpu"}), 1);
  EXPECT_THAT(workers_of(bind_all(a).at(0)), ElementsAre(1));
}

TEST(assigner, tags_matter_only_where_a_constraint_is_used_first) {
  auto a = with_workers(read_rows(R"({"det":[[{"constraint":0,"tags":["gpu"]}],[{"constraint":0}],
                           [{"constraint":0,"tags":["nobody"]}]]})"),
                        {generic, {"gpu"}});
  auto events = bind_all(a);
  ASSERT_EQ(events.size(), 3u);
  for (auto& event : events) EXPECT_THAT(workers_of(event), ElementsAre(1));
}

TEST(assigner, the_first_use_within_an_event_follows_the_order_of_the_streams) {
  auto a = with_workers(read_rows(R"({"b":[[{"constraint":0,"tags":["gpu"]}]],"a":[[{"constraint":0}]]})"),
                        {generic, {"gpu"}});
  EXPECT_THAT(workers_of(bind_all(a).at(0)), ElementsAre(1));
}

// -- slots ---------------------------------------------------------------------------------------

TEST(assigner, a_constraint_used_by_several_streams_is_one_slot) {
  auto a = with_workers(read_rows(R"({"x":[[{"constraint":0},{"constraint":0}]],
                                      "y":[[{"constraint":0}]]})"),
                        {generic});
  auto event = bind_all(a).at(0);
  ASSERT_EQ(event.targets.size(), 1u);
  EXPECT_EQ(event.targets[0].slots, 1u);
  EXPECT_EQ(event.targets[0].streams, 0b11u);
}

TEST(assigner, a_broadcast_is_one_slot_for_each_worker_and_set_of_tags) {
  auto a =
      with_workers(read_rows(R"({"x":[[{},{"tags":["gpu"]}]],"y":[[{}]]})"), {generic, {"generic", "gpu"}});
  auto event = bind_all(a).at(0);
  ASSERT_EQ(event.targets.size(), 2u);
  std::map<std::uint32_t, std::uint16_t> slots;
  for (auto& target : event.targets) slots[target.worker.value] = target.slots;
  EXPECT_EQ(slots[0], 1u);
  EXPECT_EQ(slots[1], 2u);
}

// -- credit --------------------------------------------------------------------------------------

TEST(assigner, credit_never_sinks) {
  auto a = with_workers(read_constraints({0, 0, 0, 0}), {generic}, 3);
  a.grant(worker_index(0), 1);
  EXPECT_EQ(bind_all(a).size(), 3u);
}

TEST(assigner, an_event_waits_for_the_worker_that_its_constraint_is_bound_to) {
  auto a = with_workers(read_constraints({0, 0, 0}), {generic}, 1);
  EXPECT_EQ(bind_all(a).size(), 1u);
  a.grant(a.add_worker(generic), plenty);
  EXPECT_EQ(bind_all(a).size(), 0u);
  EXPECT_EQ(a.waits_for(), worker_index(0));
  a.grant(worker_index(0), 3);
  EXPECT_EQ(bind_all(a).size(), 2u);
  EXPECT_FALSE(a.waits_for());
  EXPECT_EQ(a.given(worker_index(1)), 0u);
}

TEST(assigner, a_broadcast_waits_for_every_fitting_worker) {
  auto a = with_workers(read_rows(R"({"det":[[{}]]})"), {generic, generic, {"gpu"}}, 0);
  a.grant(worker_index(0), 1);
  EXPECT_EQ(bind_all(a).size(), 0u);
  EXPECT_EQ(a.waits_for(), worker_index(1));
  a.grant(worker_index(1), 1);
  EXPECT_THAT(workers_of(bind_all(a).at(0)), ElementsAre(0, 1));
}

TEST(assigner, a_worker_that_came_later_is_in_later_broadcasts) {
  auto a = with_workers(read_rows(R"({"det":[[{}],[{}]]})"), {generic}, 1);
  EXPECT_THAT(workers_of(bind_all(a).at(0)), ElementsAre(0));
  a.grant(worker_index(0), 2);
  a.grant(a.add_worker(generic), 1);
  EXPECT_THAT(workers_of(bind_all(a).at(0)), ElementsAre(0, 1));
}

TEST(assigner, an_event_with_several_slots_takes_one_credit_of_a_worker) {
  auto a = with_workers(
      read_rows(R"({"x":[[{"constraint":0},{"constraint":1},{}]],"y":[[{"constraint":2}]]})"), {generic}, 1);
  auto events = bind_all(a);
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].targets.at(0).slots, 4u);
  EXPECT_EQ(a.given(worker_index(0)), 1u);
}

TEST(assigner, events_without_workers_need_no_credit) {
  auto a = with_workers(read_rows(R"({"x":[null,[],null]})"), {}, 0);
  auto events = bind_all(a);
  ASSERT_EQ(events.size(), 3u);
  EXPECT_EQ(events[0].read, 0u);
  EXPECT_EQ(events[1].read, 1u);
  EXPECT_TRUE(a.done());
}

TEST(assigner, an_empty_map_is_done_at_once) {
  auto a = with_workers(read(R"({"parts":{"a":{},"b":{"x":[]}},"sequence":["a","b","a"]})"), {generic});
  EXPECT_TRUE(a.done());
  EXPECT_THAT(bind_all(a), IsEmpty());
}

TEST(assigner, empty_parts_in_between_are_passed_over) {
  auto a = with_workers(read(R"({"parts":{"e":{},"x":{"x":[[{"constraint":0}]]}},
                                 "sequence":["e","x","e","e","x","e"]})"),
                        {generic});
  EXPECT_EQ(bind_all(a).size(), 2u);
  EXPECT_TRUE(a.done());
}

// -- shares --------------------------------------------------------------------------------------

std::set<std::uint32_t> used_workers(const std::vector<bound_event>& events) {
  std::set<std::uint32_t> used;
  for (auto& event : events)
    for (auto& target : event.targets) used.insert(target.worker.value);
  return used;
}

TEST(assigner, every_worker_has_a_share_of_a_short_map) {
  for (int events = 1; events < 200; ++events) {
    std::vector<int> constraints(static_cast<std::size_t>(events));
    for (int e = 0; e < events; ++e) constraints[static_cast<std::size_t>(e)] = e;
    auto a = with_workers(read_constraints(constraints), {generic, generic, generic, generic}, 1024);
    EXPECT_EQ(used_workers(bind_all(a)).size(), static_cast<std::size_t>(std::min(events, 4))) << events;
  }
}

TEST(assigner, every_worker_has_a_share_where_constraints_last_for_many_events) {
  std::vector<int> constraints;
  for (int e = 0; e < 400; ++e) constraints.push_back(e / 100);
  auto a = with_workers(read_constraints(constraints), {generic, generic, generic, generic}, 1024);
  EXPECT_EQ(used_workers(bind_all(a)).size(), 4u);
}

TEST(assigner, every_worker_with_a_rare_tag_has_a_share) {
  std::string slots;
  for (int e = 0; e < 4000; ++e)
    slots += fmt::format("{}[{{\"constraint\":{},\"tags\":[\"{}\"]}}]", e == 0 ? "" : ",", e,
                         e % 1000 == 0 ? "gpu" : "generic");
  auto a = with_workers(read_rows("{\"det\":[" + slots + "]}"), {generic, {"gpu"}, {"gpu"}, {"gpu"}, {"gpu"}},
                        10'000);
  EXPECT_EQ(used_workers(bind_all(a)).size(), 5u);
}

TEST(assigner, the_next_run_goes_to_who_has_least_in_hand) {
  std::vector<int> constraints;
  for (int e = 0; e < 400; ++e) constraints.push_back(e);
  assigner a(read_constraints(constraints), 10);
  for (int w = 0; w < 3; ++w) a.grant(a.add_worker(generic), plenty);
  bound_event event;
  std::vector<std::uint64_t> processed(3);
  while (a.next(event)) {
    auto worker = event.targets.at(0).worker;
    // Worker 1 never gets through with anything, the others do so at once.
    if (worker != worker_index(1)) a.note_processed(worker, ++processed[worker.value]);
  }
  EXPECT_EQ(a.given(worker_index(1)), 10u);
  EXPECT_EQ(a.given(worker_index(0)) + a.given(worker_index(2)), 390u);
}

TEST(assigner, more_processed_than_given_does_no_harm) {
  auto a = with_workers(read_constraints({0, 1, 2, 3}), {generic, generic});
  a.note_processed(worker_index(0), plenty);
  EXPECT_EQ(bind_all(a).size(), 4u);
}

TEST(assigner, runs_are_no_longer_than_asked_for_while_the_map_is_long) {
  std::vector<int> constraints;
  for (int e = 0; e < 5000; ++e) constraints.push_back(e);
  assigner a(read_constraints(constraints), 10);
  for (int w = 0; w < 3; ++w) a.grant(a.add_worker(generic), plenty);
  std::uint32_t last = 3;
  int in_a_row = 0, longest = 0;
  bound_event event;
  while (a.bound() < 4000 && a.next(event)) {
    auto worker = event.targets.at(0).worker.value;
    in_a_row = worker == last ? in_a_row + 1 : 1;
    last = worker;
    longest = std::max(longest, in_a_row);
  }
  EXPECT_LE(longest, 10);
  EXPECT_GT(longest, 1);
}

// -- against a plain model -----------------------------------------------------------------------

const std::vector<tag_set> tag_choices = {
    {"generic"}, {"generic", "gpu"}, {"gpu"}, {"post"}, {"generic", "gpu", "post"}};

/// What a worker gets of an event: streams and number of slots.
using share = std::pair<stream_mask, std::uint32_t>;
using shares = std::map<std::uint32_t, share>;

stream_mask mask_of(const trigger_map& map, const std::string& stream) {
  auto& names = map.streams();
  auto place = std::find(names.begin(), names.end(), stream) - names.begin();
  return bit(stream_index(static_cast<std::uint16_t>(place)));
}

/// Who gets what of an event if constraints are bound like this.
shares expected_shares(const trigger_map& map, const plain::event& event, const std::vector<tag_set>& workers,
                       const std::map<std::int64_t, std::uint32_t>& bindings) {
  shares result;
  std::set<std::int64_t> constraints;
  std::set<tag_set> broadcasts;
  for (auto& [stream, virtual_workers] : event.slots)
    for (auto& vw : virtual_workers) {
      if (vw.constraint) {
        auto& [streams, slots] = result[bindings.at(*vw.constraint)];
        streams |= mask_of(map, stream);
        slots += constraints.insert(*vw.constraint).second;
        continue;
      }
      bool is_new = broadcasts.insert(vw.tags).second;
      for (std::uint32_t w = 0; w < workers.size(); ++w) {
        if (!fits(vw.tags, workers[w])) continue;
        auto& [streams, slots] = result[w];
        streams |= mask_of(map, stream);
        slots += is_new;
      }
    }
  return result;
}

shares shares_of(const bound_event& event) {
  shares result;
  for (auto& target : event.targets) result[target.worker.value] = {target.streams, target.slots};
  return result;
}

/// Is there a binding of the constraints of one part instance that explains every event of it?
class instance_check {
 public:
  instance_check(const trigger_map& map, const std::vector<tag_set>& workers)
      : map_(map), workers_(workers) {}

  void add(const plain::event& event, const bound_event& bound) {
    for (auto& [stream, virtual_workers] : event.slots)
      for (auto& vw : virtual_workers)
        if (vw.constraint) first_tags_.emplace(*vw.constraint, vw.tags);
    events_.emplace_back(event, shares_of(bound));
  }

  bool holds() { return holds(first_tags_.begin()); }

 private:
  bool holds(std::map<std::int64_t, tag_set>::iterator constraint) {
    if (constraint == first_tags_.end())
      return std::all_of(events_.begin(), events_.end(), [this](auto& e) {
        return expected_shares(map_, e.first, workers_, bindings_) == e.second;
      });
    for (std::uint32_t w = 0; w < workers_.size(); ++w) {
      if (!fits(constraint->second, workers_[w])) continue;
      bindings_[constraint->first] = w;
      if (holds(std::next(constraint))) return true;
    }
    return false;
  }

  const trigger_map& map_;
  const std::vector<tag_set>& workers_;
  std::map<std::int64_t, tag_set> first_tags_;
  std::map<std::int64_t, std::uint32_t> bindings_;
  std::vector<std::pair<plain::event, shares>> events_;
};

std::vector<tag_set> random_workers(std::mt19937_64& random) {
  std::vector<tag_set> workers;
  for (auto n = 1 + plain::below(random, 4); n > 0; --n)
    workers.push_back(tag_choices[plain::below(random, tag_choices.size())]);
  return workers;
}

/// Binds with credit that comes in small random pieces.
std::vector<bound_event> bind_with_random_credit(assigner& a, std::size_t workers, std::mt19937_64& random) {
  std::vector<bound_event> events;
  std::vector<std::uint64_t> granted(workers);
  for (int idle = 0; idle < 100 && !a.done();) {
    bound_event event;
    auto before = events.size();
    while (a.next(event)) events.push_back(event);
    for (std::uint32_t w = 0; w < workers; ++w) EXPECT_LE(a.given(worker_index(w)), granted[w]);
    if (auto w = a.waits_for()) {
      EXPECT_EQ(a.given(*w), granted[w->value]);
    }
    auto lucky = plain::below(random, workers);
    a.grant(worker_index(static_cast<std::uint32_t>(lucky)), granted[lucky] += 1 + plain::below(random, 3));
    idle = events.size() == before ? idle + 1 : 0;
  }
  return events;
}

TEST(assigner, random_maps_are_bound_as_the_map_says) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 400; ++round) {
    auto m = plain::random_map(random);
    bool wrap = round % 2 == 0;
    auto map = read(plain::request(m), wrap);
    auto expected = plain::expand(m, wrap);
    auto workers = random_workers(random);
    auto a = with_workers(map, workers, 0);
    auto events = bind_with_random_credit(a, workers.size(), random);

    std::map<std::size_t, instance_check> checks;
    for (std::size_t e = 0; e < events.size(); ++e) {
      EXPECT_EQ(events[e].number.value, e);
      stream_mask read = 0;
      for (auto& [stream, slots] : expected[e].slots) read |= mask_of(*map, stream);
      EXPECT_EQ(events[e].read, read);
      checks.try_emplace(expected[e].instance, *map, workers).first->second.add(expected[e], events[e]);
    }
    for (auto& [instance, check] : checks)
      EXPECT_TRUE(check.holds()) << "instance " << instance << " of " << plain::request(m);
  }
}

TEST(assigner, random_maps_stop_only_where_nobody_fits) {
  std::mt19937_64 random(4);
  for (int round = 0; round < 400; ++round) {
    auto m = plain::random_map(random);
    auto map = read(plain::request(m));
    auto expected = plain::expand(m, false);
    auto workers = random_workers(random);
    auto a = with_workers(map, workers, 0);
    auto bound = bind_with_random_credit(a, workers.size(), random).size();

    std::size_t blocked = expected.size();
    std::set<std::pair<std::size_t, std::int64_t>> seen;
    for (std::size_t e = 0; e < blocked; ++e)
      for (auto& [stream, virtual_workers] : expected[e].slots)
        for (auto& vw : virtual_workers)
          if (vw.constraint && seen.emplace(expected[e].instance, *vw.constraint).second &&
              std::none_of(workers.begin(), workers.end(), [&](auto& w) { return fits(vw.tags, w); }))
            blocked = std::min(blocked, e);
    EXPECT_EQ(bound, blocked) << plain::request(m);
  }
}

TEST(assigner, the_slots_of_an_event_are_numbered_without_a_hole) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 200; ++round) {
    auto a = with_workers(read(plain::request(plain::random_map(random)), true), random_workers(random));
    for (auto& event : bind_all(a)) {
      std::uint32_t next = 0;
      for (auto& target : event.targets) {
        EXPECT_EQ(target.first_slot.value, next);
        EXPECT_GT(target.slots, 0u);
        next += target.slots;
      }
    }
  }
}

TEST(assigner, the_same_calls_give_the_same_bindings) {
  std::mt19937_64 random(6);
  for (int round = 0; round < 50; ++round) {
    auto map = read(plain::request(plain::random_map(random)), true);
    auto workers = random_workers(random);
    auto seed = random();
    std::vector<std::vector<shares>> runs;
    for (int run = 0; run < 2; ++run) {
      std::mt19937_64 credit(seed);
      auto a = with_workers(map, workers, 0);
      runs.emplace_back();
      for (auto& event : bind_with_random_credit(a, workers.size(), credit))
        runs.back().push_back(shares_of(event));
    }
    EXPECT_EQ(runs[0], runs[1]);
  }
}

TEST(assigner, a_long_scan_is_shared_by_many_workers) {
  std::vector<int> constraints;
  for (int e = 0; e < 1000; ++e) constraints.push_back(e);
  std::string slots, names;
  for (auto c : constraints) slots += fmt::format("{}[{{\"constraint\":{}}}]", c == 0 ? "" : ",", c);
  for (int i = 0; i < 1000; ++i) names += i == 0 ? R"("line")" : R"(,"line")";
  auto a = with_workers(
      read(fmt::format(R"({{"parts":{{"line":{{"det":[{}]}}}},"sequence":[{}]}})", slots, names)),
      std::vector<tag_set>(100, generic), 0);
  bound_event event;
  for (std::uint64_t credit = 500; !a.done(); credit += 500) {
    for (std::uint32_t w = 0; w < 100; ++w) a.grant(worker_index(w), credit);
    while (a.next(event)) ASSERT_EQ(event.targets.size(), 1u);
    ASSERT_LE(credit, 1'000'000u);
  }
  for (std::uint32_t w = 0; w < 100; ++w) EXPECT_EQ(a.given(worker_index(w)), 10'000u);
}

// -- what recovery asks of it --------------------------------------------------------------------

TEST(assigner, a_retired_worker_gets_nothing_and_its_constraints_move) {
  assigner a(read_constraints({1, 1, 2, 1, 2}), 1);
  for (int w = 0; w < 2; ++w) a.grant(a.add_worker({"generic"}), plenty);
  bound_event e;
  ASSERT_TRUE(a.next(e));
  auto first = e.targets.at(0).worker;
  worker_index other(1 - first.value);
  a.retire(first);
  EXPECT_FALSE(a.next(e));
  EXPECT_FALSE(a.lacking());
  a.rebind(first, other);
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(a.next(e));
    EXPECT_EQ(e.targets.at(0).worker, other);
  }
}

TEST(assigner, says_which_tags_nobody_has_any_more) {
  assigner a(read_rows(R"({"det":[[{"tags":["gpu"],"constraint":1}],[{"tags":["gpu"],"constraint":2}]]})"));
  auto w = a.add_worker({"generic", "gpu"});
  a.grant(w, plenty);
  bound_event e;
  ASSERT_TRUE(a.next(e));
  a.retire(w);
  EXPECT_FALSE(a.next(e));
  ASSERT_TRUE(a.lacking());
  EXPECT_EQ(*a.lacking(), tag_set{"gpu"});
  auto late = a.add_worker({"gpu"}, false);
  a.grant(late, plenty);
  EXPECT_FALSE(a.next(e));
  a.admit(late);
  ASSERT_TRUE(a.next(e));
  EXPECT_EQ(e.targets.at(0).worker, late);
  EXPECT_FALSE(a.lacking());
}

TEST(assigner, what_is_for_everyone_waits_when_all_of_them_are_gone) {
  assigner a(read_rows(R"({"det":[[{"constraint":null}],[{"constraint":null}]]})"));
  auto w = a.add_worker({"generic"});
  a.grant(w, plenty);
  bound_event e;
  ASSERT_TRUE(a.next(e));
  EXPECT_TRUE(e.for_everyone);
  a.retire(w);
  EXPECT_FALSE(a.next(e));
  EXPECT_TRUE(a.lacking());
}

/// What binds again after a restart: choices are played back, whatever credit there was.
TEST(assigner, replayed_choices_give_the_same_bindings) {
  std::mt19937_64 random(31);
  for (int round = 0; round < 200; ++round) {
    std::vector<int> constraints;
    for (int i = 0; i < 60; ++i) constraints.push_back(static_cast<int>(random() % 20));
    auto map = read_constraints(constraints, true);
    assigner first(map), second(map);
    for (int w = 0; w < 3; ++w) {
      first.add_worker({"generic"});
      second.add_worker({"generic"});
    }
    std::vector<std::vector<worker_index>> bound, again;
    auto note = [](auto& list, const bound_event& e) {
      list.emplace_back();
      for (auto& t : e.targets) list.back().push_back(t.worker);
    };
    std::uint64_t granted[3] = {};
    bool retired = false;
    while (!first.done()) {
      auto w = static_cast<std::uint32_t>(random() % 3);
      granted[w] += random() % 8;
      first.grant(worker_index(w), granted[w]);
      std::uint64_t events = 0;
      for (bound_event e; first.next(e); ++events) note(bound, e);
      second.replay(first.take_choices());
      for (bound_event e; events > 0; --events) {
        ASSERT_TRUE(second.next(e));
        note(again, e);
      }
      if (!retired && first.bound() > 20) {
        retired = true;
        for (auto a : {&first, &second}) {
          a->retire(worker_index(2));
          a->rebind(worker_index(2), worker_index(0));
        }
      }
    }
    EXPECT_EQ(bound, again);
  }
}

} // namespace
} // namespace dtranspose
