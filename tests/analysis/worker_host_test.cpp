#include "analysis/worker_host.hpp"

#include <functional>
#include <stdexcept>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

/// A worker part made of functions.
class scripted final : public worker_part {
 public:
  using event_function = std::function<answer(const event&, bool tick)>;
  using batch_function = std::function<void(std::span<const event>, bool tick, std::vector<answer>&)>;

  event_function on_event = [](auto&, bool) { return answer::nothing(); };
  batch_function on_batch;
  std::function<value()> on_flush = [] { return value("flushed"); };
  std::function<value()> on_finish = [] { return value(); };

  answer process_event(const event& e, const parameters& settings, bool tick) override {
    limit = settings.text("limit");
    return on_event(e, tick);
  }
  bool change_parameters(const parameters& settings) override { return on_change(settings); }

  std::string limit; ///< of the last event
  std::function<bool(const parameters&)> on_change = [](auto&) { return true; };
  void process_batch(std::span<const event> events, const parameters& settings, bool tick,
                     std::vector<answer>& answers) override {
    if (on_batch) return on_batch(events, tick, answers);
    worker_part::process_batch(events, settings, tick, answers);
  }
  value flush() override { return on_flush(); }
  value finish(const parameters&) override { return on_finish(); }
};

class a_worker_host : public testing::Test {
 protected:
  /// Events first..first+n-1, each with one entry: text "<number>" of stream `a` or `b` in turn.
  static joined_batch batch(std::uint64_t first, std::uint32_t n) {
    joined_batch made;
    for (std::uint32_t i = 0; i < n; ++i) {
      auto number = first + i;
      made.entries.push_back({stream_index(static_cast<std::uint16_t>(number % 2)),
                              memory_frames::of("T", {std::to_string(number)})});
      made.events.push_back({.number = event_number(number), .first_entry = i, .entries = 1});
    }
    return made;
  }

  mapped_batch process(std::uint64_t first, std::uint32_t n, bool tick = false) {
    mapped_batch out;
    host.process(batch(first, n), tick, out);
    return out;
  }

  static slot_run run(std::uint64_t first, std::uint32_t count, std::uint32_t stride = 1) {
    return {{event_number(first), count, stride}, slot_index(0), 1};
  }

  static std::vector<std::uint64_t> failed_events(const mapped_batch& out) {
    std::vector<std::uint64_t> events;
    for (auto& f : out.failed) events.push_back(f.slots.events.first.value);
    return events;
  }

  scripted* part = new scripted;
  worker_host host{std::unique_ptr<worker_part>(part), {}, {"a", "b"}};
};

parameters limit(const char* text) {
  parameters settings;
  settings.set("limit", text);
  return settings;
}

TEST_F(a_worker_host, flushes_before_parameters_change) {
  part->on_event = [](auto&, bool) { return answer::deferred(); };
  process(0, 2);
  mapped_batch out;
  part->on_change = [&](auto& settings) {
    EXPECT_THAT(out.mapped, SizeIs(1)) << "what was deferred is covered already";
    return settings.text("limit") == "2";
  };
  EXPECT_EQ(host.change_parameters(limit("2"), {}, out), "");
  process(2, 1);
  EXPECT_EQ(part->limit, "2");
}

TEST_F(a_worker_host, another_part_takes_over_where_one_cannot_change) {
  part->on_change = [](auto&) { return false; };
  part->on_finish = [] { return value("gathered"); };
  scripted* next = nullptr;
  mapped_batch out;
  auto make = [&](const parameters& settings) {
    EXPECT_EQ(settings.text("limit"), "2");
    return std::unique_ptr<worker_part>(next = new scripted);
  };
  EXPECT_EQ(host.change_parameters(limit("2"), make, out), "");
  ASSERT_THAT(out.mapped, SizeIs(1));
  EXPECT_EQ(out.mapped[0].slots.events.count, 0u);
  EXPECT_EQ(*out.mapped[0].content.as_text(), "gathered");
  process(0, 1);
  EXPECT_EQ(next->limit, "2");
}

TEST_F(a_worker_host, keeps_its_parameters_where_the_analysis_refuses_others) {
  mapped_batch out;
  part->on_change = [](auto&) -> bool { throw std::runtime_error("too much"); };
  EXPECT_THROW(host.change_parameters(limit("2"), {}, out), std::runtime_error);
  part->on_change = [](auto&) { return false; };
  auto make = [](const parameters&) -> std::unique_ptr<worker_part> { throw std::runtime_error("no"); };
  EXPECT_THROW(host.change_parameters(limit("2"), make, out), std::runtime_error);
  EXPECT_TRUE(out.nothing());
  process(0, 1);
  EXPECT_EQ(part->limit, "");
}

