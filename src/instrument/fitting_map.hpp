/// The trigger map that fits what simulated instruments send.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace dtranspose {

struct simulated_stream {
  std::string name;
  std::uint64_t frames = 0; ///< data alone, without start and end
  std::uint64_t every = 1;  ///< a frame in events 0, every, 2 every, ... as long as there are any
  /// Before this frame it ends and starts again: two events more, in which nobody else has a frame.
  std::optional<std::uint64_t> rearmed = {};
};

/// Body of `POST /api/v1/sequence`, to be wrapped (`all_wrap`, the default) as every stream has a
/// start and an end. One constraint per event is shared by its streams; a stream without a frame
/// has `null`.
///
/// Long scans repeat parts of up to 1000 events, so that the body stays small: it is longest where
/// several streams have large values of `every` without a common divisor.
std::string fitting_map(std::span<const simulated_stream> streams);

} // namespace dtranspose
