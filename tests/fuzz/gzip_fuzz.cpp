#include <stdexcept>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"
#include "recording/gzip.hpp"
#include "recording/packed.hpp"

namespace {

using namespace dtranspose;

constexpr std::size_t limit = 1 << 20;

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto packed = std::as_bytes(std::span(data, size));
  if (!is_gzip(packed)) return 0;
  try {
    auto content = unpack_gzip(packed, limit);
    if (content.size > limit || (content.size > 0) != (content.memory != nullptr)) __builtin_trap();
  } catch (const std::runtime_error&) {
    // More than the limit.
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::string varied;
  for (unsigned i = 0; i < 3000; ++i) varied += static_cast<char>(i * i >> 5);
  auto members = test::gzip("one") + test::gzip("") + test::gzip(varied) + std::string(8, '\0');
  auto large = test::gzip(std::string(limit + 1, 'x'));
  auto full = test::gzip(std::string(limit, 'x'));
  return {bytes_of(members), bytes_of(large), bytes_of(full), bytes_of(test::gzip(varied).substr(0, 900))};
}
