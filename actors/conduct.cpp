#include "actors/conduct.hpp"

#include <caf/exit_reason.hpp>
#include <caf/message.hpp>
#include <caf/sec.hpp>
#include <caf/system_messages.hpp>
#include <caf/type_erased_tuple.hpp>
#include <spdlog/spdlog.h>

#include "model/error.hpp"

namespace dtranspose {

void set_conduct(caf::scheduled_actor* self) {
  self->set_default_handler([](caf::scheduled_actor* me, caf::message_view&) -> caf::result<caf::message> {
    spdlog::warn("{}: dropped a message that it does not know", me->name());
    return caf::sec::unexpected_message;
  });
  self->set_error_handler(
      [](caf::scheduled_actor* me, caf::error& e) { spdlog::warn("{}: {}", me->name(), text_of(e)); });
  self->set_exit_handler([](caf::scheduled_actor* me, caf::exit_msg& m) { me->quit(m.reason); });
  self->set_down_handler([](caf::scheduled_actor*, caf::down_msg&) {});
  self->set_exception_handler([](caf::scheduled_actor* me, std::exception_ptr& e) -> caf::error {
    try {
      std::rethrow_exception(e);
    } catch (const std::exception& x) {
      spdlog::critical("{}: ended by an exception: {}", me->name(), x.what());
    } catch (...) {
      spdlog::critical("{}: ended by an exception", me->name());
    }
    return caf::sec::runtime_error;
  });
}

void log_error(const char* actor, const char* what, const caf::error& error) {
  spdlog::warn("{}: {}: {}", actor, what, text_of(error));
}

} // namespace dtranspose
