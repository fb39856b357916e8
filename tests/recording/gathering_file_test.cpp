#include "recording/gathering_file.hpp"

#include <fstream>
#include <iterator>
#include <random>

#include <gmock/gmock.h>

#include "recording/gzip.hpp"
#include "recording/mapped_file.hpp"
#include "recording/zstd.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using test::temporary_directory;
using testing::HasSubstr;
using testing::IsEmpty;

std::string text(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string noise(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string content(size, '\0');
  for (auto& c : content) c = static_cast<char>(random() % 5);
  return content;
}

class packed_files : public testing::TestWithParam<packing> {
 protected:
  temporary_directory folder;
  std::filesystem::path path = folder / "file";
};

TEST_P(packed_files, what_was_put_comes_back_in_its_order) {
  std::string all;
  {
    gathering_file file(path, GetParam());
    for (unsigned i = 0; i < 6; ++i) {
      auto part = noise(i * i * 60'000, i), small = std::to_string(i);
      file.put(small.data(), small.size());
      file.put_parts(memory_frames::of("T", {part}), [](auto&) {});
      all += small + part;
      if (i % 2) file.flush();
    }
    file.sync();
    EXPECT_EQ(file.gathered(), 0u);
    EXPECT_EQ(file.written(), std::filesystem::file_size(path));
    file.put("end", 3);
  }
  all += "end";
  auto mapped = mapped_file::open(path);
  EXPECT_TRUE(text(mapped->bytes()) == all);
  EXPECT_THAT(mapped->cut_off(), IsEmpty());
  EXPECT_EQ(mapped->packed(), GetParam() != packing::none);
  EXPECT_EQ(mapped->whole_size(), mapped->packed() ? all.size() : 0);
}

TEST_P(packed_files, members_before_one_that_is_cut_off_are_whole) {
  if (GetParam() == packing::none) return;
  auto first = noise(100'000, 1), second = noise(100'000, 2);
  std::uintmax_t whole = 0;
  {
    gathering_file file(path, GetParam());
    file.put(first.data(), first.size());
    file.flush();
    whole = file.written();
    file.put(second.data(), second.size());
  }
  auto size = std::filesystem::file_size(path);
  for (auto cut : {std::uintmax_t{1}, std::uintmax_t{2}, (size - whole) / 2, size - whole - 1}) {
    auto torn = folder / "torn_file";
    std::filesystem::copy_file(path, torn, std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(torn, size - cut);
    auto mapped = mapped_file::open(torn);
    EXPECT_THAT(mapped->cut_off(), HasSubstr("file: byte "));
    EXPECT_EQ(mapped->whole_packed(), whole);
    EXPECT_EQ(mapped->whole_size(), first.size());
    EXPECT_TRUE(text(mapped->bytes()).starts_with(first));
    EXPECT_TRUE((first + second).starts_with(text(mapped->bytes())));
  }
}

const char* name_of_packing(const testing::TestParamInfo<packing>& info) {
  constexpr const char* names[] = {"none", "gzip", "zstd"};
  return names[static_cast<std::size_t>(info.param)];
}

INSTANTIATE_TEST_SUITE_P(all, packed_files, testing::Values(packing::none, packing::gzip, packing::zstd),
                         name_of_packing);

TEST(zstd, damage_is_reported_and_what_was_before_is_kept) {
  temporary_directory folder;
  auto path = folder / "file";
  auto content = noise(50'000, 3);
  {
    gathering_file file(path, packing::zstd);
    file.put(content.data(), content.size());
    file.flush();
    file.put(content.data(), content.size());
  }
  std::ifstream in(path, std::ios::binary);
  std::string packed(std::istreambuf_iterator<char>(in), {});
  packed[packed.size() * 3 / 4] ^= 1;
  auto result = unpack_zstd(std::as_bytes(std::span(packed)));
  EXPECT_THAT(result.cut_off, HasSubstr("zstd data"));
  EXPECT_GE(result.size, content.size());
  EXPECT_EQ(result.whole_size, content.size());
}

TEST(zstd, more_than_the_limit_is_refused) {
  temporary_directory folder;
  {
    gathering_file file(folder / "file", packing::zstd);
    std::string zeros(1 << 20, '\0');
    file.put(zeros.data(), zeros.size());
  }
  std::ifstream in(folder / "file", std::ios::binary);
  std::string packed(std::istreambuf_iterator<char>(in), {});
  auto bytes = std::as_bytes(std::span(packed));
  EXPECT_THROW(unpack_zstd(bytes, (1 << 20) - 1), std::runtime_error);
  EXPECT_EQ(unpack_zstd(bytes, 1 << 20).size, std::size_t{1} << 20);
}

} // namespace
} // namespace dtranspose
