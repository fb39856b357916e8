#include "http/login_guard.hpp"

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using std::chrono::steady_clock;

const auto start = steady_clock::time_point(1h);

TEST(login_guard, blocks_after_too_many_failures_until_the_window_has_passed) {
  login_guard guard;
  for (std::size_t i = 0; i < wrong_tokens; ++i) {
    EXPECT_FALSE(guard.blocked("a", start)) << i;
    guard.failed("a", start + i * 100ms);
  }
  auto last = start + (wrong_tokens - 1) * 100ms;
  EXPECT_TRUE(guard.blocked("a", last));
  EXPECT_TRUE(guard.blocked("a", start + wrong_token_window - 1ms));
  EXPECT_FALSE(guard.blocked("a", start + wrong_token_window));
  EXPECT_FALSE(guard.blocked("b", last));
  guard.failed("a", start + wrong_token_window);
  EXPECT_TRUE(guard.blocked("a", start + wrong_token_window));
}

TEST(login_guard, failures_far_apart_block_nobody) {
  login_guard guard;
  auto apart = std::chrono::nanoseconds(wrong_token_window) / (wrong_tokens - 1) + 1ms;
  for (std::size_t i = 0; i < 10 * wrong_tokens; ++i) {
    guard.failed("a", start + i * apart);
    EXPECT_FALSE(guard.blocked("a", start + i * apart)) << i;
  }
}

TEST(login_guard, remembers_the_last_tokens_that_were_right) {
  login_guard guard;
  EXPECT_FALSE(guard.has_used("a", 0));
  guard.accepted("a", 0, start);
  guard.accepted("a", 0, start);
  EXPECT_TRUE(guard.has_used("a", 0));
  EXPECT_FALSE(guard.has_used("a", 1));
  EXPECT_FALSE(guard.has_used("b", 0));
  for (std::size_t token = 1; token <= 8; ++token) guard.accepted("a", token, start);
  EXPECT_FALSE(guard.has_used("a", 0));
  EXPECT_TRUE(guard.has_used("a", 8));
}

TEST(login_guard, remembers_a_bounded_number_of_clients) {
  login_guard guard;
  for (std::size_t i = 0; i < wrong_tokens; ++i) guard.failed("busy", start + 1s);
  for (std::size_t i = 0; i < guarded_clients; ++i) guard.failed(std::to_string(i), start);
  EXPECT_EQ(guard.clients(), guarded_clients);
  EXPECT_TRUE(guard.blocked("busy", start + 1s)); // the oldest went
}

} // namespace
} // namespace dtranspose
