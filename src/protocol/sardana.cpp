#include "protocol/sardana.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "model/value_json.hpp"
#include "protocol/json_text.hpp"
#include "protocol/nested_list.hpp"

namespace dtranspose {

namespace {

//  path             type             body: JSON object, keys in any order
//  /v1/data_desc    DataDescription  serialno int, scandir text, title text; usually column_desc [{name,
//  label,
//                                    dtype, shape, min_value, max_value, instrument, is_reference}],
//                                    ref_moveables [text], counters [text], estimatedtime, starttime text,
//                                    scanfile [text], total_scan_intervals
//  /v1/record_data  RecordData       timestamp number; usually point_nb int, and one key per column
//  /v1/custom_data                   anything; no entry
//  /v1/record_end   RecordEnd        anything
//
// Any key may be added. NaN may stand as a bare token.

enum class kind : std::uint8_t { none, description, record, end, custom };

struct naming {
  kind what;
  std::string_view path, type;
};

constexpr naming namings[] = {
    {kind::description, sardana_description_path, "DataDescription"},
    {kind::record, sardana_record_path, "RecordData"},
    {kind::end, sardana_end_path, "RecordEnd"},
    {kind::custom, sardana_custom_path, {}},
};

kind kind_of_path(std::string_view path) {
  for (auto& n : namings)
    if (n.path == path) return n.what;
  return kind::none;
}

kind kind_of_type(const value* type) {
  auto text = type ? type->as_text() : nullptr;
  for (auto& n : namings)
    if (text && !n.type.empty() && n.type == *text) return n.what;
  return kind::none;
}

std::string_view type_of(kind what) {
  for (auto& n : namings)
    if (n.what == what) return n.type;
  return {};
}

/// Python's numbers: a whole one may be written as 3.0.
std::optional<std::int64_t> whole(const value* number) {
  if (!number) return std::nullopt;
  if (auto x = std::get_if<std::int64_t>(&number->content())) return *x;
  auto x = std::get_if<double>(&number->content());
  constexpr double exact = std::int64_t{1} << 53;
  if (x && std::abs(*x) <= exact && std::trunc(*x) == *x) return static_cast<std::int64_t>(*x);
  return std::nullopt;
}

std::optional<std::uint64_t> whole_not_negative(const value* number) {
  auto x = whole(number);
  return x && *x >= 0 ? std::optional(static_cast<std::uint64_t>(*x)) : std::nullopt;
}

std::string text_or_empty(const value* text) { return text && text->as_text() ? *text->as_text() : ""; }

/// A message with everything that is to be known of it.
struct examined {
  kind what = kind::none;
  std::optional<packet_fault> fault;
  std::string_view complaint; ///< with a fault
  value body;                 ///< a map, if that could be read

  const value_map& fields() const { return *body.as_map(); }
  examined& refuse(packet_fault why, std::string_view because) {
    fault = why;
    complaint = because;
    return *this;
  }
};

void check_description(examined& message) {
  auto& fields = message.fields();
  auto is_text = [&](const char* key) { return fields.find(key) && fields.find(key)->as_text(); };
  if (!whole(fields.find("serialno")))
    message.refuse(packet_fault::unknown, "serialno: a whole number is required");
  else if (!is_text("scandir"))
    message.refuse(packet_fault::unknown, "scandir: a text is required");
  else if (!is_text("title"))
    message.refuse(packet_fault::unknown, "title: a text is required");
}

void check_record(examined& message) {
  auto timestamp = message.fields().find("timestamp");
  if (!timestamp || !timestamp->as_number())
    message.refuse(packet_fault::unknown, "timestamp: a number is required");
}

void check_body(examined& message, std::string_view text) {
  if (text.size() > sardana_body_limit) {
    message.refuse(packet_fault::oversized, "the body is too long");
    return;
  }
  if (std::count(text.begin(), text.end(), ':') > static_cast<std::ptrdiff_t>(sardana_key_limit)) {
    message.refuse(packet_fault::oversized, "the body has too many keys");
    return;
  }
  auto body = json_to_value(text, sardana_body_limit, sardana_key_limit);
  if (!body || !body->as_map()) {
    message.refuse(packet_fault::not_json, "the body is no JSON object");
    return;
  }
  message.body = std::move(*body);
  if (message.what == kind::none) message.what = kind_of_type(message.body.find("type"));
  if (message.what == kind::none) message.refuse(packet_fault::unknown, "type: is none that we know");
  if (message.what == kind::description) check_description(message);
  if (message.what == kind::record) check_record(message);
}

examined examine(std::span<const frame> parts) {
  examined message;
  if (parts.empty()) return message.refuse(packet_fault::truncated, "the message is empty");
  if (parts.size() > 2) return message.refuse(packet_fault::oversized, "the message has too many parts");
  if (parts.size() == 2) {
    message.what = kind_of_path(parts[0].text());
    if (message.what == kind::none) return message.refuse(packet_fault::unknown, "the path is unknown");
    if (message.what == kind::custom) return message;
  }
  check_body(message, parts.back().text());
  return message;
}

/// A text of our own.
class text_frame final : public frame_owner {
 public:
  explicit text_frame(std::string text) : text_(std::move(text)), view_(text_.data(), text_.size()) {
    set_frames({&view_, 1});
  }

