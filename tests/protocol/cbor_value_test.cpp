#include "protocol/cbor_value.hpp"

#include <cmath>
#include <limits>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

/// Bytes of hexadecimal digits; blanks are skipped.
std::vector<std::byte> hex(std::string_view digits) {
  std::string bare;
  for (char c : digits)
    if (c != ' ') bare += c;
  std::vector<std::byte> bytes;
  for (std::size_t i = 0; i + 1 < bare.size(); i += 2)
    bytes.push_back(static_cast<std::byte>(std::stoi(bare.substr(i, 2), nullptr, 16)));
  return bytes;
}

std::vector<std::byte> written(const value& content) {
  std::vector<std::byte> bytes;
  cbor::writer(bytes).write(content);
  return bytes;
}

template <class T>
value list_of(std::vector<T> elements) {
  return value(array::of(elements));
}

TEST(cbor_value, reads_what_the_standard_shows) {
  const std::pair<const char*, value> cases[] = {
      {"00", 0},
      {"17", 23},
      {"1818", 24},
      {"1903e8", 1000},
      {"1b000000e8d4a51000", 1000000000000},
      {"1bffffffffffffffff", std::numeric_limits<std::uint64_t>::max()},
      {"1b8000000000000000", std::uint64_t{1} << 63},
      {"20", -1},
      {"3863", -100},
      {"3b7fffffffffffffff", std::numeric_limits<std::int64_t>::min()},
      {"3bffffffffffffffff", -18446744073709551616.0},
      {"f93c00", 1.0},
      {"fa47c35000", 100000.0},
      {"fb3ff199999999999a", 1.1},
      {"f97c00", std::numeric_limits<double>::infinity()},
      {"f4", false},
      {"f5", true},
      {"f6", value()},
      {"f7", value()},
      {"c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"},
      {"4401020304", value_bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}}},
      {"60", ""},
      {"62c3bc", "\u00fc"},
      {"80", value_list{}},
      {"8301820203820405", value_list{1, value_list{2, 3}, value_list{4, 5}}},
      {"a0", value_map{}},
      {"a26161016162820203", value_map{{"a", 1}, {"b", value_list{2, 3}}}},
      {"a201020304", value_map{{"1", 2}, {"3", 4}}},
      {"a2616101616102", value_map{{"a", 2}}},
      {"a2 81 01 02 6161 03", value_map{{"a", 3}}},
      {"5f42010243030405ff",
       value_bytes{std::byte{1}, std::byte{2}, std::byte{3}, std::byte{4}, std::byte{5}}},
      {"7f657374726561646d696e67ff", "streaming"},
      {"9f018202039f0405ffff", value_list{1, value_list{2, 3}, value_list{4, 5}}},
      {"bf6346756ef563416d7421ff", value_map{{"Fun", true}, {"Amt", -2}}},
      // typed arrays
      {"d840 43 010203", list_of<std::uint8_t>({1, 2, 3})},
      {"d844 43 010203", list_of<std::uint8_t>({1, 2, 3})},
      {"d841 44 0001 0002", list_of<std::uint16_t>({1, 2})},
      {"d845 44 0100 0200", list_of<std::uint16_t>({1, 2})},
      {"d842 44 00000001", list_of<std::uint32_t>({1})},
      {"d846 44 01000000", list_of<std::uint32_t>({1})},
      {"d843 48 0000000000000001", list_of<std::uint64_t>({1})},
      {"d847 48 0100000000000000", list_of<std::uint64_t>({1})},
      {"d848 42 01ff", list_of<std::int8_t>({1, -1})},
      {"d849 44 0001 ffff", list_of<std::int16_t>({1, -1})},
      {"d84d 44 0100 feff", list_of<std::int16_t>({1, -2})},
      {"d84a 44 fffffffe", list_of<std::int32_t>({-2})},
      {"d84e 44 feffffff", list_of<std::int32_t>({-2})},
      {"d84b 48 fffffffffffffffe", list_of<std::int64_t>({-2})},
      {"d84f 48 feffffffffffffff", list_of<std::int64_t>({-2})},
      {"d851 44 3f800000", list_of<float>({1})},
      {"d855 44 0000803f", list_of<float>({1})},
      {"d852 48 3ff199999999999a", list_of<double>({1.1})},
      {"d856 48 9a9999999999f13f", list_of<double>({1.1})},
      {"d845 5f 41 01 43 000200 ff", list_of<std::uint16_t>({1, 2})},
      {"d828 82 82 02 01 d840 42 0708",
       array::of(std::span<const std::uint8_t>(std::vector<std::uint8_t>{7, 8}), {2, 1})},
      // not of that form, or of no type of ours
      {"d845 43 010203", value_bytes{std::byte{1}, std::byte{2}, std::byte{3}}},
      {"d850 42 0102", value_bytes{std::byte{1}, std::byte{2}}},
      {"d84c 42 0102", value_bytes{std::byte{1}, std::byte{2}}},
      {"d845 01", 1},
      {"d828 82 82 02 02 d840 42 0708", value_list{value_list{2, 2}, list_of<std::uint8_t>({7, 8})}},
      {"d828 82 81 21 d840 42 0708", value_list{value_list{-2}, list_of<std::uint8_t>({7, 8})}},
      {"d828 01", 1},
      {"d9 d9f7 01", 1},
  };
  for (auto& [digits, expected] : cases) {
    auto found = cbor_to_value(hex(digits));
    ASSERT_TRUE(found) << digits;
    EXPECT_EQ(*found, expected) << digits;
  }
  EXPECT_TRUE(std::isnan(*cbor_to_value(hex("f97e00"))->as_number()));
}

