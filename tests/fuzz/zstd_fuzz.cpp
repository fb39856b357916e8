#include <stdexcept>
#include <string>
#include <string_view>

#include <zstd.h>

#include "fuzz/fuzz.hpp"
#include "recording/zstd.hpp"

namespace {

using namespace dtranspose;

constexpr std::size_t limit = 1 << 20;

std::string packed(const std::string& content) {
  std::string bytes(ZSTD_compressBound(content.size()), '\0');
  auto size = ZSTD_compress(bytes.data(), bytes.size(), content.data(), content.size(), 1);
  if (ZSTD_isError(size)) throw std::runtime_error("ZSTD_compress");
  bytes.resize(size);
  return bytes;
}

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = std::as_bytes(std::span(data, size));
  if (!is_zstd(bytes)) return 0;
  try {
    auto content = unpack_zstd(bytes, limit);
    if (content.size > limit || (content.size > 0) != (content.memory != nullptr)) __builtin_trap();
    if (content.whole_packed > size || content.whole_size > content.size) __builtin_trap();
    if (content.cut_off.empty() && content.whole_packed != size) __builtin_trap();
  } catch (const std::runtime_error&) {
    // More than the limit.
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::string varied;
  for (unsigned i = 0; i < 3000; ++i) varied += static_cast<char>(i * i >> 5);
  return {bytes_of(packed("one") + packed("") + packed(varied)),
          bytes_of(packed(std::string(limit + 1, 'x'))), bytes_of(packed(std::string(limit, 'x'))),
          bytes_of(packed(varied).substr(0, 900)), bytes_of(packed(varied) + "behind")};
}
