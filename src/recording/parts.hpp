/// What dumps and raw captures have in common: the parts of a message as an array of strings.
#pragma once

#include <memory>
#include <string_view>

#include "model/frame.hpp"
#include "protocol/cbor_tokens.hpp"
#include "recording/mapped_file.hpp"

namespace dtranspose {

/// The message whose array of parts `start` begins. Its frames are views of `file`, which it keeps; parts of
/// indefinite length are put together. `type` is a constant or interned. Throws cbor::unreadable.
stream_data read_parts(cbor::token_reader& in, const cbor::token& start,
                       const std::shared_ptr<const mapped_file>& file, std::string_view type);

} // namespace dtranspose
