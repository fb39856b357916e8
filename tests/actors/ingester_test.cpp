/// One ingester between a scripted source, a probe as its controller and probes as assemblers.
#include "actors/ingester.hpp"

#include <filesystem>
#include <set>

#include "actors/fixture.hpp"
#include "recording/dump.hpp"
#include "recording/mapped_file.hpp"
#include "recording/wire_tape.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

stream_packet start_packet() {
  return {text_data("start"), {.kind = entry_kind::start, .message_number = 0}};
}
stream_packet image(std::uint64_t number, std::string_view text = "frame") {
  return {text_data(text), {.number = number, .message_number = number + 1}};
}
stream_packet end_packet(std::uint64_t images) {
  return {text_data("end"), {.kind = entry_kind::end, .message_number = images + 1}};
}

/// Events in the only file of a folder, with what they have; "-" for a gap.
std::vector<std::string> recorded_in(const std::filesystem::path& folder) {
  std::vector<std::string> list;
  std::filesystem::path file;
  for (auto& entry : std::filesystem::directory_iterator(folder)) file = entry.path();
  dump_reader reader(mapped_file::open(file));
  while (auto item = reader.next())
    list.push_back(std::to_string(item->event) + "=" +
                   (item->streams.empty() ? "-" : std::string(item->streams[0].data.frames()[0].text())));
  EXPECT_EQ(reader.cut_off(), "");
  return list;
}

class ingester : public testing::Test {
 protected:
  static constexpr std::uint64_t frame_cost = 256 + 5; ///< of `image` against budgets

  void build(std::uint64_t retain = 1 << 20, std::uint64_t read_ahead = 1 << 20,
             std::uint64_t late_window = 4) {
    actor = w.own(spawn_ingester(
        w.system(), {.stream = "det",
                     .protocol = "stins",
                     .budget = {retain, read_ahead},
                     .late_window = late_window,
                     .rearm_timeout = 2s,
                     .stall_timeout = stall_timeout,
                     .life = incarnation(77),
                     .around = w.around(),
                     .make_source = [s = script] { return std::make_unique<scripted_source>(s); },
                     .recording = recording}));
    w.run();
  }

  /// The process goes, and another one comes in its place.
  void restart() {
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    w.run();
    for (auto p : {&controller, &first, &second}) p->letters.clear();
    first_sequence = second_sequence = 0;
    last_dispatch.clear();
    script = std::make_shared<source_script>();
    build();
    introduce(10, first.handle);
    introduce(11, second.handle);
  }

  /// Asks it to take the stream up.
  pending<armed> resume(std::uint64_t entries, std::uint64_t position, arm_place place) {
    auto m = order(entries);
    m.resume = true;
    m.from = {stream_position(position), place};
    return controller.ask<armed>(actor, m);
  }
  /// What an ingester that takes a stream up is told: who waits for what.
  void tell_open(std::uint64_t begin, std::uint32_t count, process_index target) {
    event_run events{event_number(begin), count, 1};
    send({{events, {}, false, true}}, {{events, target, dispatch_id(1)}});
  }

  /// Dispatches of the entries that wait at a process.
  static std::set<std::uint64_t> dispatches_at(const probe& process) {
    std::set<std::uint64_t> list;
    for (auto& l : process.letters)
      if (l.content.match_elements<partial_events>())
        for (auto& e : l.content.get_as<partial_events>(0).entries) list.insert(e.dispatch.value);
    return list;
  }
  static std::set<std::uint32_t> connections_at(const probe& process) {
    std::set<std::uint32_t> list;
    for (auto& l : process.letters)
      if (l.content.match_elements<partial_events>())
        list.insert(l.content.get_as<partial_events>(0).connection);
    return list;
  }

  void introduce(std::uint64_t life, const caf::actor& assembler) {
    member_info info;
    info.life = incarnation(life);
    info.assembler = assembler;
    controller.send(actor, info);
  }

  arm order(std::uint64_t entries, std::uint64_t scan = 1) {
    arm m{.head = head_of(scan),
          .events = entries,
          .streams = {"other", "det"},
          .stream = stream_index(1),
          .entries = entries};
    m.workers = {{"w0", incarnation(10), 0}, {"w1", incarnation(10), 0}, {"w2", incarnation(11), 1}};
    return m;
  }

  /// Armed for that many entries, with both worker processes connected.
  void ready(std::uint64_t entries) {
    if (!actor) build();
    introduce(10, first.handle);
    introduce(11, second.handle);
    EXPECT_EQ(controller.ask<armed>(actor, order(entries)).get().from, incarnation(77));
  }

  void push(std::vector<stream_packet> packets) {
    script->push(std::move(packets));
    w.run();
  }

  /// The next assignments of a scan.
  void send(std::vector<stream_run> runs, std::vector<repeat_run> repeats = {}, std::uint64_t scan = 1) {
    auto& last = last_dispatch[scan];
    controller.send(actor, assignments{head_of(scan), dispatch_id(last), dispatch_id(last + 5),
                                       std::move(runs), std::move(repeats)});
    last += 5;
  }

  /// `count` events from `begin` on go to these processes.
  void assign(std::uint64_t begin, std::uint32_t count, std::vector<process_index> to,
              std::uint64_t scan = 1) {
    send({{{event_number(begin), count, 1}, std::move(to)}}, {}, scan);
  }

  /// What a process got since it was last asked, as "event=text" or "event!fate"; checks the
  /// numbering.
  std::vector<std::string> got(probe& process, std::uint64_t& sequence) {
    std::vector<std::string> list;
    for (auto& m : process.all<partial_events>()) {
      EXPECT_EQ(m.sequence, sequence++);
      EXPECT_EQ(m.stream, stream_index(1));
      EXPECT_EQ(m.head.from, incarnation(77));
      for (auto& e : m.entries) {
        auto number = std::to_string(e.event.value);
        if (e.missing) {
          list.push_back(number + "!" + name_of(e.missing->how));
          causes.push_back(e.missing->cause);
        } else
          list.push_back(number + "=" + std::string(e.data.frames()[0].text()));
      }
    }
    return list;
  }
  std::vector<std::string> got_first() { return got(first, first_sequence); }
  std::vector<std::string> got_second() { return got(second, second_sequence); }

