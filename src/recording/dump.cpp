#include "recording/dump.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <cbor.h>

#include "model/type_tag.hpp"
#include "model/utc_time.hpp"

namespace dtranspose {

namespace {

constexpr std::uint64_t tag_self_described = 55799;
constexpr std::uint64_t tag_item = 42877;
constexpr std::uint64_t tag_stream = 42878;

/// Far above any set-up; keeps an item that a few bytes describe from taking much memory and time.
constexpr std::uint64_t max_streams = 4096;
/// Instruments send up to some dozens; an empty part costs the file one byte but us a view of 16.
constexpr std::uint64_t max_parts = 65536;
/// Tags before one value: an item has two of them, anything more is only tolerated.
constexpr int max_tags = 4;
/// Names become names of data sets and show up in every log line.
constexpr std::size_t max_name = 1024;
/// Leaves room to add counts to event numbers without a thought of overflow.
constexpr std::uint64_t max_event = std::uint64_t{1} << 62;

// ---- tokens
// ----------------------------------------------------------------------------------------

/// What one step of the decoder found. The grammar of a dump has a fixed depth, so tokens are read
/// one by one and nothing ever nests.
struct token {
  enum class kind { number, negative, real, bytes, text, chunks, array, map, tag, simple, stop };

  kind what = kind::simple;
  bool endless = false; ///< arrays, maps: up to a stop; chunks: of text
  std::uint64_t n = 0;  ///< value of a number or tag, length of an array or map; negative: -1 - n
  double real = 0;
  std::string_view run = {}; ///< content of bytes and text
};

using kind = token::kind;

token& of(void* context) { return *static_cast<token*>(context); }

template <class T>
void on_number(void* context, T n) {
  of(context) = {.what = kind::number, .n = n};
}

template <class T>
void on_negative(void* context, T n) {
  of(context) = {.what = kind::negative, .n = n};
}

template <class T>
void on_real(void* context, T x) {
  of(context) = {.what = kind::real, .real = x};
}

template <kind what>
void on_run(void* context, cbor_data data, std::size_t size) {
  of(context) = {.what = what, .run = {reinterpret_cast<const char*>(data), size}};
}

template <kind what>
void on_length(void* context, std::size_t n) {
  of(context) = {.what = what, .n = n};
}

template <kind what, bool endless>
void on_mark(void* context) {
  of(context) = {.what = what, .endless = endless};
}

constexpr cbor_callbacks callbacks = {
    .uint8 = on_number<std::uint8_t>,
    .uint16 = on_number<std::uint16_t>,
    .uint32 = on_number<std::uint32_t>,
    .uint64 = on_number<std::uint64_t>,
    .negint64 = on_negative<std::uint64_t>,
    .negint32 = on_negative<std::uint32_t>,
    .negint16 = on_negative<std::uint16_t>,
    .negint8 = on_negative<std::uint8_t>,
    .byte_string_start = on_mark<kind::chunks, false>,
    .byte_string = on_run<kind::bytes>,
    .string = on_run<kind::text>,
    .string_start = on_mark<kind::chunks, true>,
    .indef_array_start = on_mark<kind::array, true>,
    .array_start = on_length<kind::array>,
    .indef_map_start = on_mark<kind::map, true>,
    .map_start = on_length<kind::map>,
    .tag = [](void* context, std::uint64_t n) { of(context) = {.what = kind::tag, .n = n}; },
    .float2 = on_real<float>,
    .float4 = on_real<float>,
    .float8 = on_real<double>,
    .undefined = on_mark<kind::simple, false>,
    .null = on_mark<kind::simple, false>,
    .boolean = [](void* context, bool) { of(context) = {.what = kind::simple}; },
    .indef_break = on_mark<kind::stop, false>,
};

/// Ends the reading of an item; never leaves this file.
struct unreadable {
  std::size_t at;
  std::string what;
};

class token_reader {
 public:
  token_reader(std::span<const std::byte> bytes, std::size_t offset) : bytes_(bytes), end_(offset) {}

  token next() {
    begin_ = end_;
    token found;
    auto rest = bytes_.subspan(begin_);
    auto step = cbor_stream_decode(reinterpret_cast<cbor_data>(rest.data()), rest.size(), &callbacks, &found);
    if (step.status == CBOR_DECODER_NEDATA) throw unreadable{bytes_.size(), "cut off"};
    if (step.status == CBOR_DECODER_ERROR) fail("no valid CBOR");
    end_ += step.read;
    return found;
  }

