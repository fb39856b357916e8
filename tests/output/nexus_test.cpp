#include "output/nexus.hpp"

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

value ledger_with(value_map streams) {
  return value_map{{"state", "finished"}, {"streams", std::move(streams)}};
}

value_map stream_with(value filename) { return value_map{{"packets", 1}, {"filename", std::move(filename)}}; }

TEST(nexus, the_stem_of_a_name_leads_nowhere_else) {
  for (auto [name, stem] : {std::pair("/data/raw/scan_1.h5", "scan_1"), std::pair("a.b.h5", "a.b"),
                            std::pair("plain", "plain"), std::pair(".hidden", ".hidden"), std::pair("..", ""),
                            std::pair("../../etc/..", ""), std::pair("C:\\raw\\a.h5", "a"),
                            std::pair("a\nb.h5", "a_b"), std::pair("dir/", ""), std::pair("", "")})
    EXPECT_EQ(nexus::stem_of(name), stem) << name;
  EXPECT_THAT(nexus::stem_of(std::string(1000, 'x')), SizeIs(200));
}

TEST(nexus, an_empty_name_says_not_to_save_unless_another_stream_has_one) {
  auto say = [](value_map streams) { return nexus::announced(ledger_with(std::move(streams))); };
  EXPECT_FALSE(say({}).not_to_be_saved);
  EXPECT_FALSE(say({{"a", value_map{{"packets", 1}}}}).not_to_be_saved);
  EXPECT_TRUE(say({{"a", stream_with("")}, {"b", value_map{{"packets", 1}}}}).not_to_be_saved);
  auto one = say({{"a", stream_with("")}, {"b", stream_with("/raw/x.h5")}, {"c", stream_with("y.h5")}});
  EXPECT_FALSE(one.not_to_be_saved);
  EXPECT_EQ(one.stem, "x");
  EXPECT_FALSE(nexus::announced(value()).not_to_be_saved);
}

TEST(nexus, raw_files_are_told_with_the_path_inside_them) {
  auto ledger =
      ledger_with({{"a", stream_with("/raw/x.h5")}, {"b", stream_with("y.h5")}, {"c", stream_with("")}});
  auto sources = nexus::raw_sources(ledger, {{"a", "/{filename}/{stream}/{stream}"}, {"c", "/c"}});
  ASSERT_THAT(sources, SizeIs(2));
  EXPECT_EQ(sources[0].file, "/raw/x.h5");
  EXPECT_EQ(sources[0].path, "/x/a/a");
  EXPECT_THAT(sources[1].path, IsEmpty());
}

TEST(nexus, parameters_have_the_type_that_the_analysis_gives_them) {
  auto values =
      nexus::typed_parameters({{"n", parameter_type::integer, "0", ""},
                               {"x", parameter_type::real, "0", ""},
                               {"on", parameter_type::boolean, "False", ""},
                               {"data", parameter_type::binary, "", ""}},
                              {{"n", "-3"}, {"x", "0.5"}, {"on", "True"}, {"data", "ab"}, {"other", "7"}});
  EXPECT_EQ(*values.find("n"), value(-3));
  EXPECT_EQ(*values.find("x"), value(0.5));
  EXPECT_EQ(*values.find("on"), value(true));
  EXPECT_THAT(*values.find("data")->as_bytes(), SizeIs(2));
  EXPECT_EQ(*values.find("other"), value("7"));
}

TEST(nexus, a_huge_ledger_is_told_without_its_troubles) {
  value_list troubles(400'000, value(value_map{{"cause", "something that takes some room to say"}}));
  auto told = [](value ledger) { return *nexus::ledger(ledger).find("data")->as_text(); };
  EXPECT_THAT(told(value_map{{"state", "a"}, {"troubles", value_list{1}}}),
              testing::HasSubstr("\"troubles\":[1]"));
  auto text = told(value_map{{"state", "a"}, {"troubles", std::move(troubles)}});
  EXPECT_EQ(text, R"({"state":"a","troubles_not_in_this_file":true})");
}

} // namespace
} // namespace dtranspose
