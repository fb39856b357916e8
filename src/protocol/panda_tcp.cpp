#include "protocol/panda_tcp.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <iterator>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "protocol/base64.hpp"

namespace dtranspose {

namespace {

//  we send    [ASCII|BASE64|FRAMED|UNFRAMED] [SCALED|RAW] [XML] ... LF
//  answer     OK LF, or ERR <text> LF and the connection is closed
//  each arm   header, an empty line                       see panda_header.cpp
//             ASCII      " <number> <number> ..." LF      a row each
//             BASE64     " <up to 76 characters>" LF      of packed rows, each line encoded on its own
//             FRAMED     "BIN " length data               length: uint32 little endian, of all three
//             UNFRAMED   data
//             END <rows sent> <reason> LF

/// `BIN `, and the length that follows it.
constexpr std::size_t tag_bytes = 4, frame_head_bytes = 8;

using shared_text = std::shared_ptr<const std::string>;

/// One entry: bytes somewhere in memory that `keep` keeps, and perhaps its header.
class panda_frames final : public frame_owner {
 public:
  panda_frames(std::string_view bytes, std::shared_ptr<const void> keep, shared_text header)
      : keep_(std::move(keep)), header_(std::move(header)) {
    views_[0] = frame(bytes.data(), bytes.size());
    if (header_) views_[1] = frame(header_->data(), header_->size());
    set_frames(std::span(views_).first(header_ ? 2 : 1));
  }

 private:
  std::array<frame, 2> views_;
  std::shared_ptr<const void> keep_;
  shared_text header_;
};

stream_data entry_of(std::string_view bytes, std::shared_ptr<const void> keep, shared_text header = {}) {
  return stream_data(std::make_unique<panda_frames>(bytes, std::move(keep), std::move(header)),
                     panda_tcp_type_tag);
}

stream_data entry_of(shared_text text) {
  std::string_view bytes = *text;
  return entry_of(bytes, std::move(text));
}

/// What is left of a piece, and what keeps its bytes.
class piece {
 public:
  piece(const stream_data& data, std::string_view bytes) : rest(bytes), data_(&data) {}

  /// Shared by all rows of the piece.
  const std::shared_ptr<const void>& keep() {
    if (!keep_) keep_ = std::make_shared<stream_data>(*data_);
    return keep_;
  }

  /// Puts bytes of earlier pieces before it.
  void prepend(std::string_view earlier) {
    auto joined = std::make_shared<std::string>();
    joined->reserve(earlier.size() + rest.size());
    joined->append(earlier).append(rest);
    rest = *joined;
    keep_ = std::move(joined);
  }

  std::string_view take(std::size_t bytes) {
    auto taken = rest.substr(0, bytes);
    rest.remove_prefix(taken.size());
    return taken;
  }

  std::string_view rest;

 private:
  const stream_data* data_;
  std::shared_ptr<const void> keep_;
};

struct line {
  std::string_view text;
  bool in_piece = false; ///< else it is overwritten by the next line
  bool too_long = false; ///< and has no text
};

/// Puts lines together that are cut by the ends of pieces.
class line_reader {
 public:
  /// The next line without its LF; nothing while its end has not come.
  std::optional<line> next(piece& in) {
    auto end = in.rest.find('\n');
    bool ends = end != std::string_view::npos;
    auto part = in.take(std::min(end, in.rest.size()));
    if (ends) in.rest.remove_prefix(1);
    if (too_long_ || part.size() > panda_line_limit - begun_.size()) {
      begun_.clear();
      too_long_ = !ends;
      return ends ? std::optional(line{.too_long = true}) : std::nullopt;
    }
    if (ends && begun_.empty()) return line{.text = part, .in_piece = true};
    begun_ += part;
    if (!ends) return std::nullopt;
    std::swap(begun_, whole_);
    begun_.clear();
    return line{.text = whole_};
  }

  /// The next line begins with this.
  void begin_with(std::string_view text) { begun_ = text; }