  std::uint64_t status(std::initializer_list<std::string_view> keys) {
    return number_in(controller.ask<value>(actor, status_atom::value).get(), keys);
  }

  world w;
  std::shared_ptr<source_script> script = std::make_shared<source_script>();
  std::chrono::nanoseconds stall_timeout = 0s;
  temporary_directory directory;
  recording_options recording;
  probe controller{w}, first{w}, second{w};
  std::uint64_t first_sequence = 0, second_sequence = 0;
  std::map<std::uint64_t, std::uint64_t> last_dispatch; ///< by scan
  std::vector<std::string> causes; ///< of all tombstones, in the order in which they were looked at
  caf::actor actor;
};

TEST_F(ingester, arms_its_source_when_all_worker_processes_are_connected) {
  build();
  auto answer = controller.ask<armed>(actor, order(5));
  EXPECT_EQ(script->arms, 0);
  introduce(10, first.handle);
  introduce(12, second.handle); // somebody else
  EXPECT_TRUE(answer.open());
  introduce(11, second.handle);
  EXPECT_EQ(answer.get().from, incarnation(77));
  EXPECT_EQ(script->arms, 1);
  EXPECT_GT(script->allowed, 0u);
}

TEST_F(ingester, does_not_count_a_process_that_is_gone) {
  build();
  introduce(10, first.handle);
  introduce(11, second.handle);
  controller.send(actor, departed{incarnation(10)});
  auto answer = controller.ask<armed>(actor, order(5));
  EXPECT_TRUE(answer.open());
  introduce(10, first.handle);
  EXPECT_FALSE(answer.open());
}

TEST_F(ingester, a_disarm_ends_the_wait_for_connections) {
  build();
  auto answer = controller.ask<armed>(actor, order(5));
  controller.send(actor, disarm{head_of(9)});
  EXPECT_TRUE(answer.open());
  controller.send(actor, disarm{head_of(1)});
  EXPECT_EQ(answer.code(), ec::superseded);
  introduce(10, first.handle);
  introduce(11, second.handle);
  EXPECT_EQ(script->arms, 0);
}

TEST_F(ingester, a_second_arm_replaces_one_that_waits) {
  build();
  auto older = controller.ask<armed>(actor, order(5, 1)), newer = controller.ask<armed>(actor, order(5, 2));
  EXPECT_EQ(older.code(), ec::superseded);
  introduce(10, first.handle);
  introduce(11, second.handle);
  EXPECT_FALSE(newer.open());
  EXPECT_EQ(script->arms, 1);
}

TEST_F(ingester, sends_each_process_its_events_once) {
  ready(6);
  push({start_packet(), image(0, "a"), image(1, "b")});
  EXPECT_THAT(got_first(), IsEmpty());
  assign(0, 1, {0, 1});
  assign(1, 2, {1});
  assign(3, 2, {0});
  assign(5, 1, {});
  push({image(2, "c"), image(3, "d"), end_packet(4)});
  EXPECT_THAT(got_first(), ElementsAre("0=start", "3=c", "4=d"));
  EXPECT_THAT(got_second(), ElementsAre("0=start", "1=a", "2=b"));
  EXPECT_EQ(status({"discarded"}), 1u);
  EXPECT_EQ(status({"packets"}), 6u);
}

TEST_F(ingester, does_not_matter_which_comes_first_or_how_numbers_swap) {
  ready(6);
  assign(0, 3, {0});
  push({start_packet()});
  push({image(1, "b"), image(0, "a")});
  push({image(1, "again")});
  assign(3, 3, {0});
  push({image(3, "d"), end_packet(4), image(2, "c")});
  EXPECT_THAT(got_first(), testing::UnorderedElementsAre("0=start", "1=a", "2=b", "3=c", "4=d", "5=end"));
}

TEST_F(ingester, events_are_those_of_its_assignments) {
  ready(4);
  send({{{event_number(10), 3, 5}, {0}}, {{event_number(40), 1, 1}, {1}}});
  push({start_packet(), image(0), image(1), end_packet(2)});
  EXPECT_THAT(got_first(), ElementsAre("10=start", "15=frame", "20=frame"));
  EXPECT_THAT(got_second(), ElementsAre("40=end"));
}

TEST_F(ingester, keeps_frames_until_they_are_forgotten) {
  ready(6);
  assign(0, 6, {0});
  push({start_packet(), image(0), image(1), image(2)});
  EXPECT_EQ(status({"held_bytes"}), 4 * frame_cost);
  controller.send(actor, forget{head_of(), {{event_number(1), event_number(3)}}});
  EXPECT_EQ(status({"held_bytes"}), 2 * frame_cost);
  controller.send(actor, forget{head_of(), {{event_number(1), event_number(3)}}});
  EXPECT_EQ(status({"held_bytes"}), 2 * frame_cost);
  controller.send(actor, forget{head_of(), {{event_number(0), event_number(4)}}});
  EXPECT_EQ(status({"held_bytes"}), 0u);
  // A number that was forgotten is taken no second time.
  push({image(1, "late"), image(3, "new")});
  EXPECT_EQ(status({"held_bytes"}), frame_cost - 2);
}

TEST_F(ingester, the_allowance_follows_both_budgets) {
  build(4 * frame_cost, 2 * frame_cost);
  ready(20);
  EXPECT_EQ(script->allowed, 2 * frame_cost);
  EXPECT_GT(script->beyond, script->handed_over);
  push({start_packet(), image(0)});
  EXPECT_FALSE(script->fits(5));
  assign(0, 2, {0});
  EXPECT_EQ(script->allowed, 4 * frame_cost);
  assign(2, 4, {0});
  push({image(1), image(2)});
  EXPECT_FALSE(script->fits(5)) << "four frames are held";
  controller.send(actor, forget{head_of(), {{event_number(0), event_number(1)}}});
  EXPECT_EQ(script->allowed, 5 * frame_cost);
}

