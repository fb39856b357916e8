/// The controller with probes for everybody else: who is told what, when, and what the ledger says
/// of it.
#include "actors/controller.hpp"

#include <fstream>
#include <iterator>
#include <numeric>
#include <set>

#include "actors/fixture.hpp"
#include "model/value_json.hpp"
#include "temporary_directory.hpp"

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
  controller() { build(); }

  /// So many that a death without a word makes nobody a suspect.
  std::uint32_t max_attempts = 1000;
  bool stops_when_decided = false;
  std::vector<std::pair<std::string, std::string>> published; ///< decisions, by name

  void build() {
    actor = w.own(spawn_controller(
        w.system(), {.life = incarnation(life),
                     .around = w.around(),
                     .version = "1.2.3",
                     .analysis = "roi",
                     .parameters = {{"rows", "1:2"}},
                     .arm_timeout = 10s,
                     .stop_timeout = 5s,
                     .return_timeout = 30s,
                     .rejoin_timeout = 30s,
                     .max_attempts = max_attempts,
                     .publish = [this](auto& name, auto& json) { published.emplace_back(name, json); },
                     .stops_when_decided = stops_when_decided,
                     .journals = journals}));
    w.run();
  }

  /// The process goes, and another one comes that has its journal.
  void restart() {
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    w.run();
    for (auto p : everybody()) p->letters.clear();
    ++life;
    build();
  }
  void keep_journal() {
    journals = std::make_shared<memory_journals>();
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    build();
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
    m.member = member2.handle;
    m.assembler = assembler2.handle;
    m.workers = {{"w2", {"generic"}, w2.handle}};
    return m;
  }
  member_info third_process() {
    member_info m;
    m.life = incarnation(22);
    m.name = "work3@host";
    m.member = member.handle;
    m.assembler = assembler3.handle;
    m.workers = {{"w3", {"generic", "gpu"}, w3.handle}};
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
    for (auto assembler : {&assembler1, &assembler2, &assembler3})
      for (auto& m : assembler->all<dispatches>()) {
        if (m.alone) last_alone = m.dispatch;
        for (auto& run : m.runs)
          for (std::uint32_t i = 0; i < run.events.count; ++i)
            list[run.worker.value].push_back(run.events.at(i).value);
      }
    return list;
  }
  dispatch_id last_alone; ///< among what was given
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

  // -- who goes and comes
  void lose(std::uint64_t life) { user.send(actor, departed{incarnation(life)}); }

  /// The reducer has shut out what the controller asked it to.
  std::vector<worker_index> let_fence() {
    auto request = reducer.take_letter<fence>();
    if (!request) ADD_FAILURE() << "no fence among " << reducer.describe();
    if (!request) return {};
    auto workers = request->content.get_as<fence>(0).workers;
    reducer.reply(*request, true);
    return workers;
  }

  /// The third process joins in the midst of a scan.
  void let_in_third(std::uint64_t credit = 8) {
    join(third_process());
    w3.answer<arm>(armed{incarnation(22), 0});
    assembler3.answer<arm>(armed{incarnation(22), credit});
  }

  /// The first two workers are through with what they have, and have deferred it; the process of the third
  /// ends without a word at the second of its events. Returns what each was given before.
  std::pair<message_head, std::map<std::uint32_t, std::vector<std::uint64_t>>> end_silently_at_the_second() {
    max_attempts = 2;
    build();
    auto head = begin(simple_map(9), 3);
    auto had = given();
    let_in_third(3);
    given();
    grant(head, 0, 3, 3);
    grant(head, 1, 3, 3);
    grant(head, 2, 3, 1);
    lose(21);
    let_fence();
    return {head, had};
  }

  /// Messages of assignments, each of which must name the one before it.
  std::vector<assignments> told(probe& ingester, dispatch_id& last) {
    auto list = ingester.all<assignments>();
    for (auto& m : list) {
      EXPECT_EQ(m.previous, last);
      EXPECT_GT(m.dispatch, last);
      last = m.dispatch;
    }
    return list;
  }
  /// Events that an ingester is to send once more, as "event to place".
  static std::vector<std::string> repeats_in(const std::vector<assignments>& list) {
    std::vector<std::string> texts;
    for (auto& m : list)
      for (auto& run : m.repeats)
        for (std::uint32_t i = 0; i < run.events.count; ++i)
          texts.push_back(std::to_string(run.events.at(i).value) + " to " + std::to_string(run.target));
    return texts;
  }
  static std::vector<std::uint64_t> events_of(const std::vector<unmappable>& list) {
    std::vector<std::uint64_t> events;
    for (auto& m : list)
      for (std::uint32_t i = 0; i < m.slots.events.count; ++i) events.push_back(m.slots.events.at(i).value);
    return events;
  }

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
  probe member{w}, member2{w}, assembler3{w}, w3{w};
  std::shared_ptr<memory_journals> journals;
  std::uint64_t life = 1;
  caf::actor actor;
};

// -- refusals
// -------------------------------------------------------------------------------------------

/// As a reducer tells it.
decided decision_of(const message_head& head, std::uint64_t number, const std::string& name, bool stop) {
  return {head,
          {value_map{{"number", number},
                     {"name", name},
                     {"value", 0.5},
                     {"event", number},
                     {"made", 1.0},
                     {"valid_until", value()},
                     {"stop", stop}}}};
}

TEST_F(controller, keeps_and_publishes_what_the_analysis_decides_once) {
  auto head = begin(simple_map(9));
  for (int turn = 0; turn < 2; ++turn) {
    user.send(actor, decision_of(head, 0, "beam", false));
    user.send(actor, decision_of(head, 1, "enough", true));
  }
  auto late = head;
  late.scan = make_scan_id(8, 8);
  user.send(actor, decision_of(late, 2, "of another scan", false));
  auto since = [this](std::uint64_t n) { return user.ask<value>(actor, decisions_atom::value, n).get(); };
  EXPECT_EQ(*since(0).find("scan")->as_text(), to_string(head.scan));
  EXPECT_EQ(since(0).find("decisions")->as_list()->size(), 2u);
  EXPECT_EQ(since(1).find("decisions")->as_list()->size(), 1u);
  EXPECT_EQ(since(0).find("next")->as_number(), 2);
  ASSERT_THAT(published, SizeIs(2));
  EXPECT_EQ(published[0].first, "beam");
  EXPECT_THAT(published[0].second, AllOf(HasSubstr("\"number\":0"), HasSubstr(to_string(head.scan))));
  EXPECT_EQ(ledger().find("decisions")->as_list()->size(), 2u);
  EXPECT_EQ(state().state, "running"); // nobody said that decisions stop scans
}

TEST_F(controller, a_decision_may_stop_the_scan) {
  stops_when_decided = true;
  build();
  auto head = begin(simple_map(9));
  user.send(actor, decision_of(head, 0, "beam", false));
  EXPECT_TRUE(a.all<halt>().empty());
  user.send(actor, decision_of(head, 1, "enough", true));
  EXPECT_THAT(a.all<halt>(), SizeIs(1));
  EXPECT_THAT(state().trouble, HasSubstr("the analysis has decided: enough"));
}