  std::size_t waiting() const { return begun_.size(); }

  void reset() {
    begun_.clear();
    too_long_ = false;
  }

 private:
  std::string begun_, whole_;
  bool too_long_ = false;
};

bool is_end(std::string_view text) { return text == "END" || text.starts_with("END "); }

std::optional<panda_end> read_end(std::string_view text) {
  if (!text.starts_with("END ") || text.size() > panda_end_limit) return std::nullopt;
  text.remove_prefix(4);
  panda_end end;
  auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), end.count);
  if (error != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(stop - text.data()));
  if (!text.empty() && text.front() != ' ') return std::nullopt;
  if (!text.empty()) end.reason = text.substr(1);
  return end;
}

enum class answer : std::uint8_t { no, not_yet, yes };

/// Does `bytes` begin with the END line of that many rows?
answer begins_end(std::string_view bytes, std::uint64_t rows) {
  if (bytes.front() != 'E') return answer::no;
  std::array<char, 32> expected;
  auto [end, size] = fmt::format_to_n(expected.data(), expected.size(), "END {} ", rows);
  auto known = std::min(bytes.size(), size);
  if (std::memcmp(bytes.data(), expected.data(), known) != 0) return answer::no;
  auto reason = bytes.substr(known, panda_end_limit);
  for (char c : reason) {
    if (c == '\n') return answer::yes;
    if (c < ' ' || c > '~') return answer::no;
  }
  return reason.size() < panda_end_limit ? answer::not_yet : answer::no;
}

/// Has a row of text the numbers that its header announces? Old servers send a count ahead of raw ones.
std::optional<packet_fault> check_numbers(std::string_view row, const panda_header& header) {
  auto found = static_cast<std::size_t>(std::count(row.begin(), row.end(), ' '));
  auto expected = row.starts_with(" 0x") ? header.sample_bytes / 4 : header.columns.size();
  if (found < expected) return packet_fault::truncated;
  auto allowed = expected + (header.process == panda_process::raw ? 1 : 0);
  if (found > allowed) return packet_fault::oversized;
  return std::nullopt;
}

struct reader_options {
  std::string greeting;
  bool header_in_rows = false;
};

class panda_tcp final : public protocol {
 public:
  explicit panda_tcp(reader_options options) : options_(std::move(options)) {}

  std::string_view name() const override { return "panda_tcp"; }
  std::string_view type_tag() const override { return panda_tcp_type_tag; }
  bool numbered() const override { return false; }
  std::string_view greeting() const override { return options_.greeting; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    for (auto& part : message.frames()) {
      piece in(message, part.text());
      while (!in.rest.empty()) step(in, packets);
    }
  }

  void reset() override {
    state_ = state::seeking;
    drop_halves();
    arm_open_ = false;
    skipping_ = false;
    continued_.clear();
  }

  void interrupted(std::vector<stream_packet>& packets) override {
    bool in_header = state_ == state::text_header || state_ == state::xml_header;
    if (arm_open_ || in_header) add_fault(packets, packet_fault::interrupted);
    auto arm_time = arm_open_ ? header_.arm_time : continued_;
    reset();
    continued_ = std::move(arm_time);
  }

 private:
  enum class state : std::uint8_t {
    seeking,     ///< between arms, or in one that can't be read: waits for a header
    text_header, ///< as far as its empty line
    xml_header,  ///< as far as its last element
    xml_ended,   ///< the empty line behind it
    ascii,
    base64,
    frame_head,
    frame_data,
    end_line, ///< begun, behind a frame
    unframed,
  };

  /// Takes at least one byte, or goes to a state that does.
  void step(piece& in, std::vector<stream_packet>& out) {
    switch (state_) {
    case state::seeking:
      return seek(in, out);
    case state::text_header:
    case state::xml_header:
      return read_header(in, out);
    case state::xml_ended:
      if (in.rest.front() == '\n') in.take(1);
      state_ = data_state_;
      return;
    case state::ascii:
      return read_ascii(in, out);
    case state::base64:
      return read_base64(in, out);
    case state::frame_head:
      return read_frame_head(in, out);
    case state::frame_data:
      return read_frame_data(in, out);
    case state::end_line:
      if (auto found = lines_.next(in)) close_arm(*found, out);
      return;
    case state::unframed:
      return read_unframed(in, out);
    }
  }