TEST_F(ingester, an_item_larger_than_its_budget_passes_alone) {
  build(100, 100);
  ready(3);
  push({start_packet()});
  EXPECT_FALSE(script->fits(5));
  assign(0, 3, {0});
  EXPECT_FALSE(script->fits(5));
  controller.send(actor, forget{head_of(), {{event_number(0), event_number(1)}}});
  EXPECT_TRUE(script->fits(5));
}

TEST_F(ingester, one_packet_beyond_its_budget_passes_at_a_time) {
  build(100, 100);
  ready(10);
  assign(0, 10, {0});
  EXPECT_TRUE(script->fits(5));
  // It comes to the ingester behind a message that makes it say again how much may pass.
  caf::anon_send(actor, forget{head_of(), {}});
  script->push({start_packet()});
  w.step();
  EXPECT_FALSE(script->fits(5)) << "one is under way already";
}

TEST_F(ingester, asks_for_a_flush_at_half_of_its_budget_and_once) {
  build(10 * frame_cost, 10 * frame_cost);
  ready(20);
  assign(0, 20, {0});
  push({start_packet(), image(0), image(1), image(2), image(3)});
  EXPECT_THAT(controller.all<pressure>(), IsEmpty());
  push({image(4)});
  EXPECT_EQ(controller.expect<pressure>().stream, "det");
  push({image(5)});
  EXPECT_THAT(controller.all<pressure>(), IsEmpty());
  controller.send(actor, forget{head_of(), {{event_number(0), event_number(4)}}});
  push({image(6), image(7), image(8)});
  EXPECT_EQ(controller.all<pressure>().size(), 1u);
}

TEST_F(ingester, a_gap_beyond_the_late_window_becomes_tombstones) {
  ready(10);
  assign(0, 10, {0, 1});
  push({start_packet(), image(0), image(3), image(4)});
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=frame", "4=frame", "5=frame"));
  push({image(5), image(6)});
  auto list = got_first();
  EXPECT_THAT(list, testing::Contains("2!incomplete"));
  push({image(7)});
  for (auto& text : got_first()) list.push_back(text);
  EXPECT_THAT(list, testing::Contains("3!incomplete"));
  push({image(1, "too late")});
  EXPECT_THAT(got_first(), IsEmpty());
  EXPECT_EQ(status({"verdicts", "late"}), 1u);
}

TEST_F(ingester, what_is_missing_is_named_by_its_number) {
  ready(20);
  assign(0, 20, {0});
  push({start_packet(), image(0), image(7), image(8), image(9), image(10), image(11)});
  got_first();
  EXPECT_THAT(causes, SizeIs(testing::Gt(0)));
  EXPECT_THAT(causes, testing::Each(HasSubstr("number"))) << "as the instrument counts, not as the scan does";
}

TEST_F(ingester, a_gap_before_the_end_is_given_up_in_time) {
  ready(5);
  assign(0, 5, {0});
  push({start_packet(), image(0), image(2), end_packet(3)});
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=frame", "3=frame", "4=end"));
  w.advance(1900ms);
  EXPECT_THAT(got_first(), IsEmpty());
  w.advance(300ms);
  EXPECT_THAT(got_first(), ElementsAre("2!incomplete"));
  EXPECT_THAT(causes, ElementsAre(HasSubstr("missing in the stream")));
}

TEST_F(ingester, a_gap_does_not_wait_for_ever_when_the_budget_is_full) {
  build(1 << 20, 2 * frame_cost, 64);
  ready(100);
  assign(0, 3, {0});
  push({start_packet(), image(0)});
  // Number 1 is missing, and the only worker gets no other event before event 2 has ended.
  for (std::uint64_t n = 2; script->fits(5); ++n) push({image(n)});
  script->status.reading = false;
  auto list = got_first();
  w.advance(10s);
  for (auto& text : got_first()) list.push_back(text);
  EXPECT_THAT(list, testing::Contains("2!incomplete"))
      << "the scan waits for a frame that cannot come any more";
}

TEST_F(ingester, an_early_end_is_final_after_the_rearm_time) {
  ready(10);
  assign(0, 10, {0});
  push({start_packet(), image(0), end_packet(1)});
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=frame"));
  w.advance(1900ms);
  EXPECT_THAT(got_first(), IsEmpty());
  w.advance(300ms);
  auto list = got_first();
  EXPECT_EQ(list.size(), 8u);
  EXPECT_THAT(list, testing::Contains("9=end"));
  EXPECT_THAT(list, testing::Contains("2!incomplete"));
  EXPECT_THAT(causes, testing::Each(HasSubstr("the series ended early")));
}

TEST_F(ingester, an_early_end_is_an_entry_when_a_start_follows) {
  ready(6);
  assign(0, 6, {0});
  push({start_packet(), image(0), end_packet(1)});
  w.advance(1s);
  push({{text_data("start2"), {.kind = entry_kind::start, .message_number = 3}},
        {text_data("x"), {.number = 0, .message_number = 4}},
        {text_data("end2"), {.kind = entry_kind::end, .message_number = 5}}});
  EXPECT_THAT(got_first(),
              testing::UnorderedElementsAre("0=start", "1=frame", "2=end", "3=start2", "4=x", "5=end2"));
}

TEST_F(ingester, a_faulty_packet_costs_its_own_event) {
  ready(4);
  assign(0, 4, {0});
  auto bad = image(0);
  bad.data.reset();
  bad.fault = packet_fault::truncated;
  stream_packet garbage;
  garbage.fault = packet_fault::not_json;
  garbage.numbered = false;
  push({start_packet(), garbage, bad, image(1), end_packet(2)});
  EXPECT_THAT(got_first(), testing::UnorderedElementsAre("0=start", "1!incomplete", "2=frame", "3=end"));
  EXPECT_THAT(causes, ElementsAre(testing::AllOf(HasSubstr("truncated"), HasSubstr("number 0"))));
  EXPECT_EQ(status({"faults", "not_json"}), 1u);
  EXPECT_EQ(status({"faults", "truncated"}), 1u);
}

TEST_F(ingester, frames_of_no_series_are_stray) {
  ready(4);
  assign(0, 4, {0});
  push({image(3), image(4)});
  EXPECT_THAT(got_first(), IsEmpty());
  EXPECT_EQ(status({"verdicts", "stray"}), 2u);
  EXPECT_EQ(status({"held_bytes"}), 0u);
}

