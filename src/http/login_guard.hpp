/// Slows down who guesses tokens.
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <map>
#include <string>

namespace dtranspose {

/// Wrong tokens of one client within `wrong_token_window` before it has to wait, and clients remembered.
inline constexpr std::size_t wrong_tokens = 20;
inline constexpr auto wrong_token_window = std::chrono::seconds(10);
inline constexpr std::size_t guarded_clients = 1024;

/// Counts per client (`address_group`) what was tried. The tokens that a client has used before stay good
/// while it is blocked: else a page with an old token could keep everybody behind the same proxy out. For one
/// thread at a time.
class login_guard {
 public:
  using time = std::chrono::steady_clock::time_point;

  void failed(const std::string& client, time now) {
    auto& record = touch(client, now);
    record.failures[record.next++ % wrong_tokens] = now;
  }

  void accepted(const std::string& client, std::size_t token, time now) {
    auto& record = touch(client, now);
    if (knows(record, token)) return;
    record.used[record.next_used++ % record.used.size()] = token + 1;
  }

  /// Must this client wait, whatever else it tries?
  bool blocked(const std::string& client, time now) const {
    auto found = records_.find(client);
    if (found == records_.end() || found->second.next < wrong_tokens) return false;
    auto oldest = found->second.failures[found->second.next % wrong_tokens];
    return now - oldest < wrong_token_window;
  }

  bool has_used(const std::string& client, std::size_t token) const {
    auto found = records_.find(client);
    return found != records_.end() && knows(found->second, token);
  }

  std::size_t clients() const { return records_.size(); }

 private:
  struct record {
    time last;
    std::size_t next = 0, next_used = 0;
    std::array<time, wrong_tokens> failures{}; ///< the last ones, in a ring
    std::array<std::size_t, 8> used{};         ///< the last tokens that were right, counted from 1
  };

  static bool knows(const record& record, std::size_t token) {
    return std::ranges::find(record.used, token + 1) != record.used.end();
  }

  record& touch(const std::string& client, time now) {
    if (records_.size() >= guarded_clients && !records_.contains(client)) forget_one();
    auto& record = records_[client];
    record.last = now;
    return record;
  }

  void forget_one() {
    records_.erase(std::ranges::min_element(records_, {}, [](auto& one) { return one.second.last; }));
  }

  std::map<std::string, record> records_;
};

} // namespace dtranspose
