#include "model/trigger_map.hpp"

#include <algorithm>
#include <random>
#include <string>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "model/error.hpp"
#include "model/plain_map.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using map_pointer = std::shared_ptr<const trigger_map>;

map_pointer read(std::string_view text, bool wrap = false) {
  auto map = trigger_map::parse(text, wrap);
  if (map) return *map;
  ADD_FAILURE() << text_of(map.error()) << " in " << text;
  return nullptr;
}

/// What is said of a map that is refused; empty for one that is taken.
std::string refusal(std::string_view text) {
  auto map = trigger_map::parse(text, false);
  if (map) return {};
  EXPECT_EQ(code_of(map.error()), ec::malformed);
  return text_of(map.error());
}

std::string one_part(std::string_view rows) {
  return fmt::format(R"({{"parts":{{"main":{}}},"sequence":["main"]}})", rows);
}

std::string one_slot(std::string_view slot) { return one_part(fmt::format(R"({{"det":[{}]}})", slot)); }

nlohmann::json shown(const trigger_map& map) { return nlohmann::json::parse(map.to_json()); }

nlohmann::json shown_slot(std::string_view slot) {
  auto map = read(one_slot(slot));
  return map ? shown(*map)["parts"]["main"]["mapping"]["det"][0] : nlohmann::json();
}

TEST(trigger_map, null_and_the_empty_list_differ) {
  auto map = read(one_part(R"({"det":[null,[],null]})"));
  auto& slots = map->parts()[0].rows[0].slots;
  EXPECT_EQ(slots[0].shape, trigger_map::no_frame);
  EXPECT_EQ(slots[1].shape, trigger_map::discard);
  EXPECT_EQ(map->events(), 3u);
  EXPECT_EQ(map->entries(stream_index(0)), 1u);
}

TEST(trigger_map, tags_and_constraint_have_defaults) {
  EXPECT_EQ(shown_slot("[{}]").dump(), R"([{"constraint":null,"tags":["generic"]}])");
  EXPECT_EQ(shown_slot(R"([{"constraint":null}])"), shown_slot("[{}]"));
  EXPECT_EQ(shown_slot(R"([{"tags":["generic"]}])"), shown_slot("[{}]"));
  EXPECT_EQ(shown_slot(R"([{"constraint":3}])").dump(), R"([{"constraint":3,"tags":["generic"]}])");
}

TEST(trigger_map, tags_are_a_set) {
  EXPECT_EQ(shown_slot(R"([{"tags":["b","a","b"]}])"), shown_slot(R"([{"tags":["a","b"]}])"));
  EXPECT_EQ(shown_slot(R"([{"tags":[]}])").dump(), R"([{"constraint":null,"tags":[]}])");
}

TEST(trigger_map, constraints_may_be_any_whole_number) {
  for (auto number : {"0", "-1", "9223372036854775807", "-9223372036854775808"})
    EXPECT_EQ(shown_slot(fmt::format(R"([{{"constraint":{}}}])", number))[0]["constraint"].dump(), number);
}

TEST(trigger_map, tags_fit_a_worker_that_has_them_all) {
  EXPECT_TRUE(fits({}, {}));
  EXPECT_TRUE(fits({"a"}, {"a", "b"}));
  EXPECT_TRUE(fits({"a", "b"}, {"a", "b"}));
  EXPECT_FALSE(fits({"a", "b"}, {"a"}));
  EXPECT_FALSE(fits({"generic"}, {}));
}

TEST(trigger_map, the_sequence_repeats_parts) {
  auto map = read(R"({"parts":{"a":{"x":[[],[]]},"b":{"y":[[],null,[]]},"unused":{"x":[[],[]]}},
                      "sequence":["a","b","a"]})");
  EXPECT_EQ(map->events(), 7u);
  EXPECT_THAT(map->streams(), ElementsAre("x", "y"));
  EXPECT_EQ(map->entries(stream_index(0)), 4u);
  EXPECT_EQ(map->entries(stream_index(1)), 2u);
}

