#include "analysis/reducer_host.hpp"

#include <stdexcept>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

/// What it is called with, in order.
class noting final : public reducer_part {
 public:
  explicit noting(std::vector<std::string>& log) : log_(log) {}

  void process_result(const folded_result& r, const parameters& settings) override {
    auto text = *r.content.as_text();
    thresholds.push_back(settings.text("threshold"));
    log_.push_back("fold " + text);
    last = r.event;
    events += r.events;
    worker = r.worker;
    if (text == "bad") throw std::runtime_error("cannot fold this");
    if (text == "odd") throw 7;
  }
  std::optional<std::chrono::nanoseconds> timer(const parameters&) override {
    log_.push_back("timer");
    return std::chrono::milliseconds(5);
  }
  void finish(const parameters&) override { log_.push_back("finish"); }
  value published() const override { return value_map{{"events", events}}; }
  bool change_parameters(const parameters& settings) override {
    changes.push_back(settings.text("threshold"));
    if (changes.back() == "refuse") throw std::runtime_error("no such threshold");
    return changes.back() != "another";
  }

  std::vector<std::string> thresholds, changes;

  std::optional<event_number> last;
  std::size_t events = 0;
  worker_index worker;

 private:
  std::vector<std::string>& log_;
};

slot_run run(std::uint64_t first, std::uint32_t count = 1, std::uint16_t first_slot = 0) {
  return {{event_number(first), count, 1}, slot_index(first_slot), 1};
}

mapped_batch::result result(const slot_run& slots, const char* content, std::vector<slot_run> more = {}) {
  return {slots, std::move(more), content};
}

class a_reducer_host : public testing::Test {
 protected:
  std::vector<ended_slots> fold(const mapped_batch& results) {
    std::vector<ended_slots> ended;
    host.fold(worker_index(3), version, results, ended);
    return ended;
  }
  std::vector<ended_slots> fold(std::vector<mapped_batch::result> mapped) {
    mapped_batch results;
    results.mapped = std::move(mapped);
    return fold(results);
  }
  std::vector<ended_slots> close(const slot_run& slots, fate how = fate::lost) {
    std::vector<ended_slots> ended;
    host.close({slots, how, "because"}, ended);
    return ended;
  }

  /// `fate: events` for each run.
  static std::vector<std::string> text(const std::vector<ended_slots>& ended) {
    std::vector<std::string> lines;
    for (auto& e : ended) {
      auto& line = lines.emplace_back(name_of(e.how));
      line += ':';
      for (std::uint32_t i = 0; i < e.slots.events.count; ++i)
        line += ' ' + std::to_string(e.slots.events.at(i).value);
    }
    return lines;
  }

  std::vector<std::string> log;
  std::vector<std::pair<std::uint64_t, std::string>> rows;
  std::vector<std::uint64_t> row_versions;
  parameters_version version{1};
  noting* part = new noting(log);
  reducer_host host{std::unique_ptr<reducer_part>(part),
                    {},
                    version,
                    [this](event_number event, const value& content, parameters_version made_with) {
                      row_versions.push_back(made_with.value);
                      rows.emplace_back(event.value, *content.as_text());
                      if (rows.back().second == "no row") throw std::runtime_error("disk full");
                    }};
};

parameters threshold(const char* text) {
  parameters settings;
  settings.set("threshold", text);
  return settings;
}

TEST_F(a_reducer_host, folds_with_the_parameters_that_a_result_was_made_with) {
  host.change_parameters(threshold("2"), parameters_version(2), nullptr);
  host.change_parameters(threshold("4"), parameters_version(4), nullptr);
  for (std::uint64_t v : {4, 1, 2, 3, 9}) {
    version = parameters_version(v);
    fold({result(run(v), "x")});
  }
  EXPECT_THAT(part->thresholds, ElementsAre("4", "", "2", "2", "4"));
  EXPECT_THAT(row_versions, ElementsAre(4, 1, 2, 2, 4));
  EXPECT_THAT(part->changes, ElementsAre("2", "4"));
  host.change_parameters(threshold("3"), parameters_version(3), nullptr);
  EXPECT_EQ(part->changes.size(), 2u) << "an older one that comes late is none";
}

TEST_F(a_reducer_host, what_it_gathered_stays_however_often_parameters_change) {
  fold({result(run(0), "a")});
  std::vector<std::string> other_log;
  for (std::uint64_t v = 2; v < 200; ++v)
    host.change_parameters(threshold("another"), parameters_version(v), [&](const parameters&) {
      return std::unique_ptr<reducer_part>(new noting(other_log));
    });
  auto tree = host.published();
  auto earlier = tree.find("earlier")->as_map();
  ASSERT_TRUE(earlier);
  EXPECT_EQ(earlier->size(), 198u);
  EXPECT_EQ(*earlier->find("1")->find("events")->as_number(), 1.0);
  EXPECT_EQ(log.back(), "finish") << "before it was let go";
  version = parameters_version(3);
  auto ended = fold({result(run(1), "late")});
  EXPECT_THAT(text(ended), ElementsAre("failed: 1"));
  EXPECT_THAT(ended[0].cause, HasSubstr("not kept any more"));
}