 private:
  std::string text_;
  frame view_;
};

/// Appended, so that it holds for whoever lets the last of equal keys hold, as Python does.
std::string with_type(std::string_view body, std::string_view type, bool has_fields) {
  auto end = body.rfind('}');
  std::string out;
  out.reserve(body.size() + type.size() + 16);
  out.append(body.substr(0, end)).append(has_fields ? R"(,"type":")" : R"("type":")");
  return out.append(type).append("\"").append(body.substr(end));
}

class sardana final : public protocol {
 public:
  explicit sardana(std::optional<std::uint64_t> first_point) : first_point_(first_point) { begin_arm(); }

  std::string_view name() const override { return "sardana"; }
  std::string_view type_tag() const override { return sardana_type_tag; }

  void reset() override {
    begin_arm();
    in_arm_ = false;
  }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto found = examine(message.frames());
    if (found.what == kind::custom) return;
    auto& packet = packets.emplace_back();
    packet.fault = found.fault;
    packet.numbered = !found.fault;
    if (found.what == kind::description) {
      begin_arm();
      in_arm_ = true;
      packet.numbers.kind = entry_kind::start;
      if (!found.fault) packet.numbers.series = whole_not_negative(found.fields().find("serialno"));
    } else if (found.what == kind::end) {
      packet.numbers.kind = entry_kind::end;
      in_arm_ = false;
    } else if (found.what == kind::record) {
      number(found, packet);
    }
    if (!packet.fault) packet.data = entry(std::move(message), found);
  }

  void interrupted(std::vector<stream_packet>& packets) override {
    if (in_arm_ && numbering_ != numbering::present)
      packets.push_back({.fault = packet_fault::interrupted, .numbered = false});
  }

 private:
  /// Do the records of this arm have numbers?
  enum class numbering : std::uint8_t { unknown, present, absent };

  void begin_arm() {
    base_ = first_point_;
    numbering_ = numbering::unknown;
  }

  void number(const examined& found, stream_packet& packet) {
    auto point = found.body.as_map() ? whole_not_negative(found.fields().find("point_nb")) : std::nullopt;
    if (!point) {
      // It is the first of its arm, as far as we can tell: the next is no first any more.
      if (!base_) base_ = 0;
      packet.numbered = !packet.fault || numbering_ != numbering::present;
      if (numbering_ == numbering::unknown && !packet.fault) numbering_ = numbering::absent;
      return;
    }
    numbering_ = numbering::present;
    if (!base_) base_ = *point == 1 ? 1 : 0;
    packet.numbered = *point >= *base_;
    if (packet.numbered)
      packet.numbers.number = *point - *base_;
    else
      packet.fault = packet_fault::unknown;
  }

  static stream_data entry(stream_data message, const examined& found) {
    auto parts = message.frames();
    if (parts.size() == 1) return message;
    return stream_data(std::make_unique<text_frame>(
                           with_type(parts[1].text(), type_of(found.what), !found.fields().empty())),
                       sardana_type_tag);
  }