  // --- between arms ---------------------------------------------------------------------------------------

  void seek(piece& in, std::vector<stream_packet>& out) {
    auto found = lines_.next(in);
    if (!found) return;
    if (begins_panda_header(found->text))
      begin_header(found->text);
    else if (arm_open_ && is_end(found->text))
      close_arm(*found, out);
    else if (found->text.starts_with("ERR"))
      add_fault(out, packet_fault::unknown);
    else if (found->too_long || !(found->text.empty() || found->text == "OK"))
      skip(out);
  }

  void skip(std::vector<stream_packet>& out) {
    if (!std::exchange(skipping_, true)) add_fault(out, packet_fault::unknown);
  }

  /// What follows can't be told apart any more.
  void give_arm_up(packet_fault fault, std::vector<stream_packet>& out) {
    add_fault(out, fault);
    skipping_ = true;
    state_ = state::seeking;
    half_row_.clear();
  }

  // --- headers --------------------------------------------------------------------------------------------

  void begin_header(std::string_view first_line) {
    header_text_.assign(first_line) += '\n';
    state_ = first_line == "<header>" ? state::xml_header : state::text_header;
    skipping_ = false;
    half_row_.clear();
  }

  void read_header(piece& in, std::vector<stream_packet>& out) {
    auto found = lines_.next(in);
    if (!found) return;
    if (found->too_long || header_text_.size() + found->text.size() >= panda_header_limit)
      return refuse_header(packet_fault::oversized, out);
    if (state_ == state::text_header && found->text.empty()) return finish_header(out);
    header_text_.append(found->text) += '\n';
    if (state_ == state::xml_header && found->text == "</header>") finish_header(out);
  }

  void refuse_header(packet_fault fault, std::vector<stream_packet>& out) {
    header_ = {};
    open_arm();
    add_start(fault, out);
    skipping_ = true;
    state_ = state::seeking;
  }

  void finish_header(std::vector<stream_packet>& out) {
    auto use = read_panda_header(header_text_, header_);
    if (use == panda_header_use::nothing) return refuse_header(packet_fault::corrupt, out);
    decodable_ = use == panda_header_use::everything;
    bool continues = !continued_.empty() && continued_ == header_.arm_time;
    data_state_ = state_of(header_.format);
    state_ = state_ == state::xml_header ? state::xml_ended : data_state_;
    open_arm();
    auto text = std::make_shared<const std::string>(std::move(header_text_));
    if (options_.header_in_rows) row_header_ = text;
    if (continues) return;
    if (!decodable_) return add_start(packet_fault::corrupt, out);
    add_start(std::nullopt, out);
    out.back().data = entry_of(std::move(text));
  }

  static state state_of(panda_format format) {
    switch (format) {
    case panda_format::ascii:
      return state::ascii;
    case panda_format::base64:
      return state::base64;
    case panda_format::framed:
      return state::frame_head;
    case panda_format::unframed:
      break;
    }
    return state::unframed;
  }

  void open_arm() {
    arm_open_ = true;
    rows_ = 0;
    continued_.clear();
  }

  void add_start(std::optional<packet_fault> fault, std::vector<stream_packet>& out) {
    auto& start = out.emplace_back();
    start.numbers.kind = entry_kind::start;
    start.fault = fault;
  }

  // --- rows -----------------------------------------------------------------------------------------------

