/// How a raw capture is to be read: it says neither the name of its stream nor its protocol.
#pragma once

#include <string>

#include "protocol/options.hpp"
#include "recording/wire_recording.hpp"

namespace dtranspose {

/// NAME=PROTOCOL or NAME=PROTOCOL,OPTION=VALUE,...
struct capture_choice {
  std::string text;
  std::string name;
  std::string protocol;
  protocol_options options;
};

/// What a wire recording says of itself.
capture_choice choice_in(const wire_description& what);

/// Throws std::runtime_error that says what is wrong with `text`.
capture_choice parse_capture_choice(const std::string& text);

/// What to say where such a choice is missing.
std::string how_to_choose();

} // namespace dtranspose
