/// Compressed arrays, as detectors or somebody else may have sent them. And back: whatever is compressed must
/// come out again.
///
///     0   codec
///     1   size of the elements
///     2   2 bytes: size of the array, little endian
///     4   the blob
#include <cstdlib>

#include "fuzz/fuzz.hpp"
#include "protocol/compression.hpp"

using namespace dtranspose;

namespace {

constexpr codec codecs[] = {codec::none, codec::lz4_block, codec::lz4, codec::bslz4, codec::bslz4_bare};
constexpr std::size_t element_sizes[] = {1, 2, 4, 8, 0, 3};
constexpr std::size_t sound_sizes = 4;
constexpr std::size_t head = 4;

void decompress_hostile(codec how, std::size_t element_size, std::size_t size,
                        std::span<const std::byte> blob) {
  std::vector<std::byte> out(size);
  try {
    decompress(how, element_size, blob, out);
  } catch (const corrupt_blob&) {
  }
}

void there_and_back(codec how, std::size_t element_size, std::span<const std::byte> content) {
  content = content.first(content.size() / element_size * element_size);
  auto blob = compress(how, element_size, content);
  std::vector<std::byte> out(content.size());
  decompress(how, element_size, blob, out);
  if (!std::equal(out.begin(), out.end(), content.begin(), content.end())) std::abort();
  bool shuffled = how == codec::bslz4 || how == codec::bslz4_bare;
  if (shuffled && content.size() > 64 && bslz4_form(blob, content.size()) != how) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < head) return 0;
  auto how = codecs[data[0] % std::size(codecs)];
  auto element_size = element_sizes[data[1] % std::size(element_sizes)];
  auto out_size = data[2] + std::size_t{256} * data[3];
  auto rest = std::as_bytes(std::span(data + head, size - head));
  decompress_hostile(how, element_size, out_size, rest);
  decompress_hostile(how == codec::bslz4 ? bslz4_form(rest, out_size) : how, element_size, out_size, rest);
  there_and_back(how, element_sizes[data[1] % sound_sizes], rest);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (std::uint8_t how = 0; how < std::size(codecs); ++how)
    for (std::uint8_t size = 0; size < sound_sizes; ++size)
      for (std::size_t elements : {0, 5, 10, 64, 600, 2500}) {
        std::vector<std::byte> content(elements * element_sizes[size]);
        for (std::size_t i = 0; i < content.size(); i += element_sizes[size])
          content[i] = static_cast<std::byte>(i % 7 == 0 ? i : 0);
        auto& seed = seeds.emplace_back();
        seed = {how, size, static_cast<std::uint8_t>(content.size()),
                static_cast<std::uint8_t>(content.size() >> 8)};
        for (auto b : compress(codecs[how], element_sizes[size], content))
          seed.push_back(std::to_integer<std::uint8_t>(b));
      }
  return seeds;
}
