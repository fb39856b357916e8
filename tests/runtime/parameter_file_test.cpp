#include "runtime/parameter_file.hpp"

#include <fstream>

#include <gmock/gmock.h>

#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

class parameter_file : public testing::Test {
 protected:
  std::filesystem::path file(std::string_view content) {
    std::ofstream(directory_ / "parameters", std::ios::binary) << content;
    return directory_ / "parameters";
  }
  std::string why(std::string_view content) {
    try {
      read_parameter_file(file(content));
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return "";
  }

  test::temporary_directory directory_;
};

TEST_F(parameter_file, in_json) {
  EXPECT_THAT(read_parameter_file(file(R"([{"name":"rows","data":"0:2"},{"name":"n","data":"5","x":1}])")),
              ElementsAre(Pair("n", "5"), Pair("rows", "0:2")));
  EXPECT_THAT(read_parameter_file(file("[]")), IsEmpty());
}

TEST_F(parameter_file, in_cbor_has_bytes) {
  using namespace std::string_view_literals;
  // [{"name": "a", "data": h'00ff'}, {"name": "b", "data": "x"}]
  auto content = "\x82\xa2\x64name\x61\x61\x64"
                 "data\x42\x00\xff\xa2\x64name\x61\x62\x64"
                 "data\x61x"sv;
  EXPECT_THAT(read_parameter_file(file(content)),
              ElementsAre(Pair("a", std::string("\x00\xff", 2)), Pair("b", "x")));
}

TEST_F(parameter_file, the_prefix_of_recordings_is_no_parameter_of_an_analysis) {
  EXPECT_THAT(read_parameter_file(file(R"([{"name":"dump_prefix","data":""},{"name":"n","data":"5"}])")),
              ElementsAre(Pair("n", "5")));
}

TEST_F(parameter_file, refusals_name_the_file) {
  for (auto content : {"", "{}", "rows=0:2", R"(["rows"])", R"([{"name":"rows"}])",
                       R"([{"name":1,"data":"5"}])", "\x82\x01"})
    EXPECT_THAT(why(content), AllOf(HasSubstr("parameters: expected a list such as"))) << content;
  EXPECT_THAT(why(R"([{"name":"n","data":5}])"), HasSubstr("parameter 'n': its data are no text"));
  EXPECT_THAT(why(R"([{"name":"n","data":"5"},{"name":"n","data":"6"}])"),
              HasSubstr("parameter 'n' is in it twice"));
}

} // namespace
} // namespace dtranspose
