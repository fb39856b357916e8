/// Progress for many who look on at once: it is asked for once for all of them.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>

#include "http/control_server.hpp"

namespace dtranspose {

/// May be asked by any number of threads.
class progress_watch {
 public:
  struct reading {
    std::string body;          ///< as `progress` answers
    std::uint64_t version = 0; ///< rises when more than the time has changed; 0: nobody answered yet
  };

  explicit progress_watch(control_interface& system) : system_(system) {}

  /// As of a moment ago.
  reading read();

 private:
  control_interface& system_;
  std::mutex mutex_;
  reading latest_;
  std::string compared_; ///< the latest one without the time
  std::chrono::steady_clock::time_point asked_;
};

} // namespace dtranspose