  /// Of the token that was read last.
  [[noreturn]] void fail(std::string what) const { throw unreadable{begin_, std::move(what)}; }

  std::size_t end() const { return end_; }

 private:
  std::span<const std::byte> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

// ---- grammar
// ---------------------------------------------------------------------------------------

token without_tags(token_reader& in, token t, std::initializer_list<std::uint64_t> known) {
  for (int tags = 0; t.what == kind::tag; t = in.next())
    if (++tags > max_tags || std::find(known.begin(), known.end(), t.n) == known.end())
      in.fail("unexpected tag " + std::to_string(t.n));
  return t;
}

/// What is left of an array or a map.
class container {
 public:
  container(const token& t, std::uint64_t limit, token_reader& in)
      : in_(in), endless_(t.endless), left_(t.endless ? limit : t.n), limit_(limit) {
    if (left_ > limit_) too_long();
  }

  /// Reads the first token of the next element into `t`; false behind the last.
  bool next(token& t) {
    if (!endless_ && left_ == 0) return false;
    t = in_.next();
    if (endless_ && t.what == kind::stop) return false;
    if (left_ == 0) too_long();
    --left_;
    return true;
  }

 private:
  [[noreturn]] void too_long() const {
    in_.fail("more than the " + std::to_string(limit_) + " elements that are taken");
  }

