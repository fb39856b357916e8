#include "fuzz/fuzz.hpp"
#include "instrument/pcap_series.hpp"
#include "protocol/pcap.hpp"

namespace {

using namespace dtranspose;

void decode(const stream_data& data) {
  pcap_kind(data);
  parse_pcap_start(data);
  if (auto row = parse_pcap_row(data))
    for (auto name : row->names()) row->column(name);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reader = make_pcap();
  std::vector<stream_packet> packets;
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(parts, pcap_type_tag);
    decode(message);
    packets.clear();
    reader->read(message, packets);
    for (auto& packet : packets) {
      if (packet.fault.has_value() == static_cast<bool>(packet.data)) __builtin_trap();
      decode(packet.data);
      bool row = !packet.fault && packet.numbers.kind == entry_kind::data;
      if (row && !parse_pcap_row(packet.data)) __builtin_trap();
    }
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto* fields : {"1", "7"}) {
    series_settings settings{
        .frames = 9, .options = {{"rows_per_message", "2-4"}, {"fields", fields}, {"not_finite", "true"}}};
    auto series = make_pcap_series(settings);
    auto& input = seeds.emplace_back();
    while (auto message = series->next()) fuzz::add_message(input, message->frames());
  }
  auto& odd = seeds.emplace_back();
  fuzz::add_message(
      odd,
      memory_frames::of(
          pcap_type_tag,
          {R"({"message_type":"data","frame_number":1,"s":"\u00e9","l":[[1],{"a":[]},"t"],"b":[true,null,-1e-5]})"})
          .frames());
  return seeds;
}
