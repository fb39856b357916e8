#include "analysis/numpy_file.hpp"

#include <fstream>
#include <stdexcept>

#include <fmt/format.h>
#include <gmock/gmock.h>

#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

std::string npy(std::string_view descr, std::string_view shape, std::string_view elements,
                std::string_view order = "False", char version = 1) {
  auto header = fmt::format("{{'descr': '{}', 'fortran_order': {}, 'shape': {}, }}\n", descr, order, shape);
  std::string bytes = "\x93NUMPY";
  bytes += version;
  bytes += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(header.size() >> (8 * i));
  return bytes.append(header).append(elements);
}

const std::string six("\1\0\2\0\3\0\4\0\5\0\6\0", 12);

TEST(numpy_file, arrays) {
  auto a = numpy_array(npy("<u2", "(2, 3)", six));
  EXPECT_EQ(a.type(), dtype::uint16);
  EXPECT_EQ(a.shape(), (std::vector<std::size_t>{2, 3}));
  EXPECT_EQ(a.elements<std::uint16_t>()[5], 6);
  EXPECT_EQ(numpy_array(npy("|b1", "(12,)", six, "False", 3)).type(), dtype::uint8);
  EXPECT_EQ(numpy_array(npy("<f8", "(0, 3)", "")).size(), 0u);
  EXPECT_EQ(numpy_array(npy("<i4", "()", six.substr(0, 4))).elements<std::int32_t>()[0], 0x20001);
}

TEST(numpy_file, what_cannot_be_used_is_refused) {
  auto good = npy("<u2", "(2, 3)", six);
  for (auto& [bytes, why] : std::vector<std::pair<std::string, std::string>>{
           {"", "begin"},
           {"P5 3 2 255", "begin"},
           {good.substr(0, 30), "cut short"},
           {good.substr(0, good.size() - 1), "11 bytes"},
           {good + "x", "13 bytes"},
           {npy("<u2", "(9999999999999, 9999999999999)", six), "12 bytes"},
           {npy("<u2", "(two, 3)", six), "shape"},
           {npy("<u2", "(-2, -3)", six), "shape"},
           {npy(">u2", "(2, 3)", six), ">u2"},
           {npy("<c16", "(2, 3)", six), "<c16"},
           {npy("<u2", "(2, 3)", six, "True"), "ascontiguousarray"},
           {npy("<u2", "(2, 3)", six, "False", 9), "version"},
       })
    try {
      numpy_array(bytes);
      ADD_FAILURE() << why;
    } catch (const std::invalid_argument& e) {
      EXPECT_THAT(e.what(), testing::HasSubstr(why));
    }
}

TEST(numpy_file, a_parameter_holds_a_path_or_bytes) {
  test::temporary_directory folder;
  auto file = (folder.path() / "mask.npy").string();
  std::ofstream(file, std::ios::binary) << npy("<u2", "(2, 3)", six);
  parameters settings;
  EXPECT_FALSE(array_parameter(settings, "mask"));
  settings.set("mask", "");
  EXPECT_FALSE(array_parameter(settings, "mask"));
  settings.set("mask", npy("<u2", "(2, 3)", six));
  auto bytes = array_parameter(settings, "mask");
  settings.set("mask", file);
  EXPECT_EQ(array_parameter(settings, "mask"), bytes);
  settings.set("mask", file + "x");
  try {
    array_parameter(settings, "mask");
    ADD_FAILURE();
  } catch (const std::invalid_argument& e) {
    EXPECT_THAT(e.what(), testing::AllOf(testing::HasSubstr("'mask'"), testing::HasSubstr(file + "x")));
  }
  EXPECT_THAT(plane_parameter(*bytes, "mask", 2, 3), testing::ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_THROW(plane_parameter(*bytes, "mask", 3, 2), std::invalid_argument);
}

} // namespace
} // namespace dtranspose
