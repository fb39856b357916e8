/// Recorded messages, sent again in wire format: their bytes as they were.
#pragma once

#include <vector>

#include "instrument/instrument.hpp"

namespace dtranspose {

/// Supplies these messages in order. A recording that does not fit into memory is a
/// `message_supply` of its own: any function that returns the next message.
message_supply recorded_messages(std::vector<stream_data> messages);

} // namespace dtranspose
