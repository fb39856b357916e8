/// One reducer between probes: a controller, workers and an assembler; its files are real.
#include "actors/reducer.hpp"

#include <cmath>
#include <fstream>

#include "actors/fixture.hpp"
#include "model/value_json.hpp"
#include "output/hdf5.hpp"
#include "output/snapshots.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace test;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

slot_run slots(std::uint64_t event, std::uint32_t count = 1, std::uint16_t slot = 0, std::uint16_t n = 1) {
  return {{event_number(event), count, 1}, slot_index(slot), n};
}

mapped_batch mapped(std::vector<slot_run> list) {
  mapped_batch b;
  for (auto& s : list) {
    auto x = static_cast<double>(s.events.first.value);
    b.mapped.push_back({s, {}, value(value_map{{"mean", x}, {"sum", x}, {"min", x}, {"max", x}})});
  }
  return b;
}

class reducer : public testing::Test {
 protected:
  void build(std::string output = "", bool overwrite = false) {
    path = std::move(output);
    auto around = w.around();
    if (steady) around.steady = steady;
    actor = w.own(spawn_reducer(w.system(), {
                                                .life = incarnation(life),
                                                .around = around,
                                                .output = path,
                                                .overwrite = overwrite,
                                                .journals = journals,
                                                .fsync = fsync,
                                                .pause_when_full = pause_when_full,
                                                .snapshots = snapshots,
                                                .snapshots_per_second = snapshots_per_second,
                                            }));
    w.run();
  }

  /// With a journal, which is synced at once unless told otherwise.
  void keep_journal(std::chrono::nanoseconds delay = 0s) {
    journals = std::make_shared<memory_journals>();
    fsync = delay;
  }

  void die() {
    caf::anon_send_exit(actor, caf::exit_reason::kill);
    actor = nullptr;
    w.run();
  }

  /// The process goes and another one comes, which is asked to take the scan up.
  pending<armed> restart() { return restart(order()); }
  pending<armed> restart(arm m) {
    if (actor) die();
    for (auto p : {&controller, &first, &second, &assembler}) p->letters.clear();
    ++life;
    build(path);
    m.resume = true;
    return controller.ask<armed>(actor, m);
  }

  /// A process with one worker: the first of `order`, or the second.
  void introduce(std::uint64_t process, const std::string& worker, probe& handle) {
    member_info m;
    m.life = incarnation(process);
    m.assembler = assembler.handle;
    m.workers = {{worker, {}, handle.handle}};
    controller.send(actor, m);
  }

  /// One column of the file that was written.
  std::vector<double> column(const std::string& file, const std::string& name) {
    hdf5::be_quiet();
    hdf5::handle handle(H5Fopen(file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, file, "open");
    hdf5::handle set(H5Dopen2(handle.get(), name.c_str(), H5P_DEFAULT), H5Dclose, name, "open");
    std::vector<double> all(10);
    hdf5::check(H5Dread(set.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), name,
                "read");
    return all;
  }

  static arm order(std::string analysis = "roi", std::uint64_t scan = 1) {
    arm m{.head = head_of(scan),
          .events = 10,
          .streams = {"det"},
          .analysis = std::move(analysis),
          .version = parameters_version(1)};
    m.workers = {{"w0", incarnation(20), 0}, {"w1", incarnation(21), 1}};
    return m;
  }

  void ready(std::string output = "") {
    build(std::move(output));
    EXPECT_EQ(controller.ask<armed>(actor, order()).get().from, incarnation(30));
  }

  void fold(probe& from, std::uint32_t index, mapped_batch b, std::uint64_t scan = 1) {
    from.send(actor, results{head_of(scan), worker_index(index), sequence[index]++, version, std::move(b)});
  }
  void close(std::vector<unmappable> list) {
    assembler.send(actor, closes{head_of(), closed++, std::move(list)});
  }

  /// What ended since it was last asked, as "event.slot fate".
  std::vector<std::string> ended() {
    std::vector<std::string> list;
    for (auto& m : controller.all<commits>()) {
      EXPECT_EQ(m.head.from, incarnation(life));
      for (auto& e : m.slots)
        for (std::uint32_t i = 0; i < e.slots.events.count; ++i)
          for (int s = 0; s < e.slots.slots; ++s)
            list.push_back(std::to_string(e.slots.events.at(i).value) + "." +
                           std::to_string(e.slots.first_slot.value + s) + " " + name_of(e.how));
    }
    return list;
  }

  pending<finished_scan> finish(std::vector<finished_worker> workers, std::uint64_t scan = 1) {
    return controller.ask<finished_scan>(actor, finish_scan{head_of(scan), std::move(workers)});
  }
  std::uint64_t status(std::string_view key) {
    return number_in(controller.ask<value>(actor, status_atom::value).get(), {key});
  }

  world w;
  temporary_directory directory;
  std::string path;
  std::shared_ptr<memory_journals> journals;
  std::chrono::nanoseconds fsync{};
  bool pause_when_full = true;
  std::shared_ptr<snapshot_store> snapshots;
  double snapshots_per_second = 10;
  std::function<std::int64_t()> steady; ///< instead of the world's
  std::uint64_t life = 30;
  probe controller{w}, first{w}, second{w}, third{w}, assembler{w};
  std::uint64_t sequence[2] = {}, closed = 0;
  parameters_version version{1};
  caf::actor actor;
};

TEST_F(reducer, folds_commits_and_accepts) {
  ready();
  fold(first, 0, mapped({slots(0), slots(1)}));
  EXPECT_THAT(ended(), ElementsAre("0.0 folded", "1.0 folded"));
  EXPECT_EQ(first.expect<accepted>().sequence, 0u);
  fold(second, 1, mapped({slots(2, 1, 0, 2)}));
  EXPECT_THAT(ended(), ElementsAre("2.0 folded", "2.1 folded"));
  EXPECT_EQ(status("folded"), 3u);
}

TEST_F(reducer, empty_and_failed_end_slots_too) {
  ready();
  mapped_batch b;
  b.empty = {slots(0, 3)};
  b.failed = {{slots(7), "it threw"}};
  fold(first, 0, b);
  auto m = controller.expect<commits>();
  ASSERT_EQ(m.slots.size(), 2u);
  EXPECT_EQ(m.slots[0].how, fate::empty);
  EXPECT_EQ(m.slots[1].cause, "it threw");
}

TEST_F(reducer, a_slot_ends_once_whoever_comes_first) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  fold(second, 1, mapped({slots(0), slots(1)}));
  close({{slots(1), fate::incomplete, "late"}, {slots(2), fate::incomplete, "a gap"}});
  fold(second, 1, mapped({slots(2), slots(3)}));
  EXPECT_THAT(ended(), ElementsAre("0.0 folded", "1.0 folded", "2.0 incomplete", "3.0 folded"));
  EXPECT_EQ(status("folded"), 3u);
  EXPECT_EQ(second.all<accepted>().size(), 2u) << "a duplicate is accepted, or it would be sent for ever";
}

