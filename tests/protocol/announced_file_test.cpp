#include "protocol/announced_file.hpp"

#include <gtest/gtest.h>

#include <string>

#include "protocol/contrast.hpp"
#include "protocol/stins.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {
namespace {

stream_data message(std::string_view type, std::string_view text) { return memory_frames::of(type, {text}); }

TEST(announced_file, is_what_a_start_says) {
  auto stins = [](std::string_view text) { return announced_file(message(stins_type_tag, text)); };
  EXPECT_EQ(stins(R"({"htype":"header","msg_number":0,"filename":"/raw/a.h5"})"), "/raw/a.h5");
  EXPECT_EQ(stins(R"({"htype":"header","msg_number":0,"filename":""})"), "");
  EXPECT_EQ(stins(R"({"htype":"header","msg_number":0,"filename":null})"), std::nullopt);
  EXPECT_EQ(stins(R"({"htype":"header","msg_number":0})"), std::nullopt);
  EXPECT_EQ(stins(R"({"htype":"series_end","msg_number":0,"filename":"a"})"), std::nullopt);
  EXPECT_EQ(stins("no JSON"), std::nullopt);
  EXPECT_EQ(announced_file(message(xspress3_type_tag, R"({"htype":"header","filename":"x.h5"})")), "x.h5");
  EXPECT_EQ(announced_file(message("PCAP", R"({"filename":"x.h5"})")), std::nullopt);
  EXPECT_EQ(announced_file({}), std::nullopt);
}

TEST(announced_file, of_contrast_is_that_of_the_scan) {
  auto announced = [](contrast_status status, const char* path) {
    contrast_scan scan{.status = status, .scannr = 12, .path = path};
    auto bytes = write_contrast_scan(scan);
    return announced_file(
        message(contrast_type_tag, {reinterpret_cast<const char*>(bytes.data()), bytes.size()}));
  };
  EXPECT_EQ(announced(contrast_status::started, "/raw"), "/raw/000012.h5");
  EXPECT_EQ(announced(contrast_status::started, "/raw/"), "/raw/000012.h5");
  EXPECT_EQ(announced(contrast_status::started, ""), std::nullopt);
  EXPECT_EQ(announced(contrast_status::finished, "/raw"), std::nullopt);
}

} // namespace
} // namespace dtranspose
