#include "protocol/contrast.hpp"

#include <array>
#include <cstring>
#include <iterator>
#include <utility>

#include "protocol/pickle.hpp"

namespace dtranspose {

namespace {

//  Every message is one part: a pickle of one dict, keys in any order.
//
//  status       further keys
//  heartbeat    none; every 10 s or so, in scans too
//  started      scannr int, path text, description text, snapshot dict
//  running      dt float, and one key for each motor and detector
//  finished     as started
//  interrupted  as started

constexpr std::array<std::string_view, 5> status_names = {"heartbeat", "started", "running", "finished",
                                                          "interrupted"};

std::optional<contrast_status> status_in(const value& content) {
  auto status = content.find("status");
  auto text = status ? status->as_text() : nullptr;
  if (!text) return std::nullopt;
  for (std::size_t i = 0; i < status_names.size(); ++i)
    if (status_names[i] == *text) return static_cast<contrast_status>(i);
  return std::nullopt;
}

std::optional<entry_kind> kind_of(contrast_status status) {
  switch (status) {
  case contrast_status::heartbeat:
    return std::nullopt;
  case contrast_status::started:
    return entry_kind::start;
  case contrast_status::running:
    return entry_kind::data;
  default:
    return entry_kind::end;
  }
}

/// A message and what it says.
struct examined {
  value content;
  std::optional<contrast_status> status;
  std::optional<packet_fault> fault;
};

examined examine(std::span<const frame> parts) {
  examined message;
  if (parts.empty())
    message.fault = packet_fault::truncated;
  else if (parts.size() > 1 || parts[0].size() > contrast_message_limit)
    message.fault = packet_fault::oversized;
  if (message.fault) return message;
  try {
    message.content = read_pickle(parts[0].bytes());
  } catch (const pickle_error&) {
    message.fault = packet_fault::corrupt;
    return message;
  }
  message.status = status_in(message.content);
  if (!message.status) message.fault = packet_fault::unknown;
  return message;
}

class contrast final : public protocol {
 public:
  std::string_view name() const override { return "contrast"; }
  std::string_view type_tag() const override { return contrast_type_tag; }
  bool numbered() const override { return false; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    auto found = examine(message.frames());
    if (found.fault) {
      packets.push_back({.fault = found.fault, .numbered = found.fault != packet_fault::unknown});
    } else if (auto kind = kind_of(*found.status)) {
      in_scan_ = *kind != entry_kind::end && (in_scan_ || *kind == entry_kind::start);
      packets.push_back({.data = std::move(message), .numbers = {.kind = *kind}});
    }
  }

  void reset() override { in_scan_ = false; }

  void interrupted(std::vector<stream_packet>& packets) override {
    if (in_scan_) packets.push_back({.fault = packet_fault::interrupted, .numbered = false});
  }

 private:
  bool in_scan_ = false; ///< behind a start and before its end
};

std::string text_of(const value& field) {
  auto text = field.as_text();
  return text ? *text : std::string();
}

std::optional<std::int64_t> whole_of(const value& field) {
  auto number = std::get_if<std::int64_t>(&field.content());
  return number ? std::optional(*number) : std::nullopt;
}

void take(const value_map::entry& field, contrast_scan& scan) {
  auto& [name, content] = field;
  if (name == "status") return;
  if (name == "scannr")
    scan.scannr = whole_of(content);
  else if (name == "path")
    scan.path = text_of(content);
  else if (name == "description")
    scan.description = text_of(content);
  else if (name == "snapshot" && content.as_map())
    scan.snapshot = *content.as_map();
  else
    scan.extra.set(name, content);
}

} // namespace

std::unique_ptr<protocol> make_contrast(const protocol_options& options) {
  option_reader(options).finish();
  return std::make_unique<contrast>();
}

std::string_view name_of(contrast_status status) { return status_names[static_cast<std::size_t>(status)]; }

std::optional<contrast_status> contrast_status_of(const stream_data& data) {
  return examine(data.frames()).status;
}

std::optional<entry_kind> contrast_kind(const stream_data& data) {
  auto status = contrast_status_of(data);
  return status ? kind_of(*status) : std::nullopt;
}

std::optional<contrast_scan> parse_contrast_scan(const stream_data& data) {
  auto found = examine(data.frames());
  if (!found.status) return std::nullopt;
  auto kind = kind_of(*found.status);
  if (kind != entry_kind::start && kind != entry_kind::end) return std::nullopt;
  contrast_scan scan;
  scan.status = *found.status;
  for (auto& field : *found.content.as_map()) take(field, scan);
  return scan;
}

std::optional<contrast_point> parse_contrast_point(const stream_data& data) {
  auto found = examine(data.frames());
  if (found.status != contrast_status::running) return std::nullopt;
  contrast_point point;
  for (auto& [name, content] : *found.content.as_map()) {
    if (name == "dt")
      point.dt = contrast_number(content).value_or(0);
    else if (name != "status")
      point.fields.set(name, content);
  }
  return point;
}

const value* contrast_point::find(std::string_view name, std::string_view inner) const {
  auto field = fields.find(name);
  return field && !inner.empty() ? field->find(inner) : field;
}

std::optional<double> contrast_point::number(std::string_view name, std::string_view inner) const {
  auto field = find(name, inner);
  return field ? contrast_number(*field) : std::nullopt;
}

std::optional<double> contrast_number(const value& field) {
  auto elements = field.as_array();
  if (!elements) return field.as_number();
  if (elements->size() != 1 || elements->bytes().empty()) return std::nullopt;
  return visit_dtype(elements->type(), [&](auto element) {
    std::memcpy(&element, elements->bytes().data(), sizeof element);
    return static_cast<double>(element);
  });
}

std::optional<contrast_link> contrast_link_of(const value& field) {
  auto type = field.find("type");
  if (!type || text_of(*type) != "Link") return std::nullopt;
  contrast_link link;
  if (auto filename = field.find("filename")) link.filename = text_of(*filename);
  if (auto path = field.find("path")) link.path = text_of(*path);
  auto universal = field.find("universal");
  link.universal = universal && universal->as_bool() && *universal->as_bool();
  return link;
}

value to_value(const contrast_link& link) {
  return value_map{
      {"type", "Link"}, {"filename", link.filename}, {"path", link.path}, {"universal", link.universal}};
}

std::vector<std::byte> write_contrast_heartbeat() {
  return write_pickle(value_map{{"status", "heartbeat"}}, 4);
}

std::vector<std::byte> write_contrast_scan(const contrast_scan& scan) {
  value_map content;
  if (scan.scannr) content.set("scannr", *scan.scannr);
  content.set("status", name_of(scan.status));
  content.set("path", scan.path);
  content.set("snapshot", scan.snapshot);
  content.set("description", scan.description);
  for (auto& [name, field] : scan.extra) content.set(name, field);
  return write_pickle(content, 2);
}

std::vector<std::byte> write_contrast_point(const contrast_point& point) {
  value_map content = point.fields;
  content.set("dt", point.dt);
  content.set("status", name_of(contrast_status::running));
  return write_pickle(content, 2);
}

} // namespace dtranspose
