#include "analysis/registry.hpp"

#include <filesystem>
#include <fstream>
#include <set>

#include <gmock/gmock.h>

#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::HasSubstr;

/// What `f` complains of; empty when it does not.
template <class F>
std::string complaint(F&& f) {
  try {
    f();
    return {};
  } catch (const std::runtime_error& e) {
    return e.what();
  }
}

std::string load_complaint(const std::string& name) {
  return complaint([&] { load_analysis(name); });
}

TEST(registry, built_in_analyses_are_found_by_their_names) {
  std::set<std::string_view> names;
  for (auto& known : built_in_analyses()) {
    names.insert(known->name());
    EXPECT_EQ(load_analysis(std::string(known->name()))->name(), known->name());
    EXPECT_FALSE(known->description().empty()) << known->name();
    auto settings = complete_parameters(*known, {});
    try {
      known->describe_results(settings);
      EXPECT_NE(known->make_worker(settings), nullptr);
      EXPECT_NE(known->make_reducer(settings), nullptr);
    } catch (const std::invalid_argument& e) { // without a parameter that nobody can guess
      EXPECT_THAT(e.what(), HasSubstr("parameter '")) << known->name();
    }
  }
  EXPECT_THAT(names, testing::IsSupersetOf({"none", "roi", "sum", "azint", "cog", "pileup", "hits", "xrf",
                                            "normalise", "sort", "histogram", "timeint", "correlate", "crop",
                                            "tomo"}));
}

TEST(registry, an_unknown_name_is_answered_with_those_there_are) {
  EXPECT_THAT(load_complaint("rio"), AllOf(HasSubstr("'rio'"), HasSubstr("none, roi, sum")));
  EXPECT_THAT(load_complaint(""), HasSubstr("none, roi, sum"));
}

TEST(registry, objects_that_are_no_plug_ins_say_why) {
  EXPECT_THAT(load_complaint("/no/such/plugin.so"),
              AllOf(HasSubstr("'/no/such/plugin.so'"), HasSubstr("No such file")));
  // Not looked for among the libraries of the system, where there is one of that name.
  EXPECT_THAT(load_complaint("libc.so"), HasSubstr("./libc.so: cannot open"));
  test::temporary_directory directory;
  auto path = directory / "text.so";
  std::ofstream(path) << "no shared object at all, but long enough to have a header of that kind";
  EXPECT_THAT(load_complaint(path), HasSubstr("invalid ELF header"));
  for (auto library : {"/lib/x86_64-linux-gnu/libm.so.6", "/lib64/libm.so.6"}) {
    if (!std::filesystem::exists(library)) continue;
    EXPECT_THAT(load_complaint(library), AllOf(HasSubstr("no plug-in"), HasSubstr("dtranspose_plugin")));
  }
}

/// Has a parameter of each type.
class taker final : public analysis {
 public:
  std::string_view name() const override { return "taker"; }
  std::vector<parameter_description> describe_parameters() const override {
    using enum parameter_type;
    return {{"t", text, "abc", ""},
            {"b", binary, "", ""},
            {"i", integer, "7", ""},
            {"r", real, "0.5", ""},
            {"o", boolean, "False", ""}};
  }
  std::unique_ptr<worker_part> make_worker(const parameters&) const override { return nullptr; }
};

TEST(complete_parameters, values_go_over_defaults) {
  auto all = complete_parameters(taker(), {});
  EXPECT_EQ(all.all().size(), 5u);
  EXPECT_EQ(all.text("t"), "abc");
  EXPECT_EQ(all.integer("i"), 7);
  EXPECT_EQ(all.real("r"), 0.5);
  EXPECT_FALSE(all.boolean("o"));
  all = complete_parameters(taker(), {{"t", ""}, {"i", " -1_000 "}, {"r", "1e3"}, {"b", "x"}});
  EXPECT_EQ(all.text("t"), "");
  EXPECT_EQ(all.text("b"), "x");
  EXPECT_EQ(all.integer("i"), -1000);
  EXPECT_EQ(all.real("r"), 1000);
}

TEST(complete_parameters, booleans_get_one_written_form) {
  for (auto yes : {"True", "true", "1"})
    EXPECT_EQ(complete_parameters(taker(), {{"o", yes}}).text("o"), "True");
  for (auto no : {"False", "false", "0"})
    EXPECT_EQ(complete_parameters(taker(), {{"o", no}}).text("o"), "False");
}

TEST(complete_parameters, what_does_not_fit_is_refused) {
  struct {
    const char *name, *written, *type;
  } cases[] = {
      {"i", "1.5", "int"},  {"i", "", "int"},       {"i", "99999999999999999999", "int"},
      {"i", "0x10", "int"}, {"r", "fast", "float"}, {"r", "1,5", "float"},
      {"o", "yes", "bool"}, {"o", "TRUE", "bool"},  {"o", "", "bool"},
  };
  for (auto& c : cases)
    EXPECT_THAT(complaint([&] {
                  complete_parameters(taker(), {{c.name, c.written}});
                }),
                AllOf(HasSubstr("'taker'"), HasSubstr("'" + std::string(c.name) + "'"),
                      HasSubstr("'" + std::string(c.written) + "'"), HasSubstr(c.type)));
  EXPECT_THAT(complaint([] {
                complete_parameters(taker(), {{"x", "1"}});
              }),
              AllOf(HasSubstr("'x'"), HasSubstr("t, b, i, r, o")));
  EXPECT_THAT(complaint([] {
                complete_parameters(*load_analysis("none"), {{"x", "1"}});
              }),
              HasSubstr("it has none"));
}

} // namespace
} // namespace dtranspose
