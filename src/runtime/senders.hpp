/// Simulated instruments that send to a running system, each in a thread of its own, up to the end of its
/// scan.
#pragma once

#include <atomic>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "actors/messages.hpp"
#include "instrument/faults.hpp"
#include "instrument/instrument.hpp"
#include "instrument/tcp_instrument.hpp"
#include "runtime/configuration.hpp"
#include "runtime/remote_controller.hpp"

namespace dtranspose {

/// The socket of an instrument of that stream: the other end of what its ingester opens. `rate`: messages per
/// second; 0: as fast as they are taken. `frame_bytes`: about so many, 0: small; bounds what waits for the
/// reader.
std::unique_ptr<instrument> sender_of(const stream_settings& stream, double rate, message_supply supply,
                                      line_answer answer = {}, std::uint64_t frame_bytes = 0);

class sender_group {
 public:
  /// `faults`: what goes wrong on request; `stop`: what ends its waiting.
  void add(std::string stream, std::unique_ptr<instrument> sender,
           std::shared_ptr<const fault_report> faults = nullptr,
           std::stop_source stop = std::stop_source(std::nostopstate));
  bool empty() const { return senders_.empty(); }

  void start();
  void stop();
  void join();

  bool done() const;     ///< all have ended
  bool complete() const; ///< and sent everything

  /// Of each: stream, address, messages, bytes, complete, and faults where some may be.
  nlohmann::json summary() const;
  /// What went wrong on request, by stream.
  value_map faults() const;

 private:
  struct sender {
    std::string stream;
    std::unique_ptr<instrument> socket;
    std::shared_ptr<const fault_report> faults;
    std::stop_source stop; ///< of waiting on request; of its thread there is another
    std::atomic<bool> done = false, complete = false;
    std::jthread thread = {};
  };

  std::vector<std::unique_ptr<sender>> senders_;
};

/// Follows the scan until it is over; nothing is waited for longer than its events stand still. Sets
/// `signalled` when a signal ended it.
std::optional<progress> follow(remote_controller& controller, const sender_group& senders, bool& signalled);

/// Nothing was folded, and more events came to grief than ended empty: not what anybody wants of a scan that
/// finished. Says so on standard error.
bool came_to_nothing(const progress& p);

/// What was sent and, if a scan was followed, what became of it, on standard output.
void print_sent(const sender_group& senders, const std::optional<progress>& last, bool as_json);

} // namespace dtranspose
