#include "python/shared_segments.hpp"

#include <cstring>
#include <random>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>

namespace dtranspose {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t mebibyte = 1 << 20;

class store_test : public testing::Test {
 protected:
  std::optional<segment_store::room> take(std::uint64_t batch, std::size_t bytes) {
    return store.take(batch, bytes, added, dropped);
  }

  segment_store store{4 * mebibyte};
  std::vector<segment_store::announcement> added;
  std::vector<std::uint32_t> dropped;
};

TEST_F(store_test, rooms_are_apart_until_they_are_released) {
  std::mt19937 random(1);
  std::map<std::uint64_t, segment_store::room> taken;
  std::uint64_t last = 0;
  for (int step = 0; step < 3000; ++step) {
    if (!taken.empty() && random() % 2) {
      auto which = std::next(taken.begin(), static_cast<std::ptrdiff_t>(random() % taken.size()));
      for (auto b : which->second.memory) ASSERT_EQ(b, std::byte(which->first));
      store.release(which->first);
      taken.erase(which);
      continue;
    }
    auto room = take(++last, 1 + random() % 50000);
    if (!room) continue;
    EXPECT_EQ(room->offset % 64, 0u);
    std::ranges::fill(room->memory, std::byte(last));
    taken.emplace(last, *room);
  }
  EXPECT_LE(store.bytes(), 4 * mebibyte);
  for (auto& [batch, room] : taken)
    for (auto b : room.memory) ASSERT_EQ(b, std::byte(batch));
}

TEST_F(store_test, there_is_no_more_than_its_budget) {
  std::uint64_t batch = 0;
  while (take(++batch, mebibyte / 4)) ASSERT_LT(batch, 100u);
  EXPECT_EQ(store.bytes(), 4 * mebibyte);
  store.release(3);
  EXPECT_TRUE(take(++batch, mebibyte / 4));
  EXPECT_FALSE(take(++batch, mebibyte / 4));
}

TEST_F(store_test, one_that_is_larger_than_the_budget_gets_through_alone) {
  ASSERT_TRUE(take(1, 10 * mebibyte));
  EXPECT_FALSE(take(2, 10 * mebibyte));
  store.release(1);
  EXPECT_TRUE(take(3, 10 * mebibyte));
}

TEST_F(store_test, what_is_too_small_makes_room) {
  ASSERT_TRUE(take(1, 1000));
  ASSERT_THAT(added, SizeIs(1));
  store.release(1);
  ASSERT_TRUE(take(2, 4 * mebibyte));
  EXPECT_THAT(dropped, testing::ElementsAre(added[0].segment));
  EXPECT_LE(store.bytes(), 4 * mebibyte);
}

TEST_F(store_test, others_can_read_it_and_nothing_else) {
  auto room = take(1, 1000);
  ASSERT_TRUE(room);
  auto fd = added.front().fd.get();
  auto size = added.front().size;
  std::memcpy(room->memory.data(), "frames", 6);
  EXPECT_EQ(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_NE(ftruncate(fd, 0), 0);
  auto seen = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
  ASSERT_NE(seen, MAP_FAILED);
  EXPECT_EQ(std::memcmp(static_cast<char*>(seen) + room->offset, "frames", 6), 0);
  munmap(seen, size);
}

} // namespace
} // namespace dtranspose