TEST_F(reducer, a_result_is_folded_whole_or_not_at_all) {
  ready();
  close({{slots(5), fate::lost, "gone"}});
  mapped_batch b;
  b.mapped.push_back({slots(3), {slots(5), slots(7, 2)}, value(value_map{})});
  fold(first, 0, b);
  EXPECT_THAT(ended(), ElementsAre("5.0 lost"));
  EXPECT_EQ(status("folded"), 0u);
  EXPECT_EQ(status("duplicates"), 1u);
  // Its other slots are still open.
  fold(second, 1, mapped({slots(3), slots(7), slots(8)}));
  EXPECT_EQ(ended().size(), 3u);
}

TEST_F(reducer, a_closed_run_ends_where_it_is_open) {
  ready();
  fold(first, 0, mapped({slots(1)}));
  ended();
  close({{slots(0, 3), fate::incomplete, "a gap"}});
  EXPECT_THAT(ended(), ElementsAre("0.0 incomplete", "2.0 incomplete"));
}

TEST_F(reducer, slots_of_one_event_are_apart) {
  ready();
  fold(first, 0, mapped({slots(4, 1, 1)}));
  close({{slots(4, 1, 0), fate::incomplete, "a gap"}});
  fold(second, 1, mapped({slots(4, 1, 2, 3)}));
  EXPECT_THAT(ended(), ElementsAre("4.1 folded", "4.0 incomplete", "4.2 folded", "4.3 folded", "4.4 folded"));
}

TEST_F(reducer, finish_waits_for_messages_that_are_under_way) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  auto answer = finish({{worker_index(0), 2, ""}, {worker_index(1), 1, ""}});
  EXPECT_TRUE(answer.open());
  fold(second, 1, mapped({slots(0)}));
  EXPECT_TRUE(answer.open());
  fold(first, 0, mapped({slots(1)}));
  auto m = answer.get();
  EXPECT_EQ(m.output, "");
  EXPECT_EQ(m.duplicates, 1u);
  EXPECT_THAT(m.complaints, IsEmpty());
}

TEST_F(reducer, folds_nothing_more_once_it_is_sealed) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  EXPECT_TRUE(controller.ask<bool>(actor, seal{head_of(2)}).get());
  fold(first, 0, mapped({slots(1)}));
  EXPECT_THAT(ended(), ElementsAre("0.0 folded", "1.0 folded")) << "the seal was for another scan";
  EXPECT_TRUE(controller.ask<bool>(actor, seal{head_of()}).get());
  auto answer = finish({{worker_index(0), 3, ""}});
  close({{slots(2), fate::incomplete, "a gap"}});
  EXPECT_TRUE(answer.open());
  fold(first, 0, mapped({slots(3)}));
  EXPECT_THAT(ended(), IsEmpty());
  EXPECT_EQ(answer.error(), "") << "its messages still count";
  EXPECT_FALSE(answer.open());
  EXPECT_FALSE(controller.ask<armed>(actor, order("roi", 2)).open());
  sequence[0] = 0;
  fold(first, 0, mapped({slots(0)}), 2);
  EXPECT_THAT(ended(), ElementsAre("0.0 folded")) << "the next scan is not sealed";
}

TEST_F(reducer, a_message_that_comes_twice_is_folded_once) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  sequence[0] = 0;
  fold(first, 0, mapped({slots(0)}));
  EXPECT_THAT(ended(), ElementsAre("0.0 folded"));
  EXPECT_EQ(status("folded"), 1u);
}

