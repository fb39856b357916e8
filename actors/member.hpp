/// Stands for a process: joins the controller, knows which other processes its actors talk to, connects to
/// them directly and hands out their handles. Carries no data.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <cstdint>
#include <functional>
#include <string>

#include "actors/messages.hpp"
#include "model/ids.hpp"

namespace dtranspose {

struct member_options {
  member_info self;      ///< but for `member` and `address`, which come with `announce`
  std::string system;    ///< name of the cluster: processes of another are refused
  std::string version;   ///< of the program: processes of another are refused
  caf::actor controller; ///< of this process; null: one is joined
  std::string join_host; ///< where the process with the controller is, without one of its own
  std::uint16_t join_port = 0;
  caf::actor connector; ///< connects to other processes as CAF's middleman does; null: that one
  /// Called when a peer refuses us for good: there is no use in going on.
  std::function<void(const std::string&)> refused;
};

/// The process takes part once it has sent itself `dial_atom` with the address where its peers connect.
caf::actor spawn_member(caf::actor_system& system, member_options options);

} // namespace dtranspose
