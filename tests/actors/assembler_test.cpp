/// One assembler between probes: a controller, two workers, a reducer and whoever sends partial
/// events.
#include "actors/assembler.hpp"

#include "actors/fixture.hpp"
#include "model/credit_window.hpp"

namespace dtranspose {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr stream_index a{0}, b{1};

class assembler : public testing::Test {
 protected:
  void build(bool deliver_incomplete = false) {
    actor = w.own(spawn_assembler(w.system(), {.life = incarnation(20),
                                               .memory = 1 << 20,
                                               .deliver_incomplete = deliver_incomplete,
                                               .workers = {first.handle, second.handle}}));
    w.run();
  }

  void introduce_reducer() {
    member_info info;
    info.life = incarnation(30);
    info.reducer = reducer.handle;
    controller.send(actor, info);
  }

  /// Worker 0 is in another process, 1 and 2 are here.
  static arm order(std::uint64_t scan = 1) {
    arm m{.head = head_of(scan), .events = 100, .streams = {"a", "b"}};
    m.workers = {{"w0", incarnation(10), 0}, {"w1", incarnation(20), 1}, {"w2", incarnation(20), 1}};
    return m;
  }

  void ready(bool deliver_incomplete = false) {
    build(deliver_incomplete);
    introduce_reducer();
    auto answer = controller.ask<armed>(actor, order()).get();
    EXPECT_EQ(answer.from, incarnation(20));
    EXPECT_EQ(answer.credit, credit_window::initial);
  }

  void dispatch(std::uint64_t begin, std::uint32_t count, std::uint32_t worker, stream_mask streams,
                std::uint64_t scan = 1, std::uint32_t stride = 1) {
    controller.send(
        actor,
        dispatches{
            head_of(scan),
            {},
            dispatch_id(1),
            {{{event_number(begin), count, stride}, worker_index(worker), slot_index(0), 1, streams}}});
  }

  void data(stream_index stream, std::vector<std::uint64_t> numbers, std::uint64_t scan = 1) {
    partial_events m{head_of(scan), incarnation(20), stream, 0, sequence[stream.value]++, {}};
    for (auto n : numbers)
      m.entries.push_back(
          {event_number(n), dispatch_id(1), text_data("ab"[stream.value] + std::to_string(n)), {}});
    ingester.send(actor, m);
  }
  void tombstone(stream_index stream, std::uint64_t number, fate how, std::string cause) {
    partial_events m{head_of(), incarnation(20), stream, 0, sequence[stream.value]++, {}};
    m.entries.push_back({event_number(number), dispatch_id(1), {}, missing_data{how, std::move(cause)}});
    ingester.send(actor, m);
  }

  /// Events that a worker was given, with what is in them.
  static std::vector<std::string> given(probe& worker) {
    std::vector<std::string> list;
    for (auto& m : worker.all<events>())
      for (auto& e : m.batch->events) {
        auto text = std::to_string(e.number.value) + ":";
        for (std::uint32_t i = 0; i < e.entries; ++i)
          text += " " + std::string(m.batch->entries[e.first_entry + i].data.frames()[0].text());
        list.push_back(text);
      }
    return list;
  }

  void done(probe& worker, std::uint32_t index, std::uint64_t count, std::uint64_t scan = 1) {
    worker.send(actor, processed{scan_id{scan, scan}, incarnation(20), worker_index(index), count,
                                 1000 * count, 100 * count});
  }

  std::uint64_t status(std::initializer_list<std::string_view> keys) {
    return number_in(controller.ask<value>(actor, status_atom::value).get(), keys);
  }

