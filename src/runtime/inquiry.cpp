#include "runtime/inquiry.hpp"

#include <caf/scoped_actor.hpp>

#include <stdexcept>

#include "actors/messages.hpp"
#include "model/error.hpp"

namespace dtranspose {

// A blocking actor keeps the time-out message of every request that was answered in time, so each
// question has an actor of its own.

progress ask_progress(caf::actor_system& system, const caf::actor& controller) {
  caf::scoped_actor self{system};
  progress result;
  self->request(controller, std::chrono::seconds(10), progress_atom::value)
      .receive([&](const progress& p) { result = p; },
               [](const caf::error& e) {
                 throw std::runtime_error("the controller does not answer: " + text_of(e));
               });
  return result;
}

std::string start_scan(caf::actor_system& system, const caf::actor& controller, std::string body, bool wrap) {
  caf::scoped_actor self{system};
  std::string result;
  self->request(controller, std::chrono::minutes(1), set_sequence{std::move(body), wrap})
      .receive([&](const std::string& id) { result = id; },
               [](const caf::error& e) { throw std::runtime_error(text_of(e)); });
  return result;
}

} // namespace dtranspose