TEST_F(ingester, a_halt_turns_what_is_not_there_into_losses) {
  ready(6);
  assign(0, 3, {0});
  push({start_packet(), image(0)});
  got_first();
  controller.send(actor, halt{head_of(), "stopped on request"});
  EXPECT_THAT(got_first(), ElementsAre("2!lost"));
  EXPECT_THAT(causes, ElementsAre("stopped on request"));
  EXPECT_FALSE(script->sink);
  // Assignments that were under way to it, too.
  assign(3, 2, {1});
  EXPECT_THAT(got_second(), ElementsAre("3!lost", "4!lost"));
}

TEST_F(ingester, what_it_holds_survives_a_halt) {
  ready(4);
  push({start_packet(), image(0, "a")});
  controller.send(actor, halt{head_of(), "stop"});
  assign(0, 3, {0});
  EXPECT_THAT(got_first(), testing::UnorderedElementsAre("0=start", "1=a", "2!lost"));
}

TEST_F(ingester, messages_of_another_scan_or_generation_are_ignored) {
  ready(4);
  push({start_packet(), image(0)});
  assign(0, 4, {0}, 2);
  auto other = head_of();
  other.gen = generation(2);
  controller.send(actor, assignments{other, {}, dispatch_id(1), {{{event_number(0), 4, 1}, {0}}}});
  controller.send(actor, halt{other, "no"});
  controller.send(actor, halt{head_of(2), "no"});
  controller.send(actor, forget{head_of(2), {{event_number(0), event_number(4)}}});
  controller.send(actor, disarm{head_of(2)});
  EXPECT_THAT(got_first(), IsEmpty());
  EXPECT_TRUE(script->sink);
  EXPECT_EQ(status({"held_bytes"}), 2 * frame_cost);
}

TEST_F(ingester, a_disarm_lets_everything_go) {
  ready(4);
  auto sink = script->sink;
  push({start_packet(), image(0)});
  controller.send(actor, disarm{head_of()});
  EXPECT_FALSE(script->sink);
  assign(0, 4, {0});
  // A batch that was still under way.
  auto batch = std::make_shared<packet_batch>();
  batch->packets = {image(1)};
  sink(batch);
  w.run();
  EXPECT_THAT(got_first(), IsEmpty());
  EXPECT_EQ(*controller.ask<value>(actor, status_atom::value).get().find("state")->as_text(), "idle");
}

TEST_F(ingester, what_was_under_way_from_an_earlier_arming_is_dropped) {
  ready(4);
  auto older = script->sink;
  controller.send(actor, disarm{head_of(1)});
  EXPECT_FALSE(controller.ask<armed>(actor, order(4, 2)).open());
  assign(0, 4, {0}, 2);
  auto batch = std::make_shared<packet_batch>();
  batch->packets = {start_packet()};
  older(batch);
  w.run();
  EXPECT_THAT(got_first(), IsEmpty());
  push({start_packet()});
  EXPECT_THAT(got_first(), ElementsAre("0=start")) << "numbered from 0 for each scan";
}

TEST_F(ingester, says_when_its_stream_is_silent_for_too_long) {
  stall_timeout = 5s;
  ready(4);
  assign(0, 4, {0});
  push({start_packet()});
  w.advance(4900ms);
  EXPECT_THAT(controller.all<stalled>(), IsEmpty());
  w.advance(300ms);
  auto m = controller.expect<stalled>();
  EXPECT_EQ(m.stream, "det");
  EXPECT_THAT(m.since, HasSubstr("5.0 s"));
}

TEST_F(ingester, a_stream_that_is_held_back_or_complete_is_not_silent) {
  stall_timeout = 1s;
  ready(3);
  assign(0, 3, {0});
  push({start_packet()});
  script->status.reading = false;
  w.advance(5s);
  EXPECT_THAT(controller.all<stalled>(), IsEmpty());
  script->status.reading = true;
  push({image(0), end_packet(1)});
  w.advance(5s);
  EXPECT_THAT(controller.all<stalled>(), IsEmpty());
}

TEST_F(ingester, messages_between_processes_are_cut_into_pieces) {
  build(1 << 30, 1 << 30);
  ready(2000);
  std::string big(3 << 20, 'x');
  push({start_packet(), image(0, big), image(1, big), image(2, std::string(5 << 20, 'y'))});
  assign(0, 4, {0});
  auto messages = first.all<partial_events>();
  ASSERT_EQ(messages.size(), 3u);
  EXPECT_EQ(messages[0].entries.size(), 2u);
  EXPECT_EQ(messages[2].entries.size(), 1u) << "one item of any size passes";
  std::vector<stream_packet> many;
  for (std::uint64_t n = 3; n < 1203; ++n) many.push_back(image(n));
  push(many);
  assign(4, 1200, {0});
  std::uint64_t count = 0, sequence = 3;
  for (auto& m : first.all<partial_events>()) {
    EXPECT_LE(m.entries.size(), 512u);
    EXPECT_EQ(m.sequence, sequence++);
    count += m.entries.size();
  }
  EXPECT_EQ(count, 1200u);
}

TEST_F(ingester, frames_are_not_copied_on_their_way) {
  ready(2);
  auto data = text_data("frame");
  assign(0, 2, {0, 1});
  push({{data, {.kind = entry_kind::start, .message_number = 0}}});
  EXPECT_EQ(first.expect<partial_events>().entries.at(0).data.frames().data(), data.frames().data());
  EXPECT_EQ(second.expect<partial_events>().entries.at(0).data.frames().data(), data.frames().data());
}

// -- deaths, holes and connections
// ----------------------------------------------------------------------

