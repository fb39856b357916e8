#include "instrument/recorded_instrument.hpp"

#include <utility>

namespace dtranspose {

message_supply recorded_messages(std::vector<stream_data> messages) {
  return [messages = std::move(messages), next = std::size_t{0}]() mutable -> std::optional<stream_data> {
    if (next == messages.size()) return std::nullopt;
    return messages[next++];
  };
}

} // namespace dtranspose
