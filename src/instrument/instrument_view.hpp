/// What an instrument sees: the content of its messages where something real is imitated. Without one,
/// generators make their content up.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

// Everything here is a function of the number of the frame, counted from 0 over the whole scan: the same
// frame has the same content however often and in whatever order it is asked for. Callable from any thread.

class camera_view {
 public:
  virtual ~camera_view() = default;
  virtual dtype type() const = 0;
  virtual std::vector<std::size_t> shape() const = 0; ///< [rows, columns]
  /// All of `pixels`, whose size is that of the image.
  virtual void fill(std::uint64_t frame, std::span<std::byte> pixels) const = 0;
  /// The same pixels as `codec::bslz4`.
  virtual std::vector<std::byte> compressed(std::uint64_t frame) const;
};

/// What a spectrometer counts beside its spectra, one of each for every channel of the detector.
struct spectrometer_counters {
  std::vector<std::uint32_t> events;      ///< photons that were counted
  std::vector<std::uint32_t> reset_ticks; ///< of its clock, in which it was blind beside the events
};

class spectrometer_view {
 public:
  virtual ~spectrometer_view() = default;
  virtual std::size_t channels() const = 0;
  virtual std::size_t bins() const = 0;
  virtual double exposure_s() const = 0;
  /// All of `spectra`, [channels, bins].
  virtual spectrometer_counters fill(std::uint64_t frame, std::span<std::uint32_t> spectra) const = 0;
};

/// A number that is read out with every frame.
struct reading_column {
  std::string name;
  std::string unit;
  double step = 1e-6; ///< what it is a multiple of, where an instrument sends whole numbers
};

class readings_view {
 public:
  virtual ~readings_view() = default;
  virtual std::vector<reading_column> columns() const = 0;
  /// One number for each column.
  virtual std::vector<double> at(std::uint64_t frame) const = 0;
  /// The command by which people would have begun the scan.
  virtual std::string title() const { return {}; }
};

/// One of them at most.
struct instrument_view {
  std::shared_ptr<const camera_view> camera = {};
  std::shared_ptr<const spectrometer_view> spectrometer = {};
  std::shared_ptr<const readings_view> readings = {};

  bool empty() const { return !camera && !spectrometer && !readings; }
};

} // namespace dtranspose
