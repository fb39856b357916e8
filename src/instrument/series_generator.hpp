/// Generated series: the messages that an instrument of some protocol would send for one scan.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "instrument/instrument_view.hpp"
#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/options.hpp"

namespace dtranspose {

/// What `[[simulate]]` asks for.
struct series_settings {
  std::uint64_t frames = 1000;               ///< data entries of each arm
  std::vector<std::size_t> shape = {64, 64}; ///< of a frame, where the protocol has arrays
  dtype type = dtype::uint16;                ///< of a frame, where the protocol leaves a choice
  std::uint64_t seed = 0;                    ///< equal seeds generate equal content
  protocol_options options = {};             ///< of the protocol, e.g. `header_detail`
  instrument_view view = {};                 ///< gives shape, type and content, if there is one
  std::uint64_t first_frame = 0;             ///< number of the first frame, as `view` counts
};

/// Makes one series, message by message. Used from one thread; what it made may be held and dropped in any,
/// also after this is gone.
class series_generator {
 public:
  virtual ~series_generator() = default;

  /// The next message in wire format; nothing after the last.
  virtual std::optional<stream_data> next() = 0;

  /// How many entries a receiver finds in all of it, the first start and the last end included.
  virtual std::uint64_t entries() const = 0;

  /// Messages for each frame, with which a rate of frames becomes one of messages.
  virtual double messages_per_frame() const { return 1; }
};

/// The generator of that protocol; null for a name that is none. Throws std::runtime_error that names what
/// cannot be generated: an unknown option, a shape or type that the protocol does not have, a view that is
/// not what its instruments see.
std::unique_ptr<series_generator> make_series(std::string_view protocol, const series_settings& settings);

} // namespace dtranspose
