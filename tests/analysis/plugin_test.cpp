/// A plug-in that was built against nothing but the installed header, run as a scan runs it.
#include <gmock/gmock.h>

#include "analysis/reducer_host.hpp"
#include "analysis/registry.hpp"
#include "analysis/worker_host.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class plugin : public testing::Test {
 protected:
  void SetUp() override {
#ifdef DTRANSPOSE_TEST_PLUGIN
    counting = load_analysis(DTRANSPOSE_TEST_PLUGIN);
#else
    GTEST_SKIP() << "built without the plug-in";
#endif
  }

  /// Event n has n bytes of `a`, and every third also 10 of `b`.
  static joined_batch batch(std::uint64_t first, std::uint64_t n) {
    joined_batch made;
    for (auto number = first; number < first + n; ++number) {
      auto entry = static_cast<std::uint32_t>(made.entries.size());
      made.entries.push_back({stream_index(0), memory_frames::of("T", {std::string(number, 'x')})});
      if (number % 3 == 0)
        made.entries.push_back({stream_index(1), memory_frames::of("T", {"01234", "56789"})});
      made.events.push_back({.number = event_number(number),
                             .first_entry = entry,
                             .entries = static_cast<std::uint32_t>(made.entries.size()) - entry});
    }
    return made;
  }

  /// Maps events 0..9 on two workers and folds what comes of them.
  std::vector<ended_slots> run(const std::map<std::string, std::string>& set) {
    auto settings = complete_parameters(*counting, set);
    reducer.emplace(counting->make_reducer(settings), settings, parameters_version(1),
                    reducer_host::row_sink());
    std::vector<ended_slots> ended;
    for (std::uint32_t w = 0; w < 2; ++w) {
      worker_host worker(counting->make_worker(settings), settings, {"a", "b"});
      mapped_batch out;
      worker.process(batch(w * 5, 5), false, out);
      EXPECT_EQ(worker.finish(out), "");
      reducer->fold(worker_index(w), parameters_version(1), out, ended);
    }
    reducer->finish();
    return ended;
  }

  static value counts(std::uint64_t events, std::uint64_t bytes) {
    return value_map{{"events", events}, {"bytes", bytes}};
  }

  std::shared_ptr<const analysis> counting;
  std::optional<reducer_host> reducer;
};

TEST_F(plugin, is_loaded_once) {
  EXPECT_EQ(counting->name(), "counting");
#ifdef DTRANSPOSE_TEST_PLUGIN
  EXPECT_EQ(load_analysis(DTRANSPOSE_TEST_PLUGIN)->name(), "counting");
#endif
}

TEST_F(plugin, says_what_it_takes_and_gives) {
  EXPECT_THAT(counting->describe_parameters(), SizeIs(3));
  auto results = counting->describe_results(complete_parameters(*counting, {}));
  ASSERT_THAT(results, SizeIs(2));
  EXPECT_EQ(results[0].extent, result_extent::per_scan);
  EXPECT_EQ(results[1].name, "bytes");
  // An exception of the standard library crosses the border as what it is.
  EXPECT_THROW(counting->describe_results(complete_parameters(*counting, {{"least", "-1"}})),
               std::invalid_argument);
  EXPECT_THROW(complete_parameters(*counting, {{"most", "1"}}), std::runtime_error);
}

TEST_F(plugin, counts_per_event_and_deferred_alike) {
  for (auto per_event : {"true", "false"}) {
    for (auto& e : run({{"per_event", per_event}})) EXPECT_EQ(e.how, fate::folded) << e.cause;
    auto tree = reducer->published();
    EXPECT_EQ(*tree.find("events"), value(std::uint64_t{10}));
    EXPECT_EQ(*tree.find("streams")->find("a"), counts(10, 45));
    EXPECT_EQ(*tree.find("streams")->find("b"), counts(4, 40));
  }
}

TEST_F(plugin, events_below_its_parameter_are_empty) {
  run({{"least", "8"}});
  EXPECT_EQ(*reducer->published().find("events"), value(std::uint64_t{5})); // 0 3 6 8 9
}

TEST_F(plugin, what_it_throws_fails_that_event) {
  auto settings = complete_parameters(*counting, {});
  worker_host worker(counting->make_worker(settings), settings, {"a", "b"});
  joined_batch bare;
  for (std::uint64_t n = 0; n < 3; ++n) {
    bare.entries.push_back({stream_index(0), memory_frames::of("T", {n == 1 ? "" : "x"})});
    bare.events.push_back(
        {.number = event_number(n), .first_entry = static_cast<std::uint32_t>(n), .entries = 1});
  }
  mapped_batch out;
  worker.process(bare, false, out);
  EXPECT_THAT(out.mapped, SizeIs(2));
  ASSERT_THAT(out.failed, SizeIs(1));
  EXPECT_EQ(out.failed[0].cause, "the event has no bytes");
}

TEST_F(plugin, parts_outlive_the_analysis_that_made_them) {
  auto settings = complete_parameters(*counting, {});
  auto worker = counting->make_worker(settings);
  auto part = counting->make_reducer(settings);
  counting.reset();
  EXPECT_TRUE(worker->flush().as_map());
  EXPECT_TRUE(part->published().as_map());
}

} // namespace
} // namespace dtranspose