  world w;
  probe controller{w}, first{w}, second{w}, reducer{w}, ingester{w};
  std::uint64_t sequence[2] = {};
  caf::actor actor;
};

TEST_F(assembler, arms_when_the_reducer_is_connected) {
  build();
  auto answer = controller.ask<armed>(actor, order());
  EXPECT_TRUE(answer.open());
  introduce_reducer();
  EXPECT_EQ(answer.get().credit, credit_window::initial);
}

TEST_F(assembler, does_not_count_a_reducer_that_is_gone) {
  build();
  introduce_reducer();
  controller.send(actor, departed{incarnation(31)});
  EXPECT_FALSE(controller.ask<armed>(actor, order()).open());
  controller.send(actor, departed{incarnation(30)});
  EXPECT_TRUE(controller.ask<armed>(actor, order()).open());
}

TEST_F(assembler, a_disarm_ends_the_wait) {
  build();
  auto answer = controller.ask<armed>(actor, order());
  controller.send(actor, disarm{head_of()});
  introduce_reducer();
  EXPECT_TRUE(answer.open()) << "nobody waits for it any more";
  dispatch(0, 1, 1, 1);
  data(a, {0});
  EXPECT_THAT(given(first), IsEmpty());
}

TEST_F(assembler, joins_by_number_whatever_the_order) {
  ready();
  data(b, {2, 0});
  dispatch(0, 3, 1, 3);
  data(a, {1});
  EXPECT_THAT(given(first), IsEmpty());
  data(a, {2, 0});
  EXPECT_THAT(given(first), ElementsAre("0: a0 b0"));
  data(b, {1});
  EXPECT_THAT(given(first), ElementsAre("1: a1 b1", "2: a2 b2"));
  EXPECT_EQ(status({"open_events"}), 0u);
  EXPECT_EQ(status({"open_bytes"}), 0u);
}

TEST_F(assembler, each_worker_gets_its_streams_and_its_order) {
  ready();
  controller.send(actor, dispatches{head_of(),
                                    {},
                                    dispatch_id(1),
                                    {{{event_number(0), 2, 1}, worker_index(1), slot_index(0), 1, 1},
                                     {{event_number(0), 2, 1}, worker_index(2), slot_index(1), 2, 3},
                                     {{event_number(5), 1, 1}, worker_index(0), slot_index(0), 1, 1}}});
  data(a, {1, 0});
  EXPECT_THAT(given(first), ElementsAre("0: a0", "1: a1"));
  EXPECT_THAT(given(second), IsEmpty());
  data(b, {1});
  EXPECT_THAT(given(second), IsEmpty());
  data(b, {0});
  auto m = second.expect<events>();
  EXPECT_EQ(m.batch->events.at(1).slots, 2);
  EXPECT_EQ(m.batch->events.at(1).first_slot, slot_index(1));
  EXPECT_EQ(status({"open_events"}), 0u);
}

TEST_F(assembler, frames_are_not_copied) {
  ready();
  dispatch(0, 1, 1, 1);
  auto x = text_data("x");
  ingester.send(
      actor, partial_events{head_of(), incarnation(20), a, 0, 0, {{event_number(0), dispatch_id(1), x, {}}}});
  EXPECT_EQ(first.expect<events>().batch->entries.at(0).data.frames().data(), x.frames().data());
}

TEST_F(assembler, takes_a_stream_of_an_event_once) {
  ready();
  dispatch(0, 1, 1, 3);
  data(a, {0});
  data(a, {0});
  tombstone(a, 0, fate::lost, "late");
  data(b, {0});
  EXPECT_THAT(given(first), ElementsAre("0: a0 b0"));
  EXPECT_THAT(reducer.all<closes>(), IsEmpty());
}

TEST_F(assembler, credit_is_cumulative_and_never_sinks) {
  ready();
  dispatch(0, 8, 1, 1);
  data(a, {0, 1, 2, 3, 4, 5, 6, 7});
  std::uint64_t granted = credit_window::initial, through = 0;
  for (auto n : {2, 4, 2}) {
    done(first, 1, static_cast<std::uint64_t>(n));
    through += static_cast<std::uint64_t>(n);
    auto m = controller.expect<credit>();
    ASSERT_EQ(m.workers.size(), 1u);
    EXPECT_EQ(m.head.from, incarnation(20));
    EXPECT_EQ(m.workers[0].index, worker_index(1));
    EXPECT_EQ(m.workers[0].processed, through);
    EXPECT_GE(m.workers[0].granted, granted);
    EXPECT_EQ(m.workers[0].busy, through * 1000);
    granted = m.workers[0].granted;
  }
  EXPECT_GT(granted, credit_window::initial);
  // Of somebody else, or of another scan.
  done(first, 0, 1);
  done(first, 1, 1, 2);
  EXPECT_THAT(controller.all<credit>(), IsEmpty());
}

TEST_F(assembler, credit_waits_while_there_is_enough_to_do) {
  ready();
  dispatch(0, 8, 1, 1);
  data(a, {0, 1, 2, 3, 4, 5, 6, 7});
  done(first, 1, 1);
  EXPECT_THAT(controller.all<credit>(), IsEmpty());
  done(first, 1, 1);
  EXPECT_EQ(controller.expect<credit>().workers.at(0).processed, 2u);
  done(first, 1, 1);
  EXPECT_THAT(controller.all<credit>(), IsEmpty()) << "it may do more now";
  done(first, 1, 5);
  EXPECT_EQ(controller.expect<credit>().workers.at(0).processed, 8u);
  // Nothing is left to do: that is told at once.
  dispatch(8, 1, 1, 1);
  data(a, {8});
  done(first, 1, 1);
  EXPECT_EQ(controller.expect<credit>().workers.at(0).processed, 9u);
}

TEST_F(assembler, large_events_get_little_credit) {
  ready();
  first.send(actor, processed{scan_id{1, 1}, incarnation(20), worker_index(1), 8, 8, 8 << 20});
  auto m = controller.expect<credit>();
  EXPECT_LE(m.workers.at(0).granted - m.workers.at(0).processed, credit_window::smallest);
}

TEST_F(assembler, closes_what_lacks_a_streams_data_and_returns_its_credit) {
  ready();
  dispatch(0, 3, 1, 3);
  data(a, {0, 1, 2});
  data(b, {0});
  tombstone(b, 1, fate::incomplete, "missing in the stream");
  data(b, {2});
  EXPECT_THAT(given(first), ElementsAre("0: a0 b0", "2: a2 b2"));
  auto m = reducer.expect<closes>();
  ASSERT_EQ(m.slots.size(), 1u);
  EXPECT_EQ(m.slots[0].slots, (slot_run{{event_number(1), 1, 1}, slot_index(0), 1}));
  EXPECT_EQ(m.slots[0].how, fate::incomplete);
  EXPECT_EQ(m.slots[0].cause, "stream 'b': missing in the stream");
  EXPECT_EQ(controller.expect<credit>().workers.at(0).processed, 1u);
  EXPECT_EQ(status({"open_events"}), 0u);
}

TEST_F(assembler, the_worst_of_two_causes_counts_and_both_are_named) {
  ready();
  dispatch(0, 1, 1, 3);
  tombstone(a, 0, fate::lost, "stopped");
  EXPECT_THAT(reducer.all<closes>(), IsEmpty()) << "every stream has its say";
  tombstone(b, 0, fate::incomplete, "a gap");
  auto m = reducer.expect<closes>();
  EXPECT_EQ(m.slots.at(0).how, fate::lost);
  EXPECT_EQ(m.slots.at(0).cause, "stream 'a': stopped; stream 'b': a gap");
}

TEST_F(assembler, a_tombstone_concerns_those_who_get_the_stream) {
  ready();
  controller.send(actor, dispatches{head_of(),
                                    {},
                                    dispatch_id(1),
                                    {{{event_number(0), 1, 1}, worker_index(1), slot_index(0), 1, 1},
                                     {{event_number(0), 1, 1}, worker_index(2), slot_index(1), 1, 2}}});
  tombstone(b, 0, fate::incomplete, "a gap");
  data(a, {0});
  EXPECT_THAT(given(first), ElementsAre("0: a0"));
  EXPECT_EQ(reducer.expect<closes>().slots.at(0).slots.first_slot, slot_index(1));
}

TEST_F(assembler, delivers_incomplete_events_if_told_to) {
  ready(true);
  dispatch(0, 2, 1, 3);
  data(a, {0});
  tombstone(b, 0, fate::incomplete, "a gap");
  tombstone(a, 1, fate::incomplete, "a gap");
  tombstone(b, 1, fate::incomplete, "a gap");
  EXPECT_THAT(given(first), ElementsAre("0: a0", "1:"));
  EXPECT_THAT(reducer.all<closes>(), IsEmpty());
  std::vector<std::string> remarked;
  for (auto& m : controller.all<remarks>())
    for (auto& r : m.slots) remarked.push_back(std::to_string(r.slots.events.first.value) + ": " + r.cause);
  EXPECT_THAT(remarked, ElementsAre("0: stream 'b': a gap", "1: stream 'a': a gap; stream 'b': a gap"));
}

TEST_F(assembler, messages_of_another_scan_or_generation_are_ignored) {
  ready();
  dispatch(0, 1, 1, 1, 2);
  data(a, {0}, 2);
  auto other = head_of();
  other.gen = generation(2);
  ingester.send(
      actor, partial_events{
                 other, incarnation(20), a, 0, 0, {{event_number(0), dispatch_id(1), text_data("x"), {}}}});
  controller.send(actor, disarm{head_of(2)});
  EXPECT_THAT(given(first), IsEmpty());
  EXPECT_EQ(status({"open_events"}), 0u);
  sequence[0] = 0;
  dispatch(0, 1, 1, 1);
  data(a, {0});
  EXPECT_THAT(given(first), ElementsAre("0: a0"));
}

TEST_F(assembler, a_disarm_lets_everything_go) {
  ready();
  dispatch(0, 1, 1, 3);
  data(a, {0});
  controller.send(actor, disarm{head_of()});
  data(b, {0});
  done(first, 1, 1);
  EXPECT_THAT(given(first), IsEmpty());
  EXPECT_THAT(controller.all<credit>(), IsEmpty());
}

TEST_F(assembler, a_new_scan_begins_anew) {
  ready();
  dispatch(0, 1, 1, 3);
  data(a, {0});
  done(first, 1, 3);
  controller.all<credit>();
  controller.send(actor, disarm{head_of()});
  EXPECT_FALSE(controller.ask<armed>(actor, order(2)).open());
  EXPECT_EQ(status({"open_events"}), 0u);
  dispatch(0, 1, 1, 1, 2);
  sequence[0] = 0;
  data(a, {0}, 2);
  EXPECT_THAT(given(first), ElementsAre("0: a0"));
  done(first, 1, 1, 2);
  EXPECT_EQ(controller.expect<credit>().workers.at(0).processed, 1u);
}

// -- deaths, holes and connections
// ----------------------------------------------------------------------

/// One event of one slot for a worker, under a dispatch that follows another.
dispatches moved(std::uint64_t event, std::uint32_t worker, stream_mask streams, std::uint64_t dispatch,
                 std::uint64_t previous) {
  return {head_of(),
          dispatch_id(previous),
          dispatch_id(dispatch),
          {{{event_number(event), 1, 1}, worker_index(worker), slot_index(0), 1, streams}}};
}

partial_events piece(stream_index stream, std::uint64_t event, std::uint64_t dispatch, std::string text,
                     std::uint32_t connection, std::uint64_t sequence) {
  return {head_of(),  incarnation(20), stream,
          connection, sequence,        {{event_number(event), dispatch_id(dispatch), text_data(text), {}}}};
}

TEST_F(assembler, keeps_what_it_closed_until_it_is_accepted) {
  ready();
  dispatch(0, 3, 1, 1);
  for (std::uint64_t e = 0; e < 3; ++e) tombstone(a, e, fate::incomplete, "gap" + std::to_string(e));
  std::vector<std::uint64_t> numbers;
  for (auto& m : reducer.all<closes>()) numbers.push_back(m.sequence);
  EXPECT_THAT(numbers, ElementsAre(0, 1, 2));
  EXPECT_EQ(status({"unaccepted_closes"}), 3u);
  reducer.send(actor, accepted{head_of(), 0});
  reducer.send(actor, accepted{head_of(2), 2});
  EXPECT_EQ(status({"unaccepted_closes"}), 2u);
  reducer.send(actor, resend{head_of(), 1});
  auto list = reducer.all<closes>();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].sequence, 1u);
  EXPECT_THAT(list[0].slots.at(0).cause, testing::HasSubstr("gap1"));
  EXPECT_EQ(list[0].slots.at(0).worker, worker_index(1));
  reducer.send(actor, resend{head_of(), 2});
  EXPECT_EQ(reducer.all<closes>().size(), 1u) << "what lies before has been written down";
  reducer.send(actor, accepted{head_of(), 2});
  reducer.send(actor, resend{head_of(), 3});
  EXPECT_THAT(reducer.all<closes>(), IsEmpty());
}