TEST_F(controller, parameters_reach_those_who_work_with_them) {
  auto set = [&](const char* name, const char* written) {
    return user.ask<std::string>(actor, set_parameter{name, written, false});
  };
  auto get = [&](const char* name) { return user.ask<std::string>(actor, get_parameter{name}); };
  EXPECT_EQ(get("rows").get(), "1:2");
  EXPECT_EQ(get("no_such").code(), ec::not_found);
  join_all();
  auto answer = post(simple_map(3));
  auto first_version = reducer.letters.back().content.get_as<arm>(0).version;
  EXPECT_EQ(set("rows", "1:3").get().size(), 64u) << "in the midst of arming";
  auto head = arm_everybody();
  answer.get();
  auto latest = [&](probe& p) {
    auto letter = p.take_letter<change_parameters>();
    if (!letter) return std::pair(std::uint64_t{0}, std::string());
    auto m = letter->content.get_as<change_parameters>(0);
    p.reply(*letter, m.version);
    EXPECT_EQ(m.head.scan, head.scan);
    return std::pair(m.version.value, m.parameters.at("rows"));
  };
  for (auto p : {&reducer, &w0, &w1, &w2})
    EXPECT_EQ(latest(*p), std::pair(first_version.value + 1, std::string("1:3")));
  EXPECT_EQ(set("rows", "nonsense").code(), ec::malformed) << "the analysis refuses it";
  EXPECT_EQ(set("rows", "1:3").get().size(), 64u) << "the same again is no change";
  EXPECT_TRUE(reducer.all<change_parameters>().empty());
  auto hash = set("rows", "0:3").get();
  auto hash_of = [&](const char* who) {
    auto config = user.ask<value>(actor, config_atom::value).get();
    return *config.find(who)->find("parameters_hash");
  };
  EXPECT_EQ(hash_of("reducer"), value()) << "it has not answered yet";
  EXPECT_EQ(latest(reducer).second, "0:3");
  EXPECT_EQ(hash_of("reducer"), value(hash));
  EXPECT_THAT(to_json(*ledger().find("parameters")), HasSubstr("\"values\":{\"rows\":\"0:3\"}"));
}

TEST_F(controller, keeps_so_many_parameters_and_no_odd_names) {
  auto set = [&](const std::string& name, std::string written = "1") {
    return user.ask<std::string>(actor, set_parameter{name, std::move(written), false});
  };
  EXPECT_EQ(set("two\nlines").code(), ec::malformed);
  EXPECT_EQ(set("\x1b[31m").code(), ec::malformed);
  EXPECT_EQ(set(std::string(201, 'x')).code(), ec::malformed);
  EXPECT_EQ(set(std::string(200, 'x')).error(), "");
  std::size_t kept = 1;
  while (kept < 2000 && set("p" + std::to_string(kept)).error().empty()) ++kept;
  EXPECT_LT(kept, 1001u);
  EXPECT_GT(kept, 900u);
  EXPECT_EQ(set("p1", "2").error(), "") << "what is there may change";
  EXPECT_EQ(set("p1", std::string(257 << 20, 'x')).code(), ec::malformed);
}

TEST_F(controller, a_restarted_one_knows_the_parameters_of_its_scan) {
  keep_journal();
  auto head = begin(simple_map(3));
  user.ask<std::string>(actor, set_parameter{"rows", "0:3", false}).get();
  auto version = reducer.expect<change_parameters>().version;
  restart();
  EXPECT_EQ(user.ask<std::string>(actor, get_parameter{"rows"}).get(), "0:3");
  join(reducer_process());
  auto m = reducer.expect<arm>();
  EXPECT_TRUE(m.resume);
  EXPECT_EQ(m.head.scan, head.scan);
  EXPECT_EQ(m.parameters.at("rows"), "1:2") << "it may be given results of each version";
  auto change = reducer.expect<change_parameters>();
  EXPECT_EQ(change.version, version);
  EXPECT_EQ(change.parameters.at("rows"), "0:3");
  join(first_process());
  auto order = w0.expect<arm>();
  EXPECT_EQ(order.version, version);
  EXPECT_EQ(order.parameters.at("rows"), "0:3");
}

TEST_F(controller, keeps_map_and_parameters_beside_recordings) {
  temporary_directory folder;
  user.ask<std::string>(actor, set_parameter{"dump_prefix", (folder / "sub/run_").string(), false}).get();
  auto head = begin(simple_map(2));
  auto scan = to_string(head.scan);
  auto text = [&](const std::string& name) {
    std::ifstream in(folder / ("sub/run_" + name));
    return std::string(std::istreambuf_iterator<char>(in), {});
  };
  EXPECT_THAT(text("mapping-" + scan + ".json"), HasSubstr("{\"parts\":{\"p\":{\"mapping\":"));
  EXPECT_THAT(text("parameters-" + scan + ".json"), HasSubstr(R"({"data":"1:2","name":"rows"})"));
}

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
  auto head = begin(simple_map(3));
  commit(head, 0, 3);
  finish_workers();
  reducer.answer<finish_scan>(finished_scan{});
  EXPECT_FALSE(stop()) << "it is over";
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

// -- who goes, and who comes
// ----------------------------------------------------------------------------

TEST_F(controller, moves_nothing_before_the_reducer_has_shut_its_worker_out) {
  auto head = begin(simple_map(9));
  auto had = given().at(2);
  ASSERT_THAT(had, SizeIs(3));
  dispatch_id last_a, last_b;
  told(a, last_a);
  told(b, last_b);
  lose(21);
  EXPECT_EQ(state().state, "running");
  EXPECT_EQ(events_in(given()), 0u);
  EXPECT_THAT(a.all<assignments>(), IsEmpty());
  // What the reducer had of it, it tells before it answers.
  commit(head, had[0], 1);
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(2)));
  auto moved = given();
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_LT(moved.begin()->first, 2u);
  EXPECT_THAT(moved.begin()->second, ElementsAre(had[1], had[2])) << "what is open, in order";
  auto list = told(a, last_a);
  EXPECT_THAT(list.front().gone, ElementsAre(1)) << "nothing is sent there any more";
  auto expected = testing::ElementsAre(std::to_string(had[1]) + " to 0", std::to_string(had[2]) + " to 0");
  EXPECT_THAT(repeats_in(list), expected);
  EXPECT_THAT(repeats_in(told(b, last_b)), expected);
  // Somebody else's word counts no more.
  grant(head, 2, 100, 3);
  EXPECT_EQ(events_in(given()), 0u);
}

