#include "error.hpp"

#include <caf/atom.hpp>
#include <caf/make_message.hpp>
#include <caf/message.hpp>

namespace dtranspose {

std::string to_string(ec code) {
  switch (code) {
  case ec::none:
    return "none";
  case ec::malformed:
    return "malformed";
  case ec::unavailable:
    return "unavailable";
  case ec::refused:
    return "refused";
  case ec::bad_analysis:
    return "bad analysis";
  case ec::file_error:
    return "file error";
  case ec::timed_out:
    return "timed out";
  case ec::superseded:
    return "superseded";
  case ec::not_found:
    return "not found";
  }
  return "unknown";
}

namespace {
constexpr auto category = caf::atom("dtranspose");
}

caf::error make_error(ec code, std::string text) {
  return caf::error(static_cast<std::uint8_t>(code), category, caf::make_message(std::move(text)));
}

std::optional<ec> code_of(const caf::error& error) {
  if (!error || error.category() != category) return std::nullopt;
  return static_cast<ec>(error.code());
}

std::string text_of(const caf::error& error) {
  if (!error) return "no error";
  if (auto code = code_of(error)) {
    if (error.context().match_elements<std::string>()) return error.context().get_as<std::string>(0);
    return to_string(*code);
  }
  return to_string(error);
}

} // namespace dtranspose