TEST_F(ingester, sends_what_is_moved_once_more) {
  ready(6);
  assign(0, 6, {0});
  push({start_packet(), image(0), image(1), image(3)});
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=frame", "2=frame", "4=frame"));
  controller.send(actor, forget{head_of(), {{event_number(0), event_number(1)}}});
  send({}, {{{event_number(0), 5, 1}, 1, dispatch_id(99)}});
  EXPECT_EQ(dispatches_at(second), std::set<std::uint64_t>{99});
  EXPECT_THAT(got_second(), ElementsAre("0!lost", "1=frame", "2=frame", "4=frame"))
      << "and at once what is there";
  EXPECT_THAT(causes, ElementsAre(HasSubstr("gone")));
  push({image(2)});
  EXPECT_EQ(dispatches_at(second), std::set<std::uint64_t>{99});
  EXPECT_EQ(dispatches_at(first), std::set<std::uint64_t>{5});
  EXPECT_THAT(got_first(), ElementsAre("3=frame"));
  EXPECT_THAT(got_second(), ElementsAre("3=frame")) << "and the rest when it comes";
  push({end_packet(4)});
  EXPECT_THAT(got_second(), IsEmpty());
}

TEST_F(ingester, what_is_missing_is_missing_for_those_it_is_moved_to) {
  ready(4);
  assign(0, 4, {0});
  push({start_packet(), image(1), end_packet(2)});
  w.advance(3s);
  got_first();
  send({}, {{{event_number(1), 2, 1}, 1, dispatch_id(99)}});
  EXPECT_THAT(got_second(), ElementsAre("1!incomplete", "2=frame"));
}

TEST_F(ingester, keeps_for_who_comes_later_what_everybody_got) {
  ready(4);
  send({{{event_number(0), 1, 1}, {0, 1}, true}, {{event_number(1), 3, 1}, {0}}});
  push({start_packet(), image(0)});
  controller.send(actor, forget{head_of(), {{event_number(0), event_number(2)}}});
  EXPECT_EQ(status({"held_bytes"}), 0u);
  auto m = order(4);
  m.resume = true;
  m.workers.push_back({"w3", incarnation(12), 2});
  EXPECT_TRUE(controller.ask<armed>(actor, m).get().known);
  send({}, {{{event_number(0), 2, 1}, 2, dispatch_id(99), true}});
  probe third{w};
  introduce(12, third.handle);
  std::uint64_t sequence = 0;
  EXPECT_THAT(got(third, sequence), ElementsAre("0=start", "1!lost"))
      << "also when its connection is there only after that";
}

TEST_F(ingester, sends_again_what_may_have_been_on_the_way) {
  ready(6);
  assign(0, 3, {0, 1});
  assign(3, 1, {1});
  push({start_packet(), image(0), image(2)});
  got_first();
  got_second();
  controller.send(actor, forget{head_of(), {{event_number(0), event_number(1)}}});
  controller.send(actor, departed{incarnation(10)});
  push({image(1)});
  EXPECT_THAT(got_first(), IsEmpty());
  EXPECT_THAT(got_second(), ElementsAre("2=frame")) << "nobody else waits";
  introduce(10, first.handle);
  first_sequence = 0;
  EXPECT_EQ(connections_at(first), std::set<std::uint32_t>{1});
  EXPECT_THAT(got_first(), ElementsAre("1=frame", "2=frame")) << "what has ended is not wanted";
  EXPECT_THAT(got_second(), IsEmpty());
  assign(4, 2, {0});
  push({image(3)});
  EXPECT_EQ(connections_at(first), std::set<std::uint32_t>{1});
  EXPECT_THAT(got_first(), ElementsAre("4=frame"));
}

TEST_F(ingester, sends_what_was_moved_again_too) {
  ready(6);
  assign(0, 6, {0});
  push({start_packet(), image(0)});
  send({}, {{{event_number(0), 3, 1}, 1, dispatch_id(99)}});
  got_second();
  controller.send(actor, departed{incarnation(11)});
  push({image(1)});
  introduce(11, second.handle);
  second_sequence = 0;
  EXPECT_EQ(dispatches_at(second), std::set<std::uint64_t>{99});
  EXPECT_THAT(got_second(), ElementsAre("0=start", "1=frame", "2=frame"));
}

TEST_F(ingester, who_is_introduced_again_gets_nothing_twice) {
  ready(3);
  assign(0, 3, {0});
  push({start_packet()});
  got_first();
  introduce(10, first.handle);
  EXPECT_THAT(got_first(), IsEmpty());
}

TEST_F(ingester, who_is_gone_gets_nothing_more_and_its_frames_are_kept) {
  ready(6);
  assign(0, 6, {0});
  push({start_packet(), image(0)});
  got_first();
  controller.send(actor, assignments{head_of(), dispatch_id(last_dispatch[1]), dispatch_id(7), {}, {}, {0}});
  last_dispatch[1] = 7;
  push({image(1)});
  EXPECT_THAT(got_first(), IsEmpty());
  introduce(10, first.handle);
  EXPECT_THAT(got_first(), IsEmpty()) << "whatever it says";
  send({}, {{{event_number(0), 6, 1}, 1, dispatch_id(99)}});
  EXPECT_THAT(got_second(), ElementsAre("0=start", "1=frame", "2=frame"));
  push({image(2)});
  EXPECT_THAT(got_second(), ElementsAre("3=frame"));
}

TEST_F(ingester, who_takes_a_stream_up_waits_for_no_process) {
  build();
  introduce(10, first.handle);
  EXPECT_FALSE(resume(6, 0, {}).open());
  tell_open(0, 6, 1);
  push({start_packet(), image(0)});
  introduce(11, second.handle);
  EXPECT_THAT(got_second(), ElementsAre("0=start", "1=frame")) << "it gets everything when it is there";
}

TEST_F(ingester, says_what_it_has_taken) {
  ready(6);
  assign(0, 2, {0});
  auto m = controller.expect<taken>();
  EXPECT_EQ(m.dispatch, dispatch_id(5));
  EXPECT_EQ(m.stream, stream_index(1));
  EXPECT_EQ(m.head.from, incarnation(77));
  assign(2, 2, {0});
  EXPECT_EQ(controller.expect<taken>().dispatch, dispatch_id(10));
}