TEST(cbor_value, refuses_what_is_none) {
  for (auto digits : {"",
                      "18",
                      "1c",
                      "42 00",
                      "5b ffffffffffffffff 00",
                      "62 41",
                      "82 01",
                      "9b ffffffffffffffff 01",
                      "bb ffffffffffffffff 0101",
                      "a1 01",
                      "ff",
                      "9f 01",
                      "bf 01 ff",
                      "5f 01 ff",
                      "5f 6161 ff",
                      "7f 4161 ff",
                      "5f 41",
                      "c0",
                      "01 02",
                      "fb 00",
                      "d828 82 81 02",
                      "81 ff"})
    EXPECT_FALSE(cbor_to_value(hex(digits))) << digits;
}

TEST(cbor_value, has_limits) {
  auto nested = [](std::size_t depth, std::uint8_t with) {
    std::vector<std::byte> bytes(depth, static_cast<std::byte>(with));
    bytes.push_back(std::byte{0});
    return bytes;
  };
  for (auto with : {0x81, 0xc1}) {
    EXPECT_TRUE(cbor_to_value(nested(cbor::depth_limit, static_cast<std::uint8_t>(with))));
    EXPECT_FALSE(cbor_to_value(nested(cbor::depth_limit + 1, static_cast<std::uint8_t>(with))));
    EXPECT_FALSE(cbor_to_value(nested(10'000'000, static_cast<std::uint8_t>(with))));
  }
  auto endless = [](std::uint64_t elements, std::uint8_t with) {
    std::vector<std::byte> bytes(elements + 2);
    bytes.front() = static_cast<std::byte>(with);
    bytes.back() = std::byte{0xff};
    return bytes;
  };
  EXPECT_TRUE(cbor_to_value(endless(cbor::value_limit - 1, 0x9f)));
  EXPECT_FALSE(cbor_to_value(endless(cbor::value_limit, 0x9f)));
  EXPECT_TRUE(cbor_to_value(endless(2 * cbor::key_limit, 0xbf)));
  EXPECT_FALSE(cbor_to_value(endless(2 * cbor::key_limit + 2, 0xbf)));
}

