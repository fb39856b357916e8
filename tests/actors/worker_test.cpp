/// One worker between probes: an assembler that hands it events, a reducer and a controller.
#include "actors/worker.hpp"

#include "actors/fixture.hpp"
#include "protocol/stins.hpp"

namespace dtranspose {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

/// An image of one pixel.
stream_data pixel(std::uint16_t x) {
  std::string header;
  std::size_t shape[] = {1, 1};
  write_stins_image(header, 1, {.frame = 0, .shape = shape});
  return memory_frames::of(stins_type_tag, {header, {reinterpret_cast<char*>(&x), 2}});
}

class worker : public testing::Test {
 protected:
  void build() {
    actor = w.own(spawn_worker(w.system(), {.name = "w1", .life = incarnation(20), .around = w.around()}));
    w.run();
  }

  void introduce_reducer() {
    member_info info;
    info.life = incarnation(30);
    info.reducer = reducer.handle;
    controller.send(actor, info);
  }

  static arm order(std::string analysis, std::uint64_t scan = 1) {
    return {.head = head_of(scan),
            .events = 10'000,
            .streams = {"det"},
            .analysis = std::move(analysis),
            .version = parameters_version(6),
            .worker = worker_index(1)};
  }

  void ready(const std::string& analysis, std::map<std::string, std::string> parameters = {}) {
    build();
    introduce_reducer();
    auto m = order(analysis);
    m.parameters = std::move(parameters);
    EXPECT_EQ(controller.ask<armed>(actor, m).get().from, incarnation(20));
  }

  /// Hands over events with one stream's data each.
  void give(std::uint64_t begin, std::vector<stream_data> data, std::uint64_t scan = 1, std::uint32_t gen = 1,
            std::uint64_t life = 20) {
    auto batch = std::make_shared<joined_batch>();
    for (auto& d : data) {
      auto place = static_cast<std::uint32_t>(batch->entries.size());
      batch->events.push_back({event_number(begin++), slot_index(2), 3, dispatch_id(1), place, 1});
      batch->entries.push_back({stream_index(0), std::move(d)});
    }
    assembler.send(actor, events{scan_id{scan, scan}, generation(gen), incarnation(life), batch});
  }

  std::uint64_t status(std::string_view key) {
    return number_in(controller.ask<value>(actor, status_atom::value).get(), {key});
  }