TEST_F(assembler, what_it_closes_waits_for_a_reducer_that_is_away) {
  ready();
  dispatch(0, 1, 1, 1);
  controller.send(actor, departed{incarnation(30)});
  tombstone(a, 0, fate::incomplete, "a gap");
  EXPECT_THAT(reducer.all<closes>(), IsEmpty());
  probe other{w};
  other.send(actor, resend{head_of(), 0});
  EXPECT_EQ(other.expect<closes>().sequence, 0u);
}

TEST_F(assembler, entries_that_come_again_after_a_reconnect_are_dropped) {
  ready();
  dispatch(0, 3, 1, 3);
  ingester.send(actor, piece(a, 0, 1, "a0", 0, 0));
  ingester.send(actor, piece(a, 1, 1, "a1", 0, 1));
  data(b, {0});
  EXPECT_THAT(given(first), ElementsAre("0: a0 b0"));
  // The connection was lost, and with it a message: all that is kept comes once more.
  ingester.send(actor, piece(a, 0, 1, "again", 1, 0));
  ingester.send(actor, piece(a, 1, 1, "again", 1, 1));
  ingester.send(actor, piece(a, 2, 1, "a2", 1, 2));
  EXPECT_EQ(status({"holes"}), 0u);
  EXPECT_EQ(status({"open_events"}), 2u) << "what was handed over does not begin anew";
  data(b, {1, 2});
  EXPECT_THAT(given(first), ElementsAre("1: a1 b1", "2: a2 b2"));
  EXPECT_EQ(status({"open_bytes"}), 0u);
}

