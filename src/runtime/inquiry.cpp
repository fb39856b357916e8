#include "runtime/inquiry.hpp"

#include <caf/scoped_actor.hpp>
#include <fmt/format.h>

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

namespace {

/// More are for the ledger.
constexpr std::size_t most_told = 3;

std::string text_of_trouble(const value& trouble) {
  auto number = [&](const char* key) {
    auto found = trouble.find(key);
    return found ? found->as_number().value_or(0) : 0.0;
  };
  auto text = [&](const char* key) {
    auto found = trouble.find(key);
    return found && found->as_text() ? *found->as_text() : std::string();
  };
  return fmt::format("events {:.0f} to {:.0f} {}: {}", number("first"), number("last"), text("fate"),
                     text("cause"));
}

} // namespace

std::vector<std::string> ask_troubles(caf::actor_system& system, const caf::actor& controller) {
  caf::scoped_actor self{system};
  std::vector<std::string> texts;
  self->request(controller, std::chrono::seconds(10), ledger_atom::value)
      .receive(
          [&](const value& ledger) {
            auto troubles = ledger.find("troubles");
            if (!troubles || !troubles->as_list()) return;
            for (auto& trouble : *troubles->as_list())
              if (texts.size() < most_told) texts.push_back(text_of_trouble(trouble));
          },
          [](const caf::error&) {});
  return texts;
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
