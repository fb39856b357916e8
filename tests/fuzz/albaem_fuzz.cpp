#include "fuzz/fuzz.hpp"
#include "instrument/albaem_series.hpp"
#include "protocol/albaem.hpp"

using namespace dtranspose;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto reader = make_albaem();
  std::vector<stream_packet> packets;
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(parts, albaem_type_tag);
    auto kind = albaem_kind(message);
    auto reading = parse_albaem_reading(message);
    parse_albaem_end(message);
    albaem_keys(message);
    packets.clear();
    reader->read(message, packets);
    // The decoders take what the reader passes, and nothing else.
    if (packets.size() != 1 || packets[0].fault.has_value() == kind.has_value()) __builtin_trap();
    if (reading && packets[0].numbers.number != reading->frame_number) __builtin_trap();
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto* channels : {"0", "4"}) {
    series_settings settings{.frames = 4, .options = {{"channels", channels}, {"overflow", "true"}}};
    auto series = make_albaem_series(settings);
    auto& input = seeds.emplace_back();
    while (auto message = series->next()) fuzz::add_message(input, message->frames());
  }
  return seeds;
}
