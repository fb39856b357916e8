#include "runtime/inspection.hpp"

#include <algorithm>
#include <iterator>
#include <map>
#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "protocol/protocol.hpp"
#include "recording/capture.hpp"
#include "recording/capture_guess.hpp"
#include "recording/capture_index.hpp"
#include "recording/recording_index.hpp"

namespace dtranspose {

namespace {

using nlohmann::ordered_json;

/// Of a capture, messages, parts of each and bytes of each part that are shown: enough to recognise a format.
constexpr std::size_t shown_messages = 8;
constexpr std::size_t shown_parts = 10;
constexpr std::size_t shown_bytes = 72;

bool is_printable(std::byte b) { return b >= std::byte{0x20} && b < std::byte{0x7f}; }

/// The first bytes of a part: as text where most of them are, else in hexadecimal digits.
std::string beginning_of(const frame& part) {
  auto bytes = part.bytes().first(std::min(part.size(), shown_bytes));
  auto printable = static_cast<std::size_t>(std::count_if(bytes.begin(), bytes.end(), is_printable));
  std::string text;
  if (printable * 2 >= bytes.size())
    for (auto b : bytes) text += is_printable(b) ? static_cast<char>(b) : '.';
  else
    for (auto b : bytes.first(std::min<std::size_t>(bytes.size(), 24)))
      text += fmt::format("{:02x} ", std::to_integer<unsigned>(b));
  if (text.ends_with(' ')) text.pop_back();
  return text;
}

ordered_json shown(const stream_data& message, std::size_t offset) {
  auto parts = ordered_json::array();
  for (auto& part : message.frames().first(std::min(message.frames().size(), shown_parts)))
    parts.push_back({{"bytes", part.size()}, {"begins", beginning_of(part)}});
  return {{"offset", offset}, {"part_count", message.frames().size()}, {"parts", std::move(parts)}};
}

ordered_json messages_of(const std::shared_ptr<const mapped_file>& file) {
  capture_reader reader(file);
  std::map<std::size_t, std::uint64_t> part_counts;
  std::uint64_t messages = 0, bytes = 0;
  auto first = ordered_json::array();
  for (auto offset = reader.offset(); auto message = reader.next(); offset = reader.offset()) {
    ++part_counts[message->frames().size()];
    bytes += message->bytes();
    if (messages++ < shown_messages) first.push_back(shown(*message, offset));
  }
  auto counts = ordered_json::array();
  for (auto& [parts, times] : part_counts) counts.push_back({{"parts", parts}, {"messages", times}});
  ordered_json about{{"file", file->path().string()},
                     {"form", "capture"},
                     {"messages", messages},
                     {"bytes", bytes},
                     {"part_counts", std::move(counts)},
                     {"first_messages", std::move(first)}};
  auto guess = guess_protocol(file);
  about["looks_like"] = guess ? ordered_json(*guess) : ordered_json();
  about["warnings"] = ordered_json::array();
  if (!reader.cut_off().empty()) about["warnings"].push_back(reader.cut_off());
  return about;
}

ordered_json stream_of(const std::shared_ptr<const mapped_file>& file, const capture_choice& choice) {
  auto format = make_protocol(choice.protocol, choice.options);
  auto contents = read_capture(file, *format);
  auto verdicts = ordered_json::object(), faults = ordered_json::object();
  for (std::size_t v = 0; v < verdict_count; ++v)
    if (contents.verdicts[v] > 0) verdicts[name_of(verdict(v))] = contents.verdicts[v];
  for (std::size_t f = 0; f < packet_fault_count; ++f)
    if (contents.faults[f] > 0) faults[std::string(name_of(packet_fault(f)))] = contents.faults[f];
  ordered_json about{{"file", file->path().string()},
                     {"form", "capture"},
                     {"messages", contents.messages},
                     {"bytes", contents.bytes},
                     {"stream", choice.name},
                     {"protocol", choice.protocol},
                     {"type", std::string(format->type_tag())},
                     {"matched_by", format->numbered() ? "number" : "position"},
                     {"packets", contents.packets},
                     {"entries", contents.entries},
                     {"ends", contents.ends},
                     {"verdicts", std::move(verdicts)},
                     {"faults", std::move(faults)},
                     {"series", contents.series}};
  about["warnings"] = ordered_json::array();
  if (contents.doubtful)
    about["warnings"].push_back("a series did not end exactly: the places of those behind it are not known");
  if (!contents.cut_off.empty()) about["warnings"].push_back(contents.cut_off);
  return about;
}

ordered_json dump_of(const std::shared_ptr<const mapped_file>& file) {
  auto index = index_of({file});
  auto streams = ordered_json::array();
  for (auto& s : index.streams)
    streams.push_back(
        {{"name", s.name}, {"type", s.type}, {"events", s.events.size()}, {"last_event", s.events.last()}});
  return {{"file", file->path().string()},
          {"form", "dump"},
          {"events", index.events},
          {"streams", std::move(streams)},
          {"warnings", index.warnings}};
}

/// Names with counts, as in `ok 20, gap 2`.
std::string counts_text(const ordered_json& counts) {
  std::vector<std::string> texts;
  for (auto& [name, count] : counts.items()) texts.push_back(fmt::format("{} {}", name, count.dump()));
  return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, ", "));
}

