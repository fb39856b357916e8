#include "recording/replay_choice.hpp"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "protocol/stins.hpp"
#include "recording/dump_writer.hpp"
#include "recording/replay_map.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using numbers = std::vector<std::uint64_t>;

event_runs runs_of(const numbers& events) {
  event_runs runs;
  for (auto event : events) runs.append(event);
  return runs;
}

numbers events_of(const replay_choice& choice) { return {choice.events.begin(), choice.events.end()}; }

TEST(event_runs, finds_the_next_number) {
  auto runs = runs_of({3, 5, 7, 9, 20, 21, 22, 40});
  std::vector<std::optional<std::uint64_t>> found;
  for (std::uint64_t from : {0, 3, 4, 5, 8, 9, 10, 20, 22, 23, 40, 41}) found.push_back(runs.from(from));
  EXPECT_THAT(found, ElementsAre(3, 3, 5, 5, 9, 9, 20, 20, 22, 40, 40, std::nullopt));
  EXPECT_EQ(event_runs().from(0), std::nullopt);
}

recording_index two_streams() {
  recording_index index{.events = 10};
  index.streams.push_back({.name = "a", .type = "STINS", .events = runs_of({0, 1, 2, 3, 4, 5, 6, 7, 8, 9})});
  index.streams.push_back({.name = "b", .type = "STINS", .events = runs_of({0, 2, 4, 6, 8})});
  return index;
}

TEST(replay_choice, has_the_events_asked_for_and_the_ends) {
  auto choice = choose_events(two_streams(), 4, 6);
  EXPECT_THAT(events_of(choice), ElementsAre(0, 4, 5, 6, 9));
  EXPECT_THAT(choice.for_everybody, UnorderedElementsAre(0, 9));
  EXPECT_THAT(events_of(choose_events(two_streams(), 4, 6, {2})), ElementsAre(0, 2, 4, 5, 6, 9));
  EXPECT_THAT(events_of(all_events(two_streams())), ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(events_of(choose_events({}, 0, 5)), IsEmpty());
}

TEST(replay_choice, is_of_what_some_stream_has) {
  recording_index index{.events = 8};
  index.streams.push_back({.name = "a", .events = runs_of({0, 3})});
  index.streams.push_back({.name = "b", .events = runs_of({5, 7})});
  EXPECT_THAT(events_of(choose_events(index, 1, 6)), ElementsAre(0, 3, 5, 7));
}

std::vector<std::string> slots_of(const std::string& map, const char* stream) {
  auto body = json::parse(map);
  std::vector<std::string> slots;
  for (auto& part : body["sequence"])
    for (auto& slot : body["parts"][part.get<std::string>()][stream]) slots.push_back(slot.dump());
  return slots;
}

TEST(replay_map, of_a_choice_discards_the_rest) {
  auto map = replay_map(two_streams(), choose_events(two_streams(), 4, 6, {2}));
  EXPECT_THAT(slots_of(map, "a"),
              ElementsAre("[{}]", "[]", "[{}]", "[]", R"([{"constraint":3}])", R"([{"constraint":4}])",
                          R"([{"constraint":5}])", "[]", "[]", "[{}]"));
  EXPECT_THAT(slots_of(map, "b"), ElementsAre("[{}]", "null", "[{}]", "null", R"([{"constraint":3}])", "null",
                                              R"([{"constraint":5}])", "null", "[]", "null"));
}

TEST(replay_map, of_everything_is_that_without_a_choice) {
  EXPECT_EQ(replay_map(two_streams()), replay_map(two_streams(), all_events(two_streams())));
}

class recorded_arms : public testing::Test {
 protected:
  /// Events 0 to 9, two series one behind the other: starts in events 0 and 5.
  std::shared_ptr<const mapped_file> recorded(std::string_view type, std::optional<double> first_time = {}) {
    {
      dump_writer writer(directory_ / "dump");
      for (std::uint64_t event = 0; event < 10; ++event) {
        std::string text;
        const std::size_t shape[] = {1};
        if (event % 5 == 0)
          write_stins_header(text, event, "");
        else if (event % 5 == 4)
          write_stins_end(text, event);
        else
          write_stins_image(text, event, {.frame = event % 5 - 1, .shape = shape, .type = "uint8"});
        const dump_stream stream{"det", event % 5 % 4 == 0 ? memory_frames::of(type, {text})
                                                           : memory_frames::of(type, {text, "x"})};
        std::optional<double> time;
        if (first_time) time = *first_time + static_cast<double>(event) * 10;
        writer.append(event, {&stream, 1}, time);
      }
    }
    return mapped_file::open(directory_ / "dump");
  }

  test::temporary_directory directory_;
};

TEST_F(recorded_arms, the_last_start_before_an_event_is_found) {
  auto file = recorded(stins_type_tag);
  EXPECT_THAT(starts_before({file}, 0), IsEmpty());
  EXPECT_THAT(starts_before({file}, 1), ElementsAre(0));
  EXPECT_THAT(starts_before({file}, 5), ElementsAre(0));
  EXPECT_THAT(starts_before({file}, 6), ElementsAre(5));
  EXPECT_THAT(starts_before({file}, 1000), ElementsAre(5));
}

TEST_F(recorded_arms, of_an_unknown_type_have_no_starts) {
  EXPECT_THAT(starts_before({recorded("of a site's own")}, 9), IsEmpty());
}

TEST_F(recorded_arms, have_times) {
  auto file = recorded(stins_type_tag, 1000.0);
  auto index = index_of({file});
  ASSERT_TRUE(index.times);
  EXPECT_EQ(index.times->first, 1000);
  EXPECT_EQ(index.times->last, 1090);
  EXPECT_EQ(index.untimed, "");
  auto some = times_between({file}, 3, 5);
  EXPECT_EQ(some.first, 1030);
  EXPECT_EQ(some.last, 1050);
}

TEST_F(recorded_arms, without_times_say_so) {
  auto file = recorded(stins_type_tag);
  EXPECT_FALSE(index_of({file}).times);
  EXPECT_EQ(index_of({file}).untimed, (directory_ / "dump").string() + ", event 0");
}

} // namespace
} // namespace dtranspose