  void read_ascii(piece& in, std::vector<stream_packet>& out) {
    auto found = lines_.next(in);
    if (!found) return;
    auto text = found->text;
    if (is_end(text)) return close_arm(*found, out);
    if (begins_panda_header(text)) return begin_header(text);
    if (found->too_long) return add_faulty_row(packet_fault::oversized, out);
    if (!text.starts_with(' ')) return add_faulty_row(packet_fault::unknown, out);
    if (decodable_)
      if (auto fault = check_numbers(text, header_)) return add_faulty_row(*fault, out);
    if (found->in_piece)
      add_row(text, in.keep(), out);
    else
      add_own_row(std::string(text), out);
  }

  void read_base64(piece& in, std::vector<stream_packet>& out) {
    auto bytes = base64_bytes(lines_.waiting() + in.rest.size());
    auto memory = std::make_shared_for_overwrite<std::byte[]>(std::max<std::size_t>(bytes, 1));
    std::size_t decoded = 0;
    std::optional<line> other;
    while (!in.rest.empty() && !other) {
      auto found = lines_.next(in);
      if (!found) break;
      std::optional<std::size_t> more;
      if (found->text.starts_with(' ')) more = decode_base64(found->text.substr(1), memory.get() + decoded);
      if (more)
        decoded += *more;
      else
        other = found;
    }
    add_packed({reinterpret_cast<const char*>(memory.get()), decoded}, memory, out);
    if (!other) return;
    if (is_end(other->text))
      close_arm(*other, out);
    else if (begins_panda_header(other->text))
      begin_header(other->text);
    else
      give_arm_up(packet_fault::corrupt, out);
  }

  void read_frame_head(piece& in, std::vector<stream_packet>& out) {
    auto wanted = frame_head_.size() < tag_bytes ? tag_bytes : frame_head_bytes;
    frame_head_ += in.take(wanted - frame_head_.size());
    if (frame_head_.size() < wanted) return;
    if (wanted == tag_bytes) {
      if (frame_head_ == "BIN ") return;
      auto begun = std::exchange(frame_head_, {});
      if (begun != "END ") {
        give_arm_up(packet_fault::corrupt, out);
        begun.erase(0, begun.rfind('\n') + 1);
      } else {
        state_ = state::end_line;
      }
      return lines_.begin_with(begun);
    }
    std::uint32_t length = 0;
    std::memcpy(&length, frame_head_.data() + tag_bytes, sizeof length);
    frame_head_.clear();
    if (length < frame_head_bytes) return give_arm_up(packet_fault::corrupt, out);
    if (length > panda_frame_limit) return give_arm_up(packet_fault::oversized, out);
    frame_left_ = length - frame_head_bytes;
    if (frame_left_ > 0) state_ = state::frame_data;
  }

  void read_frame_data(piece& in, std::vector<stream_packet>& out) {
    auto bytes = in.take(frame_left_);
    frame_left_ -= bytes.size();
    add_packed(bytes, in.keep(), out);
    if (frame_left_ == 0) state_ = state::frame_head;
  }

  void read_unframed(piece& in, std::vector<stream_packet>& out) {
    if (!perhaps_end_.empty()) in.prepend(std::exchange(perhaps_end_, {}));
    while (!in.rest.empty()) {
      if (half_row_.empty()) {
        auto ends = begins_end(in.rest, rows_);
        if (ends == answer::yes) return close_arm(*lines_.next(in), out);
        if (ends == answer::not_yet) {
          perhaps_end_ = in.take(in.rest.size());
          return;
        }
      }
      auto bytes = in.take(header_.sample_bytes - half_row_.size());
      add_packed(bytes, in.keep(), out);
    }
  }

  /// Cuts packed rows apart; what is left over waits for more.
  void add_packed(std::string_view bytes, const std::shared_ptr<const void>& keep,
                  std::vector<stream_packet>& out) {
    auto size = header_.sample_bytes;
    if (!half_row_.empty()) {
      auto missing = std::min(size - half_row_.size(), bytes.size());
      half_row_ += bytes.substr(0, missing);
      bytes.remove_prefix(missing);
      if (half_row_.size() < size) return;
      add_own_row(std::exchange(half_row_, {}), out);
    }
    for (; bytes.size() >= size; bytes.remove_prefix(size)) add_row(bytes.substr(0, size), keep, out);
    half_row_ = bytes;
  }