TEST(trigger_map, a_stream_missing_in_a_part_gives_it_no_frame) {
  auto map = read(R"({"parts":{"line":{"det":[[{"constraint":0}],[{"constraint":0}]]},
                      "dark":{"det":[[]],"slow":[[{"constraint":0}]]}},
                      "sequence":["line","dark","line"]})");
  EXPECT_EQ(map->events(), 5u);
  EXPECT_EQ(map->entries(stream_index(0)), 5u);
  EXPECT_EQ(map->entries(stream_index(1)), 1u);
}

TEST(trigger_map, the_order_of_the_keys_of_the_body_is_free) {
  auto map = read(R"({"sequence":["a"],"parts":{"a":{"x":[[]]}}})");
  EXPECT_EQ(map->events(), 1u);
}

TEST(trigger_map, a_wrap_reaches_every_tag_in_use) {
  auto map = read(
      R"({"parts":{"main":{"det":[[{"tags":["b","a"],"constraint":1}],[{}]],"slow":[null,null]},
          "unused":{"third":[[{"tags":["c"]}]]}},"sequence":["main"]})",
      true);
  EXPECT_EQ(map->events(), 4u);
  auto json = shown(*map);
  EXPECT_EQ(json["sequence"].dump(), R"(["reserved_start_end","main","reserved_start_end"])");
  auto& wrap = json["parts"]["reserved_start_end"]["mapping"];
  for (auto stream : {"det", "slow", "third"}) {
    ASSERT_EQ(wrap[stream].size(), 1u) << stream;
    std::multiset<std::string> tags;
    for (auto& worker : wrap[stream][0]) {
      EXPECT_TRUE(worker["constraint"].is_null());
      ASSERT_EQ(worker["tags"].size(), 1u);
      tags.insert(worker["tags"][0].get<std::string>());
    }
    EXPECT_THAT(tags, ElementsAre("a", "b", "c", "generic")) << stream;
  }
  EXPECT_EQ(map->entries(stream_index(0)), 4u);
  EXPECT_EQ(map->entries(stream_index(1)), 2u);
  EXPECT_EQ(map->entries(stream_index(2)), 2u);
}

TEST(trigger_map, a_wrap_discards_where_there_is_no_virtual_worker) {
  auto map = read(one_part(R"({"det":[null,[]]})"), true);
  EXPECT_EQ(map->events(), 4u);
  EXPECT_EQ(shown(*map)["parts"]["reserved_start_end"]["mapping"]["det"].dump(), "[[]]");
  EXPECT_EQ(map->entries(stream_index(0)), 3u);
}

TEST(trigger_map, an_empty_map_has_no_events) {
  EXPECT_EQ(read(R"({"parts":{},"sequence":[]})")->events(), 0u);
  EXPECT_EQ(read(R"({"parts":{"main":{}},"sequence":["main"]})")->events(), 0u);
  EXPECT_EQ(read(R"({"parts":{"main":{"det":[]}},"sequence":["main","main"]})")->events(), 0u);
}

TEST(trigger_map, a_wrap_without_any_stream_adds_nothing) {
  EXPECT_EQ(read(R"({"parts":{},"sequence":[]})", true)->events(), 0u);
  EXPECT_EQ(read(R"({"parts":{"main":{}},"sequence":["main"]})", true)->events(), 0u);
}

TEST(trigger_map, as_many_workers_as_constraints_meet_in_one_event) {
  auto constraints = [](std::vector<int> numbers) {
    std::string slot;
    for (auto n : numbers) slot += fmt::format("{}{{\"constraint\":{}}}", slot.empty() ? "" : ",", n);
    return "[" + slot + "]";
  };
  auto pairing = one_part(fmt::format(R"({{"eiger":[{},{}],"orca":[{},{}],"alba":[{},{}]}})",
                                      constraints({2}), constraints({4}), constraints({3}), constraints({5}),
                                      constraints({2, 3}), constraints({4, 5})));
  EXPECT_EQ(read(pairing)->min_workers(), 2u);
  EXPECT_EQ(read(one_slot(constraints({7, 7, 8})))->min_workers(), 2u);
  EXPECT_EQ(read(one_slot("[{}]"))->min_workers(), 0u);
  EXPECT_EQ(read(one_part("{}"))->min_workers(), 0u);
}