  token_reader& in_;
  bool endless_;
  std::uint64_t left_;
  std::uint64_t limit_;
};

container array_of(token_reader& in, const token& t, std::uint64_t least, std::uint64_t most,
                   const char* what) {
  if (t.what != kind::array || (!t.endless && t.n < least)) in.fail(std::string("no array: ") + what);
  return container(t, most, in);
}

token element(token_reader& in, container& array, const char* what) {
  token t;
  if (!array.next(t)) in.fail(std::string("missing: ") + what);
  return t;
}

/// Behind the last element.
void close(token_reader& in, container& array) {
  token t;
  if (array.next(t)) in.fail("an element too many");
}

/// Puts the chunks of a string of indefinite length together.
template <class String>
String joined(token_reader& in, const token& start, std::size_t limit) {
  String whole;
  auto expected = start.endless ? kind::text : kind::bytes;
  for (auto t = in.next(); t.what != kind::stop; t = in.next()) {
    if (t.what != expected) in.fail("a string with a chunk that is no string");
    if (t.run.size() > limit - whole.size()) in.fail("a string that is too long");
    auto data = reinterpret_cast<const typename String::value_type*>(t.run.data());
    whole.insert(whole.end(), data, data + t.run.size());
  }
  return whole;
}

std::string short_text(token_reader& in, const token& t, const char* what) {
  bool chunks = t.what == kind::chunks && t.endless;
  if (t.what != kind::text && !chunks) in.fail(std::string("no text: ") + what);
  auto text = chunks ? joined<std::string>(in, t, max_name) : std::string();
  auto view = chunks ? std::string_view(text) : t.run;
  if (view.size() > max_name) in.fail(std::string("too long: ") + what);
  return chunks ? std::move(text) : std::string(view);
}

/// What frames are views of: the file, and the parts that had to be put together.
struct frame_keeper {
  std::shared_ptr<const mapped_file> file;
  std::vector<std::vector<std::byte>> joined;
};

std::vector<frame> read_parts(token_reader& in, const token& start, frame_keeper& keep) {
  auto parts = array_of(in, start, 0, max_parts, "the parts of a stream");
  std::vector<frame> frames;
  token t;
  while (parts.next(t)) {
    if (t.what == kind::bytes || t.what == kind::text) {
      frames.emplace_back(t.run.data(), t.run.size());
    } else if (t.what == kind::chunks) {
      constexpr auto any_size = std::numeric_limits<std::size_t>::max(); // the file's own size bounds it
      keep.joined.push_back(joined<std::vector<std::byte>>(in, t, any_size));
      frames.emplace_back(std::span<const std::byte>(keep.joined.back()));
    } else {
      in.fail("a part that is no string");
    }
  }
  return frames;
}

stream_data read_stream(token_reader& in, const token& first,
                        const std::shared_ptr<const mapped_file>& file) {
  auto stream = array_of(in, without_tags(in, first, {tag_stream}), 2, 2, "type and parts of a stream");
  auto type = intern_type(short_text(in, element(in, stream, "the type"), "the type of a stream"));
  frame_keeper keep{file, {}};
  auto frames = read_parts(in, element(in, stream, "the parts"), keep);
  close(in, stream);
  std::shared_ptr<const void> owner = file;
  if (!keep.joined.empty()) owner = std::make_shared<const frame_keeper>(std::move(keep));
  return stream_data(std::make_unique<borrowed_frames>(std::move(frames), std::move(owner)), type);
}

std::vector<dump_stream> read_streams(token_reader& in, const token& start,
                                      const std::shared_ptr<const mapped_file>& file) {
  if (start.what != kind::map) in.fail("no map of streams");
  container entries(start, max_streams, in);
  std::vector<dump_stream> streams;
  token t;
  while (entries.next(t)) {
    auto name = short_text(in, t, "the name of a stream");
    auto data = read_stream(in, in.next(), file);
    streams.push_back({std::move(name), std::move(data)});
  }
  return streams;
}

/// Tag 0 with a text, tag 1 with a number, or either bare. A time that makes no sense is none: it
/// is no reason to lose the item.
std::optional<double> read_time(token_reader& in, const token& first) {
  auto t = without_tags(in, first, {0, 1});
  switch (t.what) {
  case kind::number:
    return static_cast<double>(t.n);
  case kind::negative:
    return -1.0 - static_cast<double>(t.n);
  case kind::real:
    return t.real;
  case kind::simple:
    return std::nullopt;
  case kind::text:
  case kind::chunks:
    return parse_utc(short_text(in, t, "the time of an item"));
  default:
    in.fail("no time where one is expected");
  }
}

dump_item read_item(token_reader& in, const std::shared_ptr<const mapped_file>& file) {
  auto first = without_tags(in, in.next(), {tag_self_described, tag_item});
  auto parts = array_of(in, first, 2, 3, "an item has event number, streams and perhaps a time");
  dump_item item;
  auto number = element(in, parts, "the event number");
  if (number.what != kind::number || number.n >= max_event) in.fail("no event number");
  item.event = number.n;
  item.streams = read_streams(in, element(in, parts, "the streams"), file);
  token t;
  if (parts.next(t)) {
    item.created_at = read_time(in, t);
    close(in, parts);
  }
  item.end_offset = in.end();
  return item;
}

std::string_view other_form(std::span<const std::byte> bytes) {
  auto first = std::to_integer<int>(bytes[0]);
  auto second = bytes.size() > 1 ? std::to_integer<int>(bytes[1]) : 0xff;
  if (first == '(' || (first == 0x80 && second <= 5)) return "perhaps a pickle";
  if (first >= 0x80 && first <= 0x9f)
    return "a raw capture of messages, which has no event numbers: play it to an ingester instead";
  if (first == 0x1f) return "compressed by gzip: unpack it first";
  return "of an unknown form";
}

} // namespace

bool is_dump(std::span<const std::byte> bytes) {
  constexpr int tag_of_two_bytes = 0xd9;
  if (bytes.empty()) return false;
  auto first = std::to_integer<int>(bytes[0]);
  if (first == tag_of_two_bytes) return true;
  // Without tags: an array that begins with a number. In a raw capture it begins with a byte
  // string.
  bool short_array = first == 0x82 || first == 0x83 || first == 0x9f;
  return short_array && bytes.size() > 1 && std::to_integer<int>(bytes[1]) <= 0x1b;
}

dump_reader::dump_reader(std::shared_ptr<const mapped_file> file) : file_(std::move(file)) {
  auto bytes = file_->bytes();
  if (!bytes.empty() && !is_dump(bytes))
    throw std::runtime_error(file_->path().string() + ": no dump of an ingester but " +
                             std::string(other_form(bytes)));
}

std::optional<dump_item> dump_reader::next() {
  if (offset_ == file_->bytes().size() || !cut_off_.empty()) return std::nullopt;
  try {
    token_reader in(file_->bytes(), offset_);
    auto item = read_item(in, file_);
    offset_ = item.end_offset;
    return item;
  } catch (const unreadable& e) {
    cut_off_ = file_->path().string() + ": byte " + std::to_string(e.at) + ": " + e.what +
               ", in the item that begins at byte " + std::to_string(offset_);
    return std::nullopt;
  }
}

} // namespace dtranspose
