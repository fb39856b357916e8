/// Stands for a process: joins the controller, knows which other processes its actors talk to, connects to
/// them directly and hands out their handles. Carries no data.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>

#include "actors/messages.hpp"
#include "model/ids.hpp"
#include "runtime/quantities.hpp"

namespace dtranspose {

struct member_options {
  member_info self;      ///< but for `member` and `address`, which come with `announce`
  std::string system;    ///< name of the cluster: processes of another are refused
  std::string version;   ///< of the program: processes of another are refused
  caf::actor controller; ///< of this process; null: one is joined
  std::string join_host; ///< where the process with the controller is, without one of its own
  std::uint16_t join_port = 0;
  caf::actor connector; ///< connects to other processes as CAF's middleman does; null: that one
  std::function<std::uint64_t()> random; ///< makes it somebody else when it was given up
  std::chrono::nanoseconds heartbeat = std::chrono::seconds(1); ///< between two signs of life
  std::function<std::int64_t()> steady;                         ///< ns; empty: no signs of life are given
  /// How long two processes that the controller reaches may fail to reach each other.
  std::chrono::nanoseconds timeout = std::chrono::seconds(5);
  /// Where to connect to reach a host and port, e.g. through a tunnel; empty: there.
  std::function<host_and_port(const std::string&, std::uint16_t)> route;
  /// Called when a peer refuses us for good: there is no use in going on.
  std::function<void(const std::string&)> refused;
  /// What this process logged that the controller should know, since the last call: asked for with every sign
  /// of life; empty: nothing is told.
  std::function<value_list()> warnings;
  /// Called where the controller is, with what another process logged.
  std::function<void(const std::string& process, const value&)> warned;
};

/// The process takes part once it has sent itself `dial_atom` with the address where its peers connect.
caf::actor spawn_member(caf::actor_system& system, member_options options);

} // namespace dtranspose
