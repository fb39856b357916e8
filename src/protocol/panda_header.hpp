/// What a PandABox announces before the rows of an arm: their columns, and how they are sent. No
/// dependencies: for analysis code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"

namespace dtranspose {

/// Longest header that is read: a generous 1,000 columns of 200 bytes.
inline constexpr std::size_t panda_header_limit = 256 << 10;
/// Columns of one row. A PandABox has some 40 positions, of which it captures seven statistics at most.
inline constexpr std::size_t panda_column_limit = 1024;
/// Bytes of one packed row: `panda_column_limit` columns of the widest type.
inline constexpr std::size_t panda_sample_limit = 12 * panda_column_limit;

/// How rows are sent.
enum class panda_format : std::uint8_t {
  ascii,    ///< a line of text for each row
  base64,   ///< packed rows as lines of text, which don't begin where rows do
  framed,   ///< packed rows in blocks with their lengths
  unframed, ///< packed rows and nothing else
};

/// What was done to the captured numbers before they were sent.
enum class panda_process : std::uint8_t {
  scaled,   ///< all but bits and counts are float64 in their unit
  raw,      ///< whole numbers as captured: sums instead of means, see `panda_row::scaled`
  unscaled, ///< of old servers: whole numbers, means are divided
};

/// Type of a column; `float64` is called `double` on the wire. All are little endian when packed.
enum class panda_type : std::uint8_t { uint32, int32, uint64, int64, int96, float64 };

/// Bytes of one packed value.
constexpr std::size_t size_of(panda_type type) {
  constexpr std::size_t sizes[] = {4, 4, 8, 8, 12, 8};
  return sizes[static_cast<std::size_t>(type)];
}

/// `uint32`, `int32`, `uint64`, `int64`, `int96`, `double`.
std::string_view name_of(panda_type type);

/// `ASCII`, `Base64`, `Framed`, `Unframed`, and `Scaled`, `Raw`, `Unscaled`: as in a header.
std::string_view name_of(panda_format format);
std::string_view name_of(panda_process process);

struct panda_column {
  std::string name;    ///< e.g. `INENC1.VAL`
  std::string capture; ///< `Value`, `Diff`, `Sum`, `Min`, `Max`, `Mean` or `StdDev`; others of old servers
  std::string key;     ///< name and capture with a dot, unique: `INENC1.VAL.Mean`
  panda_type type = panda_type::float64;
  bool scalable = false; ///< has a scale, an offset and a unit
  double scale = 1, offset = 0;
  std::string units;        ///< as set by whoever configured the PandABox, often empty
  std::size_t position = 0; ///< of its first byte in a packed row
  bool listed = true;       ///< false: a sample count that old servers send without saying so
};

struct panda_header {
  std::string arm_time, start_time; ///< ISO 8601 in UTC with `Z`; empty where the server doesn't say
  std::optional<std::int64_t> hw_time_offset_ns; ///< the server's clock minus that of the hardware
  std::uint64_t missed = 0; ///< rows before the first that is sent: we connected too late for them
  panda_process process = panda_process::scaled;
  panda_format format = panda_format::ascii;
  std::size_t sample_bytes = 0; ///< of a packed row; for `ascii` the sum of its columns
  std::vector<panda_column> columns;
  value_map more; ///< what else the header says, as text by key

  /// The column of that key, e.g. `INENC1.VAL.Mean`; null if there is none.
  const panda_column* find(std::string_view key) const;
  /// The column that counts what was averaged: `PCAP.GATE_DURATION` or, of older servers, `PCAP.SAMPLES`.
  const panda_column* samples() const;
};

/// What a header can be used for.
enum class panda_header_use : std::uint8_t {
  everything, ///< delimit rows and decode them
  delimiting, ///< its columns are not understood, or don't add up to `sample_bytes`
  nothing,    ///< it doesn't say where a row ends, or how many rows were missed
};

/// Reads the text of a header in either form, without the empty line behind it. Fills in what it can.
panda_header_use read_panda_header(std::string_view text, panda_header& header);

/// Does a header begin with this line?
bool begins_panda_header(std::string_view line);

/// The header in a start entry; nothing for anything else and for one that cannot be used to decode rows.
/// Callable from any thread.
std::optional<panda_header> parse_panda_header(const stream_data& data);

/// Gives every column its key and its position, and the header its `sample_bytes`. For senders.
void complete_panda_header(panda_header& header);

/// Appends the header as a server sends it, with the empty line behind it. What is `more` is left out.
void append_panda_header(std::string& out, const panda_header& header, bool xml = false);

} // namespace dtranspose
