#include "fuzz/fuzz.hpp"
#include "instrument/lecroy_series.hpp"
#include "protocol/lecroy.hpp"

using namespace dtranspose;

namespace {

bool decode(const stream_data& data) {
  lecroy_kind(data);
  parse_lecroy_stop(data);
  auto sequence = parse_lecroy_sequence(data);
  if (!sequence) return false;
  for (auto& traces : sequence->traces) {
    traces.time_axis();
    lecroy_time_stamps(traces);
    traces.samples.copy();
  }
  return true;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reader = make_lecroy();
  std::vector<stream_packet> packets;
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(parts, lecroy_type_tag);
    decode(message);
    packets.clear();
    reader->read(message, packets);
    for (auto& packet : packets) {
      if (packet.fault.has_value() == static_cast<bool>(packet.data)) __builtin_trap();
      bool sequence = !packet.fault && packet.numbers.kind == entry_kind::data;
      // The decoder takes every sequence that the reader passes; each has its number.
      if (decode(packet.data) != sequence || (sequence && !packet.numbers.number)) __builtin_trap();
    }
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto* mode : {"continuous", "sequential"})
    for (auto* channels : {"1", "2,4"}) {
      series_settings settings{.frames = 3,
                               .options = {{"mode", mode}, {"channels", channels}, {"samples", "2"}}};
      if (std::string_view(mode) == "sequential") settings.options.emplace("triggers", "2");
      auto series = make_lecroy_series(settings);
      auto& input = seeds.emplace_back();
      while (auto message = series->next()) fuzz::add_message(input, message->frames());
    }
  return seeds;
}
