/// Messages of instruments as events bring them, written by the program's own writers.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "model/event.hpp"
#include "protocol/albaem.hpp"
#include "protocol/contrast.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose::streams {

inline std::vector<std::byte> bytes_of(std::string_view text) {
  auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

inline stream_data message(std::string_view type, std::vector<std::vector<std::byte>> parts) {
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), type);
}

inline stream_data text_message(std::string_view type, std::string_view text) {
  return message(type, {bytes_of(text)});
}

inline stream_data alba(std::map<std::uint32_t, double> channels, std::uint64_t frame = 0) {
  std::string text;
  write_albaem_reading(text, {.frame_number = frame, .timestamp = 0.5, .channels = std::move(channels)});
  return text_message(albaem_type_tag, text);
}

inline stream_data contrast(value_map fields) {
  return message(contrast_type_tag, {write_contrast_point({.dt = 1.5, .fields = std::move(fields)})});
}

inline stream_data contrast_start() {
  return message(contrast_type_tag, {write_contrast_scan({.status = contrast_status::started})});
}

inline stream_data xspress3_start(std::vector<std::string> tags = {}) {
  std::string text;
  write_xspress3_header(text, {.filename = "a.h5", .extra_tags = std::move(tags)});
  return text_message(xspress3_type_tag, text);
}

inline stream_data xspress3_end() {
  std::string text;
  write_xspress3_end(text);
  return text_message(xspress3_type_tag, text);
}

/// Spectra of as many detector elements as `dtc` has factors.
template <class T>
stream_data xspress3(const std::vector<T>& spectra, const std::vector<double>& dtc) {
  std::string header;
  write_xspress3_image(
      header, {.channels = dtc.size(), .bins = spectra.size() / dtc.size(), .type = name_of(dtype_for<T>())});
  std::vector<array> counters(8, array::of(std::vector<double>(dtc.size(), 0.0)));
  counters[7] = array::of(dtc);
  auto pixels = std::as_bytes(std::span(spectra));
  return message(xspress3_type_tag,
                 {bytes_of(header), {pixels.begin(), pixels.end()}, write_xspress3_meta(counters)});
}

/// An event of named streams; those of `missing` should be there and are not.
class made_event {
 public:
  made_event(std::vector<std::pair<std::string, stream_data>> entries, std::vector<std::string> missing = {},
             std::uint64_t number = 1)
      : number_(number) {
    for (auto& [name, data] : entries) {
      entries_.push_back({stream_index(static_cast<std::uint16_t>(names_.size())), std::move(data)});
      names_.push_back(name);
    }
    for (auto& name : missing) {
      missing_ |= std::uint64_t{1} << names_.size();
      names_.push_back(name);
    }
  }

  event view() const { return event(event_number(number_), entries_, names_, missing_); }

 private:
  std::uint64_t number_;
  stream_names names_;
  std::vector<stream_entry> entries_;
  std::uint64_t missing_ = 0;
};

} // namespace dtranspose::streams
