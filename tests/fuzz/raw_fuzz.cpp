#include "fuzz/fuzz.hpp"

#include <cstdlib>

#include "instrument/raw_series.hpp"
#include "protocol/raw.hpp"

namespace dtranspose {
namespace {

const protocol_options& options_of(std::size_t choice) {
  static const protocol_options choices[] = {
      {},
      {{"part", "1"},
       {"number", "/info/frame"},
       {"first", "1"},
       {"series", "info.series"},
       {"message_number", "/info/ids/1"},
       {"start", "/what=0"},
       {"end", "what=end"},
       {"data", "/what=1"},
       {"count", "total"}},
      {{"start", "/htype=header"}, {"end", "/htype=series_end"}},
      {{"number", "/a/b"}, {"series", "/a"}, {"message_number", "/a/b/c"}},
  };
  return choices[choice % std::size(choices)];
}

} // namespace
} // namespace dtranspose

/// The first byte chooses options, the rest are messages of any parts.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dtranspose;
  if (size == 0) return 0;
  auto reader = make_raw(options_of(data[0]));
  for (auto& parts : fuzz::messages_of(data + 1, size - 1)) {
    auto message = fuzz::stream_data_of(std::move(parts), raw_type_tag);
    std::vector<stream_packet> packets;
    reader->read(message, packets);
    if (packets.size() > 1) std::abort();
    for (auto& packet : packets)
      if (packet.fault.has_value() == static_cast<bool>(packet.data)) std::abort();
    parse_raw_message(message, 0);
    parse_raw_message(message, 1);
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  using namespace dtranspose;
  std::vector<std::vector<std::uint8_t>> seeds;
  for (std::uint8_t choice = 0; choice < 3; ++choice) {
    auto series = make_raw_series({.frames = 2, .shape = {2, 3}, .options = options_of(choice)});
    std::vector<std::uint8_t> input{choice};
    while (auto message = series->next()) fuzz::add_message(input, message->frames());
    seeds.push_back(std::move(input));
  }
  auto lists =
      memory_frames::of(raw_type_tag, {"", R"({"what":"1","info":{"frame":1,"ids":[{"a":[1]},2,null]}})"});
  std::vector<std::uint8_t> input{1};
  fuzz::add_message(input, lists.frames());
  seeds.push_back(std::move(input));
  return seeds;
}
