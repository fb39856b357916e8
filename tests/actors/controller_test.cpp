/// The controller with probes for everybody else: who is told what, when, and what the ledger says
/// of it.
#include "actors/controller.hpp"

#include <numeric>
#include <set>

#include "actors/fixture.hpp"
#include "model/value_json.hpp"

namespace dtranspose {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// `count` events of these streams, each event with a constraint of its own.
std::string simple_map(std::uint64_t count, std::vector<std::string> streams = {"a", "b"},
                       const std::string& tags = "generic") {
  std::string rows;
  for (auto& s : streams) {
    std::string slots;
    for (std::uint64_t e = 0; e < count; ++e)
      slots += (e ? "," : "") + ("[{\"tags\":[\"" + tags + "\"],\"constraint\":" + std::to_string(e) + "}]");
    rows += (rows.empty() ? "\"" : ",\"") + s + "\":[" + slots + "]";
  }
  return "{\"parts\":{\"p\":{" + rows + "}},\"sequence\":[\"p\"]}";
}

class controller : public testing::Test {
 protected:
  controller() {
    actor = w.own(spawn_controller(w.system(), {.life = incarnation(1),
                                                .around = w.around(),
                                                .version = "1.2.3",
                                                .analysis = "roi",
                                                .parameters = {{"rows", "1:2"}},
                                                .arm_timeout = 10s,
                                                .stop_timeout = 5s}));
    w.run();
  }

  member_info ingesters_process() {
    member_info m;
    m.life = incarnation(10);
    m.name = "ingest@host";
    m.ingesters = {{"a", a.handle}, {"b", b.handle}};
    return m;
  }
  member_info first_process() {
    member_info m;
    m.life = incarnation(20);
    m.name = "work1@host";
    m.assembler = assembler1.handle;
    m.workers = {{"w0", {"generic"}, w0.handle}, {"w1", {"generic", "gpu"}, w1.handle}};
    return m;
  }
  member_info second_process() {
    member_info m;
    m.life = incarnation(21);
    m.name = "work2@host";
    m.assembler = assembler2.handle;
    m.workers = {{"w2", {"generic"}, w2.handle}};
    return m;
  }
  member_info reducer_process() {
    member_info m;
    m.life = incarnation(30);
    m.name = "reduce@host";
    m.reducer = reducer.handle;
    return m;
  }
  void join(const member_info& m) { user.send(actor, m); }
  void join_all() {
    for (auto& m : {ingesters_process(), first_process(), second_process(), reducer_process()}) join(m);
  }

  pending<std::string> post(std::string body, bool wrap = false) {
    return user.ask<std::string>(actor, set_sequence{std::move(body), wrap});
  }

  /// Lets everybody confirm; returns the head of the scan.
  message_head arm_everybody(std::uint64_t credit = 8) {
    auto head = reducer.letters.back().content.get_as<arm>(0).head;
    reducer.answer<arm>(armed{incarnation(30), 0});
    for (auto worker : {&w0, &w1, &w2}) worker->answer<arm>(armed{incarnation(20), 0});
    assembler1.answer<arm>(armed{incarnation(20), credit});
    assembler2.answer<arm>(armed{incarnation(21), credit});
    for (auto ingester : {&a, &b}) ingester->answer<arm>(armed{incarnation(10), 0});
    return head;
  }
  message_head begin(const std::string& map, std::uint64_t credit = 8) {
    join_all();
    auto answer = post(map);
    EXPECT_TRUE(answer.open()) << answer.error();
    auto head = arm_everybody(credit);
    EXPECT_EQ(answer.get(), to_string(head.scan));
    return head;
  }

  /// Events that each worker was given since it was last asked, from what its assembler was told.
  std::map<std::uint32_t, std::vector<std::uint64_t>> given() {
    std::map<std::uint32_t, std::vector<std::uint64_t>> list;
    for (auto assembler : {&assembler1, &assembler2})
      for (auto& m : assembler->all<dispatches>())
        for (auto& run : m.runs)
          for (std::uint32_t i = 0; i < run.events.count; ++i)
            list[run.worker.value].push_back(run.events.at(i).value);
    return list;
  }
  static std::size_t events_in(const std::map<std::uint32_t, std::vector<std::uint64_t>>& given) {
    return std::accumulate(given.begin(), given.end(), std::size_t{0},
                           [](auto n, auto& x) { return n + x.second.size(); });
  }

