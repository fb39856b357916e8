/// How every actor of ours behaves where CAF's defaults would print to the terminal or end it.
#pragma once

#include <caf/actor.hpp>
#include <caf/error.hpp>
#include <caf/scheduled_actor.hpp>

namespace dtranspose {

/// Messages that nobody handles are logged and answered with an error; errors are logged; an exit message
/// ends the actor whatever its reason. A state that holds what must be let go before says so in `on_exit`.
void set_conduct(caf::scheduled_actor* self);

/// For answers to requests that nobody waits for.
void log_error(const char* actor, const char* what, const caf::error& error);

} // namespace dtranspose
