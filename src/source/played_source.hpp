/// What sources share that play files: a thread for each arming, batches within the allowance, and a status
/// that says when the end was reached.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "recording/event_runs.hpp"
#include "source/allowance.hpp"
#include "source/playback.hpp"
#include "source/source.hpp"

namespace dtranspose {

/// A batch ends at this many packets, or before it has more than this many payload bytes.
inline constexpr std::size_t recording_batch_packets = 256;
inline constexpr std::size_t recording_batch_bytes = 1 << 20;

/// How files are played.
struct play_options {
  std::shared_ptr<playback> pace = {};           ///< null: as fast as it is taken
  std::shared_ptr<const event_runs> events = {}; ///< the others are left out; null: none is
};

/// Gathers packets into batches and hands them over as far as they are allowed. Of one arming; used from the
/// thread that plays.
class batch_filler {
 public:
  batch_filler(allowance& allowed, const packet_sink& sink, const std::stop_token& stop, playback* pace)
      : allowance_(allowed), sink_(sink), stop_(stop), pace_(pace) {}

  /// Waits until what is of `event` and was recorded at `time` may be played; false when a stop was requested
  /// first.
  bool wait_until_due(std::uint64_t event, std::optional<double> time = {});

  /// Waits until a message of that payload may be added, and counts it; false when a stop was requested
  /// first.
  bool make_room(std::size_t size);

  /// Where its packets go.
  std::vector<stream_packet>& packets() { return batch_->packets; }

  /// Also where the messages held no packets: they count all the same.
  void hand_over();

 private:
  allowance& allowance_;
  const packet_sink& sink_;
  const std::stop_token& stop_;
  playback* pace_; ///< may be null
  std::shared_ptr<packet_batch> batch_ = std::make_shared<packet_batch>();
  std::size_t payload_ = 0; ///< of the batch
};

/// See `source`. A derived class calls `disarm` in its own destructor, before what it plays is gone.
class played_source : public source {
 public:
  void arm(packet_sink sink) override;
  void disarm() override;
  void allow(std::uint64_t bytes, std::uint64_t beyond) override { allowance_.allow(bytes, beyond); }
  source_status status() const override;

 protected:
  explicit played_source(std::string address, std::shared_ptr<playback> pace = {});

  /// Plays everything from its beginning, each message after `make_room`, in a thread of its own; returns
  /// early when that is refused or `stop` was requested. Returns why it ended before its end; empty
  /// otherwise.
  virtual std::string play(const std::stop_token& stop, batch_filler& batches) = 0;

 private:
  void run(const std::stop_token& stop, const packet_sink& sink);
  void report(bool connected, const std::string& error);

  const std::shared_ptr<playback> pace_;
  allowance allowance_;
  mutable std::mutex status_mutex_;
  source_status status_;
  std::mutex control_; ///< of `thread_`: arming and disarming exclude one another
  std::jthread thread_;
};

} // namespace dtranspose