TEST_F(a_worker_host, gives_events_with_their_streams_and_keeps_results_apart) {
  part->on_event = [](const event& e, bool) {
    EXPECT_EQ(e.streams().size(), 1u);
    auto name = e.number().value % 2 ? "b" : "a";
    EXPECT_EQ(e.name_of(e.streams()[0]), name);
    EXPECT_EQ(e.find(name == std::string("a") ? "b" : "a"), nullptr);
    return answer::result(value(e.find(name)->frames()[0].text()));
  };
  auto out = process(8, 3);
  EXPECT_THAT(out.failed, IsEmpty());
  EXPECT_THAT(out.empty, IsEmpty());
  ASSERT_THAT(out.mapped, SizeIs(3));
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(out.mapped[i].slots, run(8 + i, 1));
    EXPECT_THAT(out.mapped[i].more, IsEmpty());
    EXPECT_EQ(out.mapped[i].content, value(std::to_string(8 + i)));
  }
}

TEST_F(a_worker_host, empty_events_travel_as_runs) {
  EXPECT_THAT(process(0, 100).empty, ElementsAre(run(0, 100)));
  part->on_event = [](const event& e, bool) {
    return e.number().value % 5 == 0 ? answer::result(1) : answer::nothing();
  };
  auto out = process(0, 10);
  EXPECT_THAT(out.empty, ElementsAre(run(1, 4), run(6, 4)));
  EXPECT_THAT(out.mapped, SizeIs(2));
  EXPECT_TRUE(process(0, 0).nothing());
}

TEST_F(a_worker_host, slots_of_different_places_are_different_runs) {
  auto two = batch(0, 3);
  two.events[1].first_slot = slot_index(4);
  two.events[2].first_slot = slot_index(4);
  two.events[2].slots = 2;
  mapped_batch out;
  host.process(two, false, out);
  EXPECT_THAT(out.empty, ElementsAre(run(0, 1), slot_run{{event_number(1), 1, 1}, slot_index(4), 1},
                                     slot_run{{event_number(2), 1, 1}, slot_index(4), 2}));
}

TEST_F(a_worker_host, an_exception_costs_its_own_event) {
  part->on_event = [](const event& e, bool) {
    auto n = e.number().value;
    if (n == 0 || n == 4) throw std::runtime_error("bad " + std::to_string(n));
    if (n == 5) throw 5;
    return answer::result(n);
  };
  auto out = process(0, 7);
  EXPECT_THAT(failed_events(out), ElementsAre(0, 4, 5));
  EXPECT_EQ(out.failed[0].cause, "bad 0");
  EXPECT_EQ(out.failed[1].cause, "bad 4");
  EXPECT_THAT(out.failed[2].cause, HasSubstr("unknown"));
  EXPECT_EQ(out.failed[2].slots, run(5, 1));
  ASSERT_THAT(out.mapped, SizeIs(4));
  EXPECT_EQ(out.mapped[3].content, value(std::uint64_t{6}));
  // All of them, and the last of them.
  part->on_event = [](const event&, bool) -> answer { throw std::runtime_error("no"); };
  EXPECT_THAT(failed_events(process(0, 3)), ElementsAre(0, 1, 2));
}

TEST_F(a_worker_host, a_batch_that_stops_early_is_called_again_for_the_rest) {
  std::vector<std::size_t> lengths;
  part->on_batch = [&](std::span<const event> events, bool, std::vector<answer>& answers) {
    lengths.push_back(events.size());
    for (auto& e : events) {
      if (e.number().value == 2) throw std::runtime_error("two");
      answers.push_back(answer::result(e.number().value));
    }
  };
  auto out = process(0, 6);
  EXPECT_THAT(lengths, ElementsAre(6, 3));
  EXPECT_THAT(failed_events(out), ElementsAre(2));
  ASSERT_THAT(out.mapped, SizeIs(5));
  EXPECT_EQ(out.mapped[2].slots, run(3, 1));
  EXPECT_EQ(out.mapped[2].content, value(std::uint64_t{3}));
}

TEST_F(a_worker_host, an_event_without_an_answer_fails) {
  part->on_batch = [](std::span<const event> events, bool, std::vector<answer>& answers) {
    if (events.size() > 1) answers.push_back(answer::nothing());
  };
  auto out = process(0, 4); // answers 0, 1 has none; answers 2, 3 has none
  EXPECT_THAT(failed_events(out), ElementsAre(1, 3));
  EXPECT_THAT(out.failed[0].cause, HasSubstr("no answer"));
  EXPECT_THAT(out.empty, ElementsAre(run(0, 2, 2)));
}

