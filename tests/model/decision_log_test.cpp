#include "model/decision_log.hpp"

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

value made(std::uint64_t number, const std::string& name, value event, value content = {}) {
  return value_map{
      {"number", number}, {"name", name}, {"event", std::move(event)}, {"value", std::move(content)}};
}

TEST(decision_log, gives_what_came_since) {
  decision_log log;
  EXPECT_THAT(log.since(0), IsEmpty());
  EXPECT_TRUE(log.take(made(0, "a", 1u)));
  EXPECT_TRUE(log.take(made(1, "a", 2u)));
  EXPECT_TRUE(log.take(made(2, "b", 2u)));
  EXPECT_THAT(log.since(1), ElementsAre(made(1, "a", 2u), made(2, "b", 2u)));
  EXPECT_EQ(log.next(), 3u);
}

TEST(decision_log, what_is_told_again_is_not_taken_again) {
  decision_log log;
  EXPECT_TRUE(log.take(made(0, "a", 1u, 0.5)));
  EXPECT_FALSE(log.take(made(0, "a", 1u, 0.5)));
  EXPECT_FALSE(log.take(made(7, "a", 1u, 0.5))); // its teller has begun to count anew
  EXPECT_TRUE(log.take(made(1, "a", 1u, 0.6)));
  EXPECT_TRUE(log.take(made(2, "a", {}, 0.5)));
  EXPECT_TRUE(log.take(made(3, "a\n", 1u)));
  EXPECT_EQ(log.size(), 4u);
}

TEST(decision_log, keeps_the_last_ones_and_knows_more) {
  decision_log log;
  for (std::uint64_t i = 0; i < decision_log::most_known; ++i) EXPECT_TRUE(log.take(made(i, "a", i)));
  EXPECT_THAT(log.since(0), SizeIs(decision_log::most_kept));
  EXPECT_FALSE(log.take(made(5, "a", 5u)));
  EXPECT_FALSE(log.take(made(decision_log::most_known, "b", 0u)));
  EXPECT_EQ(log.next(), decision_log::most_known);
}

} // namespace
} // namespace dtranspose
