/// One row that a PandABox captured, whatever form it was sent in. No dependencies: for analysis code.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/panda_header.hpp"

namespace dtranspose {

/// A whole number of 96 bits, as sums of squares are: high * 2^64 + low.
struct panda_int96 {
  std::uint64_t low = 0;
  std::int32_t high = 0;
};

/// A row with its columns. It shares what it needs with its copies, but for a packed row: those are views,
/// valid as long as a copy of the stream data is.
class panda_row {
 public:
  /// `sample`: the packed row, of the header's `sample_bytes`. `own` keeps it, if nobody else does.
  /// `unlisted_samples`: a sample count that was sent ahead of the columns.
  panda_row(std::shared_ptr<const panda_header> header, std::span<const std::byte> sample,
            std::shared_ptr<const std::byte[]> own = {}, std::optional<std::uint32_t> unlisted_samples = {})
      : header_(std::move(header)), sample_(sample), own_(std::move(own)),
        unlisted_samples_(unlisted_samples) {}

  const panda_header& header() const { return *header_; }
  /// Number of columns.
  std::size_t size() const { return header_->columns.size(); }
  /// The row as the binary forms send it.
  std::span<const std::byte> sample() const { return sample_; }

  /// The number in a column as it was sent, as the nearest float64. Requires that `column` is less than
  /// `size()`.
  double number(std::size_t column) const;
  /// The same by key, e.g. `INENC1.VAL.Mean`; nothing if there is no such column.
  std::optional<double> number(std::string_view key) const;

  /// The number in the unit of its column, whether the server has scaled it or not. Under `Raw`, with n the
  /// number of samples (at least 1) in the column `PCAP.GATE_DURATION` or `PCAP.SAMPLES`, as the server does
  /// it:
  ///
  /// | column         | scaled                                                                     |
  /// | -------------- | -------------------------------------------------------------------------- |
  /// | not scalable   | as it is                                                                   |
  /// | `Mean`         | scale * sum / n + offset                                                   |
  /// | `StdDev`       | scale * sqrt(sum of squares / n - (sum / n)^2), the sum being that of `Mean` |
  /// | any other      | scale * number + offset                                                    |
  ///
  /// Nothing if what it takes is not in the row.
  std::optional<double> scaled(std::size_t column) const;
  std::optional<double> scaled(std::string_view key) const;

  /// The number as sent: uint64, int64 or float64; an int96 as the nearest float64.
  value at(std::size_t column) const;
  /// The bits of a column of type int96; zero for any other.
  panda_int96 wide(std::size_t column) const;

  /// Every column's `at` by its key.
  value_map values() const;

 private:
  std::optional<double> samples() const;
  std::optional<double> deviation(const panda_column& column, double samples) const;
  double number(const panda_column& column) const;

  std::shared_ptr<const panda_header> header_;
  std::span<const std::byte> sample_;
  std::shared_ptr<const std::byte[]> own_;
  std::optional<std::uint32_t> unlisted_samples_;
};

/// The row in `data`, an entry of the arm that `header` (not null) began; nothing when it is none: numbers
/// that don't fit the columns in type or number. Callable from any thread.
std::optional<panda_row> parse_panda_row(std::shared_ptr<const panda_header> header, const stream_data& data);

/// The same for a row with the header's text as its second part, see the reader's option `header_in_rows`;
/// nothing for any other. Headers are read once per thread.
std::optional<panda_row> parse_panda_row(const stream_data& data);

/// Appends packed rows in the form that the header says: lines, or one frame. For senders. The bytes are a
/// multiple of the header's `sample_bytes`.
void append_panda_rows(std::string& out, const panda_header& header, std::span<const std::byte> samples);

} // namespace dtranspose