  std::optional<std::uint64_t> first_point_, base_;
  numbering numbering_ = numbering::unknown;
  bool in_arm_ = false;
};

std::optional<examined> good(const stream_data& data, kind what) {
  auto found = examine(data.frames());
  if (found.fault || found.what != what) return std::nullopt;
  return found;
}

std::vector<std::string> texts(const value* list) {
  std::vector<std::string> out;
  if (list && list->as_text()) out.push_back(*list->as_text());
  if (list && list->as_list())
    for (auto& item : *list->as_list())
      if (item.as_text()) out.push_back(*item.as_text());
  return out;
}

std::optional<double> number_in(const value& fields, const char* key) {
  auto found = fields.find(key);
  return found ? found->as_number() : std::nullopt;
}

sardana_column column_of(const value& fields) {
  sardana_column column;
  column.name = text_or_empty(fields.find("name"));
  column.label = text_or_empty(fields.find("label"));
  column.dtype = text_or_empty(fields.find("dtype"));
  column.instrument = text_or_empty(fields.find("instrument"));
  column.min_value = number_in(fields, "min_value");
  column.max_value = number_in(fields, "max_value");
  auto reference = fields.find("is_reference");
  column.is_reference = reference && reference->as_bool() && *reference->as_bool();
  auto shape = fields.find("shape");
  if (shape && shape->as_list())
    for (auto& extent : *shape->as_list()) column.shape.push_back(whole_not_negative(&extent).value_or(0));
  return column;
}

template <class T>
value optional_number(const std::optional<T>& number) {
  return number ? value(*number) : value();
}

value_map fields_of(const sardana_column& column) {
  return {{"name", column.name},
          {"label", column.label},
          {"dtype", column.dtype},
          {"shape", value_list(column.shape.begin(), column.shape.end())},
          {"min_value", optional_number(column.min_value)},
          {"max_value", optional_number(column.max_value)},
          {"instrument", column.instrument},
          {"is_reference", column.is_reference}};
}

value list_of(const std::vector<std::string>& texts) { return value_list(texts.begin(), texts.end()); }

} // namespace

std::unique_ptr<protocol> make_sardana(const protocol_options& options) {
  option_reader reader(options);
  auto first = reader.choice("first_point", {"0", "1", "auto"});
  reader.finish();
  return std::make_unique<sardana>(first == "auto" ? std::nullopt
                                                   : std::optional<std::uint64_t>(first == "1" ? 1 : 0));
}

std::string_view sardana_complaint(const stream_data& message) { return examine(message.frames()).complaint; }

std::optional<entry_kind> sardana_kind(const stream_data& data) {
  auto found = examine(data.frames());
  if (found.fault || found.what == kind::custom) return std::nullopt;
  if (found.what == kind::description) return entry_kind::start;
  return found.what == kind::end ? entry_kind::end : entry_kind::data;
}

std::optional<sardana_description> parse_sardana_description(const stream_data& data) {
  auto found = good(data, kind::description);
  if (!found) return std::nullopt;
  auto& fields = found->fields();
  sardana_description out;
  out.serialno = *whole(fields.find("serialno"));
  out.title = text_or_empty(fields.find("title"));
  out.scandir = text_or_empty(fields.find("scandir"));
  auto files = texts(fields.find("scanfile"));
  if (!files.empty()) out.scanfile = files.front();
  out.starttime = text_or_empty(fields.find("starttime"));
  auto columns = fields.find("column_desc");
  if (columns && columns->as_list())
    for (auto& column : *columns->as_list())
      if (column.as_map()) out.columns.push_back(column_of(column));
  out.ref_moveables = texts(fields.find("ref_moveables"));
  out.counters = texts(fields.find("counters"));
  out.estimatedtime = number_in(found->body, "estimatedtime");
  out.total_scan_intervals = whole(fields.find("total_scan_intervals"));
  out.fields = fields;
  return out;
}

std::optional<sardana_record> parse_sardana_record(const stream_data& data) {
  auto found = good(data, kind::record);
  if (!found) return std::nullopt;
  auto& fields = found->fields();
  sardana_record out;
  out.point_nb = whole_not_negative(fields.find("point_nb"));
  out.timestamp = *fields.find("timestamp")->as_number();
  for (auto& [name, content] : fields)
    if (name != "point_nb" && name != "timestamp" && name != "type")
      out.columns.set(name, with_array(content));
  return out;
}

std::string write_sardana_description(const sardana_description& description) {
  value_list columns;
  for (auto& column : description.columns) columns.emplace_back(fields_of(column));
  value_map fields{{"serialno", description.serialno},
                   {"title", description.title},
                   {"scandir", description.scandir},
                   {"scanfile", description.scanfile},
                   {"starttime", description.starttime},
                   {"column_desc", std::move(columns)},
                   {"ref_moveables", list_of(description.ref_moveables)},
                   {"counters", list_of(description.counters)},
                   {"estimatedtime", optional_number(description.estimatedtime)},
                   {"total_scan_intervals", optional_number(description.total_scan_intervals)}};
  for (auto& [name, content] : description.fields)
    if (!fields.find(name)) fields.set(name, content);
  return to_json(fields, false);
}

std::string write_sardana_record(const sardana_record& record) {
  value_map fields;
  if (record.point_nb) fields.set("point_nb", *record.point_nb);
  for (auto& [name, content] : record.columns) fields.set(name, content);
  fields.set("timestamp", record.timestamp);
  return to_json(fields, false);
}

std::string write_sardana_end() { return "{}"; }

stream_data sardana_message(std::string_view path, std::string_view body) {
  return memory_frames::of(sardana_type_tag, {path, body});
}

} // namespace dtranspose
