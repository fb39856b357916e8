#include "analysis/image.hpp"
#include "fuzz/fuzz.hpp"
#include "instrument/stins_series.hpp"
#include "protocol/stins.hpp"

using namespace dtranspose;

namespace {

/// Images that are announced may be as large as their blobs can be: no need to spend the time on it.
constexpr std::size_t decompressed_limit = 1 << 20;

void decode(const stream_data& data) {
  parse_stins_header(data);
  parse_stins_end(data);
  stins_keys(data);
  stins_kind(data);
  auto image = parse_stins_image(data);
  if (!image || bytes_of(image->shape, image->type) > decompressed_limit) return;
  try {
    image_of(data);
  } catch (const std::runtime_error&) {
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reader = make_stins();
  std::vector<stream_packet> packets;
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(std::move(parts), stins_type_tag);
    packets.clear();
    reader->read(message, packets);
    decode(message);
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto compression : {"none", "bslz4"})
    for (auto blobs : {"one", "each"}) {
      auto& seed = seeds.emplace_back();
      auto series = make_stins_series(
          {.frames = 2,
           .shape = {2, 5, 10},
           .options = {
               {"compression", compression}, {"blobs", blobs}, {"metadata", "true"}, {"filename", "a.h5"}}});
      while (auto message = series->next()) fuzz::add_message(seed, message->frames());
    }
  return seeds;
}