TEST_F(reducer, what_comes_again_is_accepted_again) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  fold(first, 0, mapped({slots(1)}));
  close({{slots(2), fate::lost, "gone"}});
  ended();
  first.all<accepted>();
  assembler.all<accepted>();
  sequence[0] = closed = 0;
  fold(first, 0, mapped({slots(0)}));
  close({{slots(2), fate::lost, "gone"}});
  EXPECT_EQ(first.expect<accepted>().sequence, 1u) << "or it would be kept, and sent, for ever";
  EXPECT_EQ(assembler.expect<accepted>().sequence, 0u);
  EXPECT_THAT(ended(), IsEmpty());
}

TEST_F(reducer, asks_for_what_is_missing_in_between) {
  ready();
  sequence[0] = 2;
  fold(first, 0, mapped({slots(2)}));
  EXPECT_EQ(first.expect<resend>().next, 0u);
  closed = 1;
  close({{slots(5), fate::lost, "gone"}});
  EXPECT_EQ(assembler.expect<resend>().next, 0u);
  EXPECT_THAT(ended(), IsEmpty()) << "nothing is taken out of turn";
  EXPECT_THAT(first.all<accepted>(), IsEmpty());
  sequence[0] = closed = 0;
  for (std::uint64_t e = 0; e < 3; ++e) fold(first, 0, mapped({slots(e)}));
  close({{slots(4), fate::lost, "gone"}});
  EXPECT_THAT(ended(), ElementsAre("0.0 folded", "1.0 folded", "2.0 folded", "4.0 lost"));
}

TEST_F(reducer, asks_a_process_that_it_meets_for_what_it_lacks) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  fold(first, 0, mapped({slots(1)}));
  introduce(20, "w0", first);
  EXPECT_EQ(first.expect<resend>().next, 2u);
  EXPECT_EQ(assembler.expect<resend>().next, 0u);
  introduce(21, "w1", second);
  EXPECT_EQ(second.expect<resend>().next, 0u);
  introduce(22, "w0", third);
  EXPECT_THAT(third.all<resend>(), IsEmpty()) << "it has no part in the scan";
}

// -- fences ---------------------------------------------------------------------------------------------

TEST_F(reducer, nothing_of_a_fenced_worker_counts) {
  ready();
  fold(second, 1, mapped({slots(0)}));
  EXPECT_TRUE(controller.ask<bool>(actor, fence{head_of(), {worker_index(1)}}).get());
  EXPECT_THAT(ended(), ElementsAre("0.0 folded")) << "what came before counts";
  second.all<accepted>();
  fold(second, 1, mapped({slots(1)}));
  close({{slots(2), fate::incomplete, "a gap", worker_index(1)}, {slots(3), fate::incomplete, "a gap"}});
  EXPECT_THAT(ended(), ElementsAre("3.0 incomplete"));
  EXPECT_THAT(second.all<accepted>(), IsEmpty());
  EXPECT_EQ(status("rejected"), 1u);
  fold(first, 0, mapped({slots(1)}));
  fold(first, 0, mapped({slots(2)}));
  EXPECT_THAT(ended(), ElementsAre("1.0 folded", "2.0 folded")) << "others take them over";
}

TEST_F(reducer, a_fence_is_answered_after_what_ended_before) {
  keep_journal(1s);
  ready();
  fold(second, 1, mapped({slots(0)}));
  EXPECT_THAT(controller.all<commits>(), IsEmpty());
  journals->full = true;
  auto answer = controller.ask<bool>(actor, fence{head_of(), {worker_index(1)}});
  w.advance(2s);
  EXPECT_TRUE(answer.open()) << "it is not written down";
  EXPECT_THAT(controller.all<commits>(), IsEmpty());
  journals->full = false;
  w.advance(1s);
  EXPECT_TRUE(answer.get());
  auto told = controller.take_letter<commits>();
  ASSERT_TRUE(told);
  EXPECT_LT(told->arrival, answer.arrival()) << "what the controller then holds for open would be moved";
}

TEST_F(reducer, a_fence_holds_after_a_restart) {
  keep_journal();
  ready();
  fold(second, 1, mapped({slots(0)}));
  EXPECT_TRUE(controller.ask<bool>(actor, fence{head_of(), {worker_index(1)}}).get());
  die();
  journals->lose_power();
  EXPECT_FALSE(restart().get().known);
  ended();
  fold(second, 1, mapped({slots(1)}));
  EXPECT_THAT(ended(), IsEmpty());
  EXPECT_EQ(status("rejected"), 1u);
}

TEST_F(reducer, a_restarted_one_is_given_the_fences) {
  keep_journal();
  ready();
  fold(first, 0, mapped({slots(0)}));
  auto m = order();
  m.workers[1].gone = true;
  restart(m);
  ended();
  fold(second, 1, mapped({slots(1)}));
  EXPECT_THAT(ended(), IsEmpty());
}

TEST_F(reducer, a_fenced_worker_is_not_waited_for_at_the_end) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  auto answer = finish({{worker_index(0), 1, ""}, {worker_index(1), 3, ""}});
  EXPECT_TRUE(answer.open());
  EXPECT_TRUE(controller.ask<bool>(actor, fence{head_of(), {worker_index(1)}}).get());
  EXPECT_FALSE(answer.open()) << "its last results went down with it";
}

TEST_F(reducer, slots_that_the_controller_gives_up_end_once) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  ended();
  EXPECT_TRUE(
      controller.ask<bool>(actor, give_up{head_of(), {{slots(0, 2), fate::failed, "it killed three"}}})
          .get());
  EXPECT_THAT(ended(), ElementsAre("1.0 failed"));
  fold(second, 1, mapped({slots(1)}));
  EXPECT_THAT(ended(), IsEmpty());
}

