#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "fuzz.hpp"
#include "instrument/panda_tcp_series.hpp"
#include "protocol/panda_tcp.hpp"

namespace {

using namespace dtranspose;

/// The first bytes of an input say how it is read.
constexpr std::size_t settings_bytes = 2;
/// In place of a size of pieces: the connection is lost after each.
constexpr std::uint8_t loses_connections = 255;

void use(const panda_row& row) {
  for (std::size_t i = 0; i < row.size(); ++i) {
    row.number(i);
    row.scaled(i);
    row.wide(i);
  }
  row.values();
  std::string sent;
  append_panda_rows(sent, row.header(), row.sample().first(row.header().sample_bytes));
}

void decode(const stream_packet& packet, std::shared_ptr<const panda_header>& header) {
  if (packet.fault.has_value() == static_cast<bool>(packet.data)) __builtin_trap();
  auto end = parse_panda_end(packet.data);
  if (packet.numbers.kind == entry_kind::end && !packet.fault && !end) __builtin_trap();
  auto parsed = parse_panda_header(packet.data);
  if (packet.numbers.kind == entry_kind::start) {
    if (packet.fault.has_value() == parsed.has_value()) __builtin_trap();
    header = parsed ? std::make_shared<const panda_header>(std::move(*parsed)) : nullptr;
  }
  if (auto row = parse_panda_row(packet.data)) use(*row);
  if (!header) return;
  if (auto row = parse_panda_row(header, packet.data)) use(*row);
  std::string text;
  append_panda_header(text, *header, true);
}

} // namespace

/// Whatever comes: each packet is data or a fault, and the same however the bytes were cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < settings_bytes) return 0;
  bool header_in_rows = data[0] & 1;
  std::size_t piece = std::max<std::size_t>(data[1], 1);
  bool loses = data[1] == loses_connections;
  data += settings_bytes, size -= settings_bytes;
  protocol_options options = {{"header_in_rows", header_in_rows ? "true" : "false"}};
  auto cut = make_panda_tcp(options), whole = make_panda_tcp(options);
  std::vector<stream_packet> packets, expected;
  auto bytes = std::as_bytes(std::span(data, size));
  for (std::size_t at = 0; at < size; at += piece) {
    auto part = bytes.subspan(at, std::min(piece, size - at));
    cut->read(fuzz::stream_data_of({{part.begin(), part.end()}}, panda_tcp_type_tag), packets);
    if (loses) cut->interrupted(packets);
  }
  std::shared_ptr<const panda_header> header;
  for (auto& packet : packets) decode(packet, header);
  if (loses) return 0;
  whole->read(fuzz::stream_data_of({{bytes.begin(), bytes.end()}}, panda_tcp_type_tag), expected);
  if (packets.size() != expected.size()) __builtin_trap();
  for (std::size_t i = 0; i < packets.size(); ++i) {
    if (packets[i].fault != expected[i].fault || packets[i].numbers.number != expected[i].numbers.number ||
        packets[i].numbers.count != expected[i].numbers.count)
      __builtin_trap();
    if (packets[i].data && !(packets[i].data == expected[i].data)) __builtin_trap();
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  auto add = [&](std::uint8_t piece, std::string_view text) {
    auto& input = seeds.emplace_back();
    input.push_back(static_cast<std::uint8_t>(seeds.size()));
    input.push_back(piece);
    input.insert(input.end(), text.begin(), text.end());
  };
  std::uint8_t piece = 0;
  for (auto* format : {"ascii", "base64", "framed", "unframed"})
    for (auto* process : {"scaled", "raw"})
      for (auto* xml : {"false", "true"}) {
        series_settings settings = {.frames = 5,
                                    .options = {{"arms", "2"},
                                                {"format", format},
                                                {"process", process},
                                                {"xml", xml},
                                                {"rows_per_message", "2"},
                                                {"fields", "PCAP.BITS0.Value,A.V.StdDev,A.V.Min"}}};
        auto series = make_panda_tcp_series(settings);
        std::string text = "OK\n";
        while (auto message = series->next()) text += message->frames()[0].text();
        add(piece += 13, text);
      }
  add(loses_connections,
      "missed: 3\nformat: Unframed\nprocess: Raw\nsample_bytes: 4\nfields:\n A uint32 Value\n\n"
      "END 0 is a row, END 5 Ok\nERR no\nEND\n");
  add(1, "1 2\nmissed: 0\nformat: ASCII\nprocess: Raw\nmood: x\nfields:\n A int64 Mean scale: 1 offset: inf "
         "units:\n\n"
         " 5 -50\n 0x5 0x1 0xffffffff\n 7\nx\nEND 4 Data overrun\n");
  return seeds;
}
