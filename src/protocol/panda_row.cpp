#include "protocol/panda_row.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstring>
#include <iterator>
#include <utility>

#include <fmt/format.h>

#include "protocol/base64.hpp"

namespace dtranspose {

namespace {

static_assert(std::endian::native == std::endian::little, "rows are copied as they are sent");

__extension__ using uint128 = unsigned __int128;

/// Bytes that a server encodes as one line of base64.
constexpr std::size_t base64_line_bytes = 57;
/// `BIN ` and the length of a frame.
constexpr std::size_t frame_head_bytes = 8;

template <class T>
T read(std::span<const std::byte> sample, std::size_t position) {
  T number;
  std::memcpy(&number, sample.data() + position, sizeof number);
  return number;
}

double nearest(panda_int96 wide) {
  return std::ldexp(static_cast<double>(wide.high), 64) + static_cast<double>(wide.low);
}

panda_int96 read_wide(std::span<const std::byte> sample, std::size_t position) {
  return {read<std::uint64_t>(sample, position), read<std::int32_t>(sample, position + 8)};
}

/// Cuts the next number off a line in which each has a blank before it. Empty: there is none.
std::string_view next_token(std::string_view& line) {
  if (line.empty() || line.front() != ' ') return {};
  auto end = std::min(line.find(' ', 1), line.size());
  auto token = line.substr(1, end - 1);
  line.remove_prefix(end);
  return token;
}

template <class T>
bool put_number(std::string_view token, std::byte* to) {
  T number{};
  auto end = token.data() + token.size();
  auto [stop, error] = std::from_chars(token.data(), end, number);
  if (error != std::errc() || stop != end) return false;
  std::memcpy(to, &number, sizeof number);
  return true;
}

bool put_token(panda_type type, std::string_view token, std::byte* to) {
  switch (type) {
  case panda_type::uint32:
    return put_number<std::uint32_t>(token, to);
  case panda_type::int32:
    return put_number<std::int32_t>(token, to);
  case panda_type::uint64:
    return put_number<std::uint64_t>(token, to);
  case panda_type::int64:
    return put_number<std::int64_t>(token, to);
  case panda_type::int96:
    return false; // only ever sent as words
  case panda_type::float64:
    break;
  }
  return put_number<double>(token, to);
}

/// `0x` and the digits of 32 bits.
std::optional<std::uint32_t> word_in(std::string_view token) {
  if (!token.starts_with("0x")) return std::nullopt;
  token.remove_prefix(2);
  std::uint32_t word = 0;
  auto end = token.data() + token.size();
  auto [stop, error] = std::from_chars(token.data(), end, word, 16);
  if (error != std::errc() || stop != end) return std::nullopt;
  return word;
}

/// Packs the numbers of a line of text.
class line_packer {
 public:
  line_packer(const panda_header& header, std::string_view line)
      : header_(header), line_(line), words_(line.starts_with(" 0x")),
        sample_(std::make_shared<std::byte[]>(header.sample_bytes)) {}

  bool pack() {
    auto expected = words_ ? header_.sample_bytes / 4 : header_.columns.size();
    auto found = static_cast<std::size_t>(std::count(line_.begin(), line_.end(), ' '));
    if (found == expected + 1 && header_.process == panda_process::raw) {
      if (!take_samples()) return false;
    } else if (found != expected) {
      return false;
    }
    return (words_ ? pack_words() : pack_numbers()) && line_.empty();
  }

  std::shared_ptr<const std::byte[]> sample() const { return sample_; }
  std::optional<std::uint32_t> samples() const { return samples_; }

 private:
  bool take_samples() {
    auto token = next_token(line_);
    std::uint32_t count = 0;
    if (words_)
      samples_ = word_in(token);
    else if (put_number<std::uint32_t>(token, reinterpret_cast<std::byte*>(&count)))
      samples_ = count;
    return samples_.has_value();
  }

  bool pack_words() {
    for (std::size_t at = 0; at < header_.sample_bytes; at += 4) {
      auto word = word_in(next_token(line_));
      if (!word) return false;
      std::memcpy(sample_.get() + at, &*word, sizeof *word);
    }
    return true;
  }

  bool pack_numbers() {
    for (auto& column : header_.columns)
      if (!put_token(column.type, next_token(line_), sample_.get() + column.position)) return false;
    return true;
  }