// -- its journal ----------------------------------------------------------------------------------------

TEST_F(reducer, commits_nothing_that_is_not_on_disk) {
  keep_journal(100ms);
  ready();
  fold(first, 0, mapped({slots(0)}));
  close({{slots(1), fate::incomplete, "a gap"}});
  auto syncs = journals->syncs;
  w.advance(90ms, 10ms);
  EXPECT_EQ(journals->syncs, syncs);
  EXPECT_THAT(ended(), IsEmpty());
  EXPECT_THAT(first.all<accepted>(), IsEmpty());
  EXPECT_THAT(assembler.all<accepted>(), IsEmpty());
  w.advance(20ms, 10ms);
  EXPECT_EQ(journals->syncs, syncs + 1);
  EXPECT_THAT(ended(), ElementsAre("0.0 folded", "1.0 incomplete"));
  EXPECT_EQ(first.expect<accepted>().sequence, 0u);
  EXPECT_EQ(assembler.expect<accepted>().sequence, 0u);
}

TEST_F(reducer, a_restart_knows_all_that_was_committed) {
  keep_journal(100ms);
  ready();
  fold(first, 0, mapped({slots(0)}));
  fold(second, 1, mapped({slots(1, 1, 0, 2)}));
  close({{slots(2), fate::incomplete, "a gap"}});
  w.advance(200ms);
  EXPECT_TRUE(
      controller.ask<bool>(actor, give_up{head_of(), {{slots(3), fate::failed, "it killed three"}}}).get());
  auto before = ended();
  EXPECT_EQ(before.size(), 5u);
  fold(first, 0, mapped({slots(4)}));
  die();
  journals->lose_power();
  auto answer = restart().get();
  EXPECT_FALSE(answer.known);
  EXPECT_EQ(answer.from, incarnation(31));
  EXPECT_THAT(ended(), testing::UnorderedElementsAreArray(before))
      << "the one behind was neither synced nor told";
  EXPECT_EQ(status("folded"), 2u);
  // What it lacks comes again, what it has is not folded twice.
  sequence[0] = 0;
  fold(first, 0, mapped({slots(0)}));
  fold(first, 0, mapped({slots(4)}));
  w.advance(200ms);
  EXPECT_THAT(ended(), ElementsAre("4.0 folded"));
  EXPECT_EQ(first.expect<accepted>().sequence, 1u);
  EXPECT_EQ(status("folded"), 3u);
}

TEST_F(reducer, the_file_is_the_same_after_a_restart) {
  keep_journal();
  ready((directory / "out.h5").string());
  for (std::uint64_t e = 0; e < 5; ++e) fold(e % 2 ? first : second, e % 2, mapped({slots(e)}));
  restart();
  for (std::uint64_t e = 5; e < 8; ++e) fold(e % 2 ? first : second, e % 2, mapped({slots(e)}));
  auto m = finish({{worker_index(0), 4, ""}, {worker_index(1), 4, ""}}).get();
  EXPECT_EQ(m.output, (directory / "out.h5").string());
  auto rows = column(m.output, "/entry/result/mean");
  for (std::size_t e = 0; e < 8; ++e) EXPECT_EQ(rows[e], static_cast<double>(e));
  EXPECT_TRUE(std::isnan(rows[8]));
}

TEST_F(reducer, tells_what_the_analysis_decides_and_again_to_who_may_not_have_heard) {
  keep_journal();
  build();
  auto m = order("statistics");
  m.parameters = {{"signal", "det:sum"}, {"precision", "0.5"}, {"least", "2"}};
  controller.ask<armed>(actor, m).get();
  auto reading_of = [](std::uint64_t event) {
    mapped_batch b;
    b.mapped.push_back({slots(event), {}, value(value_map{{"signal", 5.0}})});
    return b;
  };
  fold(first, 0, reading_of(0));
  EXPECT_THAT(controller.all<decided>(), IsEmpty());
  fold(first, 0, reading_of(1));
  fold(first, 0, reading_of(2));
  auto told = [this] {
    std::vector<std::string> list;
    for (auto& message : controller.all<decided>())
      for (auto& d : message.decisions)
        list.push_back(*d.find("name")->as_text() + " at " + to_json(*d.find("event")) + " number " +
                       to_json(*d.find("number")));
    return list;
  };
  EXPECT_THAT(told(), ElementsAre("good_enough at 1 number 0"));
  restart(m);
  EXPECT_THAT(told(), ElementsAre("good_enough at 1 number 0"));
  m.resume = true;
  controller.ask<armed>(actor, m).get();
  EXPECT_THAT(told(), ElementsAre("good_enough at 1 number 0"));
}

