/// Xspress3: reader and decoders agree on what is an entry, however messages are cut and mixed.

#include <cstdlib>

#include "fuzz.hpp"
#include "instrument/xspress3_series.hpp"
#include "protocol/xspress3.hpp"

using namespace dtranspose;

namespace {

void decode(const stream_packet& packet) {
  if (packet.fault.has_value() == static_cast<bool>(packet.data)) std::abort();
  if (packet.fault) return;
  auto kind = xspress3_kind(packet.data);
  auto image = parse_xspress3_image(packet.data);
  if (kind != packet.numbers.kind || image.has_value() != (kind == entry_kind::data)) std::abort();
  if (image && (packet.data.frames().size() != 3 || image->frame != packet.numbers.number ||
                image->spectra.bytes.size() != bytes_of(image->spectra.shape, image->spectra.type)))
    std::abort();
  parse_xspress3_header(packet.data);
  xspress3_fields(packet.data);
  if (auto meta = parse_xspress3_meta(packet.data))
    for (auto& counter : meta->counters) meta->numbers(counter.name);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto format = make_xspress3();
  std::vector<stream_packet> packets;
  for (auto& parts : fuzz::messages_of(data, size))
    format->read(fuzz::stream_data_of(std::move(parts), xspress3_type_tag), packets);
  format->interrupted(packets);
  for (auto& packet : packets) decode(packet);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto form : {"old", "multipart"}) {
    auto series =
        make_xspress3_series({.frames = 2, .shape = {1, 4}, .options = {{"form", form}, {"segments", "2"}}});
    auto& seed = seeds.emplace_back();
    while (auto message = series->next()) fuzz::add_message(seed, message->frames());
  }
  return seeds;
}