TEST_F(controller, frames_are_expected_under_the_dispatch_that_they_are_sent_with) {
  begin(simple_map(9));
  auto first = assembler1.all<dispatches>();
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].previous, dispatch_id());
  a.all<assignments>();
  lose(21);
  let_fence();
  auto moved = assembler1.expect<dispatches>();
  EXPECT_EQ(moved.previous, first[0].dispatch);
  EXPECT_EQ(a.all<assignments>().back().repeats.at(0).dispatch, moved.dispatch);
}

TEST_F(controller, what_is_moved_goes_to_who_has_least_in_hand) {
  for (std::uint32_t idle : {0u, 1u}) {
    SCOPED_TRACE(idle);
    build();
    auto head = begin(simple_map(9));
    given();
    grant(head, idle, 8, 3);
    lose(21);
    let_fence();
    auto moved = given();
    ASSERT_THAT(moved, SizeIs(1));
    EXPECT_EQ(moved.begin()->first, idle);
    for (auto p : everybody()) p->letters.clear();
  }
}

TEST_F(controller, what_is_moved_goes_to_who_has_its_tags) {
  begin(simple_map(4, {"a", "b"}, "gpu"));
  auto had = given();
  ASSERT_THAT(had, SizeIs(1));
  let_in_third();
  assembler3.all<dispatches>();
  // Who is gone had the tags, and of those that are left one has them.
  lose(20);
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(0), worker_index(1)));
  auto moved = given();
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_EQ(moved.begin()->first, 3u);
  EXPECT_EQ(moved.begin()->second, had.at(1));
}

TEST_F(controller, what_nobody_can_take_over_waits_for_who_comes) {
  begin(simple_map(4, {"a", "b"}, "gpu"));
  auto had = given().at(1);
  lose(20);
  let_fence();
  w.advance(20s, 500ms);
  EXPECT_EQ(events_in(given()), 0u) << "w2 has not the tags";
  EXPECT_THAT(reducer.all<give_up>(), IsEmpty());
  let_in_third();
  EXPECT_EQ(given().at(3), had);
  w.advance(40s, 500ms);
  EXPECT_THAT(reducer.all<give_up>(), IsEmpty());
}

TEST_F(controller, what_nobody_takes_over_in_time_fails) {
  auto head = begin(simple_map(4, {"a", "b"}, "gpu"));
  given();
  commit(head, 0, 1);
  lose(20);
  let_fence();
  w.advance(31s, 500ms);
  auto request = reducer.take_letter<give_up>();
  ASSERT_TRUE(request);
  auto slots = request->content.get_as<give_up>(0).slots;
  EXPECT_THAT(events_of(slots), ElementsAre(1, 2, 3));
  EXPECT_EQ(slots[0].how, fate::failed);
  EXPECT_THAT(slots[0].cause, HasSubstr("gpu"));
  EXPECT_EQ(state().completed_events, 1u) << "only the reducer ends a slot";
  commit(head, 1, 3, fate::failed, slots[0].cause);
  reducer.reply(*request, true);
  EXPECT_EQ(state().fates.at("failed"), 3u);
  EXPECT_EQ(state().state, "draining");
  EXPECT_THAT(w0.all<finish_worker>(), IsEmpty()) << "it is gone";
  w2.answer<finish_worker>(finished_worker{worker_index(2), 0, ""});
  reducer.answer<finish_scan>(finished_scan{});
  expect_adds_up(4);
}

TEST_F(controller, the_rest_of_a_map_whose_tags_nobody_has_any_more_ends_the_scan) {
  begin(simple_map(40, {"a", "b"}, "gpu"), 4);
  given();
  lose(20);
  let_fence();
  w.advance(20s, 500ms);
  EXPECT_THAT(a.all<halt>(), IsEmpty());
  w.advance(12s, 500ms);
  EXPECT_THAT(a.expect<halt>().cause, HasSubstr("{gpu}"));
}

TEST_F(controller, two_processes_that_go_one_after_the_other) {
  auto head = begin(simple_map(9));
  auto had = given();
  let_in_third();
  given();
  lose(21);
  lose(20);
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(2)));
  auto first = given();
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(0), worker_index(1)));
  std::multiset<std::uint64_t> all;
  for (auto& list : {first, given()})
    for (auto& [worker, events] : list) {
      EXPECT_EQ(worker, 3u) << "nothing goes to who is gone";
      all.insert(events.begin(), events.end());
    }
  EXPECT_EQ(all, (std::multiset<std::uint64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8}));
  commit(head, 0, 9);
  EXPECT_EQ(state().state, "draining");
}

TEST_F(controller, what_was_moved_once_moves_again) {
  begin(simple_map(9));
  given();
  lose(21);
  let_fence();
  auto moved = given();
  let_in_third();
  given();
  lose(20);
  let_fence();
  std::multiset<std::uint64_t> all;
  for (auto& [worker, events] : given()) {
    EXPECT_EQ(worker, 3u);
    all.insert(events.begin(), events.end());
  }
  EXPECT_EQ(all.size(), 9u);
  EXPECT_EQ(std::set<std::uint64_t>(all.begin(), all.end()).size(), 9u) << "each once";
}

TEST_F(controller, a_fence_that_takes_long_is_heeded_all_the_same) {
  begin(simple_map(9));
  auto had = given().at(2);
  lose(21);
  // The reducer waits for room on its disk before it answers.
  w.advance(50s, 500ms);
  auto old = reducer.take_letter<fence>();
  ASSERT_TRUE(old);
  reducer.reply(*old, true);
  while (auto again = reducer.take_letter<fence>()) reducer.reply(*again, true);
  w.advance(5s, 500ms);
  while (auto again = reducer.take_letter<fence>()) reducer.reply(*again, true);
  std::vector<std::uint64_t> moved;
  for (auto& [worker, events] : given()) moved.insert(moved.end(), events.begin(), events.end());
  EXPECT_EQ(moved, had) << "or they wait for ever";
}

TEST_F(controller, slots_for_everybody_lapse_with_one_who_is_gone) {
  join_all();
  post(simple_map(2), true);
  auto head = arm_everybody();
  given();
  a.all<assignments>();
  lose(21);
  let_fence();
  auto request = reducer.take_letter<give_up>();
  ASSERT_TRUE(request);
  auto slots = request->content.get_as<give_up>(0).slots;
  EXPECT_THAT(events_of(slots), ElementsAre(0, 3));
  for (auto& s : slots) EXPECT_EQ(s.how, fate::empty) << "it is no trouble: others have it";
  auto moved = given();
  for (auto& [worker, events] : moved)
    EXPECT_THAT(events, testing::Each(testing::AllOf(testing::Gt(0), testing::Lt(3))));
  reducer.reply(*request, true);
  (void)head;
}