  void grant(const message_head& head, std::uint32_t worker, std::uint64_t granted, std::uint64_t through) {
    auto m = head;
    m.from = incarnation(worker < 2 ? 20 : 21);
    user.send(actor, credit{m, {{worker_index(worker), granted, through, 0}}});
  }
  void commit(const message_head& head, std::uint64_t first, std::uint32_t count, fate how = fate::folded,
              std::string cause = "") {
    user.send(actor,
              commits{head, {{{{event_number(first), count, 1}, slot_index(0), 1}, how, std::move(cause)}}});
  }
  /// Every worker says that it is through.
  void finish_workers() {
    std::uint32_t index = 0;
    for (auto worker : {&w0, &w1, &w2})
      worker->answer<finish_worker>(finished_worker{worker_index(index++), 1, ""});
  }

  progress state() { return user.ask<progress>(actor, progress_atom::value).get(); }
  value ledger() { return user.ask<value>(actor, ledger_atom::value).get(); }
  bool stop() { return user.ask<bool>(actor, stop_atom::value).get(); }

  void expect_adds_up(std::uint64_t events) {
    auto p = state();
    EXPECT_TRUE(p.finished);
    EXPECT_EQ(p.total_events, events);
    EXPECT_EQ(p.completed_events, events);
    std::uint64_t sum = 0;
    for (auto& [name, n] : p.fates) sum += n;
    EXPECT_EQ(sum, events);
    EXPECT_EQ(number_in(ledger(), {"ended"}), events);
  }

  std::vector<probe*> everybody() { return {&reducer, &w0, &w1, &w2, &assembler1, &assembler2, &a, &b}; }

  world w;
  /// Ingesters say at once how they are, and the reducer keeps every ledger.
  static caf::message_handler status_of(std::string stream) {
    return {[stream = std::move(stream)](status_atom) { return value(value_map{{"stream", stream}}); }};
  }
  static caf::message_handler keeps_ledger() {
    return {[](const keep_ledger&) { return std::string("/out.ledger.json"); }};
  }

