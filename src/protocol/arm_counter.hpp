/// Tells a start that came twice from the start of another arm, for formats that number neither arms nor
/// messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace dtranspose {

/// Numbers arms from 1. A start with the very bytes of the one before is the same start again, unless an end
/// came in between.
class arm_counter {
 public:
  /// Takes a start; false if it is the same again.
  bool begin(std::string_view start) {
    if (open_ && start == start_) return false;
    start_ = start;
    open_ = true;
    ++arm_;
    return true;
  }

  void end() { open_ = false; }
  void reset() { *this = {}; }

  /// Of the last start; 0 before the first.
  std::uint64_t arm() const { return arm_; }

 private:
  std::string start_;
  std::uint64_t arm_ = 0;
  bool open_ = false;
};

} // namespace dtranspose