TEST_F(controller, slots_for_everybody_that_nobody_else_has_wait) {
  for (auto& m : {ingesters_process(), second_process(), reducer_process()}) join(m);
  post(simple_map(2), true);
  reducer.answer<arm>(armed{incarnation(30), 0});
  w2.answer<arm>(armed{incarnation(21), 0});
  assembler2.answer<arm>(armed{incarnation(21), 8});
  a.answer<arm>(armed{incarnation(10), 0});
  b.answer<arm>(armed{incarnation(10), 0});
  EXPECT_THAT(given().at(0), ElementsAre(0, 1, 2, 3));
  lose(21);
  let_fence();
  EXPECT_THAT(reducer.all<give_up>(), IsEmpty());
  let_in_third();
  std::multiset<std::uint64_t> to_map;
  for (auto& m : assembler3.all<dispatches>())
    for (auto& run : m.runs)
      for (std::uint32_t i = 0; i < run.events.count && run.slots > 0; ++i)
        to_map.insert(run.events.at(i).value);
  EXPECT_EQ(to_map, (std::multiset<std::uint64_t>{0, 1, 2, 3}));
}

TEST_F(controller, who_comes_late_looks_at_what_everybody_had_and_then_works) {
  join_all();
  post(simple_map(60), true);
  auto head = arm_everybody(2);
  given();
  dispatch_id last;
  told(a, last);
  join(third_process());
  auto order = w3.letters.front().content.get_as<arm>(0);
  EXPECT_FALSE(order.resume) << "it knows nothing of the scan";
  EXPECT_EQ(order.worker, worker_index(3));
  EXPECT_EQ(order.workers.at(3).place, 2);
  EXPECT_THAT(assembler3.letters, IsEmpty()) << "its worker is first";
  w3.answer<arm>(armed{incarnation(22), 0});
  EXPECT_THAT(a.all<assignments>(), IsEmpty());
  EXPECT_EQ(events_in(given()), 0u);
  assembler3.answer<arm>(armed{incarnation(22), 2});
  for (auto p : {&reducer, &a, &b}) {
    auto table = p->expect<arm>();
    EXPECT_TRUE(table.resume);
    EXPECT_THAT(table.workers, SizeIs(4));
  }
  auto list = assembler3.all<dispatches>();
  ASSERT_GE(list.size(), 2u);
  EXPECT_EQ(list[0].previous, dispatch_id());
  ASSERT_THAT(list[0].runs, SizeIs(1));
  EXPECT_EQ(list[0].runs[0].events, (event_run{event_number(0), 1, 1}));
  EXPECT_EQ(list[0].runs[0].slots, 0) << "nobody folds what comes of it";
  EXPECT_EQ(list[1].previous, list[0].dispatch);
  EXPECT_GT(list[1].runs.at(0).slots, 0);
  EXPECT_THAT(repeats_in(told(a, last)), ElementsAre("0 to 2"));
  (void)head;
}

TEST_F(controller, who_joins_while_it_is_arming_is_let_in_afterwards) {
  join(ingesters_process());
  join(second_process());
  join(reducer_process());
  auto answer = post(simple_map(4));
  join(third_process());
  reducer.answer<arm>(armed{incarnation(30), 0});
  w2.answer<arm>(armed{incarnation(21), 0});
  assembler2.answer<arm>(armed{incarnation(21), 2});
  EXPECT_THAT(w3.letters, IsEmpty());
  a.answer<arm>(armed{incarnation(10), 0});
  b.answer<arm>(armed{incarnation(10), 0});
  EXPECT_EQ(answer.error(), "");
  EXPECT_EQ(events_in(given()), 2u);
  w3.answer<arm>(armed{incarnation(22), 0});
  assembler3.answer<arm>(armed{incarnation(22), 2});
  EXPECT_THAT(given().at(1), ElementsAre(2, 3));
}

TEST_F(controller, who_was_given_up_goes_on_as_somebody_else) {
  begin(simple_map(9));
  let_in_third();
  lose(22);
  join(third_process());
  EXPECT_THAT(member.all<renew>(), SizeIs(1)) << "its link was broken, and what it had is somebody else's";
  EXPECT_THAT(w3.all<arm>(), IsEmpty());
  auto m = third_process();
  m.life = incarnation(23);
  join(m);
  EXPECT_THAT(w3.all<arm>(), SizeIs(1));
}

TEST_F(controller, an_event_that_ends_its_workers_fails) {
  max_attempts = 2;
  build();
  auto head = begin(simple_map(9));
  auto had = given().at(2);
  auto bury = [&](std::uint32_t worker, std::uint64_t process, std::vector<event_number> suspects) {
    auto from = head;
    from.from = incarnation(process);
    user.send(actor, obituary{from, worker_index(worker), std::move(suspects), "signal 11"});
  };
  bury(2, 21, {event_number(had[1])});
  EXPECT_THAT(reducer.all<give_up>(), IsEmpty()) << "once is no proof";
  lose(21);
  let_fence();
  auto moved = given();
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_EQ(moved.begin()->second, had);
  EXPECT_THAT(reducer.all<fence>(), IsEmpty()) << "a process is shut out once";
  bury(moved.begin()->first, 20, {event_number(had[1])});
  auto request = reducer.take_letter<give_up>();
  ASSERT_TRUE(request);
  auto slots = request->content.get_as<give_up>(0).slots;
  EXPECT_THAT(events_of(slots), ElementsAre(had[1]));
  EXPECT_EQ(slots[0].how, fate::failed);
  EXPECT_THAT(slots[0].cause, testing::AllOf(HasSubstr("2 workers"), HasSubstr("signal 11")));
  commit(head, had[1], 1, fate::failed, slots[0].cause);
  reducer.reply(*request, true);
  let_in_third();
  given();
  let_fence();
  for (auto& [worker, events] : given()) EXPECT_THAT(events, testing::Not(testing::Contains(had[1])));
}

TEST_F(controller, an_event_that_ends_its_workers_without_a_word_is_tried_alone_and_fails) {
  auto [head, had] = end_silently_at_the_second();
  std::map<std::uint64_t, std::uint32_t> given_to;
  for (auto& [worker, events] : given())
    for (auto e : events) given_to[e] = worker;
  auto suspect = had[2][1];
  EXPECT_TRUE(given_to.contains(had[2][0])) << "it was through with that one";
  ASSERT_TRUE(given_to.contains(suspect));
  EXPECT_FALSE(given_to.contains(had[2][2])) << "one at a time";
  EXPECT_THAT(reducer.all<give_up>(), IsEmpty()) << "once is no proof";
  ASSERT_LT(given_to[suspect], 2u);
  auto tried = last_alone;
  user.send(actor, trial{head, tried});
  ASSERT_THAT(user.all<trial>(), SizeIs(1));
  lose(20);
  let_fence();
  auto request = reducer.take_letter<give_up>();
  ASSERT_TRUE(request);
  auto slots = request->content.get_as<give_up>(0).slots;
  EXPECT_THAT(events_of(slots), ElementsAre(suspect));
  EXPECT_EQ(slots[0].how, fate::failed);
  EXPECT_THAT(slots[0].cause, HasSubstr("2 processes"));
}

