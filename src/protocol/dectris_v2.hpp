/// Dectris Stream V2: one CBOR item per message, with images of one or several channels. Reader for the
/// ingester, typed views for analyses, writers for senders. Nothing here looks at a pixel unless
/// `elements_of` is asked to.
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
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view dectris_v2_type_tag = "DECTRIS_V2";

/// The reader. `image_id` is the number, `series_id` the series, `number_of_images` the count on a start. It
/// takes no options. What it refuses:
///
/// | fault     | when                                                                 | numbered |
/// | --------- | -------------------------------------------------------------------- | -------- |
/// | truncated | no parts at all                                                      | no       |
/// |           | the item is cut off                                                  | if known |
/// | corrupt   | no valid CBOR, or bytes behind the item                              | if known |
/// | oversized | several parts, or more values or deeper nesting than our limits      | if known |
/// | unknown   | no map, or a `type` that is missing or of none of the three messages | no       |
/// |           | image without a usable `image_id`                                    | no       |
/// |           | image without a map `data`                                           | yes      |
///
/// "If known": what stood before the fault tells that it is a start or an end, or an image with its number.
/// An unusable `series_id` or `number_of_images` counts as missing. What is in `data` is not looked at.
std::unique_ptr<protocol> make_dectris_v2(const protocol_options& options = {});

/// Start, image or end; nothing for whatever the reader refuses. Callable from any thread.
std::optional<entry_kind> dectris_v2_kind(const stream_data& data);

/// A number as a fraction, in seconds where it is a time. As it came in: the denominator may be 0.
struct dectris_v2_rational {
  std::uint64_t numerator = 0;
  std::uint64_t denominator = 1;

  double value() const { return static_cast<double>(numerator) / static_cast<double>(denominator); }
  bool operator==(const dectris_v2_rational&) const = default;
};

/// An array as it came in. The view is valid as long as a copy of the stream data is, and of this.
struct dectris_v2_array {
  dtype type = dtype::uint16;
  bool big_endian = false;        ///< the elements, also when they are compressed
  std::vector<std::size_t> shape; ///< C order, slowest first: [rows, columns] of an image
  /// `none`, `lz4` or `bslz4`; nothing for one that we don't know.
  std::optional<codec> compression = codec::none;
  std::string algorithm = {};           ///< name of the compression; empty for none
  std::size_t element_size = 0;         ///< of the bit-shuffling, in bytes
  std::span<const std::byte> blob = {}; ///< product(shape) elements, or their compressed form
  /// Holds a blob that was sent in chunks.
  std::shared_ptr<const std::vector<std::byte>> joined = {};

  /// The elements where they lie; nothing if they are compressed or big endian.
  std::optional<array_view> plain() const;
};

/// The elements, decompressed and little endian. Throws corrupt_blob when they cannot be had, naming a
/// compression that is unknown. Callable from any thread.
array elements_of(const dectris_v2_array& from);

/// One image of several that were taken at the same time, e.g. `threshold_1`; or a table of its detector.
struct dectris_v2_channel {
  std::string name;
  dectris_v2_array data;
};

struct dectris_v2_start {
  std::uint64_t series = 0;
  std::string unique_id = {};                    ///< empty if there is none
  std::optional<std::uint64_t> number_of_images; ///< the whole series
  std::optional<std::uint64_t> image_size_x;     ///< columns
  std::optional<std::uint64_t> image_size_y;     ///< rows
  std::vector<std::string> channels;             ///< names, in the order of the detector
  std::vector<dectris_v2_channel> flatfield;     ///< [rows, columns] each; with `header_detail` all
  std::vector<dectris_v2_channel> pixel_mask;    ///< [rows, columns] each, 0 for good pixels
  std::optional<dectris_v2_array> countrate_table;
  /// Every key but `type`, `series_id`, `series_unique_id` and the three tables, those above included:
  /// `count_time` (s), `incident_energy` (eV), `detector_translation`, `threshold_energy` ..., `user_data`.
  value_map metadata;
};

struct dectris_v2_image {
  std::uint64_t series = 0;
  std::uint64_t image = 0;    ///< the instrument's number, from 0
  std::string unique_id = {}; ///< of the series; empty if there is none
  /// Seconds from the start of the series; `real_time` is how long was measured.
  std::optional<dectris_v2_rational> real_time, start_time, stop_time;
  std::string series_date = {}; ///< ISO 8601; empty if there is none
  std::vector<dectris_v2_channel> channels;
  std::optional<value> user_data;
  value_map metadata; ///< further keys
};

struct dectris_v2_end {
  std::uint64_t series = 0;
  std::string unique_id = {}; ///< empty if there is none
  value_map metadata;         ///< further keys
};

/// The message in `data`; nothing for other messages, for whatever the reader refuses, for one without
/// `series_id`, and for one with an array that is not readable: column-major ones (tag 1040) and elements of
/// 16 or 128 bits of floating-point are refused, uncompressed ones have exactly the length that they
/// announce, and compressed ones may announce 256 times their own. Metadata beyond the limits of
/// `protocol/cbor_value.hpp` are left out. Callable from any thread.
std::optional<dectris_v2_start> parse_dectris_v2_start(const stream_data& data);
std::optional<dectris_v2_image> parse_dectris_v2_image(const stream_data& data);
std::optional<dectris_v2_end> parse_dectris_v2_end(const stream_data& data);

/// Does a message begin with the tag that says that it is CBOR? Detectors send it.
enum class dectris_v2_tag : std::uint8_t { self_described, none };

/// Writers of whole messages: replace `out`, whose memory is used again. Of a start, what is in `metadata` is
/// written as it is there: the fields that repeat it are not looked at.
void write_dectris_v2_start(std::vector<std::byte>& out, const dectris_v2_start& start,
                            dectris_v2_tag tag = dectris_v2_tag::self_described);
void write_dectris_v2_image(std::vector<std::byte>& out, const dectris_v2_image& image,
                            dectris_v2_tag tag = dectris_v2_tag::self_described);
void write_dectris_v2_end(std::vector<std::byte>& out, const dectris_v2_end& end,
                          dectris_v2_tag tag = dectris_v2_tag::self_described);

} // namespace dtranspose