TEST(trigger_map, parts_that_are_not_used_need_no_workers) {
  auto map = read(R"({"parts":{"a":{"x":[[{"constraint":1},{"constraint":2}]]},
                               "b":{"x":[[{"constraint":1}]]}},"sequence":["b"]})");
  EXPECT_EQ(map->min_workers(), 1u);
}

TEST(trigger_map, is_shown_as_it_is_asked_for) {
  auto map = read(one_part(R"({"det":[null,[],[{"constraint":4},{},{"constraint":5}]]})"));
  EXPECT_EQ(map->to_json(), R"({"parts":{"main":{"mapping":{"det":[null,[],)"
                            R"([{"tags":["generic"],"constraint":4},)"
                            R"({"tags":["generic"],"constraint":null},)"
                            R"({"tags":["generic"],"constraint":5}]]}}},"sequence":["main"]})");
}

TEST(trigger_map, names_may_hold_any_text) {
  auto map = read(R"({"parts":{"":{"\u00e5 \"x\"\n\ud83d\ude00":[[{"tags":["\t"]}]]}},"sequence":[""]})");
  EXPECT_THAT(map->streams(), ElementsAre("\xC3\xA5 \"x\"\n\xF0\x9F\x98\x80"));
  EXPECT_EQ(shown(*map)["sequence"].dump(), R"([""])");
}

// -- what is refused -----------------------------------------------------------------------------

TEST(trigger_map, an_error_names_part_stream_and_event) {
  for (auto bad : {"1",
                   "\"x\"",
                   "{}",
                   "true",
                   "[1]",
                   "[[]]",
                   "[null]",
                   R"([{"constraint":"1"}])",
                   R"([{"constraint":1.5}])",
                   R"([{"constraint":true}])",
                   R"([{"constraint":[1]}])",
                   R"([{"constraint":9223372036854775808}])",
                   R"([{"constraint":-9223372036854775809}])",
                   R"([{"constraint":1e400}])",
                   R"([{"tags":"generic"}])",
                   R"([{"tags":[1]}])",
                   R"([{"tags":null}])",
                   R"([{"tags":[["a"]]}])",
                   R"([{"worker":1}])",
                   "nul",
                   "nullx"})
    EXPECT_THAT(refusal(one_part(fmt::format(R"({{"det":[null,[],{}]}})", bad))),
                AllOf(HasSubstr("part 'main'"), HasSubstr("stream 'det'"), HasSubstr("event 2")))
        << bad;
}

TEST(trigger_map, an_unknown_key_is_named) {
  EXPECT_THAT(refusal(one_slot(R"([{"constrain":1}])")), HasSubstr("'constrain'"));
}

TEST(trigger_map, a_sequence_names_parts_that_exist) {
  EXPECT_THAT(refusal(R"({"parts":{"a":{}},"sequence":["a","b"]})"), HasSubstr("'b'"));
  EXPECT_THAT(refusal(R"({"parts":{"a":{}},"sequence":["reserved_start_end"]})"),
              HasSubstr("'reserved_start_end'"));
}

TEST(trigger_map, the_name_of_the_wrap_is_reserved) {
  EXPECT_THAT(refusal(R"({"parts":{"reserved_start_end":{"x":[[]]}},"sequence":[]})"), HasSubstr("reserved"));
}

TEST(trigger_map, streams_of_a_part_have_equal_lengths) {
  EXPECT_THAT(refusal(one_part(R"({"fast":[[],[],[]],"slow":[[],null]})")),
              AllOf(HasSubstr("part 'main'"), HasSubstr("'fast' has 3"), HasSubstr("'slow' has 2")));
  EXPECT_NE(refusal(one_part(R"({"fast":[],"slow":[null]})")), "");
}