TEST_F(ingester, a_hole_in_its_assignments_waits_for_the_controller) {
  ready(6);
  assign(0, 2, {0});
  controller.all<taken>();
  push({start_packet(), image(0), image(1), image(2)});
  got_first();
  last_dispatch[1] = 10; // one was lost
  assign(3, 1, {0});
  EXPECT_THAT(got_first(), IsEmpty()) << "its frames would go to the wrong events";
  EXPECT_THAT(controller.all<taken>(), IsEmpty());
  auto m = order(6);
  m.resume = true;
  auto answer = controller.ask<armed>(actor, m).get();
  EXPECT_TRUE(answer.known);
  EXPECT_EQ(answer.taken, dispatch_id(5));
  last_dispatch[1] = 5;
  assign(2, 1, {0});
  assign(3, 1, {0});
  EXPECT_THAT(got_first(), ElementsAre("2=frame", "3=frame"));
  last_dispatch[1] = 10;
  assign(3, 1, {0});
  EXPECT_THAT(got_first(), IsEmpty()) << "what comes twice is taken once";
}

TEST_F(ingester, a_controller_that_was_away_learns_where_it_stands) {
  ready(6);
  assign(0, 6, {0});
  push({start_packet(), image(0)});
  auto began = controller.expect<stream_began>();
  EXPECT_EQ(began.stream, stream_index(1));
  EXPECT_EQ(began.arm.start, 0u);
  EXPECT_EQ(began.arm.first, 1u);
  push({image(1)});
  EXPECT_THAT(controller.all<stream_began>(), IsEmpty()) << "once for each arm";
  got_first();
  probe other{w};
  auto m = order(6);
  m.resume = true;
  auto answer = other.ask<armed>(actor, m).get();
  EXPECT_TRUE(answer.known);
  EXPECT_EQ(answer.taken, dispatch_id(5));
  EXPECT_EQ(other.expect<stream_began>().arm, began.arm);
  EXPECT_EQ(script->arms, 1) << "its stream goes on";
  push({image(2)});
  EXPECT_THAT(got_first(), ElementsAre("3=frame"));
  auto& last = last_dispatch[1];
  other.send(actor, assignments{head_of(), dispatch_id(last), dispatch_id(last + 1), {}, {}, {}});
  EXPECT_THAT(other.all<taken>(), SizeIs(1));
  EXPECT_THAT(controller.all<taken>(), SizeIs(1)) << "of before";
}

TEST_F(ingester, takes_a_stream_up_in_the_midst_of_it) {
  ready(10);
  assign(0, 4, {0});
  push({start_packet(), image(0), image(1)});
  auto place = controller.expect<stream_began>().arm;
  restart();
  auto answer = resume(10, 2, place);
  EXPECT_FALSE(answer.get().known);
  EXPECT_EQ(answer.get().taken, dispatch_id());
  EXPECT_EQ(script->arms, 1);
  tell_open(2, 8, 1);
  EXPECT_THAT(got_second(), IsEmpty()) << "what is missing is known with the first that comes";
  push({image(4)});
  EXPECT_THAT(got_second(), ElementsAre("5=frame")) << "what is before it may be late";
  EXPECT_THAT(got_first(), IsEmpty());
  push({image(5), image(6), image(7), end_packet(8)});
  EXPECT_THAT(got_second(), testing::UnorderedElementsAre("2!lost", "3!lost", "4!lost", "6=frame", "7=frame",
                                                          "8=frame", "9=end"));
  EXPECT_EQ(status({"verdicts", "stray"}), 0u);
}

TEST_F(ingester, a_gap_behind_where_it_took_a_stream_up_is_incomplete) {
  build();
  introduce(10, first.handle);
  introduce(11, second.handle);
  EXPECT_FALSE(resume(10, 2, {.start = 0, .first = 1, .message_number = 0}).open());
  tell_open(2, 8, 0);
  push({image(3), image(5), image(6), image(7), end_packet(8)});
  w.advance(3s);
  auto list = got_first();
  EXPECT_THAT(list, testing::Contains("2!lost"));
  EXPECT_THAT(list, testing::Contains("5!incomplete")) << "that one the instrument lost";
}

TEST_F(ingester, a_stream_that_had_not_begun_is_taken_up_from_its_start) {
  build();
  introduce(10, first.handle);
  introduce(11, second.handle);
  EXPECT_FALSE(resume(4, 0, {}).open());
  tell_open(0, 4, 0);
  push({start_packet(), image(0), image(1), end_packet(2)});
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=frame", "2=frame", "3=end"));
}

TEST_F(ingester, what_it_recorded_is_there_for_who_takes_its_stream_up) {
  for (bool known : {false, true}) {
    SCOPED_TRACE(known);
    temporary_directory folder;
    recording.folder = folder.path().string();
    auto complete = [&](arm m) {
      if (known) m.events_of_stream = {{event_number(0), 10, 1}};
      return m;
    };
    script = std::make_shared<source_script>();
    last_dispatch.clear();
    first_sequence = 0;
    build();
    introduce(10, first.handle);
    introduce(11, second.handle);
    EXPECT_FALSE(controller.ask<armed>(actor, complete(order(10))).open());
    assign(0, 6, {0});
    push({start_packet(), image(0, "a"), image(1, "b"), image(3, "d")});
    auto place = controller.expect<stream_began>().arm;
    controller.send(actor, forget{head_of(), {{event_number(0), event_number(2)}}});
    restart();
    auto m = complete(order(10));
    m.resume = true;
    m.from = {stream_position(2), place};
    EXPECT_FALSE(controller.ask<armed>(actor, m).get().known);
    tell_open(2, 8, 1);
    EXPECT_THAT(got_second(), ElementsAre("2=b", "4=d"));
    push({image(4, "e")});
    EXPECT_THAT(got_second(), ElementsAre("5=e")) << "the one before it may be late";
    // The same once more: what the second one took is in the recording, too.
    restart();
    EXPECT_FALSE(controller.ask<armed>(actor, m).get().known);
    tell_open(2, 8, 0);
    EXPECT_THAT(got_first(), ElementsAre("2=b", "4=d", "5=e"));
    for (auto p : {&controller, &first, &second}) p->letters.clear();
  }
}

