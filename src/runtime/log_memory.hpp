/// What this process logged last, and what others logged that went wrong, for who asks over REST.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <spdlog/sinks/sink.h>

#include "model/value.hpp"

namespace dtranspose {

class log_memory {
 public:
  struct record {
    double time = 0;            ///< seconds since 1970
    std::string level;          ///< `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`
    std::string text;           ///< as it was logged
    int rank = 0;               ///< of the level, rising
    std::string component = {}; ///< the process that logged it; empty: this one
  };

  static constexpr std::size_t most_records = 2000;
  /// Of one call of `take_warnings`, and bytes of their texts.
  static constexpr std::size_t most_warnings = 100, longest_warning = 2000;

  /// Adds itself to the default logger, for as long as the process lives.
  static std::shared_ptr<log_memory> attach();

  /// The last records of that level (in any case; `INFO` for names that are none) and above, oldest first.
  std::vector<record> last(const std::string& level) const;

  /// Records since `position`, which moves to the newest; those that are kept still. From 0 on: none.
  std::vector<record> since(std::uint64_t& position) const;

  /// Warnings and errors of this process since the last call, the newest ones if there are too many, for
  /// `add_of_others` of another process.
  value_list take_warnings();

  /// What another process sent; what is no record is left out.
  void add_of_others(const std::string& component, const value& records);

 private:
  class memory_sink;

  void add(record r);

  std::vector<record> newer_than(std::uint64_t position) const;

  mutable std::mutex mutex_;
  std::deque<record> records_;
  std::uint64_t added_ = 1; ///< records so far, and one
  std::uint64_t taken_ = 1; ///< of these, those that `take_warnings` has seen
};

} // namespace dtranspose
