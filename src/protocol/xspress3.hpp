/// Xspress3, fluorescence detectors' spectra as MAX IV publishes them: a JSON header, the spectra, and
/// pickled counters for the dead time. Reader for the ingester, decoders for analyses, writers for senders.
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

inline constexpr std::string_view xspress3_type_tag = "xspress";
/// Longest counters of one image. Real ones have some 700 bytes for 4 channels.
inline constexpr std::size_t xspress3_meta_limit = std::size_t{1} << 20;

/// The reader. An image is one message of three parts, or three messages that follow one another: an entry
/// has three parts either way. A header message in the place of spectra or counters says that those are lost.
/// What is no header before the first header is left over from an image that began earlier, and no fault, up
/// to the two messages that this can be. What it refuses:
///
/// | fault     | when                                                              | numbered |
/// | --------- | ----------------------------------------------------------------- | -------- |
/// | truncated | no parts at all                                                   | no       |
/// |           | image of two parts, or of which messages are lost                 | yes      |
/// |           | spectra shorter than shape and type announce                      | yes      |
/// | oversized | a header longer than `json_header_limit`                          | no       |
/// |           | image of more than three parts, spectra or counters too long      | yes      |
/// | not_json  | no JSON object where a header must be                             | no       |
/// | unknown   | `htype` missing or of none of the three messages                  | no       |
/// |           | image without a usable `frame`                                    | no       |
/// |           | image without `shape` [channels, bins] or a `type` of ours        | yes      |
/// |           | a `compression` other than "none"; missing is none                | yes      |
///
/// `frame` may begin at 0 again within a series: a frame 0 whose spectra are not those of the one before has
/// `restarts`, the same again has not. `series` of a start counts starts in the same way. A message that can
/// be neither spectra nor counters of the open image is passed over (unknown, not numbered). What the
/// counters hold is not looked at, nor are further parts of headers and ends.
std::unique_ptr<protocol> make_xspress3(const protocol_options& options = {});

/// Start, image or end; nothing for whatever is no entry of this format. Callable from any thread.
std::optional<entry_kind> xspress3_kind(const stream_data& data);

/// What begins a series.
struct xspress3_header {
  std::string filename;
  bool overwritable = false;
  std::optional<array> limits;         ///< [2, channels, 2], int64: of the windows in which counts are summed
  std::vector<std::string> extra_tags; ///< names of the counters, if the sender gives them
  value_map extra;                     ///< all other keys
};

/// The start in `data`; nothing for anything else. What is missing is empty. Callable from any thread.
std::optional<xspress3_header> parse_xspress3_header(const stream_data& data);

/// An image. The views are valid as long as a copy of the stream data is.
struct xspress3_image {
  std::uint64_t frame = 0;         ///< the instrument's number, which may begin at 0 again
  double exptime = 1;              ///< in s; 1 if the sender does not say
  array_view spectra;              ///< counts, [channels, bins]
  std::span<const std::byte> meta; ///< the counters, pickled
};

/// The image in `data`; nothing for starts, ends and whatever the reader refuses. Callable from any thread.
std::optional<xspress3_image> parse_xspress3_image(const stream_data& data);

/// Everything in the JSON header of a start, image or end; empty for anything else. Callable from any thread.
value_map xspress3_fields(const stream_data& data);

/// The counters of one image. In their order, [channels] each, by their names:
///
/// | name         | in extra_tags        | type    |                                             |
/// | ------------ | -------------------- | ------- | ------------------------------------------- |
/// | ocr          | output_count_rate    | float64 |                                             |
/// | AllEvents    | all_events           | uint32  |                                             |
/// | AllGood      | all_good             | uint32  |                                             |
/// | ClockTicks   | clock_ticks          | uint32  | of 12.5 ns                                  |
/// | TotalTicks   | total_ticks          | uint32  | likewise                                    |
/// | ResetTicks   | reset_ticks          | uint32  | likewise                                    |
/// | event_widths | event_width          | int32   |                                             |
/// | dtc          | dead_time_correction | float64 | a factor                                    |
/// |              | window_counts        | uint32  | [2, channels]; only newer senders have them |
struct xspress3_meta {
  struct counter {
    std::string name;
    array values;
  };
  std::vector<counter> counters;

  /// The counter of that name, whichever of the two names of the table it has here; null if it isn't there.
  const array* find(std::string_view name) const;
  /// The same as numbers in C order; nothing if it isn't there. `numbers("dtc")` corrects for the dead time.
  std::optional<std::vector<double>> numbers(std::string_view name) const;
};

/// The counters of the image in `data`, named by `names`, a header's `extra_tags`; where those say nothing by
/// the first names of the table, and by `window_counts`, `meta9`, ... Nothing for anything else than eight or
/// more arrays. Callable from any thread.
std::optional<xspress3_meta> parse_xspress3_meta(const stream_data& data,
                                                 std::span<const std::string> names = {});

/// What a sender says of an image.
struct xspress3_image_header {
  std::uint64_t frame = 0;
  std::optional<double> exptime = {};
  std::size_t channels = 0, bins = 0;
  std::string_view type = "uint32";
  std::optional<std::string_view> compression = "none";
};

/// Writers of headers: replace `out`, whose memory is reused. `sent_ns` is the sender's clock
/// (`CLOCK_REALTIME`), an extra key that is left out when there is none. Of a start only what is there is
/// written; its `extra` is not.
void write_xspress3_header(std::string& out, const xspress3_header& header,
                           std::optional<std::int64_t> sent_ns = {});
void write_xspress3_image(std::string& out, const xspress3_image_header& image,
                          std::optional<std::int64_t> sent_ns = {});
void write_xspress3_end(std::string& out, std::optional<std::int64_t> sent_ns = {});
/// Counters in the order of the table. Senders have used pickle protocols 3 and 4.
std::vector<std::byte> write_xspress3_meta(std::span<const array> counters, int protocol = 4);

} // namespace dtranspose