TEST_F(ingester, a_recording_that_was_cut_off_is_good_up_to_there) {
  recording.folder = directory.path().string();
  ready(10);
  assign(0, 6, {0});
  push({start_packet(), image(0, "a"), image(1, "b")});
  auto place = controller.expect<stream_began>().arm;
  restart();
  std::filesystem::path file;
  for (auto& entry : std::filesystem::directory_iterator(recording.folder)) file = entry.path();
  ASSERT_FALSE(file.empty());
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 2);
  EXPECT_FALSE(resume(10, 0, place).open());
  tell_open(0, 10, 0);
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=a"));
  push({image(2, "c")});
  got_first();
  restart();
  EXPECT_FALSE(resume(10, 0, place).open());
  tell_open(0, 10, 0);
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=a", "3=c")) << "what was written behind it can be read";
  EXPECT_THAT(recorded_in(recording.folder), ElementsAre("0=start", "1=a", "3=c"));
}

TEST_F(ingester, a_packed_recording_that_was_cut_off_is_good_up_to_there) {
  for (auto how : {packing::gzip, packing::zstd}) {
    SCOPED_TRACE(ending_of(how));
    temporary_directory folder;
    recording = {.folder = folder.path().string(), .packed = how};
    actor = nullptr;
    script = std::make_shared<source_script>();
    last_dispatch.clear();
    first_sequence = 0;
    ready(10);
    assign(0, 6, {0});
    push({start_packet(), image(0, "a")});
    w.advance(300ms);
    push({image(1, "b")});
    w.advance(300ms);
    auto place = controller.expect<stream_began>().arm;
    restart();
    std::filesystem::path file;
    for (auto& entry : std::filesystem::directory_iterator(recording.folder)) file = entry.path();
    EXPECT_EQ(file.extension(), ending_of(how));
    std::filesystem::resize_file(file, std::filesystem::file_size(file) - 2);
    EXPECT_FALSE(resume(10, 0, place).open());
    tell_open(0, 10, 0);
    got_first();
    push({image(2, "c")});
    w.advance(300ms);
    EXPECT_THAT(recorded_in(folder.path()), ElementsAre("0=start", "1=a", "2=b", "3=c"));
    restart();
    for (auto p : {&controller, &first, &second}) p->letters.clear();
  }
}

TEST_F(ingester, records_where_the_scan_says) {
  build();
  introduce(10, first.handle);
  introduce(11, second.handle);
  auto m = order(10);
  m.dump_prefix = (directory / "deep/run7_").string();
  EXPECT_FALSE(controller.ask<armed>(actor, m).open());
  assign(0, 6, {0});
  push({start_packet(), image(0, "a")});
  auto done = controller.ask<value>(actor, finish_recording{head_of()}).get();
  auto file = directory / ("deep/run7_det-ingester-" + to_string(head_of().scan) + ".cbors");
  EXPECT_EQ(*done.find("recording")->find("file")->as_text(), file.string());
  EXPECT_EQ(number_in(done, {"recording", "events"}), 2u);
  EXPECT_EQ(number_in(done, {"recording", "bytes"}), std::filesystem::file_size(file));
  EXPECT_EQ(number_in(done, {"recording", "behind_bytes"}), 0u);
  EXPECT_THAT(recorded_in(directory / "deep"), ElementsAre("0=start", "1=a"));
}

TEST_F(ingester, a_recording_that_is_behind_holds_its_source) {
  recording = {.folder = directory.path().string(), .budget = 2 * frame_cost};
  ready(100);
  assign(0, 100, {0});
  push({start_packet()});
  script->push({image(0), image(1), image(2)});
  auto before = script->allowed;
  ASSERT_TRUE(w.step()); // the ingester, not the recorder
  EXPECT_LE(script->allowed, std::max(before, script->handed_over + 2 * frame_cost));
  auto text = [&] {
    return *controller.ask<value>(actor, status_atom::value).get().find("state")->as_text();
  };
  w.run();
  EXPECT_EQ(script->allowed, script->handed_over + 2 * frame_cost) << "it has caught up";
  EXPECT_EQ(text(), "reading");
}

TEST_F(ingester, a_recording_may_leave_gaps_and_says_where) {
  recording = {.folder = directory.path().string(), .budget = 2 * frame_cost, .leave_gaps = true};
  ready(100);
  assign(0, 100, {0});
  push({start_packet()});
  push({image(0), image(1), image(2), image(3)});
  push({image(4)});
  got_first();
  EXPECT_THAT(recorded_in(directory.path()),
              ElementsAre("0=start", "1=frame", "2=frame", "3=-", "4=-", "5=frame"));
  auto status = controller.ask<value>(actor, finish_recording{head_of()}).get();
  EXPECT_EQ(number_in(status, {"recording", "gap_events"}), 2u);
  auto& gaps = *status.find("recording")->find("gaps")->as_list();
  ASSERT_EQ(gaps.size(), 1u);
  EXPECT_EQ(gaps[0], value(value_list{std::uint64_t{3}, std::uint64_t{4}}));
}

TEST_F(ingester, a_recording_that_cannot_be_written_is_named_and_the_stream_goes_on) {
  recording.folder = "/dev/full/no";
  ready(10);
  assign(0, 6, {0});
  push({start_packet(), image(0, "a")});
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=a"));
  auto status = controller.ask<value>(actor, finish_recording{head_of()}).get();
  EXPECT_THAT(*status.find("recording_error")->as_text(), HasSubstr("/dev/full"));
}

