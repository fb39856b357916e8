#include "protocol/panda_header.hpp"

#include <charconv>
#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace dtranspose {

namespace {

//  text form                                          XML form
//  arm_time: 2023-12-19T07:51:12.754Z                 <header>
//  missed: 0                                          <data arm_time=".." missed="0" process="Scaled"
//  process: Scaled                                       format="Framed" sample_bytes="12" />
//  format: Framed                                     <fields>
//  sample_bytes: 12          (not for ASCII)          <field name="PCAP.BITS0" type="uint32"
//  fields:                                               capture="Value" />
//   PCAP.BITS0 uint32 Value                           <field name="INENC1.VAL" type="double"
//   INENC1.VAL double Mean scale: 1 offset: 0 units:     capture="Mean" scale="1" offset="0" units="" />
//                                                     </fields>
//                                                     </header>

constexpr std::string_view type_names[] = {"uint32", "int32", "uint64", "int64", "int96", "double"};
constexpr std::string_view format_names[] = {"ASCII", "Base64", "Framed", "Unframed"};
constexpr std::string_view process_names[] = {"Scaled", "Raw", "Unscaled"};

/// A sample count that is sent but not listed is that of servers before 2.1.
constexpr std::string_view samples_name = "PCAP.SAMPLES", gate_name = "PCAP.GATE_DURATION";

/// Larger is no count of rows: it would not leave room to count on.
constexpr std::uint64_t missed_limit = std::uint64_t{1} << 62;

/// Keys that we don't know. Servers have none; looking up a key takes time.
constexpr std::size_t more_limit = 64;

template <class T, std::size_t N>
std::optional<T> find_name(const std::string_view (&names)[N], std::string_view name) {
  for (std::size_t i = 0; i < N; ++i)
    if (names[i] == name) return static_cast<T>(i);
  return std::nullopt;
}

template <class T>
std::optional<T> number_in(std::string_view text) {
  T number{};
  auto end = text.data() + text.size();
  auto [stop, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc() || stop != end || text.empty()) return std::nullopt;
  return number;
}

/// Cuts off and returns what stands before the next `separator`, or everything.
std::string_view cut(std::string_view& text, char separator) {
  auto end = text.find(separator);
  auto part = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  return part;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

/// Collects what either form says, and judges it in the end.
class header_builder {
 public:
  explicit header_builder(panda_header& header) : header_(header) { header_ = {}; }

  void take(std::string_view key, std::string_view text) {
    if (key == "arm_time")
      header_.arm_time = text;
    else if (key == "start_time")
      header_.start_time = text;
    else if (key == "hw_time_offset_ns")
      header_.hw_time_offset_ns = number_in<std::int64_t>(text);
    else if (key == "missed")
      take_missed(text);
    else if (key == "process")
      process_ = find_name<panda_process>(process_names, text);
    else if (key == "format")
      format_ = find_name<panda_format>(format_names, text);
    else if (key == "sample_bytes")
      sample_bytes_ = number_in<std::size_t>(text);
    else if (header_.more.size() < more_limit)
      header_.more.set(key, text);
  }

  void take_column(panda_column column, std::string_view type) {
    auto known = find_name<panda_type>(type_names, type);
    understood_ = understood_ && known && header_.columns.size() < panda_column_limit;
    if (header_.columns.size() == panda_column_limit) return;
    column.type = known.value_or(panda_type::float64);
    header_.columns.push_back(std::move(column));
  }

  void refuse_columns() { understood_ = false; }

  panda_header_use finish() {
    if (!format_ || !counted_) return panda_header_use::nothing;
    header_.format = *format_;
    header_.process = process_.value_or(panda_process::scaled);
    complete_panda_header(header_);
    if (*format_ == panda_format::ascii)
      return header_.columns.empty()   ? panda_header_use::nothing
             : understood_ && process_ ? panda_header_use::everything
                                       : panda_header_use::delimiting;
    if (!sample_bytes_ || *sample_bytes_ == 0 || *sample_bytes_ > panda_sample_limit)
      return panda_header_use::nothing;
    add_unlisted_samples();
    bool adds_up = header_.sample_bytes == *sample_bytes_;
    header_.sample_bytes = *sample_bytes_;
    return adds_up && understood_ && process_ ? panda_header_use::everything : panda_header_use::delimiting;
  }

 private:
  void take_missed(std::string_view text) {
    auto missed = number_in<std::uint64_t>(text);
    counted_ = missed && *missed < missed_limit;
    if (counted_) header_.missed = *missed;
  }

  void add_unlisted_samples() {
    if (process_ != panda_process::raw || *sample_bytes_ != header_.sample_bytes + 4) return;
    panda_column samples;
    samples.name = samples_name;
    samples.capture = "Value";
    samples.type = panda_type::uint32;
    samples.listed = false;
    header_.columns.insert(header_.columns.begin(), std::move(samples));
    complete_panda_header(header_);
  }

  panda_header& header_;
  std::optional<panda_format> format_;
  std::optional<panda_process> process_;
  std::optional<std::size_t> sample_bytes_;
  bool understood_ = true; ///< the columns
  bool counted_ = true;    ///< the rows that were missed
};

/// ` <name> <type> <capture>[ scale: <g> offset: <g> units: <rest>]`, without the first blank.
void read_column(std::string_view line, header_builder& builder) {
  panda_column column;
  column.name = cut(line, ' ');
  auto type = cut(line, ' ');
  column.capture = cut(line, ' ');
  if (take_prefix(line, "scale: ")) {
    auto scale = number_in<double>(cut(line, ' '));
    auto offset = take_prefix(line, "offset: ") ? number_in<double>(cut(line, ' ')) : std::nullopt;
    if (!scale || !offset) builder.refuse_columns();
    column.scalable = true;
    column.scale = scale.value_or(1);
    column.offset = offset.value_or(0);
    if (!take_prefix(line, "units: ")) take_prefix(line, "units:");
    column.units = line;
  }
  builder.take_column(std::move(column), type);
}

panda_header_use read_text(std::string_view text, panda_header& header) {
  header_builder builder(header);
  bool in_columns = false;
  while (!text.empty()) {
    auto line = cut(text, '\n');
    if (in_columns && take_prefix(line, " ")) {
      read_column(line, builder);
      continue;
    }
    auto colon = line.find(": ");
    in_columns = line == "fields:";
    if (colon != std::string_view::npos) builder.take(line.substr(0, colon), line.substr(colon + 2));
  }
  return builder.finish();
}

/// With the five entities that a server writes put back.
std::string unescape(std::string_view text) {
  constexpr std::pair<std::string_view, char> entities[] = {
      {"&lt;", '<'}, {"&gt;", '>'}, {"&quot;", '"'}, {"&apos;", '\''}, {"&amp;", '&'}};
  std::string plain;
  while (!text.empty()) {
    auto known = false;
    for (auto& [entity, character] : entities)
      if (!known && take_prefix(text, entity)) {
        plain += character;
        known = true;
      }
    if (known) continue;
    plain += text.front();
    text.remove_prefix(1);
  }
  return plain;
}

void skip_space(std::string_view& text) {
  auto begin = text.find_first_not_of(" \t\n\r");
  text.remove_prefix(begin == std::string_view::npos ? text.size() : begin);
}

/// The next `name="text"` of an element; nothing at its end.
std::optional<std::pair<std::string_view, std::string>> next_attribute(std::string_view& element) {
  skip_space(element);
  auto equals = element.find('=');
  if (equals == std::string_view::npos || equals + 1 == element.size()) return std::nullopt;
  auto name = element.substr(0, equals);
  auto quote = element[equals + 1];
  element.remove_prefix(equals + 2);
  if (quote != '"' && quote != '\'') return std::nullopt;
  return std::pair(name, unescape(cut(element, quote)));
}

void read_column_element(std::string_view element, header_builder& builder) {
  panda_column column;
  std::string type;
  bool usable = true;
  while (auto attribute = next_attribute(element)) {
    auto& [name, text] = *attribute;
    if (name == "name") {
      column.name = text;
    } else if (name == "type") {
      type = text;
    } else if (name == "capture") {
      column.capture = text;
    } else if (name == "units") {
      column.units = text;
    } else if (name == "scale" || name == "offset") {
      auto number = number_in<double>(text);
      usable = usable && number;
      column.scalable = true;
      (name == "scale" ? column.scale : column.offset) = number.value_or(1);
    }
  }
  if (!usable) builder.refuse_columns();
  builder.take_column(std::move(column), type);
}

panda_header_use read_xml(std::string_view text, panda_header& header) {
  header_builder builder(header);
  while (!text.empty()) {
    cut(text, '<');
    auto element = cut(text, '>');
    if (take_prefix(element, "data "))
      while (auto attribute = next_attribute(element)) builder.take(attribute->first, attribute->second);
    else if (take_prefix(element, "field "))
      read_column_element(element, builder);
  }
  return builder.finish();
}

std::string escape(std::string_view text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
    case '<':
      escaped += "&lt;";
      break;
    case '>':
      escaped += "&gt;";
      break;
    case '&':
      escaped += "&amp;";
      break;
    case '"':
      escaped += "&quot;";
      break;
    default:
      escaped += c;
    }
  }
  return escaped;
}