  world w;
  probe controller{w}, assembler{w}, reducer{w};
  caf::actor actor;
};

TEST_F(worker, arms_when_the_reducer_is_connected) {
  build();
  auto answer = controller.ask<armed>(actor, order("none"));
  EXPECT_TRUE(answer.open());
  introduce_reducer();
  EXPECT_EQ(answer.get().from, incarnation(20));
}

TEST_F(worker, refuses_analyses_and_parameters_that_cannot_be_used) {
  build();
  introduce_reducer();
  auto answer = controller.ask<armed>(actor, order("no_such"));
  EXPECT_EQ(answer.code(), ec::bad_analysis);
  EXPECT_THAT(answer.error(), HasSubstr("no_such"));
  EXPECT_THAT(answer.error(), HasSubstr("w1"));
  auto m = order("roi");
  m.parameters = {{"rows", "x"}};
  EXPECT_THAT(controller.ask<armed>(actor, m).error(), HasSubstr("rows"));
  m.parameters = {{"nothing", "x"}};
  EXPECT_THAT(controller.ask<armed>(actor, m).error(), HasSubstr("nothing"));
  EXPECT_FALSE(controller.ask<armed>(actor, order("roi", 2)).open()) << "a good one is taken afterwards";
}

TEST_F(worker, the_same_refusal_comes_when_it_had_to_wait) {
  build();
  auto answer = controller.ask<armed>(actor, order("no_such"));
  introduce_reducer();
  EXPECT_EQ(answer.code(), ec::bad_analysis);
}

TEST_F(worker, results_name_their_slots) {
  ready("roi");
  give(5, {pixel(7), pixel(9)});
  auto m = reducer.expect<results>();
  EXPECT_EQ(m.head.from, incarnation(20));
  EXPECT_EQ(m.worker, worker_index(1));
  EXPECT_EQ(m.version, parameters_version(6));
  EXPECT_EQ(m.sequence, 0u);
  ASSERT_EQ(m.mapped.mapped.size(), 2u);
  EXPECT_EQ(m.mapped.mapped[1].slots, (slot_run{{event_number(6), 1, 1}, slot_index(2), 3}));
  EXPECT_EQ(*m.mapped.mapped[1].content.find("mean")->as_number(), 9.0);
  auto p = assembler.expect<processed>();
  EXPECT_EQ(p.worker, worker_index(1));
  EXPECT_EQ(p.count, 2u);
  EXPECT_GT(p.bytes, 0u);
  give(7, {pixel(1)});
  EXPECT_EQ(reducer.expect<results>().sequence, 1u);
  EXPECT_EQ(status("events"), 3u);
}

TEST_F(worker, says_which_parameters_its_results_were_made_with) {
  ready("roi", {{"rows", "0:1"}});
  give(0, {pixel(7)});
  auto change = [&](std::uint64_t version, const char* rows) {
    return controller.ask<parameters_version>(
        actor, change_parameters{head_of(), parameters_version(version), {{"rows", rows}}});
  };
  EXPECT_EQ(change(8, "0:2").get(), parameters_version(8));
  give(1, {pixel(7)});
  EXPECT_EQ(change(9, "nonsense").get(), parameters_version(8)) << "it goes on with those of before";
  give(2, {pixel(7)});
  EXPECT_EQ(change(7, "0:1").get(), parameters_version(8)) << "an older one came late";
  std::vector<std::uint64_t> versions;
  for (auto& m : reducer.all<results>()) versions.push_back(m.version.value);
  EXPECT_THAT(versions, ElementsAre(6, 8, 8));
  auto m = order("roi");
  m.resume = true;
  m.version = parameters_version(10);
  m.parameters = {{"rows", "0:1"}};
  EXPECT_TRUE(controller.ask<armed>(actor, m).get().known);
  give(3, {pixel(7)});
  EXPECT_EQ(reducer.expect<results>().version, parameters_version(10)) << "it learns of them when it is back";
}

TEST_F(worker, nothing_is_told_as_runs) {
  ready("none");
  give(0, {pixel(1), pixel(2), pixel(3)});
  auto m = reducer.expect<results>();
  EXPECT_THAT(m.mapped.mapped, IsEmpty());
  ASSERT_EQ(m.mapped.empty.size(), 1u);
  EXPECT_EQ(m.mapped.empty[0].events, (event_run{event_number(0), 3, 1}));
}

TEST_F(worker, what_throws_costs_its_own_event) {
  ready("roi", {{"rows", "0:1"}});
  give(0, {pixel(1),
           memory_frames::of(
               stins_type_tag,
               {R"({"htype":"image","frame":1,"shape":[0,4],"type":"uint16","compression":"none"})", ""}),
           pixel(3)});
  auto m = reducer.expect<results>();
  EXPECT_EQ(m.mapped.mapped.size(), 2u);
  ASSERT_EQ(m.mapped.failed.size(), 1u);
  EXPECT_EQ(m.mapped.failed[0].slots.events.first, event_number(1));
  EXPECT_NE(m.mapped.failed[0].cause, "");
  EXPECT_EQ(assembler.expect<processed>().count, 3u);
}

TEST_F(worker, deferred_events_are_flushed_on_request) {
  ready("sum");
  give(0, {pixel(1), pixel(2)});
  give(3, {pixel(4)});
  EXPECT_THAT(reducer.all<results>(), IsEmpty());
  EXPECT_EQ(assembler.all<processed>().size(), 2u) << "credit does not wait for the flush";
  EXPECT_EQ(status("deferred"), 3u);
  controller.send(actor, flush{head_of(2)});
  EXPECT_THAT(reducer.all<results>(), IsEmpty());
  controller.send(actor, flush{head_of()});
  auto m = reducer.expect<results>();
  ASSERT_EQ(m.mapped.mapped.size(), 1u);
  auto& r = m.mapped.mapped[0];
  EXPECT_EQ(r.slots.events.count + (r.more.empty() ? 0 : r.more[0].events.count), 3u);
  EXPECT_EQ(*r.content.find("frames")->as_number(), 3.0);
  EXPECT_EQ(status("deferred"), 0u);
  controller.send(actor, flush{head_of()});
  EXPECT_THAT(reducer.all<results>(), IsEmpty()) << "nothing is deferred any more";
}

TEST_F(worker, deferred_events_are_flushed_after_a_while) {
  ready("sum");
  give(0, {pixel(1)});
  w.advance(900ms);
  EXPECT_THAT(reducer.all<results>(), IsEmpty());
  w.advance(200ms);
  EXPECT_EQ(reducer.all<results>().size(), 1u);
  give(1, {pixel(1)});
  w.advance(1100ms);
  EXPECT_EQ(reducer.all<results>().size(), 1u) << "every time anew";
}

TEST_F(worker, deferred_events_are_flushed_when_they_are_many) {
  ready("sum");
  give(0, std::vector<stream_data>(4095, pixel(1)));
  EXPECT_THAT(reducer.all<results>(), IsEmpty());
  give(4095, {pixel(1)});
  EXPECT_EQ(reducer.expect<results>().mapped.mapped.at(0).slots.events.count, 4096u);
}

TEST_F(worker, finish_flushes_and_counts_its_messages) {
  ready("sum");
  give(0, {pixel(1)});
  controller.send(actor, flush{head_of()});
  give(1, {pixel(1)});
  auto m = controller.ask<finished_worker>(actor, finish_worker{head_of()}).get();
  EXPECT_EQ(m.worker, worker_index(1));
  EXPECT_EQ(m.results, 2u);
  EXPECT_EQ(m.complaint, "");
  EXPECT_EQ(reducer.all<results>().size(), 2u);
}

TEST_F(worker, an_idle_worker_finishes_with_no_message) {
  ready("none");
  EXPECT_EQ(controller.ask<finished_worker>(actor, finish_worker{head_of()}).get().results, 0u);
  EXPECT_EQ(controller.ask<finished_worker>(actor, finish_worker{head_of(2)}).code(), ec::superseded);
}

TEST_F(worker, messages_of_another_scan_or_generation_are_ignored) {
  ready("roi");
  give(0, {pixel(1)}, 2);
  give(0, {pixel(1)}, 1, 2);
  controller.send(actor, disarm{head_of(2)});
  EXPECT_THAT(reducer.all<results>(), IsEmpty());
  EXPECT_THAT(assembler.all<processed>(), IsEmpty());
  give(0, {pixel(1)});
  EXPECT_EQ(reducer.all<results>().size(), 1u);
}

TEST_F(worker, nothing_of_a_scan_is_left_in_the_next) {
  ready("sum");
  give(0, {pixel(100)});
  controller.send(actor, disarm{head_of()});
  give(1, {pixel(100)});
  EXPECT_FALSE(controller.ask<armed>(actor, order("sum", 2)).open());
  give(0, {pixel(1)}, 2);
  controller.send(actor, flush{head_of(2)});
  auto m = reducer.expect<results>();
  EXPECT_EQ(m.sequence, 0u);
  EXPECT_EQ(m.head.scan, (scan_id{2, 2}));
  EXPECT_EQ(*m.mapped.mapped.at(0).content.find("frames")->as_number(), 1.0);
}

TEST_F(worker, keeps_count_of_what_was_accepted) {
  ready("none");
  give(0, {pixel(1)});
  give(1, {pixel(1)});
  EXPECT_EQ(status("unaccepted_results"), 2u);
  controller.send(actor, accepted{head_of(), 0});
  controller.send(actor, accepted{head_of(2), 1});
  EXPECT_EQ(status("unaccepted_results"), 1u);
  controller.send(actor, accepted{head_of(), 1});
  EXPECT_EQ(status("unaccepted_results"), 0u);
}

/// The numbers of the results that a reducer got since it was last asked.
std::vector<std::uint64_t> numbers(probe& reducer) {
  std::vector<std::uint64_t> list;
  for (auto& m : reducer.all<results>()) list.push_back(m.sequence);
  return list;
}

TEST_F(worker, sends_what_was_not_accepted_again_from_where_it_is_asked) {
  ready("roi");
  for (std::uint64_t e = 0; e < 4; ++e) give(e, {pixel(static_cast<std::uint16_t>(e))});
  EXPECT_THAT(numbers(reducer), ElementsAre(0, 1, 2, 3));
  reducer.send(actor, accepted{head_of(), 0});
  reducer.send(actor, resend{head_of(), 2});
  auto list = reducer.all<results>();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].sequence, 2u);
  EXPECT_EQ(list[0].mapped.mapped.at(0).slots.events.first, event_number(2)) << "the same once more";
  EXPECT_EQ(status("unaccepted_results"), 3u) << "what it has may not be on disk yet: only accepted lets go";
  reducer.send(actor, resend{head_of(), 2});
  EXPECT_THAT(numbers(reducer), ElementsAre(2, 3)) << "as often as it is asked";
  reducer.send(actor, resend{head_of(2), 0});
  EXPECT_THAT(numbers(reducer), IsEmpty());
  give(4, {pixel(4)});
  EXPECT_THAT(numbers(reducer), ElementsAre(4));
}

