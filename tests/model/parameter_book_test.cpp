#include "model/parameter_book.hpp"

#include <stdexcept>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

class a_parameter_book : public testing::Test {
 protected:
  a_parameter_book() {
    book.describe(std::vector<parameter_description>{{"rows", parameter_type::text, "0:2", "rows"},
                                                     {"limit", parameter_type::integer, "3", ""},
                                                     {"mask", parameter_type::binary, "", ""},
                                                     {"factor", parameter_type::real, "2.0", ""},
                                                     {"live", parameter_type::boolean, "False", ""}});
  }

  std::string refusal(const std::string& name, const std::string& written) {
    try {
      book.set(name, written);
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  }

  std::uint64_t next = 0;
  parameter_book book{[this] { return ++next; }};
};

TEST_F(a_parameter_book, sets_what_nobody_has_set) {
  EXPECT_EQ(book.find("rows"), "0:2");
  EXPECT_EQ(book.find("dump_prefix"), "");
  EXPECT_EQ(book.find("nothing"), std::nullopt);
  std::vector<std::string> names;
  for (auto& p : book.described()) names.push_back(p.name);
  EXPECT_THAT(names, ElementsAre("dump_prefix", "factor", "limit", "live", "mask", "rows"));
  EXPECT_EQ(book.of_analysis().count("dump_prefix"), 0u);
}

TEST_F(a_parameter_book, counts_changes_that_an_analysis_sees) {
  auto first = book.version();
  EXPECT_TRUE(book.set("limit", "5"));
  EXPECT_EQ(book.version().value, first.value + 1);
  EXPECT_FALSE(book.set("limit", "5"));
  EXPECT_TRUE(book.set("dump_prefix", "/data/"));
  EXPECT_TRUE(book.set("unheard_of", "x"));
  EXPECT_EQ(book.version().value, first.value + 1);
  EXPECT_EQ(book.find("unheard_of"), "x");
  EXPECT_EQ(book.of_analysis().count("unheard_of"), 0u);
  EXPECT_TRUE(book.set("live", "true"));
  EXPECT_EQ(book.find("live"), "True");
}

TEST_F(a_parameter_book, refuses_what_does_not_convert_and_keeps_the_old_one) {
  EXPECT_THAT(refusal("limit", "1.5"), HasSubstr("'limit' is of type int: '1.5' is no whole number"));
  EXPECT_THAT(refusal("factor", "much"), HasSubstr("'factor'"));
  EXPECT_THAT(refusal("live", "perhaps"), HasSubstr("neither True nor False"));
  EXPECT_THAT(refusal("rows", "\xff"), HasSubstr("UTF-8"));
  EXPECT_EQ(refusal("mask", std::string("\0\xff", 2)), "");
  EXPECT_EQ(book.find("limit"), "3");
  EXPECT_EQ(book.find("rows"), "0:2");
}

TEST_F(a_parameter_book, takes_nothing_for_it_when_it_is_lenient) {
  for (auto name : {"limit", "factor", "live", "rows"}) book.set(name, "\xff", true);
  EXPECT_EQ(book.find("limit"), "0");
  EXPECT_EQ(book.find("factor"), "0.0");
  EXPECT_EQ(book.find("live"), "False");
  EXPECT_EQ(book.find("rows"), "");
}

TEST_F(a_parameter_book, its_hash_is_that_of_the_settings_in_force) {
  parameter_book empty([this] { return ++next; });
  auto before = book.hash();
  EXPECT_EQ(before.size(), 64u);
  EXPECT_EQ(book.hash(), before);
  book.set("limit", "3");
  EXPECT_NE(book.hash(), before) << "every setting is one of its own";
  EXPECT_EQ(book.identities().size(), 6u);
}

/// By hand: SHA-256 of sixteen bytes, the identity of `dump_prefix` alone.
TEST(parameter_hash, is_sha256_of_the_identities) {
  parameter_book book([] { return 0; });
  // 00000000-0000-4000-8000-000000000000
  EXPECT_EQ(book.identities().at("dump_prefix"), (scan_id{0x4000, std::uint64_t{1} << 63}));
  EXPECT_EQ(book.hash(), "931890abe234dbb8abf2e5c46125cb100af98c55569096cd4469ca474c206bb8");
}

TEST_F(a_parameter_book, without_the_analysis_takes_every_name) {
  parameter_book open([this] { return ++next; });
  open.set("x", "1");
  EXPECT_THAT(open.of_analysis(), ElementsAre(Pair("x", "1")));
  EXPECT_EQ(open.version(), parameters_version(2));
}

TEST_F(a_parameter_book, goes_on_with_what_a_scan_had) {
  book.restore({{"limit", "9"}}, parameters_version(12));
  EXPECT_EQ(book.find("limit"), "9");
  book.set("limit", "10");
  EXPECT_EQ(book.version(), parameters_version(13));
}

} // namespace
} // namespace dtranspose