/// Calls `put(key, text)` for what a header says of all rows, in the order of the server.
template <class F>
void for_each_key(const panda_header& header, F put) {
  if (!header.arm_time.empty()) put("arm_time", header.arm_time);
  if (!header.start_time.empty()) put("start_time", header.start_time);
  if (header.hw_time_offset_ns) put("hw_time_offset_ns", std::to_string(*header.hw_time_offset_ns));
  put("missed", std::to_string(header.missed));
  put("process", std::string(name_of(header.process)));
  put("format", std::string(name_of(header.format)));
  if (header.format != panda_format::ascii) put("sample_bytes", std::to_string(header.sample_bytes));
}

void append_text(std::string& out, const panda_header& header) {
  auto to = std::back_inserter(out);
  for_each_key(header,
               [&](const char* key, const std::string& text) { fmt::format_to(to, "{}: {}\n", key, text); });
  out += "fields:\n";
  for (auto& c : header.columns) {
    if (!c.listed) continue;
    fmt::format_to(to, " {} {} {}", c.name, name_of(c.type), c.capture);
    if (c.scalable)
      fmt::format_to(to, " scale: {:.12g} offset: {:.12g} units: {}", c.scale, c.offset, c.units);
    out += '\n';
  }
}

void append_xml(std::string& out, const panda_header& header) {
  auto to = std::back_inserter(out);
  out += "<header>\n<data";
  for_each_key(header, [&](const char* key, const std::string& text) {
    fmt::format_to(to, " {}=\"{}\"", key, escape(text));
  });
  out += " />\n<fields>\n";
  for (auto& c : header.columns) {
    if (!c.listed) continue;
    fmt::format_to(to, "<field name=\"{}\" type=\"{}\" capture=\"{}\"", escape(c.name), name_of(c.type),
                   escape(c.capture));
    if (c.scalable)
      fmt::format_to(to, " scale=\"{:.12g}\" offset=\"{:.12g}\" units=\"{}\"", c.scale, c.offset,
                     escape(c.units));
    out += " />\n";
  }
  out += "</fields>\n</header>\n";
}

} // namespace