TEST_F(controller, a_suspect_that_was_not_alone_yet_is_not_to_blame) {
  auto [head, had] = end_silently_at_the_second();
  given();
  lose(20);
  let_fence();
  EXPECT_THAT(reducer.all<give_up>(), IsEmpty()) << "its process ended before it could be processed";
  std::set<std::uint64_t> again;
  auto note = [&] {
    for (auto& [worker, events] : given()) again.insert(events.begin(), events.end());
  };
  note();
  // What had moved with it is a suspect too now, and lower.
  EXPECT_THAT(again,
              testing::AllOf(testing::Contains(had[2][0]), testing::Not(testing::Contains(had[2][1]))));
  user.send(actor, trial{head, last_alone});
  user.send(actor, trial{head, last_alone, trial::step::through});
  note();
  EXPECT_THAT(again, testing::Contains(had[2][1])) << "it is tried elsewhere";
}

TEST_F(controller, a_suspect_that_is_none_goes_on) {
  max_attempts = 2;
  build();
  auto head = begin(simple_map(9), 3);
  auto had = given();
  grant(head, 0, 3, 3);
  grant(head, 1, 3, 3);
  lose(21);
  let_fence();
  std::set<std::uint64_t> seen;
  for (int i = 0; i < 3; ++i) {
    auto next = given();
    ASSERT_THAT(next, SizeIs(1)) << "one at a time";
    auto& [worker, events] = *next.begin();
    ASSERT_THAT(events, SizeIs(1));
    seen.insert(events[0]);
    ASSERT_LT(worker, 2u);
    auto tried = last_alone;
    user.send(actor, trial{head, tried});
    auto leave = user.all<trial>();
    ASSERT_THAT(leave, SizeIs(1));
    EXPECT_EQ(leave[0].step, trial::step::go);
    EXPECT_EQ(leave[0].dispatch, tried);
    user.send(actor, trial{head, dispatch_id(tried.value + 100), trial::step::through});
    EXPECT_EQ(events_in(given()), 0u) << "that was another one";
    user.all<trial>();
    user.send(actor, trial{head, tried, trial::step::through});
    auto told = user.all<trial>();
    ASSERT_THAT(told, SizeIs(1));
    EXPECT_EQ(told[0].step, trial::step::known);
    EXPECT_EQ(told[0].dispatch, tried);
  }
  EXPECT_EQ(seen, std::set<std::uint64_t>(had[2].begin(), had[2].end()));
  commit(head, 0, 9);
  EXPECT_EQ(state().state, "draining");
}

TEST_F(controller, of_a_pair_that_cannot_reach_each_other_the_workers_are_given_up) {
  for (std::uint64_t other : {10, 30}) {
    SCOPED_TRACE(other);
    build();
    begin(simple_map(9));
    auto had = given().at(2);
    user.send(actor, unreachable{incarnation(21), incarnation(20)});
    user.send(actor, unreachable{incarnation(21), incarnation(99)});
    EXPECT_THAT(reducer.all<fence>(), IsEmpty()) << "these two need not talk";
    user.send(actor, unreachable{incarnation(other), incarnation(21)});
    user.send(actor, unreachable{incarnation(21), incarnation(other)});
    EXPECT_THAT(member2.all<renew>(), SizeIs(1)) << "it starts anew";
    EXPECT_THAT(let_fence(), ElementsAre(worker_index(2)));
    EXPECT_THAT(reducer.all<fence>(), IsEmpty());
    EXPECT_EQ(given().begin()->second, had);
    for (auto p : everybody()) p->letters.clear();
  }
}

// -- the reducer goes and comes

TEST_F(controller, waits_for_its_reducer) {
  auto head = begin(simple_map(40), 1);
  given();
  lose(30);
  EXPECT_EQ(state().state, "running");
  grant(head, 0, 8, 1);
  EXPECT_EQ(events_in(given()), 0u) << "nobody would fold it";
  w.advance(20s, 500ms);
  auto m = reducer_process();
  m.life = incarnation(31);
  join(m);
  auto request = reducer.take_letter<arm>();
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->content.get_as<arm>(0).resume);
  EXPECT_EQ(events_in(given()), 0u);
  reducer.reply(*request, armed{incarnation(31), 0, false, {}});
  EXPECT_GT(events_in(given()), 0u);
  w.advance(40s, 500ms);
  EXPECT_EQ(state().state, "running");
}

TEST_F(controller, a_reducer_that_stays_away_fails_the_scan) {
  auto head = begin(simple_map(10), 2);
  commit(head, 0, 3);
  for (auto p : everybody()) p->letters.clear();
  lose(30);
  w.advance(29s, 500ms);
  EXPECT_EQ(state().state, "running");
  w.advance(2s, 500ms);
  EXPECT_EQ(state().state, "failed");
  EXPECT_THAT(state().trouble, HasSubstr("the reducer is gone"));
  EXPECT_EQ(state().fates.at("folded"), 3u);
  EXPECT_EQ(state().fates.at("lost"), 7u);
  expect_adds_up(10);
  for (auto p : {&w0, &w1, &w2, &assembler1, &assembler2, &a, &b}) EXPECT_THAT(p->all<disarm>(), SizeIs(1));
  // Fates are final.
  commit(head, 3, 3);
  EXPECT_EQ(state().fates.at("folded"), 3u);
}

TEST_F(controller, a_reducer_that_cannot_take_the_scan_up_fails_it) {
  begin(simple_map(10), 2);
  lose(30);
  auto m = reducer_process();
  m.life = incarnation(31);
  join(m);
  reducer.answer<arm>(make_error(ec::unavailable, "the reducer keeps no journal"));
  EXPECT_EQ(state().state, "failed");
  EXPECT_EQ(state().trouble, "the reducer keeps no journal");
  expect_adds_up(10);
}

TEST_F(controller, a_reducer_that_comes_back_is_given_all_fences) {
  begin(simple_map(9));
  auto had = given().at(2);
  lose(30);
  lose(21);
  EXPECT_THAT(reducer.all<fence>(), IsEmpty());
  auto m = reducer_process();
  m.life = incarnation(31);
  join(m);
  auto request = reducer.take_letter<arm>();
  ASSERT_TRUE(request);
  EXPECT_TRUE(request->content.get_as<arm>(0).workers.at(2).gone);
  reducer.reply(*request, armed{incarnation(31), 0, true, {}});
  EXPECT_EQ(events_in(given()), 0u);
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(2)));
  EXPECT_EQ(given().begin()->second, had);
}

TEST_F(controller, a_fence_that_went_down_with_the_reducer_is_asked_for_again) {
  begin(simple_map(9));
  auto had = given().at(2);
  lose(21);
  lose(30);
  auto old = reducer.take_letter<fence>();
  ASSERT_TRUE(old);
  reducer.reply(*old, make_error(ec::unavailable, "gone"));
  auto m = reducer_process();
  m.life = incarnation(31);
  join(m);
  reducer.answer<arm>(armed{incarnation(31), 0, false, {}});
  let_fence();
  EXPECT_EQ(given().begin()->second, had);
}

