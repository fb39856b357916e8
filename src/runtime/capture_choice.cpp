#include "runtime/capture_choice.hpp"

#include <algorithm>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "protocol/protocol.hpp"

namespace dtranspose {

namespace {

[[noreturn]] void fail(const std::string& text, const std::string& what) {
  throw std::runtime_error(fmt::format("--stream {}: {}", text, what));
}

/// Up to the next `separator`, which is taken from `rest` as well.
std::string_view before(std::string_view& rest, char separator) {
  auto piece = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), piece.size() + 1));
  return piece;
}

} // namespace

std::string how_to_choose() {
  return fmt::format("--stream NAME=PROTOCOL; known are {}", fmt::join(protocol_names(), ", "));
}

capture_choice choice_in(const wire_description& what) {
  return {.text = what.stream + "=" + what.protocol,
          .name = what.stream,
          .protocol = what.protocol,
          .options = what.options};
}

capture_choice parse_capture_choice(const std::string& text) {
  capture_choice choice{.text = text};
  std::string_view rest = text;
  choice.name = before(rest, '=');
  choice.protocol = before(rest, ',');
  if (choice.name.empty() || choice.name.find_first_of(": \t") != std::string::npos)
    fail(text, "expected a name without ':' and blanks, as in " + how_to_choose());
  if (!find_protocol(choice.protocol))
    fail(text, fmt::format("protocol '{}' is unknown: {}", choice.protocol, how_to_choose()));
  while (!rest.empty()) {
    auto option = before(rest, ',');
    auto equals = option.find('=');
    if (equals == std::string_view::npos || equals == 0)
      fail(text, "expected OPTION=VALUE behind the protocol");
    choice.options.emplace(option.substr(0, equals), option.substr(equals + 1));
  }
  try {
    static_cast<void>(make_protocol(choice.protocol, choice.options));
  } catch (const std::runtime_error& e) {
    fail(text, e.what());
  }
  return choice;
}

} // namespace dtranspose