std::string_view name_of(panda_type type) { return type_names[static_cast<std::size_t>(type)]; }
std::string_view name_of(panda_format format) { return format_names[static_cast<std::size_t>(format)]; }
std::string_view name_of(panda_process process) { return process_names[static_cast<std::size_t>(process)]; }

const panda_column* panda_header::find(std::string_view key) const {
  for (auto& column : columns)
    if (column.key == key) return &column;
  return nullptr;
}

const panda_column* panda_header::samples() const {
  for (auto name : {gate_name, samples_name})
    for (auto& column : columns)
      if (column.name == name) return &column;
  return nullptr;
}

panda_header_use read_panda_header(std::string_view text, panda_header& header) {
  if (text.size() > panda_header_limit) return panda_header_use::nothing;
  return text.starts_with("<header>") ? read_xml(text, header) : read_text(text, header);
}

bool begins_panda_header(std::string_view line) {
  return line == "<header>" || line.starts_with("arm_time: ") || line.starts_with("missed: ");
}

std::optional<panda_header> parse_panda_header(const stream_data& data) {
  if (data.frames().size() != 1) return std::nullopt;
  auto text = data.frames()[0].text();
  if (!begins_panda_header(text.substr(0, text.find('\n')))) return std::nullopt;
  std::optional<panda_header> header(std::in_place);
  if (read_panda_header(text, *header) != panda_header_use::everything) return std::nullopt;
  return header;
}

void complete_panda_header(panda_header& header) {
  header.sample_bytes = 0;
  for (auto& column : header.columns) {
    column.key = column.name + '.' + column.capture;
    column.position = header.sample_bytes;
    header.sample_bytes += size_of(column.type);
  }
}

void append_panda_header(std::string& out, const panda_header& header, bool xml) {
  xml ? append_xml(out, header) : append_text(out, header);
  out += '\n';
}

} // namespace dtranspose