/// The recorder had not written all when the process ended; the stream goes on in the next one's recording.
TEST_F(ingester, what_its_recorder_did_not_get_to_write_is_named_in_the_recording) {
  for (auto how : {packing::none, packing::zstd}) {
    SCOPED_TRACE(ending_of(how));
    temporary_directory folder;
    recording = {.folder = folder.path().string(), .packed = how};
    actor = nullptr;
    script = std::make_shared<source_script>();
    last_dispatch.clear();
    first_sequence = 0;
    auto complete = [&](arm m) {
      m.events_of_stream = {{event_number(0), 10, 2}};
      return m;
    };
    build();
    introduce(10, first.handle);
    introduce(11, second.handle);
    EXPECT_FALSE(controller.ask<armed>(actor, complete(order(10))).open());
    send({{{event_number(0), 8, 2}, {0}}});
    push({start_packet(), image(0, "a")});
    w.advance(300ms);
    auto place = controller.expect<stream_began>().arm;
    // Events 4, 6 and 8 are received and over, and not on the disk.
    restart();
    auto m = complete(order(10));
    m.resume = true;
    m.from = {stream_position(5), place, event_number(10)};
    EXPECT_FALSE(controller.ask<armed>(actor, m).open());
    send({{{event_number(10), 3, 2}, {}, false, true}}, {{{event_number(10), 3, 2}, 0, dispatch_id(1)}});
    push({image(5, "f")});
    w.advance(300ms);
    EXPECT_THAT(recorded_in(folder.path()),
                ElementsAre("0=start", "2=a", "4=-", "6=-", "8=-", "10=-", "12=f"));
    auto status = controller.ask<value>(actor, finish_recording{head_of()}).get();
    EXPECT_EQ(number_in(status, {"recording", "gap_events"}), 4u);
    EXPECT_THAT(*status.find("recording_error")->as_text(), HasSubstr("4 events are left out"));
    restart();
  }
}

/// What a source receives goes through this.
std::shared_ptr<wire_tape> tape_in(const std::filesystem::path& folder, const world& w, std::uint64_t budget,
                                   bool leave_gaps) {
  wire_tape_options o{
      .folder = folder, .what = {"det", "stins", {}}, .budget = budget, .leave_gaps = leave_gaps};
  o.clock = [&w] { return w.now; };
  return std::make_shared<wire_tape>(std::move(o));
}

TEST_F(ingester, a_wire_recording_that_is_behind_holds_its_source) {
  recording.wire = tape_in(directory.path(), w, 2 * frame_cost, false);
  ready(100);
  assign(0, 100, {0});
  push({start_packet()});
  EXPECT_EQ(script->allowed, script->handed_over + 2 * frame_cost);
  script->push({image(0), image(1)});
  for (auto text : {"start", "a", "b"}) recording.wire->take(text_data(text));
  ASSERT_TRUE(w.step()); // the ingester, not the recorder
  EXPECT_EQ(script->allowed, script->handed_over) << "nothing more is read";
  w.run();
  EXPECT_EQ(script->allowed, script->handed_over + 2 * frame_cost) << "it has caught up";
  auto done = controller.ask<value>(actor, finish_recording{head_of()}).get();
  EXPECT_EQ(number_in(done, {"wire_recording", "messages"}), 3u);
  EXPECT_EQ(done.find("recording_error"), nullptr);
}

std::vector<std::string> received_in(const std::filesystem::path& folder) {
  std::vector<std::string> list;
  for (auto& entry : std::filesystem::directory_iterator(folder)) {
    wire_reader reader(mapped_file::open(entry.path()));
    while (auto message = reader.next())
      list.push_back((reader.interrupted() ? "gap, " : "") + std::string(message->frames()[0].text()));
    EXPECT_EQ(reader.cut_off(), "");
  }
  return list;
}

TEST_F(ingester, a_wire_recording_may_leave_gaps_and_says_so) {
  auto bytes = budgeted_bytes(1);
  recording.wire = tape_in(directory / "made", w, 2 * bytes, true);
  ready(100);
  EXPECT_FALSE(std::filesystem::exists(directory / "made")) << "nothing was received";
  for (auto text : {"a", "b", "c", "d"}) recording.wire->take(text_data(text));
  w.run();
  recording.wire->take(text_data("e"));
  w.run();
  auto done = controller.ask<value>(actor, finish_recording{head_of()}).get();
  EXPECT_THAT(received_in(directory / "made"), ElementsAre("a", "b", "gap, e"));
  EXPECT_EQ(number_in(done, {"wire_recording", "gap_messages"}), 2u);
  EXPECT_EQ(number_in(done, {"wire_recording", "messages"}), 3u);
  EXPECT_EQ(number_in(done, {"wire_recording", "behind_bytes"}), 0u);
  EXPECT_THAT(*done.find("recording_error")->as_text(), HasSubstr("2 messages are left out of it"));
}

TEST_F(ingester, a_wire_recording_that_cannot_be_written_is_named_and_holds_nothing) {
  recording.wire = tape_in("/dev/full/no", w, 1000, false);
  ready(10);
  assign(0, 6, {0});
  for (int i = 0; i < 10; ++i) recording.wire->take(text_data("a"));
  push({start_packet(), image(0, "a")});
  EXPECT_THAT(got_first(), ElementsAre("0=start", "1=a"));
  auto done = controller.ask<value>(actor, finish_recording{head_of()}).get();
  EXPECT_THAT(*done.find("recording_error")->as_text(), HasSubstr("/dev/full"));
  EXPECT_EQ(number_in(done, {"wire_recording", "lost_messages"}), 10u);
  EXPECT_EQ(number_in(done, {"wire_recording", "behind_bytes"}), 0u);
  EXPECT_GT(script->allowed, script->handed_over);
}

TEST_F(ingester, each_scan_has_a_wire_recording_of_its_own) {
  recording.wire = tape_in(directory.path(), w, 1000, false);
  for (std::uint64_t scan : {1, 2}) {
    recording.wire->take(text_data("before"));
    ready(10);
    recording.wire->take(text_data("within"));
    controller.send(actor, disarm{head_of()});
    w.advance(1s);
    EXPECT_THAT(received_in(directory.path()), testing::SizeIs(scan));
  }
}

TEST_F(ingester, says_how_it_is) {
  build();
  auto text = [&] {
    return *controller.ask<value>(actor, status_atom::value).get().find("state")->as_text();
  };
  script->status.connected = false;
  EXPECT_THAT(text(), HasSubstr("waiting for its instrument"));
  script->status.connected = true;
  EXPECT_EQ(text(), "idle");
  ready(2);
  EXPECT_EQ(text(), "reading");
  w.advance(3s);
  EXPECT_EQ(text(), "silent for 3 s");
  script->status.reading = false;
  EXPECT_THAT(text(), HasSubstr("held back"));
  script->status.error = "no such device";
  EXPECT_THAT(text(), HasSubstr("no such device"));
}

} // namespace
} // namespace dtranspose