TEST_F(assembler, a_hole_on_a_new_connection_is_one) {
  ready();
  ingester.send(actor, piece(a, 0, 1, "x", 0, 0));
  ingester.send(actor, piece(a, 1, 1, "x", 1, 1));
  EXPECT_EQ(status({"holes"}), 1u);
}

TEST_F(assembler, what_is_moved_here_joins_on_its_own) {
  ready();
  // Worker 2 has a slot of event 0; that of a worker that is gone comes to worker 1, from the same frames.
  controller.send(actor, dispatches{head_of(),
                                    {},
                                    dispatch_id(1),
                                    {{{event_number(0), 1, 1}, worker_index(2), slot_index(1), 1, 3}}});
  data(a, {0});
  controller.send(actor, moved(0, 1, 3, 2, 1));
  data(b, {0});
  EXPECT_THAT(given(second), ElementsAre("0: a0 b0"));
  EXPECT_THAT(given(first), IsEmpty()) << "its frames come under its own dispatch";
  ingester.send(actor, piece(a, 0, 2, "a0", 0, 1));
  ingester.send(actor, piece(b, 0, 2, "b0", 0, 1));
  EXPECT_THAT(given(first), ElementsAre("0: a0 b0"));
  EXPECT_EQ(status({"open_events"}), 0u);
}

