#include "protocol/msgpack.hpp"

#include <limits>
#include <random>
#include <span>
#include <string>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using namespace std::literals;

std::optional<value> read(std::string_view bytes) {
  // Memory of exactly that size, so that a sanitizer sees a step beyond.
  auto all = std::as_bytes(std::span(bytes));
  return read_msgpack(std::vector<std::byte>(all.begin(), all.end()));
}

TEST(msgpack, reads_what_its_specification_lists) {
  struct {
    std::string_view bytes;
    value expected;
  } cases[] = {
      {"\xc0"sv, {}},
      {"\xc2"sv, false},
      {"\xc3"sv, true},
      {"\x00"sv, 0},
      {"\x7f"sv, 127},
      {"\xff"sv, -1},
      {"\xe0"sv, -32},
      {"\xcc\xff"sv, 255},
      {"\xcd\x01\x02"sv, 0x102},
      {"\xce\x01\x02\x03\x04"sv, 0x1020304},
      {"\xcf\x01\x02\x03\x04\x05\x06\x07\x08"sv, 0x102030405060708},
      {"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"sv, std::numeric_limits<std::uint64_t>::max()},
      {"\xd0\x80"sv, -128},
      {"\xd1\xff\x00"sv, -256},
      {"\xd2\x80\x00\x00\x00"sv, std::numeric_limits<std::int32_t>::min()},
      {"\xd3\x80\x00\x00\x00\x00\x00\x00\x00"sv, std::numeric_limits<std::int64_t>::min()},
      {"\xca\x3f\xc0\x00\x00"sv, 1.5},
      {"\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"sv, 1.5},
      {"\xa0"sv, ""},
      {"\xa3"
       "abc"sv,
       "abc"},
      {"\xd9\x01"
       "a"sv,
       "a"},
      {"\xda\x00\x01"
       "a"sv,
       "a"},
      {"\xdb\x00\x00\x00\x01"
       "a"sv,
       "a"},
      {"\xc4\x01\x07"sv, value_bytes{std::byte{7}}},
      {"\xc5\x00\x01\x07"sv, value_bytes{std::byte{7}}},
      {"\xc6\x00\x00\x00\x01\x07"sv, value_bytes{std::byte{7}}},
      {"\x92\x01\xa1x"sv, value_list{1, "x"}},
      {"\xdc\x00\x01\x01"sv, value_list{1}},
      {"\xdd\x00\x00\x00\x01\x01"sv, value_list{1}},
      {"\x81\xa1k\x01"sv, value_map{{"k", 1}}},
      {"\x81\xc4\x01k\x01"sv, value_map{{"k", 1}}},
      {"\xde\x00\x01\xa1k\x01"sv, value_map{{"k", 1}}},
      {"\xdf\x00\x00\x00\x01\xa1k\x01"sv, value_map{{"k", 1}}},
      {"\x82\xa1k\x01\xa1k\x02"sv, value_map{{"k", 2}}},
  };
  for (auto& c : cases) {
    auto found = read(c.bytes);
    ASSERT_TRUE(found) << testing::PrintToString(c.bytes);
    EXPECT_EQ(*found, c.expected) << testing::PrintToString(c.bytes);
    for (std::size_t n = 0; n < c.bytes.size(); ++n) EXPECT_FALSE(read(c.bytes.substr(0, n)));
    EXPECT_FALSE(read(std::string(c.bytes) + '\0'));
  }
}

TEST(msgpack, refuses_what_is_none) {
  for (auto bytes : {""sv, "\xc1"sv, "\xc7\x01\x01\x01"sv, "\xd4\x01\x01"sv, "\xd8"sv, "\x81\x01\x01"sv,
                     "\x81\xc0\x01"sv, "\xdd\xff\xff\xff\xff"sv, "\xdf\xff\xff\xff\xff"sv,
                     "\xc6\xff\xff\xff\xff"sv, "\xdb\xff\xff\xff\xff"sv})
    EXPECT_FALSE(read(bytes)) << testing::PrintToString(bytes);
}