TEST_F(a_worker_host, surplus_answers_belong_to_no_event) {
  part->on_batch = [](std::span<const event> events, bool, std::vector<answer>& answers) {
    answers.insert(answers.end(), events.size() + 3, answer::nothing());
  };
  EXPECT_THAT(process(0, 2).empty, ElementsAre(run(0, 2)));
}

TEST_F(a_worker_host, one_event_of_a_batch_gets_the_tick) {
  std::vector<std::uint64_t> ticked;
  part->on_event = [&](const event& e, bool tick) {
    if (tick) ticked.push_back(e.number().value);
    return answer::nothing();
  };
  process(0, 3, true);
  process(3, 3, false);
  process(6, 3, true);
  EXPECT_THAT(ticked, ElementsAre(0, 6));
}

TEST_F(a_worker_host, a_flush_covers_all_that_was_deferred) {
  part->on_event = [](const event& e, bool) {
    auto n = e.number().value;
    if (n == 3) throw std::runtime_error("three");
    return n == 6 ? answer::nothing() : answer::deferred();
  };
  auto out = process(0, 8);
  EXPECT_THAT(out.mapped, IsEmpty());
  EXPECT_THAT(failed_events(out), ElementsAre(3));
  EXPECT_EQ(host.deferred(), 6u);
  out = process(10, 2);
  EXPECT_EQ(host.deferred(), 8u);
  mapped_batch flushed;
  host.flush(flushed);
  EXPECT_EQ(host.deferred(), 0u);
  ASSERT_THAT(flushed.mapped, SizeIs(1));
  EXPECT_EQ(flushed.mapped[0].content, value("flushed"));
  std::vector<std::uint64_t> covered;
  auto cover = [&](const slot_run& r) {
    for (std::uint32_t i = 0; i < r.events.count; ++i) covered.push_back(r.events.at(i).value);
  };
  cover(flushed.mapped[0].slots);
  for (auto& r : flushed.mapped[0].more) cover(r);
  EXPECT_THAT(covered, ElementsAre(0, 1, 2, 4, 5, 7, 10, 11));
}

TEST_F(a_worker_host, asks_for_no_flush_when_nothing_is_deferred) {
  part->on_flush = []() -> value {
    ADD_FAILURE();
    return {};
  };
  process(0, 3);
  mapped_batch out;
  host.flush(out);
  EXPECT_EQ(host.finish(out), "");
  EXPECT_TRUE(out.nothing());
}

TEST_F(a_worker_host, a_flush_of_null_leaves_the_events_empty) {
  part->on_event = [](const event&, bool) { return answer::deferred(); };
  part->on_flush = [] { return value(); };
  process(4, 3);
  mapped_batch out;
  host.flush(out);
  EXPECT_THAT(out.empty, ElementsAre(run(4, 3)));
  EXPECT_THAT(out.mapped, IsEmpty());
  EXPECT_EQ(host.deferred(), 0u);
}

TEST_F(a_worker_host, a_flush_that_throws_fails_what_it_should_have_covered) {
  part->on_event = [](const event& e, bool) {
    return e.number().value == 2 ? answer::nothing() : answer::deferred();
  };
  part->on_flush = []() -> value { throw std::runtime_error("no room"); };
  process(0, 5);
  mapped_batch out;
  host.flush(out);
  ASSERT_THAT(out.failed, SizeIs(2));
  EXPECT_EQ(out.failed[0].slots, run(0, 2));
  EXPECT_EQ(out.failed[1].slots, run(3, 2));
  EXPECT_EQ(out.failed[1].cause, "no room");
  EXPECT_EQ(host.deferred(), 0u);
  mapped_batch again;
  host.flush(again);
  EXPECT_TRUE(again.nothing());
}

TEST_F(a_worker_host, finish_flushes_and_then_gives_a_result_that_covers_nothing) {
  part->on_event = [](const event&, bool) { return answer::deferred(); };
  part->on_finish = [] { return value("last"); };
  process(0, 2);
  mapped_batch out;
  EXPECT_EQ(host.finish(out), "");
  ASSERT_THAT(out.mapped, SizeIs(2));
  EXPECT_EQ(out.mapped[0].content, value("flushed"));
  EXPECT_EQ(out.mapped[0].slots, run(0, 2));
  EXPECT_EQ(out.mapped[1].content, value("last"));
  EXPECT_EQ(out.mapped[1].slots.events.count, 0u);
}

TEST_F(a_worker_host, finish_says_what_was_thrown) {
  part->on_finish = []() -> value { throw std::logic_error("not ready"); };
  mapped_batch out;
  EXPECT_EQ(host.finish(out), "not ready");
  EXPECT_TRUE(out.nothing());
}

} // namespace
} // namespace dtranspose
