/// What somebody wants of a tomographic scan: the parameters of `tomo`, read.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "analysis/event_choice.hpp"
#include "analysis/image_plane.hpp"
#include "analysis/projection_filter.hpp"
#include "model/parameters.hpp"

namespace dtranspose {

/// What an image shows; the numbers are those of NXtomo.
enum class image_key : std::uint8_t { projection = 0, flat = 1, dark = 2 };

/// Which events are darks, or flats.
class reference_choice {
 public:
  reference_choice() : events_("") {}

  /// `count` of them from event `first` on, unless `ranges` has something in it. Throws
  /// std::invalid_argument, naming the parameter.
  reference_choice(std::string_view parameter, const std::string& ranges, std::uint64_t first,
                   std::uint64_t count);

  bool contains(std::uint64_t event) const;
  std::uint64_t expected() const { return by_count_ ? count_ : events_.most(); }

 private:
  event_choice events_;
  bool by_count_ = true;
  std::uint64_t first_ = 0, count_ = 0;
};

struct tomo_choice {
  std::string stream, channel, angle, rows_text;
  double degrees_per_unit = 1;
  event_choice rows{""};
  std::size_t binning = 1;
  std::uint64_t first = 0;
  reference_choice darks, flats;
  std::optional<double> centre; ///< nothing: looked for
  filter_window window = filter_window::ram_lak;

  /// Throws std::invalid_argument, naming the parameter.
  explicit tomo_choice(const parameters& settings);

  /// The rows that give slices, as far as the image has them.
  std::vector<std::size_t> rows_of(const plane_shape& image) const;
  image_key key_of(std::uint64_t event) const;

 private:
  void read_rows();
  void read_references(const parameters& settings);
  void read_centre(const std::string& text);
};

} // namespace dtranspose