TEST_F(controller, a_reducer_that_goes_while_draining_is_asked_to_finish_again) {
  auto head = begin(simple_map(3));
  commit(head, 0, 3);
  finish_workers();
  auto old = reducer.take_letter<finish_scan>();
  ASSERT_TRUE(old);
  lose(30);
  reducer.reply(*old, make_error(caf::sec::remote_linking_failed));
  EXPECT_EQ(state().state, "draining");
  auto m = reducer_process();
  m.life = incarnation(31);
  join(m);
  reducer.answer<arm>(armed{incarnation(31), 0, false, {}});
  auto again = reducer.take_letter<finish_scan>();
  ASSERT_TRUE(again);
  EXPECT_THAT(again->content.get_as<finish_scan>(0).workers, SizeIs(3));
  reducer.reply(*again, finished_scan{"/out.h5", {}, 0});
  EXPECT_EQ(state().state, "finished");
  EXPECT_EQ(state().output, "/out.h5");
  expect_adds_up(3);
}

TEST_F(controller, a_reducer_that_stays_away_while_draining_fails_the_scan) {
  auto head = begin(simple_map(3));
  commit(head, 0, 3);
  finish_workers();
  lose(30);
  w.advance(31s, 500ms);
  EXPECT_EQ(state().state, "failed");
  EXPECT_EQ(state().fates.at("folded"), 3u) << "what was committed stays so";
  expect_adds_up(3);
}

TEST_F(controller, a_worker_that_goes_while_draining_is_not_waited_for) {
  auto head = begin(simple_map(3));
  commit(head, 0, 3);
  w0.answer<finish_worker>(finished_worker{worker_index(0), 1, ""});
  w1.answer<finish_worker>(finished_worker{worker_index(1), 1, ""});
  lose(21);
  auto request = reducer.take_letter<finish_scan>();
  ASSERT_TRUE(request);
  EXPECT_THAT(request->content.get_as<finish_scan>(0).workers, SizeIs(2));
  reducer.reply(*request, finished_scan{});
  EXPECT_EQ(state().state, "finished");
  EXPECT_THAT(to_json(ledger()), HasSubstr("w2 is gone"));
}

// -- an ingester goes and comes

TEST_F(controller, an_ingester_that_goes_moves_nothing) {
  auto head = begin(simple_map(9));
  given();
  lose(10);
  EXPECT_EQ(state().state, "running");
  EXPECT_THAT(reducer.all<fence>(), IsEmpty());
  EXPECT_EQ(events_in(given()), 0u);
  commit(head, 0, 9);
  EXPECT_EQ(state().state, "draining") << "what was sent stays good";
}

TEST_F(controller, another_ingester_takes_a_stream_up_where_it_is_open) {
  auto head = begin(simple_map(9));
  auto had = given();
  arm_place place{.start = 0, .first = 1, .series = 5};
  auto from = head;
  from.from = incarnation(10);
  user.send(actor, stream_began{from, stream_index(0), place});
  commit(head, 0, 2);
  lose(10);
  for (auto p : {&a, &b}) p->letters.clear();
  auto m = ingesters_process();
  m.life = incarnation(11);
  join(m);
  auto request = a.take_letter<arm>();
  ASSERT_TRUE(request);
  auto order = request->content.get_as<arm>(0);
  EXPECT_TRUE(order.resume);
  EXPECT_EQ(order.from.first, stream_position(2)) << "what has ended is not wanted any more";
  EXPECT_EQ(order.from.arm, place);
  EXPECT_EQ(order.entries, 9u);
  a.reply(*request, armed{incarnation(11), 0, false, {}});
  auto told = a.expect<assignments>();
  EXPECT_EQ(told.previous, dispatch_id()) << "it has none before it";
  std::vector<std::uint64_t> kept;
  for (auto& run : told.runs) {
    EXPECT_TRUE(run.keep);
    EXPECT_THAT(run.targets, IsEmpty());
    for (std::uint32_t i = 0; i < run.events.count; ++i) kept.push_back(run.events.at(i).value);
  }
  EXPECT_THAT(kept, ElementsAre(2, 3, 4, 5, 6, 7, 8));
  std::set<std::string> expected, asked;
  for (auto& [worker, events] : had)
    for (auto e : events)
      if (e >= 2) expected.insert(std::to_string(e) + " to " + std::to_string(worker / 2));
  for (auto& text : repeats_in({told})) asked.insert(text);
  EXPECT_EQ(asked, expected);
  EXPECT_EQ(a.expect<forget>().events.at(0), (event_range{event_number(0), event_number(2)}));
}

TEST_F(controller, an_ingester_that_was_cut_off_is_told_what_it_missed) {
  auto head = begin(simple_map(30), 2);
  dispatch_id last;
  auto first = told(a, last);
  given();
  auto from = head;
  from.from = incarnation(10);
  user.send(actor, taken{from, stream_index(0), last});
  user.send(actor, taken{from, stream_index(1), last});
  lose(10);
  // Work goes on: the queues of what is away fill up later.
  grant(head, 0, 8, 2);
  grant(head, 1, 8, 2);
  auto meanwhile = given();
  EXPECT_THAT(a.all<assignments>(), IsEmpty());
  join(ingesters_process());
  a.answer<arm>(armed{incarnation(10), 0, true, last});
  std::set<std::uint64_t> events;
  for (auto& m : told(a, last))
    for (auto& run : m.runs)
      for (std::uint32_t i = 0; i < run.events.count; ++i) events.insert(run.events.at(i).value);
  std::set<std::uint64_t> expected;
  for (auto& [worker, list] : meanwhile) expected.insert(list.begin(), list.end());
  EXPECT_EQ(events, expected);
  EXPECT_FALSE(expected.empty());
}

TEST_F(controller, an_ingester_that_stays_away_stops_the_scan) {
  auto head = begin(simple_map(12), 2);
  auto had = given();
  lose(10);
  w.advance(29s, 500ms);
  EXPECT_EQ(state().completed_events, 0u);
  w.advance(2s, 500ms);
  EXPECT_THAT(state().trouble, testing::AllOf(HasSubstr("stream 'a'"), HasSubstr("its ingester is gone")));
  // What was given out and waits for it is lost: the assemblers are told in its place.
  for (auto assembler : {&assembler1, &assembler2}) {
    std::set<std::uint64_t> lost;
    for (auto& m : assembler->all<partial_events>())
      for (auto& e : m.entries) {
        ASSERT_TRUE(e.missing);
        EXPECT_EQ(e.missing->how, fate::lost);
        EXPECT_FALSE(e.data);
        lost.insert(e.event.value);
      }
    std::set<std::uint64_t> expected;
    for (auto& [worker, events] : had)
      if ((worker < 2) == (assembler == &assembler1)) expected.insert(events.begin(), events.end());
    EXPECT_EQ(lost, expected);
  }
  commit(head, 0, 6, fate::lost, "gone");
  finish_workers();
  reducer.answer<finish_scan>(finished_scan{});
  EXPECT_EQ(state().state, "stopped");
  expect_adds_up(12);
}