std::string text(const ordered_json& value) { return value.get<std::string>(); }
std::uint64_t number(const ordered_json& value) { return value.get<std::uint64_t>(); }

using line_end = std::back_insert_iterator<std::string>;

void add_dump(const ordered_json& d, line_end out) {
  fmt::format_to(out, "{}: {} events\n", text(d["file"]), number(d["events"]));
  for (auto& s : d["streams"])
    fmt::format_to(out, "  stream {:<20} type {:<14} {} entries, last in event {}\n", text(s["name"]),
                   text(s["type"]), number(s["events"]), number(s["last_event"]));
}

void add_stream(const ordered_json& d, line_end out) {
  fmt::format_to(out, "  stream {} as {}: {} entries{}, matched by {}, type {}\n", text(d["stream"]),
                 text(d["protocol"]), number(d["entries"]), d["ends"].get<bool>() ? " with an end" : "",
                 text(d["matched_by"]), text(d["type"]));
  fmt::format_to(out, "  verdicts: {}\n  faults: {}\n", counts_text(d["verdicts"]), counts_text(d["faults"]));
  if (!d["series"].empty())
    fmt::format_to(out, "  series: {}\n", fmt::join(d["series"].get<std::vector<std::uint64_t>>(), ", "));
}

void add_messages(const ordered_json& d, line_end out) {
  for (auto& c : d["part_counts"])
    fmt::format_to(out, "  {} messages of {} parts\n", number(c["messages"]), number(c["parts"]));
  for (auto& m : d["first_messages"]) {
    fmt::format_to(out, "  message at byte {}, parts: {}\n", number(m["offset"]), number(m["part_count"]));
    for (auto& p : m["parts"])
      fmt::format_to(out, "    {:>9} bytes: {}\n", number(p["bytes"]), text(p["begins"]));
  }
  if (d["looks_like"].is_string())
    fmt::format_to(out, "  looks like {0}: try --stream NAME={0}\n", text(d["looks_like"]));
  else
    fmt::format_to(out, "  of no protocol that is known here\n");
}

} // namespace

ordered_json description_of(const std::shared_ptr<const mapped_file>& file,
                            const std::optional<capture_choice>& choice) {
  if (!is_capture(file->bytes())) {
    auto description = dump_of(file);
    if (choice)
      throw std::runtime_error(
          fmt::format("{} is a dump, which knows its streams: leave --stream out", file->path().string()));
    return description;
  }
  return choice ? stream_of(file, *choice) : messages_of(file);
}

std::string text_of_description(const ordered_json& d) {
  std::string lines;
  auto out = std::back_inserter(lines);
  if (d["form"] == "dump") {
    add_dump(d, out);
  } else {
    fmt::format_to(out, "{}: raw capture of {} messages, {} bytes\n", text(d["file"]), number(d["messages"]),
                   number(d["bytes"]));
    d.contains("stream") ? add_stream(d, out) : add_messages(d, out);
  }
  for (auto& warning : d["warnings"]) fmt::format_to(out, "  {}\n", text(warning));
  return lines;
}

} // namespace dtranspose