TEST_F(assembler, frames_of_what_is_moved_may_come_first) {
  ready();
  dispatch(5, 1, 1, 1);
  ingester.send(actor, piece(a, 0, 2, "a0", 0, 0));
  EXPECT_THAT(given(first), IsEmpty());
  controller.send(actor, moved(0, 1, 1, 2, 1));
  EXPECT_THAT(given(first), ElementsAre("0: a0"));
}

TEST_F(assembler, what_is_moved_goes_before_what_waits_behind_it) {
  ready();
  controller.send(actor, dispatches{head_of(),
                                    {},
                                    dispatch_id(1),
                                    {{{event_number(6), 2, 2}, worker_index(1), slot_index(0), 1, 1}}});
  controller.send(actor, moved(7, 1, 1, 2, 1));
  controller.send(actor, moved(2, 1, 1, 3, 2));
  // Events 6 and 8 wait for an instrument whose sender may wait for event 2 to end.
  ingester.send(actor, piece(a, 2, 3, "a2", 0, 0));
  EXPECT_THAT(given(first), ElementsAre("2: a2"));
  ingester.send(actor, piece(a, 7, 2, "a7", 0, 1));
  EXPECT_THAT(given(first), IsEmpty());
  ingester.send(actor, piece(a, 6, 1, "a6", 0, 2));
  EXPECT_THAT(given(first), ElementsAre("6: a6", "7: a7"));
}