TEST(cbor_value, skips_what_it_would_convert) {
  auto skipped = [](std::string_view digits) {
    auto bytes = hex(digits);
    cbor::token_reader in(bytes);
    std::uint64_t tokens = 100;
    cbor::skip(in, in.next(), tokens);
    return in.at_end();
  };
  for (auto digits : {"00", "d9d9f7 a2 6161 9f 01 bf 02 03 ff ff 6162 7f 6161 6162 ff", "5f 41 00 ff", "f6",
                      "bf ff", "9f ff", "d828 82 82 02 01 d840 42 0708"})
    EXPECT_TRUE(skipped(digits)) << digits;
  for (auto digits : {"ff", "bf 01 ff", "9f", "82 01", "7f 01 ff"})
    EXPECT_THROW(skipped(digits), cbor::unreadable) << digits;
  std::vector<std::byte> many(200);
  many.front() = std::byte{0x9f};
  cbor::token_reader in(many);
  std::uint64_t tokens = 100;
  try {
    cbor::skip(in, in.next(), tokens);
    ADD_FAILURE() << "skips more than it may";
  } catch (const cbor::unreadable& e) {
    EXPECT_EQ(e.why, cbor::unreadable::reason::too_much);
  }
}

TEST(cbor_value, writes_the_shortest_form) {
  const std::pair<const char*, value> cases[] = {
      {"17", 23},
      {"1818", 24},
      {"18ff", 255},
      {"190100", 256},
      {"1a00010000", 65536},
      {"1b0000000100000000", std::uint64_t{1} << 32},
      {"3903e7", -1000},
      {"3b7fffffffffffffff", std::numeric_limits<std::int64_t>::min()},
      {"fb3ff199999999999a", 1.1},
      {"f5", true},
      {"f4", false},
      {"f6", value()},
      {"6161", "a"},
      {"4101", value_bytes{std::byte{1}}},
      {"82f6a1616101", value_list{value(), value_map{{"a", 1}}}},
      {"d84544 0100 0200", list_of<std::uint16_t>({1, 2})},
  };
  for (auto& [digits, content] : cases) EXPECT_EQ(written(content), hex(digits)) << digits;
}

/// Of the kinds that come back as they were.
value random_value(std::mt19937_64& random, int depth) {
  auto kind = random() % (depth > 3 ? 8 : 10);
  auto text = [&] { return std::string(random() % 30, static_cast<char>('a' + random() % 26)); };
  switch (kind) {
  case 0:
    return {};
  case 1:
    return random() % 2 == 0;
  case 2:
    return static_cast<std::int64_t>(random() >> random() % 64);
  case 3:
    return (std::uint64_t{1} << 63) + (random() >> 1);
  case 4:
    return static_cast<double>(random()) / 7;
  case 5:
    return text();
  case 6:
    return value_bytes(random() % 300, static_cast<std::byte>(random()));
  case 7: {
    auto type = static_cast<dtype>(random() % 10);
    std::vector<std::size_t> shape(random() % 4);
    for (auto& extent : shape) extent = random() % 4;
    std::size_t bytes = size_of(type);
    for (auto extent : shape) bytes *= extent;
    auto data = std::make_shared<std::byte[]>(bytes);
    for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(random() % 64);
    return array(type, shape, std::move(data));
  }
  case 8: {
    value_list list;
    for (auto n = random() % 5; n > 0; --n) list.push_back(random_value(random, depth + 1));
    return list;
  }
  default:
    value_map map;
    for (auto n = random() % 5; n > 0; --n) map.set(text(), random_value(random, depth + 1));
    return map;
  }
}

TEST(cbor_value, reads_what_it_writes) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 3000; ++i) {
    auto content = random_value(random, 0);
    if (auto x = std::get_if<std::int64_t>(&content.content()); x && i % 2 == 0) content = -1 - *x;
    auto bytes = written(content);
    auto found = cbor_to_value(bytes);
    ASSERT_TRUE(found) << i;
    ASSERT_EQ(*found, content) << i;
    for (std::size_t cut = 0; cut < bytes.size(); ++cut)
      ASSERT_FALSE(cbor_to_value(std::span(bytes).first(cut))) << i;
  }
}

} // namespace
} // namespace dtranspose
