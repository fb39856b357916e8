#include <iterator>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "runtime/inspection.hpp"

namespace dtranspose {

namespace {

using nlohmann::ordered_json;

/// Names with counts, as in `ok 20, gap 2`.
std::string counts_text(const ordered_json& counts) {
  std::vector<std::string> texts;
  for (auto& [name, count] : counts.items()) texts.push_back(fmt::format("{} {}", name, count.dump()));
  return texts.empty() ? "none" : fmt::format("{}", fmt::join(texts, ", "));
}

std::string text(const ordered_json& value) { return value.get<std::string>(); }
std::uint64_t number(const ordered_json& value) { return value.get<std::uint64_t>(); }

using line_end = std::back_insert_iterator<std::string>;

void add_numbers(const ordered_json& d, line_end out) {
  fmt::format_to(out, "  {:<22}verdicts: {}; faults: {}\n", "", counts_text(d["verdicts"]),
                 counts_text(d["faults"]));
}

/// Longer lines are cut: a message may be large.
constexpr std::size_t longest_line = 300;

std::string short_text(const ordered_json& parts) {
  auto line = parts.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
  if (line.size() <= longest_line) return line;
  auto end = longest_line;
  while (end > 0 && (static_cast<unsigned char>(line[end]) & 0xc0) == 0x80) --end;
  return line.substr(0, end) + "...";
}

void add_survey(const ordered_json& d, line_end out) {
  for (auto& kind : d["images"])
    fmt::format_to(out, "  {:<22}{} images {} {}, compression {}\n", "", number(kind["count"]),
                   kind["shape"].dump(), text(kind["dtype"]), text(kind["compression"]));
  for (auto which : {"first", "last"})
    if (!d[which].empty()) fmt::format_to(out, "  {:<22}{}: {}\n", "", which, short_text(d[which]));
}

void add_times(const ordered_json& d, line_end out) {
  if (d.contains("first_time") && d["first_time"].is_string())
    fmt::format_to(out, "  recorded from {} to {}: {:.3f} s\n", text(d["first_time"]), text(d["last_time"]),
                   d["seconds"].get<double>());
}

void add_tear(const ordered_json& d, line_end out) {
  auto& torn = d["torn"];
  if (torn.is_null()) return;
  if (torn.contains("messages"))
    fmt::format_to(out, "  torn at byte {}, behind {} messages: what is before is there\n",
                   number(torn["byte"]), number(torn["messages"]));
  else
    fmt::format_to(out, "  torn at byte {}, {}: what is before is there\n", number(torn["byte"]),
                   torn["last_event"].is_null() ? "before the first event"
                                                : fmt::format("behind event {}", number(torn["last_event"])));
}

void add_dump(const ordered_json& d, line_end out) {
  fmt::format_to(out, "{}: {} events\n", text(d["file"]), number(d["events"]));
  for (auto& s : d["streams"]) {
    fmt::format_to(out, "  stream {:<20} type {:<14} {} entries, last in event {}\n", text(s["name"]),
                   text(s["type"]), number(s["events"]), number(s["last_event"]));
    if (s.contains("verdicts")) add_numbers(s, out);
    add_survey(s, out);
  }
  for (auto& gap : d["gaps"])
    fmt::format_to(out, "  gap, events {} to {}: the recording was behind\n", number(gap[0]), number(gap[1]));
  add_times(d, out);
}

void add_stream(const ordered_json& d, line_end out) {
  fmt::format_to(out, "  stream {} as {}: {} entries{}, matched by {}, type {}\n", text(d["stream"]),
                 text(d["protocol"]), number(d["entries"]), d["ends"].get<bool>() ? " with an end" : "",
                 text(d["matched_by"]), text(d["type"]));
  fmt::format_to(out, "  verdicts: {}\n  faults: {}\n", counts_text(d["verdicts"]), counts_text(d["faults"]));
  if (!d["series"].empty())
    fmt::format_to(out, "  series: {}\n", fmt::join(d["series"].get<std::vector<std::uint64_t>>(), ", "));
  add_survey(d, out);
  add_times(d, out);
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

std::string text_of_description(const ordered_json& d) {
  std::string lines;
  auto out = std::back_inserter(lines);
  if (d["form"] == "dump") {
    add_dump(d, out);
  } else {
    fmt::format_to(out, "{}: {} of {} messages, {} bytes\n", text(d["file"]),
                   d["form"] == "wire" ? "wire recording" : "raw capture", number(d["messages"]),
                   number(d["bytes"]));
    d.contains("stream") ? add_stream(d, out) : add_messages(d, out);
  }
  add_tear(d, out);
  for (auto& warning : d["warnings"]) fmt::format_to(out, "  {}\n", text(warning));
  return lines;
}

} // namespace dtranspose
