/// The file that an instrument says it writes its raw data to.
#pragma once

#include <optional>
#include <string>

#include "model/frame.hpp"

namespace dtranspose {

/// What a start message announces: `filename` of `stins` and `xspress3`, the file of the scan of `contrast`.
/// Empty: nothing is to be saved. Nothing for any other message, and where a start says nothing of a file.
/// Callable from any thread.
std::optional<std::string> announced_file(const stream_data& data);

} // namespace dtranspose