TEST_F(reducer, results_wait_for_the_parameters_they_were_made_with) {
  keep_journal();
  ready();
  version = parameters_version(5);
  fold(first, 0, mapped({slots(0)}));
  EXPECT_THAT(ended(), IsEmpty());
  fold(first, 0, mapped({slots(4)}));
  EXPECT_THAT(first.all<resend>(), IsEmpty()) << "it would bring the same again";
  auto change = [&](std::uint64_t v, const char* rows) {
    return controller.ask<parameters_version>(
        actor, change_parameters{head_of(), parameters_version(v), {{"rows", rows}}});
  };
  EXPECT_EQ(change(5, "0:1").get(), parameters_version(5));
  EXPECT_EQ(first.expect<resend>().next, 0u);
  sequence[0] = 0;
  fold(first, 0, mapped({slots(0)}));
  version = parameters_version(1);
  fold(second, 1, mapped({slots(1)}));
  EXPECT_THAT(ended(), ElementsAre("0.0 folded", "1.0 folded")) << "an older version is known";
  EXPECT_EQ(change(4, "0:1").get(), parameters_version(5));
  restart();
  version = parameters_version(5);
  ended();
  fold(first, 0, mapped({slots(2)}));
  EXPECT_THAT(ended(), ElementsAre("2.0 folded")) << "the journal has them";
  auto m = order();
  m.resume = true;
  m.version = parameters_version(6);
  m.parameters = {{"rows", "0:2"}};
  EXPECT_TRUE(controller.ask<armed>(actor, m).get().known);
  version = parameters_version(6);
  fold(first, 0, mapped({slots(3)}));
  EXPECT_EQ(ended().back(), "3.0 folded") << "who was away is told with its arm";
}

TEST_F(reducer, a_restarted_one_asks_those_it_meets) {
  keep_journal();
  ready();
  fold(first, 0, mapped({slots(0)}));
  close({{slots(2), fate::incomplete, "a gap"}});
  die();
  ++life;
  build();
  introduce(20, "w0", first);
  EXPECT_THAT(first.all<resend>(), IsEmpty()) << "it knows of no scan yet";
  auto m = order();
  m.resume = true;
  EXPECT_FALSE(controller.ask<armed>(actor, m).open());
  EXPECT_EQ(first.expect<resend>().next, 1u);
  EXPECT_EQ(assembler.expect<resend>().next, 0u) << "what was closed came from another process";
  introduce(21, "w1", second);
  EXPECT_EQ(second.expect<resend>().next, 0u);
  EXPECT_EQ(assembler.expect<resend>().next, 0u);
  introduce(head_of().from.value, "nobody", third);
  EXPECT_EQ(assembler.expect<resend>().next, 1u);
}

TEST_F(reducer, a_controller_that_was_away_is_told_what_has_ended) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  close({{slots(2), fate::incomplete, "a gap"}});
  ended();
  auto m = order();
  m.resume = true;
  EXPECT_TRUE(controller.ask<armed>(actor, m).get().known);
  EXPECT_THAT(ended(), testing::UnorderedElementsAre("0.0 folded", "2.0 incomplete"));
  fold(first, 0, mapped({slots(1)}));
  EXPECT_THAT(ended(), ElementsAre("1.0 folded")) << "it goes on with what it has";
}

TEST_F(reducer, without_a_journal_a_restart_ends_the_scan) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  auto answer = restart();
  EXPECT_EQ(answer.code(), ec::unavailable);
  EXPECT_THAT(answer.error(), HasSubstr("[reducer] journal"));
}

TEST_F(reducer, a_journal_without_the_scan_ends_it) {
  keep_journal();
  ready();
  die();
  journals->logs.clear();
  EXPECT_EQ(restart().code(), ec::unavailable);
  EXPECT_THAT(journals->names(), IsEmpty());
}

TEST_F(reducer, a_journal_that_cannot_be_read_ends_the_scan) {
  keep_journal();
  ready();
  fold(first, 0, mapped({slots(0)}));
  die();
  journals->only().records.back().content.resize(7);
  EXPECT_EQ(restart().code(), ec::file_error);
  fold(first, 0, mapped({slots(1)}));
  EXPECT_THAT(ended(), IsEmpty());
}

TEST_F(reducer, a_scan_that_is_over_leaves_no_journal) {
  keep_journal();
  ready();
  EXPECT_EQ(journals->names().size(), 1u);
  finish({}).get();
  EXPECT_EQ(journals->names().size(), 1u) << "somebody may ask again";
  controller.send(actor, disarm{head_of()});
  EXPECT_THAT(journals->names(), IsEmpty());
  EXPECT_FALSE(controller.ask<armed>(actor, order("roi", 2)).open());
  EXPECT_FALSE(controller.ask<armed>(actor, order("roi", 3)).open());
  EXPECT_EQ(journals->names().size(), 1u) << "that of a scan that was replaced is gone";
}

TEST_F(reducer, says_again_how_a_scan_ended) {
  keep_journal();
  ready((directory / "out.h5").string());
  fold(first, 0, mapped({slots(0)}));
  auto done = finish({{worker_index(0), 1, "it threw"}}).get();
  EXPECT_EQ(finish({}).get().output, done.output);
  die();
  journals->lose_power();
  EXPECT_FALSE(restart().open());
  auto again = finish({{worker_index(0), 1, "it threw"}}).get();
  EXPECT_EQ(again.output, done.output);
  EXPECT_EQ(again.complaints, done.complaints);
  controller.send(actor, disarm{head_of()});
  EXPECT_EQ(column(done.output, "/entry/result/mean")[0], 0.0);
  EXPECT_FALSE(std::filesystem::exists(done.output + ".part"));
}

TEST_F(reducer, may_finish_again_when_it_died_in_the_middle) {
  keep_journal();
  ready((directory / "out.h5").string());
  fold(first, 0, mapped({slots(3)}));
  auto done = finish({{worker_index(0), 1, ""}}).get();
  die();
  // The file had its name, and that it is done was not written down.
  journals->only().records.pop_back();
  EXPECT_FALSE(restart().open());
  EXPECT_EQ(finish({{worker_index(0), 1, ""}}).get().output, done.output);
  EXPECT_EQ(column(done.output, "/entry/result/mean")[3], 3.0);
}