TEST_F(a_reducer_host, another_part_takes_over_where_one_cannot_go_on) {
  fold({result(run(0), "a")});
  std::vector<std::string> other_log;
  noting* other = nullptr;
  host.change_parameters(threshold("another"), parameters_version(3), [&](const parameters& settings) {
    EXPECT_EQ(settings.text("threshold"), "another");
    return std::unique_ptr<reducer_part>(other = new noting(other_log));
  });
  version = parameters_version(3);
  fold({result(run(1), "b"), result(run(2), "c")});
  version = parameters_version(1);
  fold({result(run(3), "late")});
  EXPECT_THAT(log, ElementsAre("fold a", "fold late"));
  EXPECT_THAT(other_log, ElementsAre("fold b", "fold c"));
  auto tree = host.published();
  EXPECT_EQ(*tree.find("events")->as_number(), 2.0);
  EXPECT_EQ(*tree.find("earlier")->find("1")->find("events")->as_number(), 2.0);
  host.finish();
  EXPECT_EQ(log.back(), "finish");
  EXPECT_EQ(other_log.back(), "finish");
}

TEST_F(a_reducer_host, results_of_parameters_that_the_analysis_cannot_use_fail) {
  host.change_parameters(threshold("refuse"), parameters_version(2), nullptr);
  version = parameters_version(2);
  auto ended = fold({result(run(0), "a")});
  EXPECT_THAT(text(ended), ElementsAre("failed: 0"));
  EXPECT_EQ(ended[0].cause, "reducer: no such threshold");
  version = parameters_version(1);
  EXPECT_THAT(text(fold({result(run(1), "b")})), ElementsAre("folded: 1")) << "those of before are good";
}

TEST_F(a_reducer_host, folds_and_says_what_ended) {
  mapped_batch results;
  results.mapped = {result(run(0), "a"), result(run(1), "b")};
  results.empty = {run(2, 5)};
  results.failed = {{run(7), "why"}};
  auto ended = fold(results);
  EXPECT_THAT(text(ended), ElementsAre("folded: 0 1", "empty: 2 3 4 5 6", "failed: 7"));
  EXPECT_EQ(ended[2].cause, "why");
  EXPECT_THAT(log, ElementsAre("fold a", "fold b"));
  EXPECT_THAT(rows, ElementsAre(Pair(0u, "a"), Pair(1u, "b")));
  EXPECT_EQ(part->last, event_number(1));
  EXPECT_EQ(part->worker, worker_index(3));
  EXPECT_EQ(host.folded(), 2u);
  EXPECT_EQ(host.duplicates(), 0u);
}

TEST_F(a_reducer_host, a_duplicate_is_not_folded_again) {
  EXPECT_THAT(fold({result(run(0), "a")}), SizeIs(1));
  EXPECT_THAT(fold({result(run(0), "a again"), result(run(1), "b")}), SizeIs(1));
  EXPECT_EQ(host.duplicates(), 1u);
  EXPECT_EQ(host.folded(), 2u);
  EXPECT_THAT(rows, ElementsAre(Pair(0u, "a"), Pair(1u, "b")));
  mapped_batch others;
  others.empty = {run(0)};
  others.failed = {{run(1), "why"}};
  EXPECT_THAT(fold(others), IsEmpty());
  EXPECT_EQ(host.duplicates(), 3u);
}

TEST_F(a_reducer_host, other_slots_of_the_same_event_are_no_duplicates) {
  EXPECT_THAT(fold({result(run(0, 1, 0), "a"), result(run(0, 1, 1), "b")}), SizeIs(2));
  EXPECT_EQ(host.folded(), 2u);
}

TEST_F(a_reducer_host, a_result_is_rejected_whole) {
  close(run(5));
  log.clear();
  EXPECT_THAT(fold({result(run(0, 3), "sum", {run(4, 3), run(9)})}), IsEmpty());
  EXPECT_THAT(log, IsEmpty());
  EXPECT_EQ(host.duplicates(), 1u);
  // Its other slots are as open as before.
  EXPECT_THAT(text(fold({result(run(0, 3), "again", {run(4), run(6), run(9)})})),
              ElementsAre("folded: 0 1 2", "folded: 4 6", "folded: 9"));
}

