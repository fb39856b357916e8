#include "output/packed_chunk.hpp"

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>

namespace dtranspose {
namespace {

TEST(packed_chunk, comes_back_as_it_was) {
  std::mt19937 random(1);
  for (std::size_t element : {1, 2, 4, 8})
    for (std::size_t count : {1, 7, 4096})
      for (int level : {fastest_deflate, best_deflate}) {
        std::vector<std::byte> chunk(element * count), packed, back(chunk.size());
        for (std::size_t i = 0; i < chunk.size(); i += element) chunk[i] = std::byte(random() % 5);
        bool shorter = pack_chunk(chunk, element, level, packed);
        EXPECT_EQ(shorter, packed.size() < chunk.size());
        unpack_chunk(packed, element, back);
        EXPECT_EQ(back, chunk);
      }
}

TEST(packed_chunk, says_when_packing_is_of_no_use) {
  std::mt19937 random(1);
  std::vector<std::byte> noise(10000), same(10000), packed;
  for (auto& b : noise) b = std::byte(random());
  EXPECT_FALSE(pack_chunk(noise, 2, best_deflate, packed));
  EXPECT_TRUE(pack_chunk(same, 2, best_deflate, packed));
  EXPECT_LT(packed.size(), 100u);
}

TEST(packed_chunk, refuses_what_is_no_packed_chunk) {
  std::vector<std::byte> packed, chunk(100), longer(101), shorter(99);
  pack_chunk(chunk, 1, fastest_deflate, packed);
  EXPECT_THROW(unpack_chunk(packed, 1, longer), std::runtime_error);
  EXPECT_THROW(unpack_chunk(packed, 1, shorter), std::runtime_error);
  packed[0] = std::byte(0);
  EXPECT_THROW(unpack_chunk(packed, 1, chunk), std::runtime_error);
}

} // namespace
} // namespace dtranspose