  probe user{w}, a{w, status_of("a")}, b{w, status_of("b")}, assembler1{w}, assembler2{w}, w0{w}, w1{w},
      w2{w};
  probe reducer{w, keeps_ledger()};
  caf::actor actor;
};

// -- refusals
// -------------------------------------------------------------------------------------------

TEST_F(controller, refuses_what_is_no_map) {
  join_all();
  EXPECT_EQ(post("no json").code(), ec::malformed);
  auto answer = post(R"({"parts":{"p":{"a":[[{"colour":1}]]}},"sequence":["p"]})");
  EXPECT_EQ(answer.code(), ec::malformed);
  EXPECT_THAT(answer.error(), HasSubstr("part 'p', stream 'a', event 0: unknown key 'colour'"));
  EXPECT_THAT(post(R"({"parts":{"p":{"a":[null],"b":[]}},"sequence":["p"]})").error(),
              HasSubstr("unequal lengths"));
  EXPECT_THAT(post(R"({"parts":{},"sequence":["p"]})").error(), HasSubstr("there is no part 'p'"));
  EXPECT_EQ(state().state, "idle");
  for (auto p : everybody()) EXPECT_THAT(p->letters, IsEmpty());
}

TEST_F(controller, refuses_what_cannot_be_had_and_says_what) {
  auto unavailable = [&](const std::string& map) {
    auto answer = post(map);
    EXPECT_EQ(answer.code(), ec::unavailable);
    return answer.error();
  };
  EXPECT_EQ(unavailable(simple_map(2)), "streams {'a', 'b'} not available");
  join(ingesters_process());
  EXPECT_EQ(unavailable(simple_map(2, {"a", "x", "y"})), "streams {'x', 'y'} not available");
  EXPECT_EQ(unavailable(simple_map(2)), "only 0 workers available, but 1 required");
  join(second_process());
  EXPECT_EQ(
      unavailable(R"({"parts":{"p":{"a":[[{"constraint":1}]],"b":[[{"constraint":2}]]}},"sequence":["p"]})"),
      "only 1 workers available, but 2 required");
  EXPECT_EQ(unavailable(simple_map(1, {"a"}, "gpu")), "part 'p': no worker has the tags {gpu}");
  EXPECT_EQ(unavailable(simple_map(2)), "no reducer available");
  join(reducer_process());
  EXPECT_TRUE(post(simple_map(2)).open());
}

TEST_F(controller, a_refusal_leaves_a_running_scan_alone) {
  auto head = begin(simple_map(3));
  EXPECT_EQ(post("no json").code(), ec::malformed);
  EXPECT_EQ(post(simple_map(3, {"x"})).code(), ec::unavailable);
  EXPECT_EQ(state().state, "running");
  EXPECT_EQ(state().scan, to_string(head.scan));
}

// -- arming
// ---------------------------------------------------------------------------------------------

TEST_F(controller, arms_reducer_workers_assemblers_ingesters_in_this_order) {
  join_all();
  auto answer = post(simple_map(3));
  auto armed_now = [&] {
    std::set<probe*> list;
    for (auto p : everybody())
      if (!p->letters.empty()) list.insert(p);
    return list;
  };
  EXPECT_THAT(armed_now(), ElementsAre(&reducer));
  reducer.answer<arm>(armed{incarnation(30), 0});
  EXPECT_EQ(armed_now(), (std::set<probe*>{&w0, &w1, &w2}));
  auto to_w2 = w2.letters.front().content.get_as<arm>(0);
  EXPECT_EQ(to_w2.worker, worker_index(2));
  EXPECT_EQ(to_w2.analysis, "roi");
  EXPECT_EQ(to_w2.parameters.at("rows"), "1:2");
  w0.answer<arm>(armed{incarnation(20), 0});
  w1.answer<arm>(armed{incarnation(20), 0});
  EXPECT_EQ(armed_now(), (std::set<probe*>{&w2})) << "one is still missing";
  w2.answer<arm>(armed{incarnation(21), 0});
  EXPECT_EQ(armed_now(), (std::set<probe*>{&assembler1, &assembler2}));
  EXPECT_EQ(state().state, "arming");
  assembler2.answer<arm>(armed{incarnation(21), 8});
  assembler1.answer<arm>(armed{incarnation(20), 8});
  EXPECT_EQ(armed_now(), (std::set<probe*>{&a, &b}));
  auto to_b = b.letters.front().content.get_as<arm>(0);
  EXPECT_EQ(to_b.streams.at(to_b.stream.value), "b");
  EXPECT_EQ(to_b.entries, 3u);
  EXPECT_EQ(to_b.workers.at(2).process, incarnation(21));
  EXPECT_EQ(to_b.workers.at(2).place, 1);
  a.answer<arm>(armed{incarnation(10), 0});
  EXPECT_TRUE(answer.open());
  EXPECT_EQ(events_in(given()), 0u);
  b.answer<arm>(armed{incarnation(10), 0});
  EXPECT_EQ(answer.error(), "");
  EXPECT_EQ(state().state, "running");
  EXPECT_EQ(events_in(given()), 3u);
}

TEST_F(controller, one_failure_disarms_all_and_a_good_map_runs_afterwards) {
  join_all();
  auto answer = post(simple_map(3));
  reducer.answer<arm>(armed{incarnation(30), 0});
  w1.answer<arm>(make_error(ec::bad_analysis, "worker w1: there is no analysis 'x'"));
  EXPECT_EQ(answer.code(), ec::bad_analysis);
  EXPECT_EQ(answer.error(), "worker w1: there is no analysis 'x'");
  for (auto p : everybody()) EXPECT_THAT(p->all<disarm>(), SizeIs(1));
  EXPECT_EQ(state().state, "failed");
  EXPECT_THAT(state().trouble, HasSubstr("no analysis"));
  expect_adds_up(3);
  // What still comes of it does nothing.
  w0.answer<arm>(armed{incarnation(20), 0});
  w2.answer<arm>(armed{incarnation(21), 0});
  EXPECT_THAT(assembler1.letters, IsEmpty());
  auto second = post(simple_map(2));
  arm_everybody();
  EXPECT_EQ(second.error(), "");
  EXPECT_EQ(state().state, "running");
}

TEST_F(controller, says_who_did_not_get_ready_in_time) {
  join_all();
  auto answer = post(simple_map(3));
  reducer.answer<arm>(armed{incarnation(30), 0});
  w.advance(9s);
  EXPECT_TRUE(answer.open());
  w.advance(2s, 500ms);
  EXPECT_EQ(answer.code(), ec::timed_out);
  EXPECT_THAT(answer.error(), HasSubstr("worker w0 did not get ready within 10s"));
  EXPECT_EQ(state().state, "failed");
}

TEST_F(controller, a_process_that_leaves_while_arming_fails_it) {
  join_all();
  auto answer = post(simple_map(3));
  user.send(actor, departed{incarnation(20)});
  EXPECT_THAT(answer.error(), HasSubstr("work1@host is gone"));
  expect_adds_up(3);
}

TEST_F(controller, a_stop_while_arming_ends_it) {
  join_all();
  auto answer = post(simple_map(3));
  EXPECT_TRUE(stop());
  EXPECT_EQ(answer.code(), ec::superseded);
  EXPECT_THAT(reducer.all<disarm>(), SizeIs(1));
  expect_adds_up(3);
}

TEST_F(controller, a_new_sequence_replaces_one_that_is_arming) {
  join_all();
  auto older = post(simple_map(3)), newer = post(simple_map(2));
  EXPECT_EQ(older.code(), ec::superseded);
  EXPECT_TRUE(newer.open());
  // The answer to the older one is not taken for the newer.
  reducer.answer<arm>(armed{incarnation(30), 0});
  EXPECT_THAT(w0.all<arm>(), IsEmpty());
  arm_everybody();
  EXPECT_EQ(newer.error(), "");
  EXPECT_EQ(state().total_events, 2u);
}

TEST_F(controller, an_empty_map_finishes_at_once) {
  join(reducer_process());
  auto answer = post(R"({"parts":{},"sequence":[]})");
  reducer.answer<arm>(armed{incarnation(30), 0});
  EXPECT_EQ(answer.error(), "");
  reducer.answer<finish_scan>(finished_scan{"", {}, 0});
  EXPECT_EQ(state().state, "finished");
  expect_adds_up(0);
}

// -- running
// --------------------------------------------------------------------------------------------

TEST_F(controller, assigns_only_as_credit_allows) {
  auto head = begin(simple_map(30), 2);
  auto first = given();
  EXPECT_EQ(events_in(first), 6u);
  for (auto& [worker, list] : first) EXPECT_THAT(list, SizeIs(2));
  grant(head, 1, 5, 2);
  auto next = given();
  EXPECT_THAT(next, SizeIs(1));
  EXPECT_THAT(next.at(1), ElementsAre(6, 7, 8));
  grant(head, 1, 3, 2);
  grant(head, 1, 5, 3);
  EXPECT_EQ(events_in(given()), 0u) << "credit is cumulative";
  EXPECT_EQ(state().last_assigned, 9u);
  // A worker that there is none, and another scan.
  user.send(actor, credit{head, {{worker_index(77), 100, 0, 0}}});
  grant(head_of(9), 0, 100, 0);
  EXPECT_EQ(events_in(given()), 0u);
}

TEST_F(controller, ingesters_are_told_of_their_own_streams) {
  join_all();
  post(
      R"({"parts":{"p":{"a":[[{"constraint":0}],null,[]],"b":[null,[{"constraint":1}],[{"constraint":2}]]}},"sequence":["p"]})");
  arm_everybody();
  auto events_of = [](probe& p) {
    std::vector<std::pair<std::uint64_t, std::size_t>> list;
    for (auto& m : p.all<assignments>())
      for (auto& run : m.runs)
        for (std::uint32_t i = 0; i < run.events.count; ++i)
          list.emplace_back(run.events.at(i).value, run.targets.size());
    return list;
  };
  EXPECT_THAT(events_of(a), ElementsAre(std::pair(0, 1), std::pair(2, 0)));
  EXPECT_THAT(events_of(b), ElementsAre(std::pair(1, 1), std::pair(2, 1)));
}

TEST_F(controller, events_are_forgotten_once_they_are_committed) {
  auto head = begin(simple_map(6));
  EXPECT_THAT(a.all<forget>(), IsEmpty());
  commit(head, 1, 2);
  EXPECT_THAT(a.expect<forget>().events, ElementsAre(event_range{event_number(1), event_number(3)}));
  EXPECT_THAT(b.all<forget>(), SizeIs(1));
  commit(head, 1, 2); // again
  commit(head_of(9), 3, 1);
  EXPECT_THAT(a.all<forget>(), IsEmpty());
  EXPECT_EQ(state().completed_events, 2u);
}

TEST_F(controller, an_event_ends_with_its_last_slot_and_the_worst_of_them) {
  join_all();
  post(
      R"({"parts":{"p":{"a":[[{"constraint":0}],[{"constraint":1}]],"b":[[{"constraint":5}],null]}},"sequence":["p"]})");
  auto head = arm_everybody();
  auto slot = [&](std::uint16_t s, fate how, std::string cause = "") {
    user.send(actor, commits{head, {{{{event_number(0), 1, 1}, slot_index(s), 1}, how, std::move(cause)}}});
  };
  slot(0, fate::incomplete, "stream 'a': a gap");
  EXPECT_EQ(state().completed_events, 0u);
  slot(0, fate::folded);
  EXPECT_EQ(state().completed_events, 0u) << "the same slot again";
  slot(1, fate::folded);
  EXPECT_EQ(state().completed_events, 1u);
  EXPECT_EQ(state().fates.at("incomplete"), 1u);
  auto report = ledger();
  auto troubles = report.find("troubles")->as_list();
  ASSERT_THAT(*troubles, SizeIs(1));
  EXPECT_EQ(*troubles->at(0).find("cause")->as_text(), "stream 'a': a gap");
}

TEST_F(controller, the_ledger_says_which_events_lacked_data_although_they_were_folded) {
  auto head = begin(simple_map(3));
  user.send(
      actor,
      remarks{head, {{{{event_number(1), 1, 1}, slot_index(0), 1}, fate::incomplete, "stream 'b': a gap"}}});
  commit(head, 0, 3);
  EXPECT_EQ(state().fates.at("folded"), 3u);
  EXPECT_THAT(to_json(ledger()), HasSubstr("stream 'b': a gap"));
}

TEST_F(controller, progress_says_how_far_it_is) {
  EXPECT_EQ(state().state, "idle");
  EXPECT_EQ(state().scan, "");
  auto head = begin(simple_map(6), 1);
  w.advance(2s);
  auto p = state();
  EXPECT_EQ(p.scan, to_string(head.scan));
  EXPECT_EQ(p.last_assigned, 3u);
  EXPECT_EQ(p.total_events, 6u);
  EXPECT_FALSE(p.finished);
  EXPECT_DOUBLE_EQ(p.seconds, 2.0);
  commit(head, 0, 3);
  for (std::uint32_t i = 0; i < 3; ++i) grant(head, i, 2, 1);
  commit(head, 3, 3);
  EXPECT_EQ(state().state, "draining");
  EXPECT_FALSE(state().finished);
  EXPECT_EQ(state().fates.at("folded"), 6u);
  finish_workers();
  reducer.answer<finish_scan>(finished_scan{"/data/out.h5", {}, 0});
  w.advance(10s);
  p = state();
  EXPECT_EQ(p.state, "finished");
  EXPECT_EQ(p.output, "/data/out.h5");
  EXPECT_DOUBLE_EQ(p.seconds, 2.0) << "the clock stands when it is over";
  expect_adds_up(6);
}

TEST_F(controller, asks_for_a_flush_when_all_that_is_left_is_deferred) {
  auto head = begin(simple_map(3));
  for (std::uint32_t i = 0; i < 2; ++i) grant(head, i, 9, 1);
  EXPECT_THAT(w0.all<flush>(), IsEmpty());
  grant(head, 2, 9, 1);
  for (auto p : {&w0, &w1, &w2}) EXPECT_EQ(p->expect<flush>().head.scan, head.scan);
  EXPECT_EQ(state().state, "running");
  commit(head, 0, 3);
  EXPECT_EQ(state().state, "draining");
}

TEST_F(controller, an_ingester_under_pressure_makes_workers_flush) {
  auto head = begin(simple_map(3));
  user.send(actor, pressure{head_of(9), "a"});
  EXPECT_THAT(w0.all<flush>(), IsEmpty());
  user.send(actor, pressure{head, "a"});
  for (auto p : {&w0, &w1, &w2}) EXPECT_THAT(p->all<flush>(), SizeIs(1));
}

TEST_F(controller, who_joins_later_takes_part_in_the_next_scan) {
  join(ingesters_process());
  join(second_process());
  join(reducer_process());
  auto answer = post(simple_map(4));
  reducer.answer<arm>(armed{incarnation(30), 0});
  w2.answer<arm>(armed{incarnation(21), 0});
  assembler2.answer<arm>(armed{incarnation(21), 2});
  join(first_process());
  a.answer<arm>(armed{incarnation(10), 0});
  b.answer<arm>(armed{incarnation(10), 0});
  EXPECT_EQ(answer.error(), "");
  EXPECT_THAT(w0.letters, IsEmpty());
  user.send(actor, departed{incarnation(20)});
  EXPECT_EQ(state().state, "running") << "it had no part in it";
}

TEST_F(controller, a_process_that_leaves_fails_the_scan_with_a_ledger_that_adds_up) {
  auto head = begin(simple_map(10), 2);
  commit(head, 0, 3);
  a.all<forget>();
  user.send(actor, departed{incarnation(21)});
  auto p = state();
  EXPECT_EQ(p.state, "failed");
  EXPECT_THAT(p.trouble, HasSubstr("work2@host is gone"));
  EXPECT_EQ(p.fates.at("folded"), 3u);
  EXPECT_EQ(p.fates.at("lost"), 7u);
  expect_adds_up(10);
  for (auto x : everybody()) EXPECT_THAT(x->all<disarm>(), SizeIs(1));
  // Fates are final.
  commit(head, 3, 3);
  EXPECT_EQ(state().fates.at("folded"), 3u);
  EXPECT_EQ(post(simple_map(1)).code(), std::nullopt) << "the others go on";
}

TEST_F(controller, a_process_that_has_no_part_may_leave) {
  join_all();
  member_info idle;
  idle.life = incarnation(99);
  idle.name = "idle";
  join(idle);
  post(simple_map(3));
  arm_everybody();
  user.send(actor, departed{incarnation(99)});
  user.send(actor, departed{incarnation(1234)});
  EXPECT_EQ(state().state, "running");
}

// -- ending
// ---------------------------------------------------------------------------------------------

TEST_F(controller, a_stop_with_silent_streams_names_what_is_missing) {
  auto head = begin(simple_map(10), 1);
  EXPECT_FALSE(user.ask<bool>(actor, stop_atom::value).open());
  EXPECT_EQ(a.expect<halt>().cause, "stopped on request");
  EXPECT_THAT(b.all<halt>(), SizeIs(1));
  EXPECT_EQ(state().state, "running");
  EXPECT_EQ(state().completed_events, 7u) << "what was not given out";
  given();
  for (std::uint32_t i = 0; i < 3; ++i) grant(head, i, 9, 1);
  EXPECT_EQ(events_in(given()), 0u) << "nothing is given out any more";
  commit(head, 0, 1);
  commit(head, 1, 2, fate::lost, "stream 'a': stopped on request");
  finish_workers();
  reducer.answer<finish_scan>(finished_scan{"/out.h5", {}, 0});
  EXPECT_EQ(state().state, "stopped");
  EXPECT_EQ(state().fates.at("folded"), 1u);
  EXPECT_EQ(state().fates.at("lost"), 9u);
  EXPECT_EQ(state().output, "/out.h5");
  expect_adds_up(10);
}

TEST_F(controller, a_stop_that_takes_too_long_gives_up) {
  auto head = begin(simple_map(10), 1);
  EXPECT_TRUE(stop());
  EXPECT_TRUE(stop()) << "again";
  w.advance(4900ms);
  EXPECT_THAT(reducer.all<seal>(), IsEmpty());
  w.advance(300ms);
  EXPECT_EQ(state().state, "running");
  // What the reducer folded before it was sealed counts.
  commit(head, 1, 1);
  reducer.answer<seal>(true);
  EXPECT_EQ(state().state, "draining");
  finish_workers();
  reducer.answer<finish_scan>(finished_scan{});
  EXPECT_EQ(state().state, "stopped");
  EXPECT_EQ(state().fates.at("folded"), 1u);
  EXPECT_EQ(state().fates.at("lost"), 9u);
  EXPECT_THAT(to_json(ledger()), HasSubstr("stop_timeout"));
  expect_adds_up(10);
}

TEST_F(controller, a_stop_does_not_wait_for_a_reducer_that_does_not_answer) {
  begin(simple_map(10), 1);
  stop();
  w.advance(6s);
  EXPECT_EQ(state().state, "running");
  w.advance(10s, 500ms);
  EXPECT_EQ(state().state, "draining");
  EXPECT_EQ(state().fates.at("lost"), 10u);
}

TEST_F(controller, the_timer_of_a_stop_does_not_hit_the_next_scan) {
  begin(simple_map(10), 1);
  stop();
  w.advance(3s);
  post(simple_map(5));
  arm_everybody();
  w.advance(4s);
  EXPECT_EQ(state().state, "running");
}

TEST_F(controller, a_stop_without_a_scan_says_so) {
  EXPECT_FALSE(stop());
  begin(simple_map(3));
  user.send(actor, departed{incarnation(10)});
  EXPECT_FALSE(stop());
}

TEST_F(controller, a_stop_flushes_what_is_deferred) {
  auto head = begin(simple_map(10), 1);
  for (std::uint32_t i = 0; i < 3; ++i) grant(head, i, 1, 1);
  EXPECT_THAT(w0.all<flush>(), IsEmpty()) << "others are still to come";
  stop();
  EXPECT_THAT(w0.all<flush>(), SizeIs(1));
  commit(head, 0, 3);
  EXPECT_EQ(state().state, "draining");
}

TEST_F(controller, a_silent_stream_stops_the_scan) {
  auto head = begin(simple_map(10), 1);
  user.send(actor, stalled{head_of(9), "b", "nothing for 60 s"});
  EXPECT_THAT(a.all<halt>(), IsEmpty());
  user.send(actor, stalled{head, "b", "nothing for 60 s"});
  EXPECT_EQ(a.expect<halt>().cause, "stream 'b': nothing for 60 s");
  w.advance(6s);
  reducer.answer<seal>(true);
  finish_workers();
  reducer.answer<finish_scan>(finished_scan{});
  EXPECT_EQ(state().trouble, "stream 'b': nothing for 60 s");
  expect_adds_up(10);
}

TEST_F(controller, draining_finishes_workers_then_the_reducer_then_disarms) {
  auto head = begin(simple_map(3));
  commit(head, 0, 3);
  EXPECT_THAT(reducer.letters, IsEmpty());
  w0.answer<finish_worker>(finished_worker{worker_index(0), 4, ""});
  w2.answer<finish_worker>(finished_worker{worker_index(2), 5, "it threw"});
  EXPECT_THAT(reducer.letters, IsEmpty()) << "one is still missing";
  w1.answer<finish_worker>(finished_worker{worker_index(1), 6, ""});
  auto request = reducer.take_letter<finish_scan>();
  ASSERT_TRUE(request);
  std::map<std::uint32_t, std::uint64_t> counts;
  for (auto& m : request->content.get_as<finish_scan>(0).workers) counts[m.worker.value] = m.results;
  EXPECT_THAT(counts, ElementsAre(std::pair(0, 4), std::pair(1, 6), std::pair(2, 5)));
  EXPECT_THAT(a.all<disarm>(), IsEmpty());
  reducer.reply(*request, finished_scan{"", {"a complaint"}, 0});
  for (auto p : everybody()) EXPECT_THAT(p->all<disarm>(), SizeIs(1));
  EXPECT_EQ(state().state, "finished");
}

TEST_F(controller, the_ledger_of_a_scan_that_is_over_is_kept_beside_its_results) {
  auto head = begin(simple_map(3));
  commit(head, 0, 2);
  commit(head, 2, 1, fate::incomplete, "stream 'a': number 1: missing in the stream");
  finish_workers();
  reducer.answer<finish_scan>(finished_scan{"/data/out.h5", {"a complaint"}, 0});
  auto kept = reducer.expect<keep_ledger>();
  EXPECT_EQ(kept.head.scan, head.scan);
  for (auto text : {R"("state":"finished")", R"("incomplete":1)", R"("folded":2)", "missing in the stream",
                    R"("streams":{"a":{"stream":"a"},"b":{"stream":"b"}})", "a complaint", "/data/out.h5"})
    EXPECT_THAT(kept.text, HasSubstr(text));
  EXPECT_EQ(to_json(ledger()) + "\n", kept.text) << "the same over REST";
}

TEST_F(controller, a_ledger_that_cannot_be_written_is_a_complaint) {
  probe full{w};
  auto m = reducer_process();
  m.reducer = full.handle;
  join(ingesters_process());
  join(first_process());
  join(second_process());
  join(m);
  auto answer = post(simple_map(3));
  auto head = full.letters.back().content.get_as<arm>(0).head;
  full.answer<arm>(armed{incarnation(30), 0});
  for (auto worker : {&w0, &w1, &w2}) worker->answer<arm>(armed{incarnation(20), 0});
  assembler1.answer<arm>(armed{incarnation(20), 8});
  assembler2.answer<arm>(armed{incarnation(21), 8});
  for (auto ingester : {&a, &b}) ingester->answer<arm>(armed{incarnation(10), 0});
  commit(head, 0, 3);
  finish_workers();
  full.answer<finish_scan>(finished_scan{"", {}, 0});
  EXPECT_EQ(state().state, "draining");
  full.answer<keep_ledger>(make_error(ec::file_error, "no space left"));
  EXPECT_EQ(state().state, "finished");
  EXPECT_THAT(to_json(ledger()), HasSubstr("no space left"));
}

TEST_F(controller, a_worker_that_does_not_finish_does_not_hold_up_the_scan) {
  auto head = begin(simple_map(3));
  commit(head, 0, 3);
  w0.answer<finish_worker>(finished_worker{worker_index(0), 1, ""});
  w1.answer<finish_worker>(finished_worker{worker_index(1), 1, ""});
  w.advance(11s, 500ms);
  EXPECT_THAT(reducer.expect<finish_scan>().workers, SizeIs(2));
}

TEST_F(controller, a_file_that_cannot_be_closed_fails_the_scan) {
  auto head = begin(simple_map(3));
  commit(head, 0, 3);
  finish_workers();
  reducer.answer<finish_scan>(make_error(ec::file_error, "/out.h5: no space left"));
  EXPECT_EQ(state().state, "failed");
  EXPECT_THAT(state().trouble, HasSubstr("no space left"));
  EXPECT_EQ(state().fates.at("folded"), 3u);
  expect_adds_up(3);
}

TEST_F(controller, a_process_that_leaves_while_draining_fails_the_scan) {
  auto head = begin(simple_map(3));
  commit(head, 0, 3);
  user.send(actor, departed{incarnation(30)});
  EXPECT_EQ(state().state, "failed");
  expect_adds_up(3);
}

TEST_F(controller, a_new_sequence_replaces_a_running_scan) {
  auto old = begin(simple_map(10), 1);
  auto answer = post(simple_map(4));
  for (auto p : everybody()) EXPECT_EQ(p->expect<disarm>().head.scan, old.scan);
  auto fresh = arm_everybody(1);
  EXPECT_EQ(answer.get(), to_string(fresh.scan));
  EXPECT_NE(fresh.scan, old.scan);
  given();
  grant(old, 0, 100, 1);
  commit(old, 0, 4);
  user.send(actor, stalled{old, "a", "x"});
  EXPECT_EQ(events_in(given()), 0u);
  EXPECT_EQ(state().completed_events, 0u);
  EXPECT_EQ(state().total_events, 4u);
  EXPECT_EQ(state().state, "running");
}

TEST_F(controller, wrapped_maps_begin_and_end_with_everybody) {
  join_all();
  post(simple_map(2), true);
  arm_everybody();
  auto list = given();
  EXPECT_EQ(state().total_events, 4u);
  for (auto& [worker, events] : list) {
    EXPECT_EQ(events.front(), 0u);
    EXPECT_EQ(events.back(), 3u);
  }
  EXPECT_THAT(list, SizeIs(3));
}

TEST_F(controller, events_that_nobody_sees_are_discarded) {
  join_all();
  post(R"({"parts":{"p":{"a":[[],null]}},"sequence":["p"]})");
  reducer.answer<arm>(armed{incarnation(30), 0});
  for (auto worker : {&w0, &w1, &w2}) worker->answer<arm>(armed{incarnation(20), 0});
  assembler1.answer<arm>(armed{incarnation(20), 8});
  assembler2.answer<arm>(armed{incarnation(21), 8});
  a.answer<arm>(armed{incarnation(10), 0});
  EXPECT_EQ(state().fates.at("discarded"), 2u);
  EXPECT_EQ(state().state, "draining");
}

// -- what people ask
// ------------------------------------------------------------------------------------

TEST_F(controller, status_asks_everybody_and_waits_for_nobody_too_long) {
  probe quick{w}, mute{w};
  auto ingesters = ingesters_process();
  ingesters.ingesters = {{"a", quick.handle}, {"b", mute.handle}};
  for (auto& m : {ingesters, first_process(), second_process(), reducer_process()}) join(m);
  auto answer = user.ask<value>(actor, status_atom::value);
  quick.answer<status_atom>(value(value_map{{"state", "idle"}}));
  EXPECT_TRUE(answer.open());
  w.advance(1100ms);
  auto report = answer.get();
  EXPECT_EQ(*report.find("streams")->find("a")->find("state")->as_text(), "idle");
  EXPECT_THAT(*report.find("streams")->find("b")->find("error")->as_text(), HasSubstr("does not answer"));
  EXPECT_NE(report.find("workers")->find("w2"), nullptr);
  EXPECT_NE(report.find("assemblers")->find("work1@host"), nullptr);
  EXPECT_EQ(*report.find("state")->as_text(), "idle");
}

TEST_F(controller, status_lists_events_that_are_complete) {
  auto head = begin(simple_map(5));
  commit(head, 1, 2);
  auto answer = user.ask<value>(actor, status_atom::value);
  w.advance(1100ms);
  auto report = answer.get();
  EXPECT_EQ(*report.find("completed_events")->as_list(), (value_list{1u, 2u}));
  EXPECT_EQ(number_in(report, {"completed_count"}), 2u);
}

TEST_F(controller, the_ensemble_names_who_is_there) {
  join_all();
  auto report = user.ask<value>(actor, config_atom::value).get();
  EXPECT_THAT(*report.find("ingesters")->as_list(), SizeIs(2));
  EXPECT_THAT(*report.find("workers")->as_list(), SizeIs(3));
  EXPECT_EQ(*report.find("controller_version")->as_text(), "1.2.3");
  user.send(actor, departed{incarnation(20)});
  EXPECT_THAT(*user.ask<value>(actor, config_atom::value).get().find("workers")->as_list(), SizeIs(1));
}

} // namespace
} // namespace dtranspose
