#include "recording/ordered_dump.hpp"

#include <gmock/gmock.h>

#include "recording/dump_writer.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;

class an_ordered_dump : public testing::Test {
 protected:
  /// Events; negative ones are gaps.
  std::vector<std::uint64_t> read(const std::vector<int>& written) {
    auto path = folder / "dump";
    std::filesystem::remove(path);
    {
      dump_writer writer(path);
      for (auto event : written) {
        dump_stream one{"a", memory_frames::of("T", {"x"})};
        writer.append(static_cast<std::uint64_t>(std::abs(event)), {&one, event < 0 ? 0u : 1u});
      }
    }
    ordered_dump_reader reader(mapped_file::open(path));
    std::vector<std::uint64_t> list;
    while (auto item = reader.next()) list.push_back(item->event);
    EXPECT_EQ(reader.cut_off(), "");
    return list;
  }

  test::temporary_directory folder;
};

TEST_F(an_ordered_dump, comes_in_the_order_of_its_events) {
  EXPECT_THAT(read({0, 2, 1, 5, 4, 3, 6}), ElementsAre(0, 1, 2, 3, 4, 5, 6));
}

TEST_F(an_ordered_dump, of_two_of_an_event_the_later_one_counts) {
  EXPECT_THAT(read({0, 0, 1, 2}), ElementsAre(0, 1, 2));
  EXPECT_THAT(read({0, 1, 0, 1}), ElementsAre(0, 0, 1, 1)) << "but not of two recordings";
}

TEST_F(an_ordered_dump, what_is_far_out_of_place_stays_where_it_stands) {
  std::vector<int> events;
  for (int e = 1; e <= 20000; ++e) events.push_back(e);
  events.push_back(0);
  auto list = read(events);
  ASSERT_EQ(list.size(), 20001u);
  EXPECT_GT(list.front(), 0u);
  events.back() = -1;
  EXPECT_EQ(read(events).size(), 20000u) << "but for gaps: what they are the gaps of is known";
}

} // namespace
} // namespace dtranspose
