/// What one stream of a recording holds, gathered entry by entry.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "recording/recording_index.hpp"

namespace dtranspose {

class stream_survey {
 public:
  /// Images of one kind.
  struct image_kind {
    std::string_view compression;
    dtype type = dtype::uint16;
    std::vector<std::size_t> shape; ///< slowest axis first
    std::uint64_t count = 0;
  };

  void take(const stream_data& data, std::optional<double> time);

  std::uint64_t entries() const { return entries_; }
  std::uint64_t bytes() const { return bytes_; }
  /// In order of their appearance; of no more than 100 kinds.
  const std::vector<image_kind>& images() const { return images_; }
  const std::optional<recorded_span>& times() const { return times_; }
  /// Empty if there was none.
  const stream_data& first() const { return first_; }
  const stream_data& last() const { return last_; }

 private:
  void note_image(const stream_data& data);

  std::uint64_t entries_ = 0, bytes_ = 0;
  std::vector<image_kind> images_;
  std::optional<recorded_span> times_;
  stream_data first_, last_;
};

} // namespace dtranspose
