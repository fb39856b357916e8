#include "recording/message_reader.hpp"

#include <utility>

#include "recording/capture.hpp"

namespace dtranspose {

std::unique_ptr<message_reader> read_messages(std::shared_ptr<const mapped_file> file,
                                              std::string_view type) {
  return std::make_unique<capture_reader>(std::move(file), type);
}

} // namespace dtranspose
