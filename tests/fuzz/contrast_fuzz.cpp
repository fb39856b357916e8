/// Contrast: reader and decoders agree on what is a message.

#include <cstdlib>

#include "fuzz.hpp"
#include "instrument/contrast_series.hpp"
#include "protocol/contrast.hpp"

using namespace dtranspose;

namespace {

void decode(const stream_packet& packet, const stream_data& message) {
  auto kind = contrast_kind(message);
  auto point = parse_contrast_point(message);
  auto scan = parse_contrast_scan(message);
  if (packet.fault) {
    if (kind || point || scan || packet.data) std::abort();
    return;
  }
  if (kind != packet.numbers.kind || point.has_value() != (kind == entry_kind::data) ||
      point.has_value() == scan.has_value())
    std::abort();
  if (!point) return;
  for (auto& [name, field] : point->fields) {
    point->number(name, "x");
    contrast_number(field);
    contrast_link_of(field);
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto format = make_contrast();
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(std::move(parts), contrast_type_tag);
    std::vector<stream_packet> packets;
    format->read(message, packets);
    for (auto& packet : packets) decode(packet, message);
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto positions : {"float", "array"}) {
    auto series = make_contrast_series(
        {.frames = 2, .options = {{"heartbeat_every", "1"}, {"positions", positions}, {"readings", "2"}}});
    auto& seed = seeds.emplace_back();
    while (auto message = series->next()) fuzz::add_message(seed, message->frames());
  }
  return seeds;
}