// -- a full disk ----------------------------------------------------------------------------------------

TEST_F(reducer, waits_for_room_on_a_full_disk) {
  keep_journal();
  ready();
  journals->full = true;
  fold(first, 0, mapped({slots(0)}));
  fold(first, 0, mapped({slots(1)}));
  w.advance(5s);
  EXPECT_THAT(ended(), IsEmpty());
  EXPECT_THAT(first.all<accepted>(), IsEmpty()) << "its sender keeps it";
  EXPECT_THAT(controller.all<stalled>(), IsEmpty());
  EXPECT_THAT(*controller.ask<value>(actor, status_atom::value).get().find("error")->as_text(),
              HasSubstr("no space left"));
  journals->full = false;
  w.advance(600ms);
  EXPECT_THAT(ended(), ElementsAre("0.0 folded", "1.0 folded"));
  EXPECT_EQ(first.expect<accepted>().sequence, 1u);
  EXPECT_EQ(controller.ask<value>(actor, status_atom::value).get().find("error"), nullptr);
  EXPECT_EQ(journals->only().synced, 3u);
}

TEST_F(reducer, a_full_disk_ends_the_scan_if_told_to) {
  keep_journal();
  pause_when_full = false;
  ready();
  journals->full = true;
  auto answer = controller.ask<bool>(actor, fence{head_of(), {worker_index(1)}});
  EXPECT_EQ(answer.code(), ec::file_error);
  fold(first, 0, mapped({slots(0)}));
  EXPECT_THAT(ended(), IsEmpty());
  EXPECT_THAT(controller.expect<stalled>().since, HasSubstr("no space left"));
}

TEST_F(reducer, a_disk_that_is_full_at_the_end_only_costs_finishing_once_more) {
  keep_journal();
  ready((directory / "out.h5").string());
  fold(first, 0, mapped({slots(0)}));
  journals->full = true;
  // The file is there; what could not be written is that it is.
  EXPECT_EQ(finish({{worker_index(0), 1, ""}}).get().output, (directory / "out.h5").string());
}

TEST_F(reducer, what_a_worker_says_at_the_end_covers_no_slot) {
  ready();
  mapped_batch b;
  b.mapped.push_back({{}, {}, value(value_map{{"last", 1}})});
  fold(first, 0, b);
  EXPECT_THAT(ended(), IsEmpty());
  EXPECT_EQ(status("folded"), 1u);
}

TEST_F(reducer, complaints_name_the_worker) {
  ready();
  EXPECT_THAT(finish({{worker_index(1), 0, "it threw"}}).get().complaints,
              ElementsAre("w1: finish: it threw"));
}

TEST_F(reducer, the_file_bears_its_name_at_the_end) {
  auto path = directory / "{scan}.h5";
  ready(path.string());
  fold(first, 0, mapped({slots(0)}));
  auto named = directory / (to_string(scan_id{1, 1}) + ".h5");
  EXPECT_FALSE(std::filesystem::exists(named));
  EXPECT_TRUE(std::filesystem::exists(named.string() + ".part"));
  auto m = finish({{worker_index(0), 1, ""}}).get();
  EXPECT_EQ(m.output, named.string());
  EXPECT_TRUE(std::filesystem::exists(named));
  EXPECT_FALSE(std::filesystem::exists(named.string() + ".part"));
}

TEST_F(reducer, says_where_its_file_is_in_the_making) {
  build((directory / "out.h5").string());
  EXPECT_EQ(controller.ask<armed>(actor, order()).get().output, (directory / "out.h5.part").string());
  build();
  EXPECT_EQ(controller.ask<armed>(actor, order("roi", 2)).get().output, "");
}

TEST_F(reducer, saves_nothing_where_streams_announce_an_empty_name) {
  auto about = [](const char* filename) {
    value_map streams{{"det", value_map{{"filename", filename}}}};
    return value_map{{"ledger", value_map{{"state", "finished"}, {"streams", std::move(streams)}}}};
  };
  auto finish_with = [&](std::uint64_t scan, value said) {
    return controller.ask<finished_scan>(actor, finish_scan{head_of(scan), {}, std::move(said)}).get();
  };
  ready((directory / "{raw}.h5").string());
  auto none = finish_with(1, about(""));
  EXPECT_EQ(none.output, "");
  EXPECT_THAT(none.complaints, ElementsAre(HasSubstr("not saved")));
  EXPECT_EQ(controller.ask<std::string>(actor, keep_ledger{head_of(), "{}"}).get(), "");
  EXPECT_TRUE(std::filesystem::is_empty(directory.path()));
  EXPECT_FALSE(controller.ask<armed>(actor, order("roi", 2)).open());
  EXPECT_EQ(finish_with(2, about("/raw/xrd.h5")).output, (directory / "xrd.h5").string());
  EXPECT_EQ(controller.ask<std::string>(actor, keep_ledger{head_of(2), "{}"}).get(),
            (directory / "xrd.ledger.json").string());
}