TEST_F(assembler, a_hole_in_its_dispatches_waits_for_the_controller) {
  ready();
  dispatch(0, 1, 1, 1);
  controller.send(actor, moved(5, 1, 1, 3, 2));
  ingester.send(actor, piece(a, 0, 1, "a0", 0, 0));
  ingester.send(actor, piece(a, 5, 3, "a5", 0, 1));
  ingester.send(actor, piece(a, 4, 2, "a4", 0, 2));
  EXPECT_THAT(given(first), ElementsAre("0: a0")) << "event 4 lies before event 5";
  auto m = order();
  m.resume = true;
  auto answer = controller.ask<armed>(actor, m).get();
  EXPECT_TRUE(answer.known);
  EXPECT_EQ(answer.taken, dispatch_id(1));
  controller.send(actor, moved(4, 1, 1, 2, 1));
  controller.send(actor, moved(5, 1, 1, 3, 2));
  EXPECT_THAT(given(first), ElementsAre("4: a4", "5: a5"));
  controller.send(actor, moved(5, 1, 1, 3, 2));
  EXPECT_EQ(status({"open_events"}), 0u) << "what comes twice is taken once";
}

TEST_F(assembler, a_controller_that_was_away_learns_where_it_stands) {
  ready();
  dispatch(0, 8, 1, 1);
  data(a, {0, 1, 2});
  done(first, 1, 3);
  controller.all<credit>();
  probe other{w};
  auto m = order();
  m.resume = true;
  auto answer = other.ask<armed>(actor, m).get();
  EXPECT_TRUE(answer.known);
  EXPECT_EQ(answer.taken, dispatch_id(1));
  auto told = other.expect<credit>();
  ASSERT_EQ(told.workers.size(), 2u);
  EXPECT_EQ(told.workers[0].processed, 3u);
  done(first, 1, 4);
  EXPECT_EQ(other.expect<credit>().workers.at(0).processed, 7u);
  EXPECT_THAT(controller.all<credit>(), IsEmpty());
  EXPECT_FALSE(other.ask<armed>(actor, order(2)).get().known);
}

TEST_F(assembler, who_was_given_up_starts_anew) {
  ready();
  dispatch(0, 2, 1, 1);
  tombstone(a, 0, fate::incomplete, "a gap");
  reducer.all<closes>();
  controller.send(actor, renew{incarnation(25)});
  reducer.send(actor, resend{head_of(), 0});
  EXPECT_THAT(reducer.all<closes>(), IsEmpty()) << "somebody else decides on that";
  data(a, {1});
  EXPECT_THAT(given(first), IsEmpty());
  auto m = order();
  m.workers.push_back({"w3", incarnation(25), 2});
  m.resume = true;
  auto answer = controller.ask<armed>(actor, m).get();
  EXPECT_FALSE(answer.known);
  EXPECT_EQ(answer.from, incarnation(25));
  controller.all<credit>();
  controller.send(actor, dispatches{head_of(),
                                    {},
                                    dispatch_id(7),
                                    {{{event_number(5), 1, 1}, worker_index(3), slot_index(0), 1, 1}}});
  ingester.send(actor, piece(a, 5, 7, "a5", 0, 0));
  EXPECT_THAT(first.all<events>(), IsEmpty()) << "it was meant for its earlier life";
  auto meant = piece(a, 5, 7, "a5", 0, 0);
  meant.to = incarnation(25);
  ingester.send(actor, meant);
  auto batch = first.expect<events>();
  EXPECT_EQ(batch.life, incarnation(25));
  first.send(actor, processed{scan_id{1, 1}, incarnation(20), worker_index(3), 1, 1, 1});
  EXPECT_THAT(controller.all<credit>(), IsEmpty()) << "of its earlier life";
  first.send(actor, processed{scan_id{1, 1}, incarnation(25), worker_index(3), 1, 1, 1});
  EXPECT_EQ(controller.expect<credit>().workers.at(0).index, worker_index(3));
}

TEST_F(assembler, notices_messages_that_are_missing) {
  ready();
  data(a, {0});
  EXPECT_EQ(status({"holes"}), 0u);
  sequence[0] += 2;
  data(a, {1});
  EXPECT_EQ(status({"holes"}), 1u);
  data(a, {2});
  EXPECT_EQ(status({"holes"}), 1u);
}

} // namespace
} // namespace dtranspose
