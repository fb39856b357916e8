#include "protocol/compression.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <lz4.h>
#include <sys/resource.h>

#include "protocol/bit_unshuffle.hpp"
#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {

void PrintTo(codec how, std::ostream* out) {
  static const char* const names[] = {"none", "lz4_block", "lz4", "bslz4", "bslz4_bare"};
  *out << names[static_cast<std::size_t>(how)];
}

namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

using bytes = std::vector<std::byte>;
using span = std::span<const std::byte>;

bytes bytes_of(std::initializer_list<int> values) {
  bytes all;
  for (auto v : values) all.push_back(static_cast<std::byte>(v));
  return all;
}

bytes concat(std::initializer_list<bytes> parts) {
  bytes all;
  for (auto& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

bytes big_endian(std::uint64_t n, std::size_t size) {
  bytes all(size);
  for (std::size_t i = 0; i < size; ++i) all[i] = static_cast<std::byte>(n >> (8 * (size - 1 - i)));
  return all;
}

std::uint64_t number_of(span big_endian) {
  std::uint64_t n = 0;
  for (auto b : big_endian) n = 256 * n + static_cast<std::uint8_t>(b);
  return n;
}

bytes noise(std::size_t size, unsigned seed = 1) {
  std::mt19937 random(seed);
  bytes all(size);
  for (auto& b : all) b = static_cast<std::byte>(random());
  return all;
}

/// Elements with small numbers, now and then all bits.
bytes counts(std::size_t size, std::size_t element_size) {
  std::mt19937 random(2);
  bytes all(size);
  for (std::size_t i = 0; i < size; i += element_size) {
    if (random() % 50 == 0)
      for (std::size_t j = i; j < std::min(size, i + element_size); ++j) all[j] = std::byte{0xff};
    else
      all[i] = static_cast<std::byte>(random() % 4);
  }
  return all;
}

// ---- by the words of the specification -------------------------------------------------------------------

bool bit_of(span b, std::size_t i) { return (static_cast<int>(b[i >> 3]) >> (i & 7)) & 1; }

bytes naive_unshuffle(span block, std::size_t element_size) {
  bytes elements(block.size());
  auto n = block.size() / element_size;
  for (std::size_t j = 0; j < n; ++j)
    for (std::size_t k = 0; k < 8 * element_size; ++k)
      if (bit_of(block, k * n + j)) elements[j * element_size + k / 8] |= static_cast<std::byte>(1 << k % 8);
  return elements;
}

bytes naive_lz4(span in) {
  bytes out;
  std::size_t at = 0;
  auto length = [&](std::size_t nibble) {
    auto n = nibble;
    while (nibble == 15) {
      auto more = static_cast<std::size_t>(in[at++]);
      n += more;
      if (more < 255) break;
    }
    return n;
  };
  for (;;) {
    auto token = static_cast<std::size_t>(in[at++]);
    auto literals = length(token >> 4);
    out.insert(out.end(), in.begin() + static_cast<long>(at), in.begin() + static_cast<long>(at + literals));
    at += literals;
    if (at == in.size()) return out;
    auto offset = static_cast<std::size_t>(in[at]) + 256 * static_cast<std::size_t>(in[at + 1]);
    at += 2;
    auto match = length(token & 15) + 4;
    for (std::size_t i = 0; i < match; ++i) out.push_back(out[out.size() - offset]);
  }
}

/// Takes blobs apart that are known to be sound.
bytes naive_decompress(codec how, std::size_t element_size, span blob, std::size_t size) {
  if (how == codec::none) return {blob.begin(), blob.end()};
  if (how == codec::lz4_block) return naive_lz4(blob);
  bytes out;
  std::size_t block = 8192;
  if (how != codec::bslz4_bare) {
    EXPECT_EQ(number_of(blob.first(8)), size);
    block = number_of(blob.subspan(8, 4));
    blob = blob.subspan(12);
  }
  auto leftover = how == codec::lz4 ? 0 : size % (8 * element_size);
  while (out.size() + leftover < size) {
    auto wanted = std::min(block, size - leftover - out.size());
    auto length = number_of(blob.first(4));
    auto packed = blob.subspan(4, length);
    blob = blob.subspan(4 + length);
    auto plain =
        how == codec::lz4 && length == wanted ? bytes(packed.begin(), packed.end()) : naive_lz4(packed);
    EXPECT_EQ(plain.size(), wanted);
    if (how != codec::lz4) plain = naive_unshuffle(plain, element_size);
    out.insert(out.end(), plain.begin(), plain.end());
  }
  EXPECT_EQ(blob.size(), leftover);
  out.insert(out.end(), blob.begin(), blob.end());
  return out;
}

bytes lz4_of(span in) {
  bytes out(static_cast<std::size_t>(LZ4_compressBound(static_cast<int>(in.size()))));
  auto size =
      LZ4_compress_default(reinterpret_cast<const char*>(in.data()), reinterpret_cast<char*>(out.data()),
                           static_cast<int>(in.size()), static_cast<int>(out.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

/// Only literals: what it decompresses to can be read off.
bytes literals(span in) {
  bytes out;
  auto n = in.size();
  out.push_back(static_cast<std::byte>(std::min<std::size_t>(n, 15) << 4));
  if (n >= 15)
    for (n -= 15;; n -= 255) {
      out.push_back(static_cast<std::byte>(std::min<std::size_t>(n, 255)));
      if (n < 255) break;
    }
  out.insert(out.end(), in.begin(), in.end());
  return out;
}

bytes block(const bytes& packed) { return concat({big_endian(packed.size(), 4), packed}); }

bytes header(std::uint64_t total, std::uint64_t block_bytes) {
  return concat({big_endian(total, 8), big_endian(block_bytes, 4)});
}

/// `shuffled` in blocks of `block_bytes`, then `leftover`.
bytes framed(span shuffled, std::size_t block_bytes, span leftover = {}) {
  auto blob = header(shuffled.size() + leftover.size(), block_bytes);
  while (!shuffled.empty()) {
    auto size = std::min(block_bytes, shuffled.size());
    blob = concat({blob, block(lz4_of(shuffled.first(size)))});
    shuffled = shuffled.subspan(size);
  }
  blob.insert(blob.end(), leftover.begin(), leftover.end());
  return blob;
}

// ---- helpers --------------------------------------------------------------------------------------------

/// Into memory of exactly that size, for the sanitizers' sake, and without theirs with what must stay behind
/// it.
bytes decompressed(codec how, std::size_t element_size, span blob, std::size_t size) {
  bytes exact_blob(blob.begin(), blob.end());
  exact_blob.shrink_to_fit();
  bytes out(size, std::byte{0xa5});
  decompress(how, element_size, exact_blob, out);
  return out;
}

std::string refusal(codec how, std::size_t element_size, span blob, std::size_t size) {
  try {
    decompressed(how, element_size, blob, size);
  } catch (const corrupt_blob& e) {
    return e.what();
  }
  return "";
}

bool is_refused(codec how, std::size_t element_size, span blob, std::size_t size) {
  return !refusal(how, element_size, blob, size).empty();
}

constexpr codec all_codecs[] = {codec::none, codec::lz4_block, codec::lz4, codec::bslz4, codec::bslz4_bare};

struct form {
  codec how;
  std::size_t element_size;

  friend void PrintTo(const form& f, std::ostream* out) {
    PrintTo(f.how, out);
    *out << f.element_size;
  }
};

std::vector<form> all_forms() {
  std::vector<form> all;
  for (auto how : all_codecs)
    for (std::size_t element_size : {1, 2, 4, 8}) all.push_back({how, element_size});
  return all;
}

const bytes worked_example =
    bytes_of({0,    0,    0,    0, 0, 0, 0, 0x14, 0, 0, 0x20, 0, 0, 0, 0, 0x12, 0xf0, 1,  0x55,
              0x66, 0x78, 0x80, 0, 0, 0, 0, 0,    0, 0, 0,    0, 0, 0, 0, 9,    0,    10, 0});
const bytes one_to_ten = bytes_of({1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0, 7, 0, 8, 0, 9, 0, 10, 0});

// ---- bit-shuffling --------------------------------------------------------------------------------------

class bit_shuffling : public testing::TestWithParam<bit_shuffle_kernel> {};

TEST_P(bit_shuffling, follows_the_formula) {
  auto& kernel = GetParam();
  for (std::size_t element_size : {1, 2, 4, 8})
    for (std::size_t elements : {0, 8, 16, 24, 120, 128, 136, 248, 256, 264, 280, 384, 512, 1024, 8192 + 8}) {
      auto size = elements * element_size;
      auto block = noise(size, static_cast<unsigned>(size));
      bytes out(size + 1, std::byte{0xa5});
      kernel.unshuffle(element_size, block, out.data());
      auto expected = naive_unshuffle(block, element_size);
      EXPECT_EQ(out.back(), std::byte{0xa5}) << element_size << " x " << elements;
      out.pop_back();
      EXPECT_TRUE(out == expected) << element_size << " x " << elements;

      bytes back(size + 1, std::byte{0xa5});
      kernel.shuffle(element_size, expected, back.data());
      EXPECT_EQ(back.back(), std::byte{0xa5}) << element_size << " x " << elements;
      back.pop_back();
      EXPECT_TRUE(back == block) << element_size << " x " << elements;
    }
}

/// Every single bit, so that no place can stand in for another.
TEST_P(bit_shuffling, moves_each_bit_to_its_place) {
  auto& kernel = GetParam();
  for (std::size_t element_size : {1, 2, 4, 8}) {
    const std::size_t elements = 264;
    bytes block(elements * element_size), out(block.size()), back(block.size());
    for (std::size_t k = 0; k < 8 * element_size; ++k)
      for (std::size_t j = 0; j < elements; ++j) {
        auto from = k * elements + j;
        block[from / 8] = static_cast<std::byte>(1 << from % 8);
        kernel.unshuffle(element_size, block, out.data());
        ASSERT_TRUE(bit_of(out, 8 * (j * element_size) + k)) << element_size << ": " << k << ", " << j;
        ASSERT_EQ(std::count(out.begin(), out.end(), std::byte{0}), static_cast<long>(out.size() - 1));
        kernel.shuffle(element_size, out, back.data());
        ASSERT_TRUE(back == block);
        block[from / 8] = std::byte{0};
      }
  }
}

INSTANTIATE_TEST_SUITE_P(kernels, bit_shuffling, testing::ValuesIn(bit_shuffle_kernels()),
                         [](auto& about) { return std::string(about.param.name); });

TEST(bit_shuffle_kernels, begin_with_what_runs_everywhere) {
  EXPECT_EQ(bit_shuffle_kernels().front().name, "portable");
#if defined(__x86_64__)
  EXPECT_GE(bit_shuffle_kernels().size(), 2u);
#endif
}

// ---- sound blobs ----------------------------------------------------------------------------------------

TEST(compression, decompresses_the_worked_example) {
  EXPECT_EQ(worked_example.size(), 38u);
  EXPECT_EQ(decompressed(codec::bslz4, 2, worked_example, 20), one_to_ten);
  auto bare = span(worked_example).subspan(12);
  EXPECT_EQ(decompressed(codec::bslz4_bare, 2, bare, 20), one_to_ten);
}

TEST(compression, compresses_the_worked_example) {
  EXPECT_EQ(compress(codec::bslz4, 2, one_to_ten), worked_example);
  auto bare = span(worked_example).subspan(12);
  EXPECT_EQ(compress(codec::bslz4_bare, 2, one_to_ten), bytes(bare.begin(), bare.end()));
}

class compression_forms : public testing::TestWithParam<form> {};

TEST_P(compression_forms, give_back_every_size) {
  auto [how, element_size] = GetParam();
  for (std::size_t elements :
       {0,    1,    3,    7,    8,    9,    15,    16,    17,    63,    64,     1000,  1024,
        1031, 4096, 8191, 8192, 8193, 8200, 16384, 20011, 65536, 70000, 131072, 140000}) {
    auto size = elements * element_size;
    for (auto& in : {counts(size, element_size), noise(size), bytes(size)}) {
      auto blob = compress(how, element_size, in);
      EXPECT_TRUE(decompressed(how, element_size, blob, size) == in) << elements;
      EXPECT_TRUE(naive_decompress(how, element_size, blob, size) == in) << elements;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(all, compression_forms, testing::ValuesIn(all_forms()),
                         [](auto& about) { return testing::PrintToString(about.param); });

TEST(compression, shuffled_blocks_are_of_any_size) {
  for (std::size_t element_size : {1, 2, 4, 8}) {
    auto group = 8 * element_size;
    for (std::size_t groups : {1, 2, 3, 5, 37, 1024})
      for (std::size_t block_groups : {1, 2, 3, 4, 7, 36, 37, 38, 100'000}) {
        bytes elements;
        auto shuffled = noise(groups * group);
        for (std::size_t at = 0; at < shuffled.size(); at += block_groups * group) {
          auto size = std::min(block_groups * group, shuffled.size() - at);
          elements = concat({elements, naive_unshuffle(span(shuffled).subspan(at, size), element_size)});
        }
        auto leftover = noise(group - 1);
        auto blob = framed(shuffled, block_groups * group, leftover);
        EXPECT_TRUE(decompressed(codec::bslz4, element_size, blob, elements.size() + leftover.size()) ==
                    concat({elements, leftover}))
            << element_size << ": " << groups << " in blocks of " << block_groups;
      }
  }
}

TEST(compression, plain_blocks_are_of_any_size) {
  auto in = counts(10'000, 4);
  for (std::size_t block_bytes : {1, 3, 4096, 9'999, 10'000, 10'001, 1 << 30}) {
    auto size = std::min<std::size_t>(block_bytes, 10'000);
    auto blob = header(10'000, block_bytes);
    for (std::size_t at = 0; at < in.size(); at += size) {
      auto part = span(in).subspan(at, std::min(size, in.size() - at));
      auto packed = lz4_of(part);
      blob = concat({blob, block(packed.size() < part.size() ? packed : bytes(part.begin(), part.end()))});
    }
    EXPECT_TRUE(decompressed(codec::lz4, 0, blob, 10'000) == in) << block_bytes;
  }
}

TEST(compression, plain_blocks_may_be_stored_and_shuffled_ones_not) {
  auto in = noise(100);
  EXPECT_EQ(decompressed(codec::lz4, 0, concat({header(100, 8192), block(in)}), 100), in);
  EXPECT_EQ(decompressed(codec::lz4, 0, concat({header(100, 8192), block(literals(in))}), 100), in);
  EXPECT_EQ(compress(codec::lz4, 1, in).size(), 12u + 4 + 100);
  auto shuffled = noise(96);
  EXPECT_TRUE(is_refused(codec::bslz4, 4, concat({header(96, 8192), block(shuffled)}), 96));
}

TEST(compression, a_block_that_gained_nothing_is_stored) {
  auto in = bytes_of({1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  auto packed = bytes_of({0x40, 1, 2, 3, 4, 4, 0, 0xc0, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16});
  ASSERT_EQ(naive_lz4(packed), in);
  EXPECT_EQ(lz4_of(in), packed) << "only then does this test what it says";
  EXPECT_EQ(compress(codec::lz4, 1, in), concat({header(20, 20), block(in)}));
  EXPECT_EQ(decompressed(codec::lz4, 1, concat({header(20, 8192), block(packed)}), 20), packed);
}

TEST(compression, nothing_is_legal_with_a_header_only) {
  auto empty = header(0, 8192);
  for (auto how : {codec::lz4, codec::bslz4}) {
    EXPECT_EQ(decompressed(how, 2, empty, 0), bytes{});
    EXPECT_EQ(decompressed(how, 2, header(0, 0), 0), bytes{});
    EXPECT_EQ(decompressed(how, 2, header(0, 7), 0), bytes{});
    EXPECT_THAT(refusal(how, 2, concat({empty, bytes(3)}), 0), HasSubstr("3 bytes behind its 0 blocks"));
  }
  EXPECT_EQ(decompressed(codec::bslz4_bare, 2, {}, 0), bytes{});
  EXPECT_TRUE(is_refused(codec::bslz4_bare, 2, bytes(1), 0));
  EXPECT_EQ(decompressed(codec::lz4_block, 0, bytes(1), 0), bytes{});
  EXPECT_TRUE(is_refused(codec::lz4_block, 0, {}, 0));
}

TEST(compression, the_codecs_without_shuffling_take_any_element_size) {
  auto in = noise(77);
  for (auto how : {codec::none, codec::lz4_block, codec::lz4})
    EXPECT_EQ(decompressed(how, 0, compress(how, 3, in), 77), in);
}

TEST(compression, decompresses_in_several_threads) {
  auto in = counts(100'000, 4);
  auto blob = compress(codec::bslz4, 4, in);
  std::vector<std::thread> threads;
  std::atomic<int> equal = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 20; ++i) equal += decompressed(codec::bslz4, 4, blob, in.size()) == in;
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(equal, 80);
}

TEST(compression, refuses_to_shuffle_parts_of_elements) {
  EXPECT_THROW(compress(codec::bslz4, 4, bytes(7)), std::invalid_argument);
  EXPECT_THROW(compress(codec::bslz4_bare, 3, bytes(24)), std::invalid_argument);
  EXPECT_THROW(compress(codec::bslz4, 0, bytes(8)), std::invalid_argument);
}

TEST(compression, finds_out_whether_there_is_a_header) {
  EXPECT_EQ(bslz4_form(worked_example, 20), codec::bslz4);
  EXPECT_EQ(bslz4_form(span(worked_example).subspan(12), 20), codec::bslz4_bare);
  EXPECT_EQ(bslz4_form(worked_example, 21), codec::bslz4_bare);
  EXPECT_EQ(bslz4_form(header(0, 0), 0), codec::bslz4);
  EXPECT_EQ(bslz4_form({}, 0), codec::bslz4_bare);
  // A leftover of 8 bytes alone that looks like an announcement.
  EXPECT_EQ(bslz4_form(big_endian(8, 8), 8), codec::bslz4_bare);
  for (std::size_t size : {1, 63, 64, 1000, 100'000}) {
    auto in = noise(8 * size);
    EXPECT_EQ(bslz4_form(compress(codec::bslz4, 8, in), in.size()), codec::bslz4);
    EXPECT_EQ(bslz4_form(compress(codec::bslz4_bare, 8, in), in.size()), codec::bslz4_bare);
  }
}

// ---- hostile blobs --------------------------------------------------------------------------------------

TEST(corrupt_blobs, are_refused_wherever_they_are_cut) {
  for (auto [how, element_size] : all_forms()) {
    auto in = counts((2 * 8192 / element_size + 19) * element_size, element_size);
    auto blob = compress(how, element_size, in);
    for (std::size_t size = 0; size < blob.size(); ++size)
      ASSERT_TRUE(is_refused(how, element_size, span(blob).first(size), in.size())) << size;
    ASSERT_TRUE(is_refused(how, element_size, concat({blob, bytes(1)}), in.size()));
  }
}

/// What is decompressed then may be anything, but nothing outside is touched.
TEST(corrupt_blobs, with_any_byte_changed_never_leave_their_memory) {
  for (auto [how, element_size] : all_forms()) {
    auto in = counts((8192 / element_size + 75) * element_size, element_size);
    auto blob = compress(how, element_size, in);
    for (std::size_t at = 0; at < blob.size(); at += how == codec::none ? 1000 : 1)
      for (int change : {0x01, 0x80, 0xff}) {
        auto hostile = blob;
        hostile[at] ^= static_cast<std::byte>(change);
        bytes out(in.size() + 256, std::byte{0xa5});
        try {
          decompress(how, element_size, hostile, std::span(out).first(in.size()));
        } catch (const corrupt_blob&) {
        }
        ASSERT_EQ(std::count(out.begin() + static_cast<long>(in.size()), out.end(), std::byte{0xa5}), 256);
      }
  }
}

TEST(corrupt_blobs, of_noise_never_leave_their_memory) {
  std::mt19937 random(3);
  for (int i = 0; i < 20'000; ++i) {
    auto hostile = noise(random() % 200, random());
    auto size = random() % 300;
    auto form = all_forms()[random() % 20];
    bool with_header = form.how == codec::bslz4 || form.how == codec::lz4;
    if (with_header) hostile = concat({header(size, 64 * (1 + random() % 3)), hostile});
    bytes out(size);
    try {
      decompress(form.how, form.element_size, hostile, out);
    } catch (const corrupt_blob& e) {
      ASSERT_NE(std::string_view(e.what()), "");
    }
  }
}

TEST(corrupt_blobs, say_what_is_wrong) {
  auto blob = worked_example;
  auto changed = [&](std::size_t at, int value) {
    auto copy = blob;
    copy[at] = static_cast<std::byte>(value);
    return copy;
  };
  auto why = [](const bytes& hostile, std::size_t size = 20) {
    return refusal(codec::bslz4, 2, hostile, size);
  };
  EXPECT_THAT(why(bytes(11)), AllOf(HasSubstr("11 bytes"), HasSubstr("12")));
  EXPECT_THAT(why(blob, 22), AllOf(HasSubstr("announces 20 bytes"), HasSubstr("22")));
  EXPECT_THAT(why(changed(0, 0xff)), HasSubstr("announces 18374686479671623700 bytes"));
  EXPECT_THAT(why(changed(10, 0)), HasSubstr("blocks of 0 bytes"));
  EXPECT_THAT(why(changed(11, 8)), HasSubstr("8200 bytes are no multiple of 8 elements of 2 bytes"));
  EXPECT_THAT(why(changed(15, 0x17)),
              AllOf(HasSubstr("block 0 (16 bytes"), HasSubstr("23"), HasSubstr("22")));
  EXPECT_THAT(why(changed(12, 0xff)), AllOf(HasSubstr("block 0"), HasSubstr("4278190098"), HasSubstr("22")));
  EXPECT_THAT(why(changed(15, 0x16)), HasSubstr("block 0: its 22 bytes are no LZ4 block of 16 bytes"));
  EXPECT_THAT(why(changed(15, 0)), HasSubstr("block 0: its 0 bytes are no LZ4 block of 16 bytes"));
  auto shorter = concat({header(20, 8192), block(literals(bytes(15))), bytes(4)});
  EXPECT_THAT(why(shorter), HasSubstr("block 0: its 17 bytes decompress to 15 bytes, not 16"));
  auto longer = concat({header(20, 8192), block(literals(bytes(17))), bytes(4)});
  EXPECT_THAT(why(longer), HasSubstr("block 0: its 19 bytes decompress to 17 bytes, not 16"));
  auto much_longer = concat({header(20, 8192), block(literals(bytes(170))), bytes(4)});
  EXPECT_THAT(why(much_longer), HasSubstr("block 0: its 172 bytes are no LZ4 block of 16 bytes"));
  blob.pop_back();
  EXPECT_THAT(why(blob), AllOf(HasSubstr("3 bytes"), HasSubstr("need 4")));
  EXPECT_THAT(why(concat({blob, bytes(3)})), HasSubstr("2 bytes behind its 1 blocks"));
  blob.resize(14);
  EXPECT_THAT(why(blob), HasSubstr("before block 0: 2 of its 4 bytes"));
  EXPECT_THAT(refusal(codec::none, 1, bytes(3), 4), AllOf(HasSubstr("3 bytes"), HasSubstr("4")));
  EXPECT_THAT(refusal(codec::lz4_block, 1, bytes(3), 4), HasSubstr("3 bytes are no LZ4 block of 4 bytes"));
}

TEST(corrupt_blobs, name_the_block) {
  auto in = counts(5 * 8192, 4);
  for (auto how : {codec::bslz4, codec::lz4}) {
    bytes blob = header(in.size(), 8192);
    for (std::size_t at = 0; at < in.size(); at += 8192)
      blob = concat({blob, block(at == 3 * 8192 ? lz4_of(bytes(8191)) : lz4_of(bytes(8192)))});
    EXPECT_THAT(refusal(how, 4, blob, in.size()), HasSubstr("block 3: ")) << testing::PrintToString(how);
    EXPECT_THAT(refusal(how, 4, blob, in.size()), HasSubstr("8191 bytes, not 8192"));
  }
}

TEST(corrupt_blobs, elements_are_of_sizes_that_are_shuffled) {
  for (auto how : {codec::bslz4, codec::bslz4_bare})
    for (std::size_t element_size :
         {std::size_t{0}, std::size_t{3}, std::size_t{16}, std::numeric_limits<std::size_t>::max()})
      EXPECT_THAT(refusal(how, element_size, worked_example, 20),
                  HasSubstr(std::to_string(element_size) + " bytes are not bit-shuffled"));
}

long peak_kibibytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(corrupt_blobs, announce_sizes_that_are_not_allocated) {
  auto before = peak_kibibytes();
  auto large_blocks = worked_example;
  std::fill_n(large_blocks.begin() + 8, 3, std::byte{0xff});
  large_blocks[11] = std::byte{0xf0};
  EXPECT_EQ(decompressed(codec::bslz4, 2, large_blocks, 20), one_to_ten);
  auto plain = concat({header(20, 0xffffffff), block(one_to_ten)});
  EXPECT_EQ(decompressed(codec::lz4, 2, plain, 20), one_to_ten);
  auto large_total = worked_example;
  std::fill_n(large_total.begin(), 8, std::byte{0xff});
  EXPECT_TRUE(is_refused(codec::bslz4, 2, large_total, 20));
  EXPECT_TRUE(is_refused(codec::lz4, 2, large_total, 20));
  EXPECT_LT(peak_kibibytes() - before, 1 << 20);
}

// ---- a detector -----------------------------------------------------------------------------------------

/// An EIGER2 9M with blobs cut to 20,000 bytes: 123 whole blocks of each.
TEST(compression, blocks_of_a_detector) {
  auto path = test::find_recording("eiger-small.cbors");
  if (!path) GTEST_SKIP() << "no recordings here";
  capture_reader file(mapped_file::open(*path), "EIGER_LEGACY");
  constexpr std::size_t blocks = 123, block_bytes = 8192, image_bytes = 3108 * 3262 * 4;
  int images = 0;
  while (auto message = file.next()) {
    if (message->frames().size() != 5) continue;
    ++images;
    auto blob = message->frames()[2].bytes();
    ASSERT_EQ(blob.size(), 20'000u);
    EXPECT_EQ(number_of(blob.first(8)), image_bytes);
    EXPECT_EQ(number_of(blob.subspan(8, 4)), block_bytes);
    EXPECT_EQ(bslz4_form(blob, image_bytes), codec::bslz4);
    EXPECT_THAT(refusal(codec::bslz4, 4, blob, image_bytes), HasSubstr("block 123"));

    std::size_t end = 12;
    for (std::size_t i = 0; i < blocks; ++i) end += 4 + number_of(blob.subspan(end, 4));
    auto packed = blob.subspan(12, end - 12);
    auto whole = concat({header(blocks * block_bytes, block_bytes), bytes(packed.begin(), packed.end())});
    auto pixels = decompressed(codec::bslz4, 4, whole, blocks * block_bytes);
    EXPECT_TRUE(pixels == naive_decompress(codec::bslz4, 4, whole, pixels.size()));
    EXPECT_TRUE(pixels == decompressed(codec::bslz4_bare, 4, packed, pixels.size()));

    std::size_t masked = 0, small = 0;
    for (std::size_t i = 0; i < pixels.size(); i += 4) {
      std::uint32_t pixel = 0;
      std::memcpy(&pixel, &pixels[i], 4);
      masked += pixel == 0xffffffff;
      small += pixel < 100;
    }
    EXPECT_EQ(masked + small, pixels.size() / 4);
    EXPECT_GT(masked, 0u);
    EXPECT_GT(small, masked);
  }
  EXPECT_EQ(images, 3);
}

} // namespace
} // namespace dtranspose