TEST(trigger_map, what_does_not_have_the_shape_of_a_map_is_refused) {
  for (auto text : {"",
                    " ",
                    "null",
                    "1",
                    "\"text\"",
                    "[]",
                    "{}",
                    R"({"parts":{}})",
                    R"({"sequence":[]})",
                    R"({"parts":[],"sequence":[]})",
                    R"({"parts":null,"sequence":[]})",
                    R"({"parts":{},"sequence":{}})",
                    R"({"parts":{},"sequence":"main"})",
                    R"({"parts":{},"sequence":[1]})",
                    R"({"parts":{},"sequence":[null]})",
                    R"({"parts":{"a":[]},"sequence":[]})",
                    R"({"parts":{"a":null},"sequence":[]})",
                    R"({"parts":{"a":{"x":null}},"sequence":[]})",
                    R"({"parts":{"a":{"x":{}}},"sequence":[]})",
                    R"({"parts":{"a":{"x":1}},"sequence":[]})"})
    EXPECT_NE(refusal(text), "") << text;
}

TEST(trigger_map, a_part_or_a_stream_given_twice_is_refused) {
  EXPECT_THAT(refusal(R"({"parts":{"a":{"x":[[]]},"a":{"x":[[]]}},"sequence":["a"]})"),
              AllOf(HasSubstr("part 'a'"), HasSubstr("twice")));
  EXPECT_THAT(refusal(one_part(R"({"x":[[]],"x":[[]]})")),
              AllOf(HasSubstr("stream 'x'"), HasSubstr("twice")));
}

TEST(trigger_map, a_key_of_a_virtual_worker_given_twice_is_refused_or_the_last_one_counts) {
  auto twice = R"([{"constraint":1,"constraint":null}])";
  if (!trigger_map::parse(one_slot(twice), false)) return;
  EXPECT_TRUE(shown_slot(twice)[0]["constraint"].is_null());
}

TEST(trigger_map, a_key_of_the_body_given_twice_is_refused_or_the_last_one_counts) {
  auto map = trigger_map::parse(R"({"parts":{},"parts":{"a":{"x":[[]]}},"sequence":[]})", false);
  if (!map) return;
  EXPECT_EQ((*map)->streams().size(), 1u);
}

TEST(trigger_map, more_streams_than_a_mask_has_bits_are_refused) {
  auto rows = [](std::size_t n) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += fmt::format("{}\"s{}\":[[]]", text.empty() ? "" : ",", i);
    return one_part("{" + text + "}");
  };
  EXPECT_EQ(read(rows(max_streams), true)->streams().size(), max_streams);
  EXPECT_THAT(refusal(rows(max_streams + 1)), HasSubstr("64 streams"));
}

// -- hostile bytes -------------------------------------------------------------------------------

const std::string whole =
    R"({"parts":{"a":{"det":[[{"tags":["x"],"constraint":12}],null],"slow":[[],[{}]]}},"sequence":["a","a"]})";

TEST(trigger_map, a_text_cut_short_anywhere_is_refused) {
  read(whole);
  for (std::size_t n = 0; n < whole.size(); ++n)
    EXPECT_NE(refusal(std::string_view(whole).substr(0, n)), "") << n;
}

TEST(trigger_map, what_is_not_json_is_refused_wherever_it_is_broken) {
  for (auto text :
       {R"({"parts":{},"sequence":[]}x)", R"({"parts":{},"sequence":[]}})",
        R"({"parts":{},"sequence":[]}{"parts":{},"sequence":[]})", R"({"parts":{},"sequence":[]},)",
        R"({"parts":{},"sequence":[],})", R"({"parts":{},"sequence":[] 1})",
        R"({"parts":{},"sequence":[],"note":tru})", R"({"parts":{},,"sequence":[]})"})
    EXPECT_NE(refusal(text), "") << text;
}

TEST(trigger_map, texts_that_are_not_utf8_are_refused) {
  EXPECT_NE(refusal(one_part("{\"a\xFF\":[[]]}")), "");
  EXPECT_NE(refusal(one_part(R"({"\ud800":[[]]})")), "");
  EXPECT_NE(refusal(one_part(R"({"\x":[[]]})")), "");
}

