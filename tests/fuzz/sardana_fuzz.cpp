/// Sardana: reader and decoders agree on what is an entry.

#include <cstdlib>

#include "fuzz.hpp"
#include "instrument/sardana_series.hpp"
#include "protocol/sardana.hpp"

using namespace dtranspose;

namespace {

void decode(const stream_packet& packet, const stream_data& message) {
  auto& data = packet.fault ? message : packet.data;
  auto kind = sardana_kind(data);
  auto description = parse_sardana_description(data);
  auto record = parse_sardana_record(data);
  if (packet.fault) {
    if (packet.data || (packet.numbers.number && !packet.numbered)) std::abort();
    // A point before the first of its arm is refused for that alone.
    if (kind && *kind != entry_kind::data) std::abort();
    return;
  }
  if (kind != packet.numbers.kind || description.has_value() != (kind == entry_kind::start) ||
      record.has_value() != (kind == entry_kind::data) || !sardana_complaint(message).empty())
    std::abort();
  if (record && packet.numbers.number && !record->point_nb) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto format = make_sardana();
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(std::move(parts), sardana_type_tag);
    std::vector<stream_packet> packets;
    format->read(message, packets);
    for (auto& packet : packets) decode(packet, message);
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto first : {"0", "1", "none"}) {
    auto series = make_sardana_series(
        {.frames = 3,
         .shape = {2, 3},
         .options = {{"point_nb", first}, {"spectrum", "true"}, {"nan", "true"}, {"custom", "true"}}});
    auto& posted = seeds.emplace_back();
    while (auto message = series->next()) fuzz::add_message(posted, message->frames());
  }
  auto& entries = seeds.emplace_back();
  for (auto text : {R"({"type":"DataDescription","serialno":1,"scandir":"a","title":"b"})",
                    R"({"type":"RecordData","timestamp":NaN,"a":[1,2]})", R"({"type":"RecordEnd"})"}) {
    auto entry = memory_frames::of(sardana_type_tag, {text});
    fuzz::add_message(entries, entry.frames());
  }
  return seeds;
}
