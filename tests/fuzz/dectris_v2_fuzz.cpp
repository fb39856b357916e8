#include "fuzz/fuzz.hpp"

#include <cstdlib>

#include "instrument/dectris_v2_series.hpp"
#include "protocol/cbor_value.hpp"
#include "protocol/dectris_v2.hpp"

namespace dtranspose {
namespace {

/// Compressed arrays may announce far more than they are: enough to decompress, and not so much that one
/// input takes long.
constexpr std::uint64_t decompress_limit = 1 << 20;

void decompress_all(const std::vector<dectris_v2_channel>& channels) {
  for (auto& channel : channels) {
    if (bytes_of(channel.data.shape, channel.data.type) > decompress_limit) continue;
    try {
      elements_of(channel.data);
    } catch (const corrupt_blob&) {
    }
  }
}

/// What the decoder made out of a message can be written, and is then the same.
void write_again(const dectris_v2_image& image) {
  std::vector<std::byte> first, second;
  write_dectris_v2_image(first, image);
  std::vector<std::vector<std::byte>> parts{first};
  auto data = fuzz::stream_data_of(std::move(parts), dectris_v2_type_tag);
  auto again = parse_dectris_v2_image(data);
  if (!again) std::abort();
  write_dectris_v2_image(second, *again);
  if (first != second) std::abort();
}

void decode(const stream_data& data, bool taken) {
  if (dectris_v2_kind(data).has_value() != taken) std::abort();
  auto image = parse_dectris_v2_image(data);
  auto start = parse_dectris_v2_start(data);
  auto end = parse_dectris_v2_end(data);
  if (!taken && (image || start || end)) std::abort();
  if (image) {
    decompress_all(image->channels);
    write_again(*image);
  }
  if (start) {
    decompress_all(start->flatfield);
    decompress_all(start->pixel_mask);
    if (start->countrate_table) decompress_all({{"", *start->countrate_table}});
  }
}

} // namespace
} // namespace dtranspose

/// The input is one message: detectors send single parts.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dtranspose;
  auto bytes = std::as_bytes(std::span(data, size));
  cbor_to_value(bytes);
  auto message = fuzz::stream_data_of({{bytes.begin(), bytes.end()}}, dectris_v2_type_tag);
  std::vector<stream_packet> packets;
  make_dectris_v2()->read(message, packets);
  if (packets.size() != 1 || packets[0].fault.has_value() == static_cast<bool>(packets[0].data)) std::abort();
  decode(message, !packets[0].fault);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  using namespace dtranspose;
  std::vector<std::vector<std::uint8_t>> seeds;
  for (auto compression : {"bslz4", "lz4", "none"}) {
    series_settings settings{.frames = 1, .shape = {5, 9}};
    settings.options = {{"compression", compression}, {"channels", "2"}, {"header_detail", "all"}};
    auto series = make_dectris_v2_series(settings);
    while (auto message = series->next()) {
      auto bytes = message->frames()[0].bytes();
      auto begin = reinterpret_cast<const std::uint8_t*>(bytes.data());
      seeds.emplace_back(begin, begin + bytes.size());
    }
  }
  // Endless maps, lists and texts in chunks.
  const std::uint8_t endless[] = {0xbf, 0x7f, 0x62, 't',  'y', 0x62, 'p',  'e',  0xff, 0x65, 'i',  'm',  'a',
                                  'g',  'e',  0x68, 'i',  'm', 'a',  'g',  'e',  '_',  'i',  'd',  0,    0x69,
                                  's',  'e',  'r',  'i',  'e', 's',  '_',  'i',  'd',  0,    0x64, 'd',  'a',
                                  't',  'a',  0xbf, 0x61, 'a', 0xd8, 0x28, 0x9f, 0x9f, 1,    2,    0xff, 0xd8,
                                  0x41, 0x5f, 0x42, 0,    1,   0x42, 0,    2,    0xff, 0xff, 0xff, 0xff};
  seeds.emplace_back(std::begin(endless), std::end(endless));
  return seeds;
}