TEST_F(worker, results_wait_for_a_reducer_that_is_away) {
  ready("roi");
  controller.send(actor, departed{incarnation(30)});
  give(0, {pixel(1)});
  give(1, {pixel(1)});
  EXPECT_THAT(numbers(reducer), IsEmpty());
  EXPECT_EQ(assembler.all<processed>().size(), 2u);
  probe other{w};
  member_info info;
  info.life = incarnation(31);
  info.reducer = other.handle;
  controller.send(actor, info);
  EXPECT_THAT(numbers(other), IsEmpty()) << "it says what it lacks";
  other.send(actor, resend{head_of(), 0});
  EXPECT_THAT(numbers(other), ElementsAre(0, 1));
  give(2, {pixel(1)});
  EXPECT_THAT(numbers(other), ElementsAre(2));
  // Who asks is the reducer, however it is reached.
  probe third{w};
  third.send(actor, resend{head_of(), 1});
  give(3, {pixel(1)});
  EXPECT_THAT(numbers(third), ElementsAre(1, 2, 3));
  EXPECT_THAT(numbers(other), IsEmpty());
}

TEST_F(worker, who_was_given_up_throws_its_state_away) {
  ready("sum");
  give(0, {pixel(1)});
  controller.send(actor, flush{head_of()});
  EXPECT_EQ(numbers(reducer).size(), 1u);
  give(1, {pixel(1)});
  controller.send(actor, renew{incarnation(21)});
  controller.send(actor, flush{head_of()});
  reducer.send(actor, resend{head_of(), 0});
  EXPECT_THAT(numbers(reducer), IsEmpty()) << "somebody else does that";
  EXPECT_EQ(controller.ask<finished_worker>(actor, finish_worker{head_of()}).code(), ec::superseded);
  auto m = order("sum");
  m.resume = true;
  auto answer = controller.ask<armed>(actor, m).get();
  EXPECT_FALSE(answer.known);
  EXPECT_EQ(answer.from, incarnation(21));
  assembler.all<processed>();
  give(2, {pixel(1)});
  EXPECT_THAT(assembler.all<processed>(), IsEmpty()) << "that was handed to the one before";
  give(2, {pixel(1)}, 1, 1, 21);
  EXPECT_EQ(assembler.expect<processed>().life, incarnation(21));
  controller.send(actor, flush{head_of()});
  auto r = reducer.expect<results>();
  EXPECT_EQ(r.head.from, incarnation(21));
  EXPECT_EQ(r.sequence, 0u);
  EXPECT_EQ(*r.mapped.mapped.at(0).content.find("frames")->as_number(), 1.0);
}