TEST_F(reducer, rows_say_with_which_parameters_they_were_made) {
  ready((directory / "out.h5").string());
  fold(first, 0, mapped({slots(0)}));
  change_parameters changed{head_of(), parameters_version(2), {{"rows", "0:1"}}};
  EXPECT_FALSE(controller.ask<parameters_version>(actor, changed).open());
  version = parameters_version(2);
  fold(first, 0, mapped({slots(3)}));
  auto done = finish({{worker_index(0), 2, ""}}).get();
  auto made_with = column(done.output, "/entry/process/parameters_version");
  EXPECT_EQ(made_with[0], 1.0);
  EXPECT_EQ(made_with[1], 0.0);
  EXPECT_EQ(made_with[3], 2.0);
}

TEST_F(reducer, a_scan_that_is_given_up_leaves_no_file_of_that_name) {
  ready((directory / "out.h5").string());
  fold(first, 0, mapped({slots(0)}));
  auto answer = finish({{worker_index(0), 5, ""}});
  controller.send(actor, disarm{head_of()});
  EXPECT_EQ(answer.code(), ec::superseded);
  EXPECT_FALSE(std::filesystem::exists(directory / "out.h5"));
  // The next one takes its place.
  EXPECT_FALSE(controller.ask<armed>(actor, order("roi", 2)).open());
  EXPECT_NE(finish({}, 2).get().output, "");
  EXPECT_TRUE(std::filesystem::exists(directory / "out.h5"));
}

TEST_F(reducer, refuses_a_file_that_is_there) {
  std::ofstream(directory / "out.h5") << "precious";
  build((directory / "out.h5").string());
  auto answer = controller.ask<armed>(actor, order());
  EXPECT_THAT(answer.error(), HasSubstr("out.h5"));
  fold(first, 0, mapped({slots(0)}));
  EXPECT_THAT(ended(), IsEmpty());
  std::string text;
  std::ifstream(directory / "out.h5") >> text;
  EXPECT_EQ(text, "precious");
}

TEST_F(reducer, overwrites_if_told_to) {
  std::ofstream(directory / "out.h5") << "old";
  build((directory / "out.h5").string(), true);
  EXPECT_FALSE(controller.ask<armed>(actor, order()).open());
  EXPECT_EQ(finish({}).get().output, (directory / "out.h5").string());
}

TEST_F(reducer, refuses_what_cannot_be_used_and_takes_the_next) {
  build((directory / "out.h5").string());
  EXPECT_EQ(controller.ask<armed>(actor, order("no_such")).code(), ec::bad_analysis);
  auto m = order("roi");
  m.parameters = {{"rows", "x"}};
  EXPECT_THAT(controller.ask<armed>(actor, m).error(), HasSubstr("rows"));
  EXPECT_EQ(controller.ask<armed>(actor, order("roi", 3)).error(), "");
}

TEST_F(reducer, messages_of_another_scan_or_generation_are_ignored) {
  ready();
  fold(first, 0, mapped({slots(0)}), 2);
  auto other = head_of();
  other.gen = generation(2);
  first.send(actor, results{other, worker_index(0), 0, {}, mapped({slots(0)})});
  assembler.send(actor, closes{other, 0, {{slots(0), fate::lost, ""}}});
  controller.send(actor, disarm{other});
  EXPECT_EQ(finish({}, 2).code(), ec::superseded);
  EXPECT_THAT(ended(), IsEmpty());
  EXPECT_THAT(first.all<accepted>(), IsEmpty());
  sequence[0] = 0;
  fold(first, 0, mapped({slots(0)}));
  EXPECT_THAT(ended(), ElementsAre("0.0 folded"));
}

TEST_F(reducer, a_new_scan_begins_anew) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  controller.send(actor, disarm{head_of()});
  EXPECT_FALSE(controller.ask<armed>(actor, order("roi", 2)).open());
  ended();
  sequence[0] = 0;
  fold(first, 0, mapped({slots(0)}), 2);
  EXPECT_THAT(ended(), ElementsAre("0.0 folded"));
  EXPECT_EQ(status("folded"), 1u);
  EXPECT_TRUE(finish({{worker_index(0), 2, ""}}, 2).open()) << "messages are counted per scan";
}

// -- snapshots ------------------------------------------------------------------------------------------

class reducer_with_viewers : public reducer {
 protected:
  reducer_with_viewers() { snapshots = std::make_shared<snapshot_store>(); }

  /// A value of the latest snapshot, by its path; null without.
  value seen(const std::string& path) {
    auto latest = snapshots->latest();
    auto object = latest ? latest->objects().find(path) : nullptr;
    return object ? object->data.content : value();
  }
  std::vector<double> seen_rows(const std::string& path) {
    auto content = seen(path);
    if (!content.as_array()) return {};
    auto elements = content.as_array()->elements<double>();
    return {elements.begin(), elements.end()};
  }
};

TEST_F(reducer_with_viewers, see_a_scan_from_its_beginning) {
  ready();
  auto first_one = snapshots->latest();
  ASSERT_TRUE(first_one);
  EXPECT_EQ(first_one->scan, to_string(head_of().scan));
  EXPECT_EQ(first_one->results, 0u);
  EXPECT_FALSE(first_one->finished);
  EXPECT_EQ(seen("/scan/id"), value(first_one->scan));
  EXPECT_EQ(seen("/scan/analysis"), value("roi"));
  EXPECT_EQ(seen("/scan/events"), value(std::uint64_t{10}));
  EXPECT_EQ(seen("/scan/finished"), value(false));
  EXPECT_EQ(seen_rows("/mean").size(), 10u) << "rows of per-event results are there";
}

