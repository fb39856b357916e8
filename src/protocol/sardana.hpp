/// Sardana's HTTP recorder: it posts a JSON description of a scan, a record for each point, and an end.
/// Reader for the ingester, typed views for analyses, writers for senders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view sardana_type_tag = "sardana";

/// Where the recorder posts to.
inline constexpr std::string_view sardana_description_path = "/v1/data_desc";
inline constexpr std::string_view sardana_record_path = "/v1/record_data";
inline constexpr std::string_view sardana_custom_path = "/v1/custom_data";
inline constexpr std::string_view sardana_end_path = "/v1/record_end";

/// Longest body that is read. A spectrum of 4096 channels takes some 40 kB as text; values take many times
/// the bytes of their text, so it can't be much more than what is needed.
inline constexpr std::size_t sardana_body_limit = std::size_t{8} << 20;
/// Most keys in a body, colons in texts counted along: maps are searched from their beginning, and no
/// scan has thousands of columns.
inline constexpr std::size_t sardana_key_limit = 20'000;

/// The reader. A message has two parts, the path it was posted to and the body, or one: a body with its
/// `type`. An entry is one part: the body as it came with
/// `"type":"DataDescription"`, `"RecordData"` or `"RecordEnd"` appended to its fields, unless it had that.
/// Custom data are no entries.
///
/// `number` is `point_nb` less the first number of the arm, where a record has it; a record without is
/// matched by its position. `series` is `serialno`, which only the description has.
///
/// | option      | values     |                                                                     |
/// | ----------- | ---------- | ------------------------------------------------------------------- |
/// | first_point | 0, 1, auto | `point_nb` of an arm's first record. Sardana counts from 0. auto: 1 |
/// |             |            | if the first record that comes says so, else 0: a guess, if it can  |
/// |             |            | have been lost                                                      |
///
/// What it refuses:
///
/// | fault       | when                                                             | numbered  |
/// | ----------- | ---------------------------------------------------------------- | --------- |
/// | truncated   | no parts at all                                                  | no        |
/// | oversized   | more than two parts                                              | no        |
/// |             | a body beyond the limits above                                   | as below  |
/// | not_json    | the body is no JSON object                                       | as below  |
/// | unknown     | a path or `type` that is none                                    | no        |
/// |             | a description without whole `serialno`, text `scandir`, `title`  | no        |
/// |             | a record without a number `timestamp`                            | as below  |
/// |             | a record whose `point_nb` is less than the first                 | no        |
/// | interrupted | requests may be missing in an arm whose records have no numbers  | no        |
///
/// A refused record keeps its `point_nb`. Without, it takes its position, unless the records of this arm have
/// numbers: then the gap tells.
std::unique_ptr<protocol> make_sardana(const protocol_options& options = {});

/// Why a message (of one or two parts) is refused, for people; empty for what is good.
std::string_view sardana_complaint(const stream_data& message);

/// Description, record or end; nothing for whatever is no entry of this format. Callable from any thread.
std::optional<entry_kind> sardana_kind(const stream_data& data);

/// A column that the records of a scan will have.
struct sardana_column {
  std::string name, label, dtype, instrument;
  std::vector<std::size_t> shape; ///< empty: one number per point
  std::optional<double> min_value, max_value;
  bool is_reference = false;
  bool operator==(const sardana_column&) const = default;
};

/// The description of a scan. What is missing is empty.
struct sardana_description {
  std::int64_t serialno = 0;
  std::string title; ///< the command, e.g. `ascan mot01 0 1 10 0.1`
  std::string scandir, scanfile, starttime;
  std::vector<sardana_column> columns;
  std::vector<std::string> ref_moveables, counters;
  std::optional<double> estimatedtime; ///< seconds
  std::optional<std::int64_t> total_scan_intervals;
  value_map fields; ///< everything that was posted
};

/// A point of the scan.
struct sardana_record {
  std::optional<std::uint64_t> point_nb; ///< as the instrument counts, usually from 0
  double timestamp = 0;                  ///< seconds, as the instrument counts them
  /// By name: numbers, texts and so on; rectangular lists of numbers are arrays.
  value_map columns;
};

/// What an entry holds; nothing for other entries and whatever the reader refuses. Callable from any thread.
std::optional<sardana_description> parse_sardana_description(const stream_data& data);
std::optional<sardana_record> parse_sardana_record(const stream_data& data);

/// Bodies as a sender posts them. Of a description, `fields` that have no place of their own are added.
std::string write_sardana_description(const sardana_description& description);
std::string write_sardana_record(const sardana_record& record);
std::string write_sardana_end();

/// A message of two parts, as the reader takes it.
stream_data sardana_message(std::string_view path, std::string_view body);

} // namespace dtranspose
