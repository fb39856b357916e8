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
#include "protocol/array_view.hpp"
#include "protocol/json_text.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view stins_type_tag = "STINS";

/// The reader. An image has one blob, or one for each index of its first axis. What it refuses:
///
/// | fault     | when                                                      | numbered |
/// | --------- | --------------------------------------------------------- | -------- |
/// | truncated | no parts at all                                           | no       |
/// |           | no blob, too few blobs, or an uncompressed one too short  | yes      |
/// | oversized | part 0 longer than `json_header_limit`                   | no       |
/// |           | too many blobs, or an uncompressed one too long           | yes      |
/// | not_json  | part 0 is no JSON object                                  | no       |
/// | unknown   | `htype` missing or of none of the three messages          | no       |
/// |           | image without a usable `frame`                            | no       |
/// |           | image without a usable `shape`, `type` or `compression`   | yes      |
///
/// Compressed blobs, and those of an element type that is none of ours, are not measured. An
/// unusable `msg_number` counts as missing. Values of extra keys are not checked.
std::unique_ptr<protocol> make_stins(const protocol_options& options = {});

/// `bslz4`: each blob is one chunk of HDF5's bitshuffle filter with its 12 bytes of header, which some
/// producers leave out: `bslz4_form` tells. `other`: a name that is neither of the two.
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

/// A start as analyses read it.
struct stins_header {
  std::optional<std::uint64_t> message_number;
  std::string filename; ///< empty where nothing is written: live view only
  value_map keys;       ///< all of part 0
  value_map metadata;   ///< of the scan, from part 1, as nested as it was sent; empty where there is none
};

/// An end.
struct stins_end {
  std::optional<std::uint64_t> message_number;
  value_map keys; ///< all of part 0
};

/// Nothing for whatever is no such message. Metadata that are no JSON object count as missing. Callable from
/// any thread.
std::optional<stins_header> parse_stins_header(const stream_data& data);
std::optional<stins_end> parse_stins_end(const stream_data& data);

/// All keys of part 0, those among them that are not known here, e.g. `exposure_time`. Empty for whatever is
/// no message of this format. Callable from any thread.
value_map stins_keys(const stream_data& data);

/// Start, image or end; nothing for whatever is no message of this format. Callable from any
/// thread.
std::optional<entry_kind> stins_kind(const stream_data& data);

/// What a sender says of an image in its part 0.
struct stins_image_header {
  std::uint64_t frame = 0;
  std::span<const std::size_t> shape;
  std::string_view type = "uint16";
  std::string_view compression = "none";
  std::string_view extra = {}; ///< further members as JSON, e.g. `"exposure_time":0.1`
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