TEST_F(reducer_with_viewers, see_what_was_folded_soon_after) {
  ready();
  fold(first, 0, mapped({slots(2), slots(3)}));
  EXPECT_EQ(snapshots->published(), 1u) << "not yet: the last one is not long enough ago";
  w.advance(100ms);
  EXPECT_EQ(snapshots->published(), 2u);
  EXPECT_EQ(snapshots->latest()->results, 2u);
  EXPECT_EQ(seen("/scan/results"), value(std::uint64_t{2}));
  EXPECT_EQ(seen_rows("/mean")[3], 3);
  EXPECT_TRUE(std::isnan(seen_rows("/mean")[4]));
  w.advance(10s);
  EXPECT_EQ(snapshots->published(), 2u) << "nothing has changed";
  fold(first, 0, mapped({slots(4)}));
  EXPECT_EQ(snapshots->published(), 3u) << "at once after a pause";
}

TEST_F(reducer_with_viewers, see_it_as_often_as_configured) {
  snapshots_per_second = 2;
  ready();
  for (int i = 0; i < 10; ++i) {
    fold(first, 0, mapped({slots(static_cast<std::uint64_t>(i))}));
    w.advance(250ms);
  }
  EXPECT_LE(snapshots->published(), 6u);
  EXPECT_GE(snapshots->published(), 5u);
}

TEST_F(reducer_with_viewers, take_a_tenth_of_its_time) {
  snapshots_per_second = 1e9;
  std::int64_t time = 0;
  steady = [&time] { return time += 1'000'000; }; // so long takes whatever lies between two looks
  ready();
  for (int i = 0; i < 1000; ++i) fold(first, 0, mapped({}));
  EXPECT_GT(snapshots->published(), 50u);
  EXPECT_LE(snapshots->published(), 1000u / 9 + 2);
}

TEST_F(reducer_with_viewers, see_the_end_at_once) {
  ready((directory / "out.h5").string());
  fold(first, 0, mapped({slots(0), slots(1)}));
  EXPECT_FALSE(finish({{worker_index(0), 1, ""}}).open());
  auto last = snapshots->latest();
  EXPECT_TRUE(last->finished);
  EXPECT_EQ(last->results, 2u);
  EXPECT_EQ(seen("/scan/finished"), value(true));
  EXPECT_EQ(seen_rows("/sum")[1], 1);
  auto count = snapshots->published();
  w.advance(5s);
  EXPECT_EQ(snapshots->published(), count) << "nothing follows";
}

TEST_F(reducer_with_viewers, see_the_end_without_a_file) {
  ready();
  EXPECT_FALSE(finish({}).open());
  EXPECT_TRUE(snapshots->latest()->finished);
}

TEST_F(reducer_with_viewers, a_scan_that_is_given_up_does_not_finish) {
  ready();
  fold(first, 0, mapped({slots(0)}));
  controller.send(actor, disarm{head_of()});
  w.advance(5s);
  EXPECT_FALSE(snapshots->latest()->finished);
  EXPECT_FALSE(controller.ask<armed>(actor, order("roi", 2)).open());
  EXPECT_EQ(snapshots->scans().size(), 2u);
  EXPECT_EQ(snapshots->latest()->number, 1u);
}

TEST_F(reducer_with_viewers, a_restarted_reducer_shows_what_its_journal_has) {
  keep_journal();
  ready();
  fold(first, 0, mapped({slots(0), slots(1), slots(2)}));
  snapshots = std::make_shared<snapshot_store>();
  EXPECT_EQ(restart().error(), "");
  ASSERT_TRUE(snapshots->latest());
  EXPECT_EQ(snapshots->latest()->results, 3u);
  EXPECT_EQ(seen_rows("/mean")[2], 2);
}

#ifdef DTRANSPOSE_TEST_PLUGIN
TEST_F(reducer_with_viewers, see_the_published_tree) {
  build();
  EXPECT_FALSE(controller.ask<armed>(actor, order(DTRANSPOSE_TEST_PLUGIN)).open());
  mapped_batch b;
  value_map counted{{"events", std::uint64_t{1}}, {"bytes", std::uint64_t{7}}};
  b.mapped.push_back({slots(0), {}, value_map{{"bytes", 7}, {"streams", value_map{{"det", counted}}}}});
  fold(first, 0, b);
  w.advance(100ms);
  EXPECT_EQ(seen("/events"), value(std::uint64_t{1}));
  EXPECT_EQ(seen("/streams/det/bytes"), value(std::uint64_t{7}));
  auto rows = snapshots->latest()->objects().find("/bytes");
  ASSERT_TRUE(rows);
  EXPECT_EQ(rows->data.content.as_array()->elements<std::uint64_t>()[0], 7u);
  EXPECT_EQ(rows->attribute("units")->content, value("B"));
}

TEST_F(reducer, a_fold_that_throws_costs_its_events) {
  build();
  EXPECT_FALSE(controller.ask<armed>(actor, order(DTRANSPOSE_TEST_PLUGIN)).open());
  fold(first, 0, mapped({slots(0)})); // lacks `streams`
  auto m = controller.expect<commits>();
  EXPECT_EQ(m.slots.at(0).how, fate::failed);
  EXPECT_THAT(m.slots.at(0).cause, HasSubstr("a result without streams"));
  EXPECT_EQ(finish({{worker_index(0), 1, ""}}).error(), "");
}
#endif

} // namespace
} // namespace dtranspose