  stream_packet& add_numbered(std::vector<stream_packet>& out) {
    auto& row = out.emplace_back();
    row.numbers.number = header_.missed + rows_++;
    return row;
  }

  void add_row(std::string_view bytes, const std::shared_ptr<const void>& keep,
               std::vector<stream_packet>& out) {
    add_numbered(out).data = entry_of(bytes, keep, row_header_);
  }

  void add_own_row(std::string bytes, std::vector<stream_packet>& out) {
    auto own = std::make_shared<const std::string>(std::move(bytes));
    std::string_view view = *own;
    add_row(view, std::move(own), out);
  }

  void add_faulty_row(packet_fault fault, std::vector<stream_packet>& out) {
    add_numbered(out).fault = fault;
  }

  void add_fault(std::vector<stream_packet>& out, packet_fault fault) {
    out.push_back({.fault = fault, .numbered = false});
  }

  // --- the end --------------------------------------------------------------------------------------------

  void close_arm(const line& found, std::vector<stream_packet>& out) {
    auto told = read_end(found.text);
    auto& end = out.emplace_back();
    end.numbers.kind = entry_kind::end;
    if (told && told->count <= ~header_.missed) end.numbers.count = header_.missed + told->count;
    bool whole = told && told->count == rows_ && half_row_.empty();
    if (whole)
      end.data = entry_of(std::make_shared<const std::string>(found.text));
    else
      end.fault = packet_fault::corrupt;
    arm_open_ = false;
    skipping_ = false;
    half_row_.clear();
    row_header_.reset();
    state_ = state::seeking;
  }

  void drop_halves() {
    lines_.reset();
    header_text_.clear();
    half_row_.clear();
    frame_head_.clear();
    perhaps_end_.clear();
    row_header_.reset();
  }

  reader_options options_;
  state state_ = state::seeking, data_state_ = state::seeking;
  line_reader lines_;

  bool arm_open_ = false; ///< a header came, and no END yet
  bool skipping_ = false; ///< what is skipped was reported
  std::string continued_; ///< arm that was interrupted, by its time
  std::string header_text_;
  panda_header header_;
  bool decodable_ = false;
  shared_text row_header_;
  std::uint64_t rows_ = 0; ///< of this arm, on this connection

  std::string half_row_;   ///< packed
  std::string frame_head_; ///< begun
  std::size_t frame_left_ = 0;
  std::string perhaps_end_; ///< of an unframed arm: packed rows, or an END line
};

/// The options line; what is the server's default is left out.
std::string options_line(option_reader& options) {
  auto format = options.choice("format", {"ascii", "base64", "framed", "unframed"});
  auto process = options.choice("process", {"scaled", "raw"});
  std::string line;
  auto add = [&](std::string_view word) { line.append(line.empty() ? "" : " ").append(word); };
  if (format == "base64") add("BASE64");
  if (format == "framed") add("FRAMED");
  if (format == "unframed") add("UNFRAMED");
  if (process == "raw") add("RAW");
  if (options.flag("xml", false)) add("XML");
  return line + '\n';
}

} // namespace

std::unique_ptr<protocol> make_panda_tcp(const protocol_options& options) {
  option_reader reader(options);
  reader_options wanted;
  wanted.greeting = options_line(reader);
  wanted.header_in_rows = reader.flag("header_in_rows", false);
  reader.finish();
  return std::make_unique<panda_tcp>(std::move(wanted));
}

std::optional<panda_end> parse_panda_end(const stream_data& data) {
  if (data.frames().size() != 1) return std::nullopt;
  return read_end(data.frames()[0].text());
}

void append_panda_end(std::string& out, std::uint64_t count, std::string_view reason) {
  fmt::format_to(std::back_inserter(out), "END {} {}\n", count, reason);
}

} // namespace dtranspose
