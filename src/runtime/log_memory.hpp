/// What this process logged last, for who asks over REST.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include <spdlog/sinks/sink.h>

namespace dtranspose {

class log_memory {
 public:
  struct record {
    double time = 0;   ///< seconds since 1970
    std::string level; ///< `DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`
    std::string text;  ///< as it was logged
    int rank = 0;      ///< of the level, rising
  };

  static constexpr std::size_t most_records = 2000;

  /// Adds itself to the default logger, for as long as the process lives.
  static std::shared_ptr<log_memory> attach();

  /// The last records of that level (in any case; `INFO` for names that are none) and above, oldest first.
  std::vector<record> last(const std::string& level) const;

 private:
  class memory_sink;

  void add(record r);

  mutable std::mutex mutex_;
  std::deque<record> records_;
};

} // namespace dtranspose
