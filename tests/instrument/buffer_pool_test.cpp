#include "instrument/buffer_pool.hpp"

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

TEST(buffer_pool, uses_memory_again_once_nobody_holds_it) {
  auto pool = std::make_shared<buffer_pool>(100);
  EXPECT_EQ(pool->size(), 100u);
  auto one = pool->take(), other = pool->take();
  EXPECT_NE(one, other);
  auto first = one.get();
  auto copy = one;
  one.reset();
  EXPECT_NE(pool->take().get(), first); // somebody holds it yet
  copy.reset();
  EXPECT_EQ(pool->take().get(), first);
}

TEST(buffer_pool, may_be_gone_before_its_buffers) {
  auto pool = std::make_shared<buffer_pool>(8);
  auto held = pool->take();
  pool.reset();
  held[7] = std::byte{3};
  EXPECT_EQ(held[7], std::byte{3});
}

} // namespace
} // namespace dtranspose