TEST(msgpack, keeps_its_limits) {
  EXPECT_TRUE(read(std::string(msgpack_depth_limit, '\x91') + '\x01'));
  EXPECT_FALSE(read(std::string(msgpack_depth_limit + 1, '\x91') + '\x01'));
  EXPECT_FALSE(read(std::string(1'000'000, '\x91')));
  EXPECT_TRUE(read("\xdd\x00\x3f\xff\xff"s + std::string(msgpack_value_limit - 1, '\x01')));
  EXPECT_FALSE(read("\xdd\x00\x40\x00\x00"s + std::string(msgpack_value_limit, '\x01')));
  auto keys = [](unsigned n) {
    std::string bytes = "\xdf\x00\x00"s;
    bytes += static_cast<char>(n >> 8);
    bytes += static_cast<char>(n);
    for (unsigned i = 0; i < n; ++i)
      (((bytes += '\xa2') += static_cast<char>(i >> 8)) += static_cast<char>(i)) += '\0';
    return bytes;
  };
  EXPECT_TRUE(read(keys(5'000)));
  EXPECT_FALSE(read(keys(6'000)));
}

TEST(msgpack, reads_arrays_of_numpy) {
  // msgpack.packb(numpy.array([[1, 2]], "<u2"), default=msgpack_numpy.encode)
  auto bytes = "\x85\xc4\x02nd\xc3\xc4\x04type\xa3<u2\xc4\x04kind\xc4\x00\xc4\x05shape\x92\x01\x02\xc4\x04"
               "data\xc4\x04\x01\x00\x02\x00"s;
  std::vector<std::uint16_t> elements = {1, 2};
  auto expected = array::of(std::span<const std::uint16_t>(elements), {1, 2});
  auto found = read(bytes);
  ASSERT_TRUE(found);
  EXPECT_EQ(*found, value(expected));
  // msgpack.packb(numpy.float32(1.5), default=msgpack_numpy.encode)
  EXPECT_EQ(read("\x83\xc4\x02nd\xc2\xc4\x04type\xa3<f4\xc4\x04"
                 "data\xc4\x04\x00\x00\xc0\x3f"s),
            value(1.5));
  // What does not add up stays a map.
  for (auto [from, to] :
       {std::pair("<u2"s, ">u2"s), std::pair("<u2"s, "<u3"s), std::pair("<u2"s, "<u4"s),
        std::pair("\x92\x01\x02"s, "\x92\x01\x03"s), std::pair("\x92\x01\x02"s, "\x92\x01\xff"s)}) {
    auto changed = bytes;
    changed.replace(changed.find(from), from.size(), to);
    found = read(changed);
    ASSERT_TRUE(found);
    EXPECT_TRUE(found->as_map()) << to;
  }
}

TEST(msgpack, writes_what_it_reads) {
  value_map all{{"null", value()},
                {"yes", true},
                {"small", 5},
                {"negative", -5},
                {"least", std::numeric_limits<std::int64_t>::min()},
                {"most", std::numeric_limits<std::uint64_t>::max()},
                {"float", 0.1},
                {"text", "\xc3\xa9"},
                {"bytes", value_bytes(300, std::byte{9})},
                {"list", value_list{1, value_list{}, "x"}},
                {"map", value_map{{"", 1}}}};
  for (int i = 0; i <= static_cast<int>(dtype::float64); ++i) {
    auto type = static_cast<dtype>(i);
    auto data = std::make_shared<std::byte[]>(6 * size_of(type));
    for (std::size_t b = 0; b < 6 * size_of(type); ++b) data[b] = static_cast<std::byte>(b);
    all.set(name_of(type), array(type, {2, 3}, std::move(data)));
  }
  all.set("empty", array(dtype::int16, {0, 3}, nullptr));
  EXPECT_EQ(read_msgpack(write_msgpack(all)), value(all));
}

TEST(msgpack, survives_hostile_bytes) {
  auto good = write_msgpack(
      value_map{{"a", value_list{1, 2.5, "text"}}, {"b", array::of(std::vector<std::int32_t>{1, 2, 3})}});
  std::mt19937 random(1);
  int passed = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = good;
    for (int n = 0; n < 2; ++n) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    passed += read_msgpack(bytes).has_value();
  }
  EXPECT_GT(passed, 100);
  EXPECT_LT(passed, 19'900);
}

} // namespace
} // namespace dtranspose
