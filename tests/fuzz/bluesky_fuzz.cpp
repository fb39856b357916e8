/// Bluesky: reader and decoders agree on what is an entry.

#include <cstdlib>

#include "fuzz.hpp"
#include "instrument/bluesky_series.hpp"
#include "protocol/bluesky.hpp"

using namespace dtranspose;

namespace {

void decode(const stream_data& data) {
  auto kind = bluesky_kind(data);
  auto start = parse_bluesky_start(data);
  auto event = parse_bluesky_event(data);
  auto stop = parse_bluesky_stop(data);
  parse_bluesky_descriptor(data);
  if (start.has_value() != (kind == entry_kind::start) || event.has_value() != (kind == entry_kind::data) ||
      stop.has_value() != (kind == entry_kind::end))
    std::abort();
}

void check(const stream_packet& packet) {
  if (packet.fault.has_value() != !packet.data) std::abort();
  if (packet.fault) return;
  decode(packet.data);
  if (bluesky_kind(packet.data) != packet.numbers.kind) std::abort();
  auto event = parse_bluesky_event(packet.data);
  if (!event) return;
  if (event->seq_num - 1 != packet.numbers.number || !parse_bluesky_descriptor(packet.data)) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto format = make_bluesky();
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(std::move(parts), bluesky_type_tag);
    decode(message);
    std::vector<stream_packet> packets;
    format->read(message, packets);
    for (auto& packet : packets) check(packet);
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto serializer : {"pickle", "json", "msgpack"})
    for (auto page : {"0", "2"}) {
      auto series = make_bluesky_series({.frames = 2,
                                         .shape = {2, 3},
                                         .options = {{"serializer", serializer},
                                                     {"page", page},
                                                     {"image", "true"},
                                                     {"baseline", "true"},
                                                     {"external", "true"}}});
      auto format = make_bluesky();
      std::vector<std::uint8_t> run, entries; // as sent, and as a recording has them
      std::vector<stream_packet> packets;
      while (auto message = series->next()) {
        fuzz::add_message(run, message->frames());
        format->read(*message, packets);
      }
      for (auto& packet : packets) fuzz::add_message(entries, packet.data.frames());
      seeds.push_back(std::move(run));
      seeds.push_back(std::move(entries));
    }
  return seeds;
}