TEST_F(controller, an_ingester_that_lost_messages_is_told_them_again) {
  auto head = begin(simple_map(30), 2);
  dispatch_id last;
  auto first = told(a, last);
  ASSERT_THAT(first, SizeIs(1));
  auto from = head;
  from.from = incarnation(10);
  grant(head, 0, 4, 2);
  grant(head, 1, 4, 2);
  auto second = told(a, last);
  ASSERT_FALSE(second.empty());
  // One stream has taken all of it, and the other nothing: its connection broke.
  user.send(actor, taken{from, stream_index(0), last});
  lose(10);
  for (auto p : {&a, &b}) p->letters.clear();
  join(ingesters_process());
  a.answer<arm>(armed{incarnation(10), 0, true, first[0].dispatch});
  b.answer<arm>(armed{incarnation(10), 0, true, {}});
  last = first[0].dispatch;
  EXPECT_EQ(told(a, last).size(), second.size()) << "what it has not got, whatever was said before";
  last = {};
  EXPECT_EQ(told(b, last).size(), 1 + second.size());
}

TEST_F(controller, who_introduces_itself_again_has_lost_its_connection) {
  begin(simple_map(9));
  auto had = given().at(2);
  join(ingesters_process());
  EXPECT_TRUE(a.expect<arm>().resume);
  EXPECT_TRUE(b.expect<arm>().resume);
  join(second_process());
  EXPECT_THAT(member2.all<renew>(), SizeIs(1));
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(2)));
  EXPECT_EQ(given().begin()->second, had);
}

// -- its own restart

TEST_F(controller, a_restart_takes_the_scan_up) {
  keep_journal();
  auto head = begin(simple_map(30), 3);
  auto had = given();
  commit(head, 0, 4);
  restart();
  auto p = state();
  EXPECT_EQ(p.scan, to_string(head.scan));
  EXPECT_EQ(p.state, "running");
  EXPECT_EQ(p.last_assigned, 9u);
  EXPECT_EQ(p.total_events, 30u);
  join_all();
  for (auto x : everybody()) {
    auto order = x->letters.front().content.get_as<arm>(0);
    EXPECT_TRUE(order.resume);
    EXPECT_EQ(order.head.scan, head.scan);
    EXPECT_EQ(order.head.from, incarnation(2));
  }
  // Everybody has what was sent but for one, whose last message was lost.
  auto last = dispatch_id(1);
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  commit(head, 0, 4);
  assembler2.answer<arm>(armed{incarnation(21), 0, true, last});
  assembler1.answer<arm>(armed{incarnation(20), 0, true, {}});
  a.answer<arm>(armed{incarnation(10), 0, true, last});
  EXPECT_THAT(a.all<assignments>(), IsEmpty());
  b.answer<arm>(armed{incarnation(10), 0, true, {}});
  EXPECT_THAT(b.expect<assignments>().dispatch, last);
  auto again = given();
  // What has ended is not needed.
  for (auto worker : {0u, 1u}) std::erase_if(had[worker], [](auto event) { return event < 4; });
  EXPECT_EQ(again[0], had[0]);
  EXPECT_EQ(again[1], had[1]);
  EXPECT_THAT(again[2], IsEmpty()) << "it has them";
  EXPECT_EQ(state().completed_events, 4u);
  for (std::uint32_t i = 0; i < 3; ++i) grant(head, i, 6, 3);
  auto next = given();
  EXPECT_EQ(events_in(next), 9u);
  std::set<std::uint64_t> fresh;
  for (auto& [worker, events] : next) fresh.insert(events.begin(), events.end());
  EXPECT_EQ(*fresh.begin(), 9u) << "nothing is given out twice";
}

TEST_F(controller, a_restart_gives_out_nothing_before_all_are_back) {
  keep_journal();
  auto head = begin(simple_map(30), 3);
  given();
  restart();
  join_all();
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  a.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  b.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  assembler1.answer<arm>(armed{incarnation(20), 0, true, dispatch_id(1)});
  for (std::uint32_t i = 0; i < 2; ++i) grant(head, i, 9, 3);
  EXPECT_EQ(events_in(given()), 0u);
  assembler2.answer<arm>(armed{incarnation(21), 0, true, dispatch_id(1)});
  EXPECT_GT(events_in(given()), 0u);
}

TEST_F(controller, a_restart_does_not_end_a_scan_before_all_are_back) {
  keep_journal();
  auto head = begin(simple_map(9));
  restart();
  for (auto& m : {ingesters_process(), reducer_process()}) join(m);
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  commit(head, 0, 9);
  EXPECT_EQ(state().state, "running") << "workers may have something to say at the end";
  for (auto& m : {first_process(), second_process()}) join(m);
  a.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  b.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  assembler1.answer<arm>(armed{incarnation(20), 0, true, dispatch_id(1)});
  assembler2.answer<arm>(armed{incarnation(21), 0, true, dispatch_id(1)});
  EXPECT_EQ(state().state, "draining");
  for (auto p : {&w0, &w1, &w2}) EXPECT_THAT(p->all<finish_worker>(), SizeIs(1));
}

TEST_F(controller, who_is_back_after_a_restart_is_told_from_where_it_stands) {
  keep_journal();
  auto head = begin(simple_map(30), 3);
  auto last = assembler2.all<dispatches>().back().dispatch;
  restart();
  join_all();
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  a.answer<arm>(armed{incarnation(10), 0, true, last});
  b.answer<arm>(armed{incarnation(10), 0, true, last});
  assembler1.answer<arm>(armed{incarnation(20), 0, true, last});
  assembler2.answer<arm>(armed{incarnation(21), 0, true, last});
  EXPECT_EQ(events_in(given()), 0u);
  for (std::uint32_t i = 0; i < 3; ++i) grant(head, i, 9, 3);
  for (auto p : {&assembler1, &assembler2}) {
    auto next = p->expect<dispatches>();
    EXPECT_EQ(next.previous, last);
    EXPECT_GT(next.dispatch, last);
  }
  auto previous = last;
  EXPECT_THAT(told(a, previous), testing::Not(IsEmpty()));
}

TEST_F(controller, who_does_not_come_back_after_a_restart_is_gone) {
  keep_journal();
  begin(simple_map(9));
  auto had = given().at(2);
  restart();
  for (auto& m : {ingesters_process(), first_process(), reducer_process()}) join(m);
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  a.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  b.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  assembler1.answer<arm>(armed{incarnation(20), 0, true, dispatch_id(1)});
  w.advance(29s, 500ms);
  EXPECT_THAT(reducer.all<fence>(), IsEmpty());
  w.advance(2s, 500ms);
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(2)));
  EXPECT_EQ(given().begin()->second, had);
}