TEST_F(a_reducer_host, a_flushed_result_covers_its_events_and_is_no_row) {
  auto ended = fold({result(run(0, 3), "sum", {run(5, 2)})});
  EXPECT_THAT(text(ended), ElementsAre("folded: 0 1 2", "folded: 5 6"));
  EXPECT_EQ(part->events, 5u);
  EXPECT_EQ(part->last, event_number(0));
  EXPECT_THAT(rows, IsEmpty());
  EXPECT_EQ(host.folded(), 1u);
}

TEST_F(a_reducer_host, the_last_result_of_a_worker_covers_nothing) {
  EXPECT_THAT(fold({result({}, "last")}), IsEmpty());
  EXPECT_EQ(part->last, std::nullopt);
  EXPECT_EQ(part->events, 0u);
  EXPECT_THAT(rows, IsEmpty());
  // Those of two workers are two.
  EXPECT_THAT(fold({result({}, "last")}), IsEmpty());
  EXPECT_THAT(log, ElementsAre("fold last", "fold last"));
  EXPECT_THAT(fold({result({}, "bad")}), IsEmpty());
}

TEST_F(a_reducer_host, an_exception_fails_the_events_of_that_result) {
  auto ended = fold(
      {result(run(0), "a"), result(run(1), "bad", {run(3)}), result(run(2), "odd"), result(run(4), "b")});
  EXPECT_THAT(text(ended), ElementsAre("folded: 0", "failed: 1 3", "failed: 2", "folded: 4"));
  EXPECT_THAT(ended[1].cause, HasSubstr("cannot fold this"));
  EXPECT_THAT(ended[2].cause, HasSubstr("unknown"));
  EXPECT_THAT(rows, ElementsAre(Pair(0u, "a"), Pair(4u, "b")));
  EXPECT_EQ(host.folded(), 2u);
  // Fates are final: it is not tried again.
  EXPECT_THAT(fold({result(run(2), "better")}), IsEmpty());
}

TEST_F(a_reducer_host, a_row_that_cannot_be_written_fails_its_event) {
  auto ended = fold({result(run(0), "no row"), result(run(1), "a")});
  EXPECT_THAT(text(ended), ElementsAre("failed: 0", "folded: 1"));
  EXPECT_THAT(ended[0].cause, HasSubstr("disk full"));
}

TEST_F(a_reducer_host, closing_ends_what_is_open_and_nothing_else) {
  fold({result(run(1), "a"), result(run(4), "b")});
  log.clear();
  auto ended = close(run(0, 6));
  EXPECT_THAT(text(ended), ElementsAre("lost: 0 2", "lost: 3 5"));
  EXPECT_EQ(ended[0].cause, "because");
  EXPECT_THAT(close(run(0, 6)), IsEmpty());
  EXPECT_THAT(fold({result(run(2), "late")}), IsEmpty());
  EXPECT_THAT(rows, SizeIs(2));
}

TEST_F(a_reducer_host, events_out_of_order_end_once_each) {
  for (auto n : {9, 3, 7, 1, 5, 0, 2, 4, 6, 8})
    EXPECT_THAT(fold({result(run(static_cast<std::uint64_t>(n)), "x")}), SizeIs(1)) << n;
  for (std::uint64_t n = 0; n < 10; ++n) EXPECT_THAT(fold({result(run(n), "x")}), IsEmpty()) << n;
  EXPECT_EQ(host.ended().intervals(), 1u);
}

TEST_F(a_reducer_host, runs_with_a_stride_leave_what_is_between_them) {
  mapped_batch results;
  results.empty = {{{event_number(0), 5, 2}, slot_index(0), 1}};
  EXPECT_THAT(fold(results), SizeIs(1));
  EXPECT_THAT(fold({result(run(3), "x")}), SizeIs(1));
  EXPECT_THAT(fold({result(run(4), "x")}), IsEmpty());
}

TEST_F(a_reducer_host, passes_on_timer_finish_and_tree) {
  EXPECT_EQ(host.timer(), std::chrono::milliseconds(5));
  fold({result(run(0, 2), "a")});
  host.finish();
  EXPECT_EQ(log.back(), "finish");
  EXPECT_EQ(host.published(), value(value_map{{"events", std::size_t{2}}}));
}

TEST(reducer_host, works_without_rows) {
  reducer_host host(std::make_unique<reducer_part>(), {}, parameters_version(1), {});
  mapped_batch results;
  results.mapped.push_back({run(0), {}, "a"});
  std::vector<ended_slots> ended;
  host.fold(worker_index(0), parameters_version(1), results, ended);
  EXPECT_THAT(ended, SizeIs(1));
  EXPECT_TRUE(host.published().is_null());
}

} // namespace
} // namespace dtranspose