  const panda_header& header_;
  std::string_view line_;
  bool words_;
  std::shared_ptr<std::byte[]> sample_;
  std::optional<std::uint32_t> samples_;
};

/// Does every column lie within a row?
bool fits(const panda_header& header) {
  if (header.columns.empty()) return true;
  auto& last = header.columns.back();
  return last.position + size_of(last.type) <= header.sample_bytes;
}

std::optional<panda_row> parse_row(std::shared_ptr<const panda_header> header, const frame& part) {
  if (!fits(*header)) return std::nullopt;
  if (header->format != panda_format::ascii) {
    if (part.size() != header->sample_bytes) return std::nullopt;
    return panda_row(std::move(header), part.bytes());
  }
  line_packer packer(*header, part.text());
  if (!packer.pack()) return std::nullopt;
  auto own = packer.sample();
  auto sample = std::span(own.get(), header->sample_bytes);
  return panda_row(std::move(header), sample, std::move(own), packer.samples());
}

/// The headers that a thread has read lately: some streams, by turns.
class header_cache {
 public:
  std::shared_ptr<const panda_header> find(std::string_view text) {
    for (auto& known : known_)
      if (known.header && known.text == text) return known.header;
    auto header = std::make_shared<panda_header>();
    if (read_panda_header(text, *header) != panda_header_use::everything) return nullptr;
    auto& place = known_[next_++ % known_.size()];
    place = {std::string(text), std::move(header)};
    return place.header;
  }