TEST_F(controller, a_process_that_forgot_the_scan_is_gone_after_a_restart) {
  keep_journal();
  begin(simple_map(9));
  auto had = given().at(2);
  restart();
  join_all();
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  a.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  b.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  assembler1.answer<arm>(armed{incarnation(20), 0, true, dispatch_id(1)});
  assembler2.answer<arm>(armed{incarnation(21), 8, false, {}});
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(2)));
  EXPECT_EQ(given().begin()->second, had);
}

TEST_F(controller, a_restart_remembers_what_was_moved) {
  keep_journal();
  begin(simple_map(9));
  given();
  lose(21);
  let_fence();
  auto moved = given();
  auto to = moved.begin()->first;
  restart();
  for (auto& m : {ingesters_process(), first_process(), reducer_process()}) join(m);
  EXPECT_TRUE(reducer.letters.front().content.get_as<arm>(0).workers.at(2).gone);
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  while (auto f = reducer.take_letter<fence>()) reducer.reply(*f, true);
  assembler1.answer<arm>(armed{incarnation(20), 0, true, dispatch_id(1)});
  auto again = given();
  ASSERT_THAT(again, SizeIs(1));
  EXPECT_EQ(again.at(to), moved.at(to)) << "it was sent, and not taken";
}

TEST_F(controller, what_a_death_left_moves_once_it_is_known_who_is_back) {
  keep_journal();
  begin(simple_map(9));
  auto had = given().at(2);
  lose(21);
  restart();
  join(reducer_process());
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  EXPECT_THAT(let_fence(), ElementsAre(worker_index(2)));
  join(first_process());
  assembler1.answer<arm>(armed{incarnation(20), 0, true, dispatch_id(1)});
  join(ingesters_process());
  a.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  b.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  auto moved = given();
  ASSERT_THAT(moved, SizeIs(1));
  EXPECT_EQ(moved.begin()->second, had);
  w.advance(40s, 500ms);
  EXPECT_THAT(reducer.all<give_up>(), IsEmpty());
}

TEST_F(controller, a_restart_remembers_where_an_arm_lies) {
  keep_journal();
  auto head = begin(simple_map(9));
  arm_place place{.start = 0, .first = 1, .series = 5};
  auto from = head;
  from.from = incarnation(10);
  user.send(actor, stream_began{from, stream_index(1), place});
  restart();
  join(ingesters_process());
  EXPECT_EQ(b.expect<arm>().from.arm, place);
}

TEST_F(controller, a_restart_remembers_a_stop) {
  keep_journal();
  begin(simple_map(30), 3);
  stop();
  restart();
  EXPECT_EQ(state().trouble, "stopped on request");
  EXPECT_EQ(state().fates.at("lost"), 21u);
  join_all();
  a.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(1)});
  EXPECT_EQ(a.expect<halt>().cause, "stopped on request");
}

TEST_F(controller, what_lapsed_ends_although_it_was_started_again) {
  keep_journal();
  join_all();
  post(simple_map(2), true);
  auto head = arm_everybody();
  lose(21);
  let_fence();
  ASSERT_TRUE(reducer.take_letter<give_up>()) << "that went down with it";
  restart();
  for (auto& m : {ingesters_process(), first_process(), reducer_process()}) join(m);
  reducer.answer<arm>(armed{incarnation(30), 0, true, {}});
  assembler1.answer<arm>(armed{incarnation(20), 0, true, dispatch_id(9)});
  a.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(9)});
  b.answer<arm>(armed{incarnation(10), 0, true, dispatch_id(9)});
  while (auto f = reducer.take_letter<fence>()) reducer.reply(*f, true);
  EXPECT_THAT(events_in(given()), 0u);
  auto request = reducer.take_letter<give_up>();
  ASSERT_TRUE(request) << "nobody would end that slot any more";
  EXPECT_THAT(events_of(request->content.get_as<give_up>(0).slots), ElementsAre(0, 3));
  (void)head;
}

TEST_F(controller, a_scan_that_is_over_leaves_no_journal) {
  keep_journal();
  auto head = begin(simple_map(3));
  EXPECT_THAT(journals->names(), SizeIs(1));
  commit(head, 0, 3);
  finish_workers();
  reducer.answer<finish_scan>(finished_scan{});
  EXPECT_THAT(journals->names(), IsEmpty());
  restart();
  EXPECT_EQ(state().state, "idle");
}

TEST_F(controller, a_journal_that_cannot_be_read_is_no_scan) {
  keep_journal();
  begin(simple_map(3));
  journals->only().records.front().content.resize(5);
  restart();
  EXPECT_EQ(state().state, "idle");
  join_all();
  EXPECT_TRUE(post(simple_map(3)).open());
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

TEST_F(controller, status_lists_the_last_thousand_of_a_long_scan) {
  auto head = begin(simple_map(5000), 4000);
  commit(head, 0, 1500);
  auto answer = user.ask<value>(actor, status_atom::value);
  w.advance(1100ms);
  auto& list = *answer.get().find("completed_events")->as_list();
  ASSERT_THAT(list, SizeIs(1000));
  EXPECT_EQ(list.front(), value(500u));
  EXPECT_EQ(list.back(), value(1499u));
}

TEST_F(controller, load_says_how_busy_workers_were_over_the_last_events) {
  auto ask = [&](value_list intervals, bool whole) {
    return user.ask<value>(actor, load_atom::value, value(std::move(intervals)), whole).get();
  };
  EXPECT_EQ(ask({1}, true), value(value_map{})) << "before the first scan";
  auto head = begin(simple_map(9), 8);
  EXPECT_EQ(ask({1}, true), value(value_map{})) << "nobody has reported anything";
  auto report = [&](std::uint64_t through, std::uint64_t busy) {
    auto m = head;
    m.from = incarnation(20);
    user.send(actor, credit{m, {{worker_index(0), 8, through, busy}}});
  };
  w.advance(1s);
  report(2, 300'000'000);
  commit(head, 0, 6);
  w.advance(500ms);
  report(3, 400'000'000);
  auto all = ask({1, 1000}, true);
  ASSERT_EQ(all.as_map()->size(), 1u);
  auto& load = all.as_map()->begin()->second;
  EXPECT_EQ(*load.find("last_event"), value(6u));
  auto span = [&](const char* interval, const char* key) {
    return *load.find("intervals")->find(interval)->find(key)->as_number();
  };
  EXPECT_NEAR(span("1", "total"), 0.5, 1e-6);
  EXPECT_NEAR(span("1", "active"), 0.1, 1e-6);
  EXPECT_EQ(span("1", "events"), 1);
  for (auto interval : {"1000", "scan"}) {
    EXPECT_NEAR(span(interval, "total"), 1.5, 1e-6);
    EXPECT_NEAR(span(interval, "active"), 0.4, 1e-6);
    EXPECT_EQ(span(interval, "events"), 3);
  }
  EXPECT_EQ(ask({}, false).as_map()->begin()->second.find("intervals")->find("scan"), nullptr);
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
