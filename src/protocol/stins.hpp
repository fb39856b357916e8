/// STINS, the stream of MAX IV's streaming-receiver: JSON headers with raw or compressed images.
/// Reader for the ingester, typed view for analyses, writer for senders. Nothing here touches a
/// pixel.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view stins_type_tag = "STINS";

/// Longest part 0 that is read. Headers are some 100 bytes; a generous list of time stamps or spots
/// still fits, and nobody makes us index gigabytes of JSON.
inline constexpr std::size_t stins_header_limit = 1 << 20;
/// NumPy's own limit of dimensions.
inline constexpr std::size_t stins_dimension_limit = 32;

/// The reader. An image has one blob, or one for each index of its first axis. What it refuses:
///
/// | fault     | when                                                      | numbered |
/// | --------- | --------------------------------------------------------- | -------- |
/// | truncated | no parts at all                                           | no       |
/// |           | no blob, too few blobs, or an uncompressed one too short  | yes      |
/// | oversized | part 0 longer than `stins_header_limit`                   | no       |
/// |           | too many blobs, or an uncompressed one too long           | yes      |
/// | not_json  | part 0 is no JSON object                                  | no       |
/// | unknown   | `htype` missing or of none of the three messages          | no       |
/// |           | image without a usable `frame`                            | no       |
/// |           | image without a usable `shape`, `type` or `compression`   | yes      |
///
/// Compressed blobs, and those of an element type that is none of ours, are not measured. An
/// unusable `msg_number` counts as missing. Values of extra keys are not checked.
std::unique_ptr<protocol> make_stins();

/// `bslz4`: one chunk of HDF5's bitshuffle filter, with its 12 bytes of header. `other`: a name
/// that is neither of the two.
enum class stins_compression : std::uint8_t { none, bslz4, other };

/// An image as analyses read it. The views are valid as long as a copy of the stream data is.
struct stins_image {
  std::uint64_t frame = 0;                                 ///< the instrument's number, from 0
  std::vector<std::size_t> shape;                          ///< C order, slowest first
  dtype type = dtype::uint16;                              ///< of the elements, little endian
  stins_compression compression = stins_compression::none; ///< of the blobs
  std::span<const dtranspose::frame> blobs;                ///< one, or one for each index of the first axis
  std::span<const std::byte> pixels; ///< the blob if there is one; empty if there are several
};

/// The image in `data`; nothing for starts, ends and whatever the reader refuses, or when `type` is
/// no element type of ours. Uncompressed blobs have exactly the length that shape and type
/// announce. Callable from any thread.
std::optional<stins_image> parse_stins_image(const stream_data& data);

/// Start, image or end; nothing for whatever is no message of this format. Callable from any
/// thread.
std::optional<entry_kind> stins_kind(const stream_data& data);

/// What a sender says of an image in its part 0.
struct stins_image_header {
  std::uint64_t frame = 0;
  std::span<const std::size_t> shape;
  std::string_view type = "uint16";
  std::string_view compression = "none";
};

/// Writers of part 0: replace `out`, whose memory is reused. `sent_ns` is the sender's clock
/// (`CLOCK_REALTIME`), an extra key that is left out when there is none.
void write_stins_header(std::string& out, std::uint64_t message_number, std::string_view filename,
                        std::optional<std::int64_t> sent_ns = {});
void write_stins_image(std::string& out, std::uint64_t message_number, const stins_image_header& image,
                       std::optional<std::int64_t> sent_ns = {});
void write_stins_end(std::string& out, std::uint64_t message_number,
                     std::optional<std::int64_t> sent_ns = {});

} // namespace dtranspose
