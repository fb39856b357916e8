#include "model/parameters.hpp"

#include <limits>

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

parameters with(std::string written) {
  parameters p;
  p.set("x", std::move(written));
  return p;
}

TEST(parameters, what_is_not_set_reads_as_nothing) {
  parameters p;
  EXPECT_EQ(p.find("x"), nullptr);
  EXPECT_EQ(p.text("x"), "");
  EXPECT_EQ(p.integer("x"), 0);
  EXPECT_EQ(p.real("x"), 0.0);
  EXPECT_FALSE(p.boolean("x"));
  EXPECT_TRUE(p.all().empty());
}

TEST(parameters, the_last_value_counts) {
  auto p = with("1");
  p.set("x", "2");
  EXPECT_EQ(p.integer("x"), 2);
  EXPECT_EQ(p.all().size(), 1u);
}

TEST(parameters, text_keeps_every_byte) {
  const std::string bytes("\0\xFF \n", 4);
  EXPECT_EQ(with(bytes).text("x"), bytes);
  EXPECT_EQ(*with(bytes).find("x"), bytes);
}

TEST(parameters, integers_are_read_as_python_reads_them) {
  const std::pair<std::string, std::int64_t> cases[] = {
      {"0", 0},
      {"-3", -3},
      {"+3", 3},
      {"  7\t\n", 7},
      {"\v\f\r7", 7},
      {"007", 7},
      {"-0", 0},
      {"1_000", 1000},
      {"-1_0", -10},
      {"+1_0_0", 100},
      {"9223372036854775807", std::numeric_limits<std::int64_t>::max()},
      {"-9223372036854775808", std::numeric_limits<std::int64_t>::min()},
  };
  for (auto& [written, number] : cases) {
    EXPECT_EQ(parameters::integer_of(written), number) << written;
    EXPECT_EQ(with(written).integer("x"), number) << written;
  }
}

TEST(parameters, what_is_no_integer_reads_as_0) {
  for (std::string written : {"",
                              " ",
                              "+",
                              "-",
                              "_",
                              "1.5",
                              "1e3",
                              "0x10",
                              "ten",
                              "1 2",
                              "- 1",
                              "+ 1",
                              "--1",
                              "++1",
                              "+-1",
                              "-+1",
                              "1_",
                              "_1",
                              "1__0",
                              "-_1",
                              "+_1",
                              "_",
                              "1_ ",
                              "9223372036854775808",
                              "-9223372036854775809",
                              "99999999999999999999999999",
                              "1,000",
                              "True",
                              "\xEF\xBC\x91"}) {
    EXPECT_EQ(parameters::integer_of(written), std::nullopt) << written;
    EXPECT_EQ(with(written).integer("x"), 0) << written;
  }
  EXPECT_EQ(parameters::integer_of(std::string("1\0", 2)), std::nullopt);
}

TEST(parameters, reals_are_read_as_python_reads_them) {
  const std::pair<std::string, double> cases[] = {
      {"2.0", 2.0},
      {"1e-09", 1e-9},
      {"-1.5E+3", -1500.0},
      {"+.5", 0.5},
      {"5.", 5.0},
      {" 3\n", 3.0},
      {"5e-324", 5e-324},
      {"1.7976931348623157e308", 1.7976931348623157e308},
      {"007.5", 7.5},
      {"0", 0.0},
      {"0.1000000000000000055", 0.1},
  };
  for (auto& [written, number] : cases) {
    EXPECT_EQ(parameters::real_of(written), number) << written;
    EXPECT_EQ(with(written).real("x"), number) << written;
  }
}

TEST(parameters, reals_may_be_infinite_or_no_number) {
  constexpr auto infinity = std::numeric_limits<double>::infinity();
  for (auto written : {"inf", "Infinity", "+INF", " infinity "})
    EXPECT_EQ(parameters::real_of(written), infinity) << written;
  EXPECT_EQ(parameters::real_of("-inf"), -infinity);
  for (auto written : {"nan", "NaN", "+nan", "-nan"})
    EXPECT_TRUE(std::isnan(parameters::real_of(written).value_or(0))) << written;
}

TEST(parameters, reals_beyond_the_largest_are_infinite_as_in_python) {
  EXPECT_EQ(parameters::real_of("1e999"), std::numeric_limits<double>::infinity());
  EXPECT_EQ(parameters::real_of("-1e999"), -std::numeric_limits<double>::infinity());
  EXPECT_EQ(parameters::real_of("1e-999").value_or(0.0), 0.0);
}

TEST(parameters, reals_may_have_underscores_between_digits_as_in_python) {
  EXPECT_EQ(parameters::real_of("1_000.5"), 1000.5);
  EXPECT_EQ(parameters::real_of("1e1_0"), 1e10);
  for (auto written : {"1_.5", "1._5", "_1.5", "1.5_", "1__0", "1_e5"})
    EXPECT_EQ(parameters::real_of(written), std::nullopt) << written;
}

TEST(parameters, what_is_no_real_reads_as_0) {
  for (auto written : {"", " ", ".", "e5", "1e", "1e+", "1.5.2", "0x1p3", "--1", "+-1", "-+1", "+ 1", "1 2",
                       "1,5", "nan(1)", "infin", "True"}) {
    EXPECT_EQ(parameters::real_of(written), std::nullopt) << written;
    EXPECT_EQ(with(written).real("x"), 0.0) << written;
  }
}

TEST(parameters, only_the_word_true_is_true) {
  EXPECT_TRUE(with("True").boolean("x"));
  for (auto written : {"true", "TRUE", "1", "yes", " True", "True ", "False", ""})
    EXPECT_FALSE(with(written).boolean("x")) << written;
}

TEST(parameters, types_have_the_names_of_the_interface) {
  EXPECT_EQ(name_of(parameter_type::text), "str");
  EXPECT_EQ(name_of(parameter_type::binary), "binary");
  EXPECT_EQ(name_of(parameter_type::integer), "int");
  EXPECT_EQ(name_of(parameter_type::real), "float");
  EXPECT_EQ(name_of(parameter_type::boolean), "bool");
}

} // namespace
} // namespace dtranspose
