/// Reading what dumps hold: they know the type of a stream, not the protocol that it came by.
#pragma once

#include <memory>
#include <string_view>

#include "protocol/protocol.hpp"

namespace dtranspose {

/// A reader of the protocol whose stream data are of that type, with its default options; null where there is
/// none, or where it cannot do without options.
std::unique_ptr<protocol> reader_of_type(std::string_view type);

/// Are the entries of streams of that type the messages as they were received, so that their reader makes the
/// same of them again? Not where a message was split into rows, or several were put together.
bool entries_are_messages(std::string_view type);

} // namespace dtranspose
