#include "runtime/progress_bar.hpp"

#include <gmock/gmock.h>

#include "actors/messages.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

progress half_way(double seconds) {
  progress p;
  p.scan = "scan";
  p.state = "running";
  p.completed_events = 500;
  p.total_events = 1000;
  p.seconds = seconds;
  return p;
}

TEST(progress_bar, has_rate_and_time_left) {
  EXPECT_THAT(progress_bar::line(half_way(20), 25, 120),
              AllOf(HasSubstr("running  [####"), HasSubstr(" 50%  500/1000 events  25 /s  20 s left")));
  EXPECT_THAT(progress_bar::line(half_way(300), 2, 120), HasSubstr("  5 min left"));
  EXPECT_THAT(progress_bar::line(half_way(9000), 0.1, 120), HasSubstr("  2.5 h left"));
}

TEST(progress_bar, says_nothing_of_the_time_left_where_it_is_not_known) {
  auto begun = half_way(20), done = half_way(20);
  begun.completed_events = 0;
  done.completed_events = 1000;
  done.finished = true;
  for (auto& p : {begun, done}) EXPECT_THAT(progress_bar::line(p, 25, 120), Not(HasSubstr("left")));
}

TEST(progress_bar, fits_the_terminal) {
  for (std::size_t width : {1, 20, 50, 80, 200})
    EXPECT_LT(progress_bar::line(half_way(20), 25, width).size(), width);
}

} // namespace
} // namespace dtranspose