TEST(trigger_map, deep_nesting_is_refused) {
  for (auto depth : {3, 1000, 100'000}) {
    auto open = std::string(static_cast<std::size_t>(depth), '[');
    auto close = std::string(static_cast<std::size_t>(depth), ']');
    EXPECT_NE(refusal(one_slot(open + close)), "") << depth;
    EXPECT_NE(refusal(open), "") << depth;
  }
}

TEST(trigger_map, bytes_changed_at_random_do_no_harm) {
  std::mt19937_64 random(20);
  const std::string alphabet = "{}[]\",:0129-.eE nulltrue\\\x01\xFF";
  for (int i = 0; i < 20'000; ++i) {
    auto text = whole;
    for (auto n = 1 + plain::below(random, 3); n > 0; --n)
      text[plain::below(random, text.size())] = alphabet[plain::below(random, alphabet.size())];
    auto map = trigger_map::parse(text, i % 2 == 0);
    if (!map) continue;
    auto again = (*map)->to_json();
    EXPECT_EQ(nlohmann::json::parse(again)["sequence"].size(), (*map)->sequence().size());
  }
}

// -- against a plain model -----------------------------------------------------------------------

std::uint32_t plain_min_workers(const plain::map& m) {
  std::size_t most = 0;
  for (auto& event : plain::expand(m, false)) {
    std::set<std::int64_t> constraints;
    for (auto& [stream, workers] : event.slots)
      for (auto& worker : workers)
        if (worker.constraint) constraints.insert(*worker.constraint);
    most = std::max(most, constraints.size());
  }
  return static_cast<std::uint32_t>(most);
}

TEST(trigger_map, random_maps_are_kept_as_they_were_given) {
  std::mt19937_64 random(1);
  for (int round = 0; round < 500; ++round) {
    auto m = plain::random_map(random);
    auto map = read(plain::request(m));
    auto expected = nlohmann::json{{"parts", nlohmann::json::object()}, {"sequence", m.sequence}};
    for (auto& part : m.parts)
      expected["parts"][part.name]["mapping"] = nlohmann::json::parse(plain::to_json(part).dump());
    EXPECT_EQ(shown(*map), expected);
    EXPECT_EQ(map->min_workers(), plain_min_workers(m));
  }
}

TEST(trigger_map, random_maps_count_events_and_entries_as_a_plain_loop_does) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 500; ++round) {
    auto m = plain::random_map(random);
    bool wrap = round % 2 == 0;
    auto map = read(plain::request(m), wrap);
    auto events = plain::expand(m, wrap);
    EXPECT_EQ(map->events(), events.size());
    ASSERT_EQ(map->streams(), plain::streams(m));
    for (std::size_t s = 0; s < map->streams().size(); ++s) {
      std::uint64_t entries = 0;
      for (auto& event : events)
        for (auto& [stream, workers] : event.slots) entries += stream == map->streams()[s];
      EXPECT_EQ(map->entries(stream_index(static_cast<std::uint16_t>(s))), entries);
    }
  }
}

// -- size ----------------------------------------------------------------------------------------

TEST(trigger_map, ten_million_events_as_parts_and_sequence_are_small) {
  constexpr int per_part = 100'000, repeats = 100;
  std::string slots;
  for (int e = 0; e < per_part; ++e)
    fmt::format_to(std::back_inserter(slots), "{}[{{\"constraint\":{}}}]", e == 0 ? "" : ",", e);
  std::string names;
  for (int i = 0; i < repeats; ++i) names += i == 0 ? R"("line")" : R"(,"line")";
  auto map = read(
      fmt::format(R"({{"parts":{{"line":{{"a":[{0}],"b":[{0}]}}}},"sequence":[{1}]}})", slots, names), true);
  EXPECT_EQ(map->events(), std::uint64_t{per_part} * repeats + 2);
  EXPECT_EQ(map->entries(stream_index(1)), map->events());
  EXPECT_LT(map->memory(), 100'000'000u);
}

TEST(trigger_map, a_part_of_a_million_events_takes_few_bytes_for_each) {
  std::string slots;
  for (int e = 0; e < 1'000'000; ++e)
    fmt::format_to(std::back_inserter(slots), "{}[{{\"constraint\":{}}}]", e == 0 ? "" : ",", e);
  auto map = read(one_part("{\"det\":[" + slots + "]}"));
  EXPECT_EQ(map->events(), 1'000'000u);
  EXPECT_LT(map->memory(), 40'000'000u);
}

} // namespace
} // namespace dtranspose
