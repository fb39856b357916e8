/// Dectris Stream V1, which EIGER detectors send: JSON headers, compressed images, their shapes with the
/// fastest axis first. Reader for the ingester, typed views for analyses, writers for senders. Nothing here
/// touches a pixel.
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
#include "protocol/compression.hpp"
#include "protocol/json_text.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view eiger_v1_type_tag = "EIGER_LEGACY";

/// The reader. A start announces `nimages` * max(1, `ntrigger`) images where its configuration says so. What
/// it refuses:
///
/// | fault     | when                                                            | numbered        |
/// | --------- | --------------------------------------------------------------- | --------------- |
/// | truncated | no parts at all                                                 | no              |
/// |           | image of less than 4 parts                                      | yes             |
/// | oversized | part 0 longer than `json_header_limit`                          | no              |
/// |           | image of more than 5 parts, or with a part 1 that is too long   | yes             |
/// | not_json  | part 0 is no JSON object                                        | no              |
/// |           | part 1 of an image is none                                      | yes             |
/// | unknown   | `htype` missing or of none of the three messages                | no              |
/// |           | image without a usable `frame`                                  | no              |
/// |           | part 1 without its `htype`, or a usable `shape` or `type`       | yes             |
/// |           | an `encoding` that is none of ours, big endian ones among them  | yes             |
/// | corrupt   | a blob that is not as long as `size`, or as raw pixels must be  | yes             |
///
/// What a start or an end has behind its part 0 is never a reason to refuse it: the scan can be taken without
/// a flat field, a mask or a configuration that came incomplete, or with more parts than we know. An unusable
/// `series` counts as missing, a missing `size` is not compared, the times of an image are not looked at.
std::unique_ptr<protocol> make_eiger_v1(const protocol_options& options = {});

/// How pixels are encoded. Shuffled ones carry the size of the shuffling, which need not be that of the
/// pixels.
struct eiger_v1_encoding {
  codec how = codec::none;      ///< `none`, `lz4_block` or `bslz4`
  std::size_t element_size = 1; ///< of the bit-shuffling, in bytes
};

/// `<`, `lz4<`, `bs8-lz4<`, `bs16-lz4<`, `bs32-lz4<` and `bs64-lz4<`; nothing for any other name.
std::optional<eiger_v1_encoding> find_eiger_v1_encoding(std::string_view name);

/// How much a start tells.
enum class eiger_v1_detail : std::uint8_t { none, basic, all };

/// A start. The views are valid as long as a copy of the stream data is.
struct eiger_v1_header {
  std::optional<std::uint64_t> series;
  eiger_v1_detail detail = eiger_v1_detail::none; ///< also for a `header_detail` that is none of the three
  value_map config; ///< the detector's configuration as it is in the stream; empty where there is none
  /// Nothing where they are missing, or not as long as their shape says.
  std::optional<array_view> flatfield;       ///< float32, [rows, columns]
  std::optional<array_view> pixel_mask;      ///< uint32, [rows, columns]
  std::optional<array_view> countrate_table; ///< float32, [points, 2]: measured rate, true rate
  std::optional<std::string_view> appendix;  ///< any text
};

/// An image. The views are valid as long as a copy of the stream data is.
struct eiger_v1_image {
  std::optional<std::uint64_t> series;
  std::uint64_t frame = 0;         ///< the detector's number, from 0
  std::string hash;                ///< as it was sent: of what is not known
  std::vector<std::size_t> shape;  ///< C order: [rows, columns]; the stream has it the other way round
  dtype type = dtype::uint32;      ///< of the pixels; the largest number marks those that are masked
  eiger_v1_encoding encoding;      ///< of `blob`
  std::span<const std::byte> blob; ///< encoded pixels, C order, little endian
  /// Nanoseconds, of the detector's clock and a duration.
  std::optional<std::uint64_t> start_time, stop_time, real_time;
  std::optional<std::string_view> appendix; ///< any text
};

/// An end.
struct eiger_v1_end {
  std::optional<std::uint64_t> series;
  std::optional<std::string_view> appendix; ///< any text
};

/// Nothing for whatever is no such message, or is refused by the reader. Callable from any thread.
std::optional<eiger_v1_header> parse_eiger_v1_header(const stream_data& data);
std::optional<eiger_v1_image> parse_eiger_v1_image(const stream_data& data);
std::optional<eiger_v1_end> parse_eiger_v1_end(const stream_data& data);

/// All keys of part 0, those among them that are not known here. Empty for whatever is no message of this
/// format. Callable from any thread.
value_map eiger_v1_keys(const stream_data& data);

/// Writers of JSON parts: replace `out`, whose memory is reused. Shapes are given in C order. `sent_ns` is
/// the sender's clock (`CLOCK_REALTIME`), an extra key that is left out when there is none.
void write_eiger_v1_header(std::string& out, std::uint64_t series, eiger_v1_detail detail,
                           std::optional<std::int64_t> sent_ns = {});
/// Part 0 of an image.
void write_eiger_v1_image(std::string& out, std::uint64_t series, std::uint64_t frame, std::string_view hash,
                          std::optional<std::int64_t> sent_ns = {});
/// Part 1 of an image; `size` is that of its blob.
void write_eiger_v1_blob(std::string& out, std::span<const std::size_t> shape, dtype type,
                         std::string_view encoding, std::size_t size);
/// Part 3 of an image, in nanoseconds.
void write_eiger_v1_times(std::string& out, std::uint64_t start_time, std::uint64_t stop_time,
                          std::uint64_t real_time);
/// What precedes an array of a start. `htype` is `dflatfield-1.0`, `dpixelmask-1.0` or
/// `dcountrate_table-1.0`.
void write_eiger_v1_array(std::string& out, std::string_view htype, std::span<const std::size_t> shape,
                          dtype type);
void write_eiger_v1_end(std::string& out, std::uint64_t series, std::optional<std::int64_t> sent_ns = {});

} // namespace dtranspose