 private:
  struct entry {
    std::string text;
    std::shared_ptr<const panda_header> header;
  };
  std::array<entry, 4> known_;
  std::size_t next_ = 0;
};

void append_number(std::string& out, panda_type type, std::span<const std::byte> sample, std::size_t at) {
  auto to = std::back_inserter(out);
  switch (type) {
  case panda_type::uint32:
    fmt::format_to(to, " {}", read<std::uint32_t>(sample, at));
    return;
  case panda_type::int32:
    fmt::format_to(to, " {}", read<std::int32_t>(sample, at));
    return;
  case panda_type::uint64:
    fmt::format_to(to, " {}", read<std::uint64_t>(sample, at));
    return;
  case panda_type::int64:
    fmt::format_to(to, " {}", read<std::int64_t>(sample, at));
    return;
  case panda_type::int96:
    fmt::format_to(to, " {:.10g}", nearest(read_wide(sample, at)));
    return;
  case panda_type::float64:
    fmt::format_to(to, " {:.10g}", read<double>(sample, at));
  }
}

void append_line(std::string& out, const panda_header& header, std::span<const std::byte> sample) {
  if (header.process == panda_process::raw)
    for (std::size_t at = 0; at + 4 <= sample.size(); at += 4)
      fmt::format_to(std::back_inserter(out), " 0x{:08x}", read<std::uint32_t>(sample, at));
  else
    for (auto& column : header.columns) append_number(out, column.type, sample, column.position);
  out += '\n';
}

void append_frame(std::string& out, std::span<const std::byte> samples) {
  auto length = static_cast<std::uint32_t>(frame_head_bytes + samples.size());
  out += "BIN ";
  out.append(reinterpret_cast<const char*>(&length), sizeof length);
  out.append(reinterpret_cast<const char*>(samples.data()), samples.size());
}

} // namespace

double panda_row::number(const panda_column& column) const {
  switch (column.type) {
  case panda_type::uint32:
    return read<std::uint32_t>(sample_, column.position);
  case panda_type::int32:
    return read<std::int32_t>(sample_, column.position);
  case panda_type::uint64:
    return static_cast<double>(read<std::uint64_t>(sample_, column.position));
  case panda_type::int64:
    return static_cast<double>(read<std::int64_t>(sample_, column.position));
  case panda_type::int96:
    return nearest(read_wide(sample_, column.position));
  case panda_type::float64:
    break;
  }
  return read<double>(sample_, column.position);
}

double panda_row::number(std::size_t column) const { return number(header_->columns[column]); }

std::optional<double> panda_row::number(std::string_view key) const {
  auto column = header_->find(key);
  return column ? std::optional(number(*column)) : std::nullopt;
}

std::optional<double> panda_row::samples() const {
  std::optional<double> count;
  if (auto column = header_->samples())
    count = number(*column);
  else if (unlisted_samples_)
    count = *unlisted_samples_;
  return count ? std::optional(std::max(*count, 1.0)) : std::nullopt;
}

/// sqrt(A/n - (B/n)^2) from the sum of squares A and the sum B. Both terms may be 94 bits long and nearly
/// equal, so that they are subtracted as whole numbers: n^2 times the variance is n A - B^2.
std::optional<double> panda_row::deviation(const panda_column& column, double samples) const {
  auto mean = header_->find(column.name + ".Mean");
  if (!mean || mean->type != panda_type::int64 || column.type != panda_type::int96) return std::nullopt;
  auto wide = read_wide(sample_, column.position);
  auto sum = read<std::int64_t>(sample_, mean->position);
  auto magnitude = sum < 0 ? -static_cast<std::uint64_t>(sum) : static_cast<std::uint64_t>(sum);
  auto squares = (uint128{static_cast<std::uint32_t>(wide.high)} << 64) + wide.low;
  auto n = static_cast<std::uint32_t>(std::min(samples, 4294967295.0));
  auto minuend = squares * n; // less than 2^128: 96 and 32 bits
  auto subtrahend = uint128{magnitude} * magnitude;
  if (subtrahend > minuend) return std::nullopt;
  return std::sqrt(static_cast<double>(minuend - subtrahend)) / n;
}

std::optional<double> panda_row::scaled(std::size_t index) const {
  auto& column = header_->columns[index];
  auto sent = number(column);
  if (header_->process == panda_process::scaled || !column.scalable) return sent;
  if (header_->process == panda_process::raw && column.capture == "Mean") {
    auto n = samples();
    return n ? std::optional(column.scale * sent / *n + column.offset) : std::nullopt;
  }
  if (column.capture == "StdDev") {
    auto n = samples();
    auto deviated = n ? deviation(column, *n) : std::nullopt;
    return deviated ? std::optional(column.scale * *deviated) : std::nullopt;
  }
  return column.scale * sent + column.offset;
}

std::optional<double> panda_row::scaled(std::string_view key) const {
  auto column = header_->find(key);
  return column ? scaled(static_cast<std::size_t>(column - header_->columns.data())) : std::nullopt;
}

value panda_row::at(std::size_t index) const {
  auto& column = header_->columns[index];
  switch (column.type) {
  case panda_type::uint32:
    return read<std::uint32_t>(sample_, column.position);
  case panda_type::int32:
    return read<std::int32_t>(sample_, column.position);
  case panda_type::uint64:
    return read<std::uint64_t>(sample_, column.position);
  case panda_type::int64:
    return read<std::int64_t>(sample_, column.position);
  case panda_type::int96:
  case panda_type::float64:
    break;
  }
  return number(column);
}

panda_int96 panda_row::wide(std::size_t index) const {
  auto& column = header_->columns[index];
  return column.type == panda_type::int96 ? read_wide(sample_, column.position) : panda_int96{};
}

value_map panda_row::values() const {
  value_map all;
  all.reserve(size());
  for (std::size_t i = 0; i < size(); ++i) all.set(header_->columns[i].key, at(i));
  return all;
}

std::optional<panda_row> parse_panda_row(std::shared_ptr<const panda_header> header,
                                         const stream_data& data) {
  if (data.frames().empty()) return std::nullopt;
  return parse_row(std::move(header), data.frames()[0]);
}

std::optional<panda_row> parse_panda_row(const stream_data& data) {
  if (data.frames().size() != 2) return std::nullopt;
  thread_local header_cache cache;
  auto header = cache.find(data.frames()[1].text());
  return header ? parse_row(std::move(header), data.frames()[0]) : std::nullopt;
}

void append_panda_rows(std::string& out, const panda_header& header, std::span<const std::byte> samples) {
  switch (header.format) {
  case panda_format::ascii:
    for (; !samples.empty(); samples = samples.subspan(header.sample_bytes))
      append_line(out, header, samples.first(header.sample_bytes));
    return;
  case panda_format::base64:
    while (!samples.empty()) {
      auto bytes = std::min(base64_line_bytes, samples.size());
      out += ' ';
      append_base64(out, samples.first(bytes));
      out += '\n';
      samples = samples.subspan(bytes);
    }
    return;
  case panda_format::framed:
    append_frame(out, samples);
    return;
  case panda_format::unframed:
    out.append(reinterpret_cast<const char*>(samples.data()), samples.size());
  }
}

} // namespace dtranspose
