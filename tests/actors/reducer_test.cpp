/// One reducer between probes: a controller, workers and an assembler; its files are real.
#include "actors/reducer.hpp"

#include <fstream>

#include "actors/fixture.hpp"
#include "output/journal.hpp"
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
    actor = w.own(spawn_reducer(w.system(), {.life = incarnation(30),
                                             .around = w.around(),
                                             .output = std::move(output),
                                             .overwrite = overwrite,
                                             .make_journal = [] { return std::make_unique<no_journal>(); },
                                             .detached = false}));
    w.run();
  }

  static arm order(std::string analysis = "roi", std::uint64_t scan = 1) {
    arm m{.head = head_of(scan), .events = 10, .streams = {"det"}, .analysis = std::move(analysis)};
    m.workers = {{"w0", incarnation(20), 0}, {"w1", incarnation(21), 1}};
    return m;
  }

  void ready(std::string output = "") {
    build(std::move(output));
    EXPECT_EQ(controller.ask<armed>(actor, order()).get().from, incarnation(30));
  }

  void fold(probe& from, std::uint32_t index, mapped_batch b, std::uint64_t scan = 1) {
    from.send(actor, results{head_of(scan), worker_index(index), sequence[index]++, parameters_version(1),
                             std::move(b)});
  }
  void close(std::vector<unmappable> list) { assembler.send(actor, closes{head_of(), std::move(list)}); }

  /// What ended since it was last asked, as "event.slot fate".
  std::vector<std::string> ended() {
    std::vector<std::string> list;
    for (auto& m : controller.all<commits>()) {
      EXPECT_EQ(m.head.from, incarnation(30));
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
  probe controller{w}, first{w}, second{w}, assembler{w};
  std::uint64_t sequence[2] = {};
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
  EXPECT_TRUE(std::filesystem::exists(named.string() + ".partial"));
  auto m = finish({{worker_index(0), 1, ""}}).get();
  EXPECT_EQ(m.output, named.string());
  EXPECT_TRUE(std::filesystem::exists(named));
  EXPECT_FALSE(std::filesystem::exists(named.string() + ".partial"));
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
  assembler.send(actor, closes{other, {{slots(0), fate::lost, ""}}});
  controller.send(actor, disarm{other});
  EXPECT_EQ(finish({}, 2).code(), ec::superseded);
  EXPECT_THAT(ended(), IsEmpty());
  EXPECT_THAT(first.all<accepted>(), IsEmpty());
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

#ifdef DTRANSPOSE_TEST_PLUGIN
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
