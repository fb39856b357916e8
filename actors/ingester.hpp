/// Receives one stream, lets numbers say which event each frame belongs to, keeps it until it is committed
/// and sends it where it is assigned. Interprets no pixels and asks nobody per event.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "actors/recorder.hpp"
#include "cluster/bulk_carrier.hpp"
#include "model/ids.hpp"
#include "model/stream_queue.hpp"
#include "model/surroundings.hpp"
#include "source/source.hpp"

namespace dtranspose {

struct ingester_options {
  std::string stream;
  std::string protocol;   ///< name, for status
  bool numbered = true;   ///< does the protocol number its frames?
  bool startless = false; ///< has the protocol no start messages?
  /// Software-triggered: the stream whose frames say when a value is taken; empty: every event has its frame.
  std::string leader;
  std::vector<std::string> followers; ///< streams of which this one is the leader
  stream_queue::budget budget;
  std::uint64_t late_window = 64;
  std::chrono::nanoseconds rearm_timeout{}; ///< an early end is final after that
  std::chrono::nanoseconds stall_timeout{}; ///< a silent stream ends the scan after that; 0: never
  incarnation life;
  surroundings around;
  std::function<std::unique_ptr<source>()> make_source;
  /// Calls what it is given, which sends to the ingester, and may run actors in the thread of the source.
  std::function<void(const std::function<void()>&)> lend = {};
  bulk_outlet_factory outlets = {}; ///< ways for large frames to other processes; empty: they go in messages
  std::uint64_t bulk_from = 64 << 10; ///< bytes of an entry from which on its frames are large
  recording_options recording = {};
};

caf::actor spawn_ingester(caf::actor_system& system, ingester_options options);

} // namespace dtranspose
