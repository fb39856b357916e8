/// Faults on request: what goes wrong between an instrument and us, in a way that can be had again.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "instrument/instrument.hpp"
#include "model/value.hpp"
#include "protocol/options.hpp"

namespace dtranspose {

/// Silence before a frame.
struct silence {
  std::uint64_t at = 0;
  std::chrono::nanoseconds length{0};
};

/// What `faults` of `[[simulate]]` asks for. Frames are counted from 0 over the whole scan.
struct fault_settings {
  double drop = 0;                   ///< probability that a frame, which has its number, is not sent
  double duplicate = 0;              ///< probability that a frame is sent twice
  std::chrono::nanoseconds delay{0}; ///< frames are late by up to so much, and still in order
  std::optional<silence> stall_before = {};
  std::optional<std::uint64_t> cut_off = {}; ///< neither this frame nor anything behind it is sent
  std::optional<std::uint64_t> rearm = {};   ///< before this frame the series ends, and another begins
  std::uint64_t seed = 0;

  /// Is there anything for `faulty_supply` to do?
  bool any() const { return drop > 0 || duplicate > 0 || delay.count() > 0 || stall_before || cut_off; }
};

/// What becomes of a frame: a function of settings and number alone.
bool is_dropped(const fault_settings& faults, std::uint64_t frame);
bool is_duplicated(const fault_settings& faults, std::uint64_t frame);
std::chrono::nanoseconds delay_of(const fault_settings& faults, std::uint64_t frame);

/// What went wrong so far. From any thread.
class fault_report {
 public:
  struct content {
    std::vector<std::uint64_t> dropped, duplicated;         ///< frames
    std::optional<std::uint64_t> stalled, cut_off, rearmed; ///< before this frame
  };

  void dropped(std::uint64_t frame, std::uint64_t count) { add(&content::dropped, frame, count); }
  void duplicated(std::uint64_t frame, std::uint64_t count) { add(&content::duplicated, frame, count); }
  void stalled(std::uint64_t frame) { note(&content::stalled, frame); }
  void cut_off(std::uint64_t frame) { note(&content::cut_off, frame); }
  void rearmed(std::uint64_t frame) { note(&content::rearmed, frame); }

  content so_far() const;
  /// The same as a tree; what did not happen is left out, but for the two lists.
  value_map tree() const;

 private:
  void add(std::vector<std::uint64_t> content::*list, std::uint64_t frame, std::uint64_t count);
  void note(std::optional<std::uint64_t> content::*what, std::uint64_t frame);

  mutable std::mutex mutex_;
  content content_;
};

/// Supplies what `good` does, with its faults. Which message holds which frames is found out by the reader of
/// that protocol; what is hit is a message with all of its frames, or all messages of a frame. Waiting ends
/// when `stop` is asked to. `report` is told.
message_supply faulty_supply(message_supply good, const fault_settings& faults, std::string_view protocol,
                             const protocol_options& reader_options, std::stop_token stop,
                             std::shared_ptr<fault_report> report);

} // namespace dtranspose
