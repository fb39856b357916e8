#include "analysis/image.hpp"
#include "fuzz/fuzz.hpp"
#include "instrument/eiger_v1_series.hpp"
#include "protocol/eiger_v1.hpp"

using namespace dtranspose;

namespace {

/// Images that are announced may be as large as their blobs can be: no need to spend the time on it.
constexpr std::size_t decompressed_limit = 1 << 20;

void decode(const stream_data& data) {
  parse_eiger_v1_header(data);
  parse_eiger_v1_end(data);
  eiger_v1_keys(data);
  auto image = parse_eiger_v1_image(data);
  if (!image || bytes_of(image->shape, image->type) > decompressed_limit) return;
  try {
    image_of(data);
  } catch (const std::runtime_error&) {
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reader = make_eiger_v1();
  std::vector<stream_packet> packets;
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(std::move(parts), eiger_v1_type_tag);
    packets.clear();
    reader->read(message, packets);
    decode(message);
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto detail : {"none", "basic", "all"})
    for (auto encoding : {"<", "lz4<", "bs16-lz4<"}) {
      auto& seed = seeds.emplace_back();
      auto series = make_eiger_v1_series(
          {.frames = 2,
           .shape = {5, 10},
           .options = {{"header_detail", detail}, {"encoding", encoding}, {"appendix", "true"}}});
      while (auto message = series->next()) fuzz::add_message(seed, message->frames());
    }
  return seeds;
}
