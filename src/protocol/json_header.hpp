/// The JSON headers of wire formats, read field by field. For the readers of formats only: it brings
/// simdjson along.
#pragma once

#include <cstring>
#include <optional>
#include <string_view>
#include <vector>

#include <simdjson.h>

#include "protocol/json_text.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

/// A whole number that is not negative, or nothing.
inline std::optional<std::uint64_t> whole_number(simdjson::ondemand::value value) {
  std::uint64_t number = 0;
  if (value.get_uint64().get(number)) return std::nullopt;
  return number;
}

/// A text, or an empty one for anything else. Points into the scratch memory of its reader.
inline std::string_view text_of(simdjson::ondemand::value value) {
  std::string_view text;
  return value.get_string().get(text) ? std::string_view() : text;
}

/// Reads one header after the other with memory that is reused. simdjson reads beyond the end of
/// its input, which a ZeroMQ message does not allow: hence the copy of what are some 100 bytes.
class json_header_reader {
 public:
  /// Calls `take(key, value)` for each field of the object in `text`, in its order: an unescaped key and a
  /// `simdjson::ondemand::value`. Returns why `text` is no JSON object, or nothing. Texts that were taken are
  /// valid until the next call.
  template <class F>
  std::optional<packet_fault> read(std::string_view text, F take, std::size_t limit = json_header_limit) {
    if (text.size() > limit) return packet_fault::oversized;
    if (scratch_.size() < text.size() + simdjson::SIMDJSON_PADDING)
      scratch_.resize(2 * text.size() + simdjson::SIMDJSON_PADDING);
    if (!text.empty()) std::memcpy(scratch_.data(), text.data(), text.size());
    simdjson::ondemand::document document;
    simdjson::ondemand::object object;
    auto input = simdjson::padded_string_view(scratch_.data(), text.size(), scratch_.size());
    if (parser_.iterate(input).get(document) || document.get_object().get(object))
      return packet_fault::not_json;
    for (auto field : object) {
      std::string_view key;
      simdjson::ondemand::value value;
      if (field.unescaped_key().get(key) || field.value().get(value)) return packet_fault::not_json;
      take(key, value);
    }
    bool at_end = document.current_location().error() == simdjson::OUT_OF_BOUNDS;
    return at_end ? std::nullopt : std::optional(packet_fault::not_json);
  }

 private:
  simdjson::ondemand::parser parser_;
  std::vector<char> scratch_ = std::vector<char>(1024);
};

} // namespace dtranspose