TEST_F(worker, an_arm_of_the_scan_in_hand_changes_nothing_of_it) {
  ready("sum");
  give(0, {pixel(1)});
  auto m = order("sum");
  m.resume = true;
  EXPECT_TRUE(controller.ask<armed>(actor, m).get().known);
  EXPECT_EQ(status("deferred"), 1u);
  EXPECT_FALSE(controller.ask<armed>(actor, order("sum", 2)).get().known);
  EXPECT_EQ(status("deferred"), 0u);
}

TEST_F(worker, says_again_that_it_is_finished) {
  ready("sum");
  give(0, {pixel(1)});
  auto first = controller.ask<finished_worker>(actor, finish_worker{head_of()}).get();
  EXPECT_EQ(first.results, numbers(reducer).size());
  give(1, {pixel(1)});
  auto again = controller.ask<finished_worker>(actor, finish_worker{head_of()}).get();
  EXPECT_EQ(again.results, first.results);
  EXPECT_EQ(again.worker, first.worker);
  EXPECT_THAT(numbers(reducer), IsEmpty()) << "its last result is one";
  EXPECT_FALSE(controller.ask<armed>(actor, order("none", 2)).open());
  EXPECT_EQ(controller.ask<finished_worker>(actor, finish_worker{head_of(2)}).get().results, 0u);
}

TEST_F(worker, what_it_only_looks_at_has_no_result) {
  ready("roi");
  auto batch = std::make_shared<joined_batch>();
  batch->events.push_back({event_number(0), slot_index(0), 0, dispatch_id(1), 0, 1});
  batch->events.push_back({event_number(1), slot_index(0), 1, dispatch_id(1), 1, 1});
  for (auto x : {1, 2}) batch->entries.push_back({stream_index(0), pixel(static_cast<std::uint16_t>(x))});
  assembler.send(actor, events{scan_id{1, 1}, generation(1), incarnation(20), batch});
  auto m = reducer.expect<results>();
  ASSERT_EQ(m.mapped.mapped.size(), 1u);
  EXPECT_EQ(m.mapped.mapped[0].slots.events.first, event_number(1));
  EXPECT_TRUE(m.mapped.empty.empty() && m.mapped.failed.empty());
  EXPECT_EQ(assembler.expect<processed>().count, 2u) << "it costs credit";
}

#ifdef DTRANSPOSE_TEST_PLUGIN
TEST_F(worker, runs_a_plugin) {
  ready(DTRANSPOSE_TEST_PLUGIN, {{"per_event", "True"}});
  give(0, {text_data("123"), text_data("")});
  auto m = reducer.expect<results>();
  EXPECT_EQ(*m.mapped.mapped.at(0).content.find("bytes")->as_number(), 3.0);
  EXPECT_EQ(m.mapped.failed.at(0).cause, "the event has no bytes");
}
#endif

} // namespace
} // namespace dtranspose
