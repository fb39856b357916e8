#include "protocol/dectris_v2.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <utility>

#include "protocol/cbor_tokens.hpp"
#include "protocol/cbor_value.hpp"

namespace dtranspose {

namespace {

using cbor::container;
using cbor::kind;
using cbor::token;
using cbor::token_reader;

//  item     = tag 55799, may be missing ( map with keys that are texts, in any order )
//  start    type "start", series_id, series_unique_id, number_of_images, ...; tables
//  image    type "image", series_id, series_unique_id, image_id, real_time, start_time, stop_time: rational,
//           series_date: tag 0 ( text ), data: { channel: array, ... }, user_data
//  end      type "end", series_id, series_unique_id
//  table    flatfield, pixel_mask: { channel: array, ... }; countrate_correction_lookup_table: array
//  array    tag 40 ( [ [rows, columns], elements ] ) or elements alone, of one dimension
//  elements tags 64 to 87 ( bytes | tag 56500 ( [ algorithm, size of shuffled elements, bytes ] ) )
//  rational [ numerator, denominator ]
//
// Keys and values of any other sort may be added.

constexpr std::uint64_t tag_self_described = 55799;
constexpr std::uint64_t tag_date = 0;
constexpr std::uint64_t tag_row_major = 40;
constexpr std::uint64_t tag_compressed = 56500;

constexpr std::string_view countrate_key = "countrate_correction_lookup_table";
constexpr std::string_view unique_id_key = "series_unique_id";

/// Values that the reader skips in one message: a detector sends some hundred, and a million keeps a message
/// of nothing but small values from taking more than some 10 ms.
constexpr std::uint64_t skip_limit = 1 << 20;
/// Keys of one message: detectors send about 40.
constexpr std::uint64_t message_key_limit = 1024;
/// Detectors have up to 4 thresholds and their differences.
constexpr std::uint64_t channel_limit = 256;
/// Names become names of data sets.
constexpr std::size_t name_limit = 1024;
/// LZ4 cannot make more than 255 bytes out of one.
constexpr std::uint64_t most_expansion = 256;

/// One message, key by key. Throws cbor::unreadable.
class item {
 public:
  explicit item(std::span<const std::byte> bytes) : in_(bytes) {
    auto t = in_.next();
    while (t.what == kind::tag && t.n == tag_self_described) t = in_.next();
    if (t.what == kind::map) pairs_.emplace(t, message_key_limit, in_);
  }

  bool is_map() const { return pairs_.has_value(); }

  /// The next key and the first token of its value, which is to be read to its end; false behind the last. A
  /// key that is no text, or longer than any of ours, is empty. `key` is valid until the next call.
  bool next(std::string_view& key, token& content) {
    token t;
    if (!pairs_->next(t)) return false;
    key = text_of(t);
    content = in_.next();
    return true;
  }

  /// Reads the value that `t` begins. A text up to the length of our longest key, or empty.
  std::string_view text_of(const token& t) {
    if (t.what == kind::text) return t.run;
    if (t.what == kind::text_chunks) return gathered();
    skip(t);
    return {};
  }

  /// A whole number that is not negative, or nothing.
  std::optional<std::uint64_t> whole_number_of(const token& t) {
    if (t.what == kind::number) return t.n;
    skip(t);
    return std::nullopt;
  }

  void skip(const token& t) { cbor::skip(in_, t, to_skip_); }

  /// Reads the value that `t` begins. Nothing if it is more than our limits allow: it is then skipped.
  std::optional<value> value_of(const token& t) {
    auto before = in_;
    auto left = to_convert_;
    try {
      return cbor::read_value(in_, t, to_convert_);
    } catch (const cbor::unreadable& e) {
      if (e.why != cbor::unreadable::reason::too_much) throw;
    }
    in_ = before;
    to_convert_ = left;
    skip(t);
    return std::nullopt;
  }

  token_reader& in() { return in_; }

 private:
  std::string_view gathered() {
    std::size_t size = 0;
    for (auto t = in_.next(); t.what != kind::stop; t = in_.next()) {
      if (t.what != kind::text) in_.fail("a text with a chunk that is no text");
      auto fits = std::min(t.run.size(), scratch_.size() - size);
      std::copy_n(t.run.begin(), fits, scratch_.begin() + static_cast<std::ptrdiff_t>(size));
      size += fits;
    }
    if (size == scratch_.size()) return {};
    return {scratch_.data(), size};
  }

  token_reader in_;
  std::optional<container> pairs_;
  std::uint64_t to_skip_ = skip_limit;
  std::uint64_t to_convert_ = cbor::value_limit;
  std::array<char, 64> scratch_; ///< longer than any key that we know
};

std::optional<entry_kind> kind_of(std::string_view type) {
  if (type == "image") return entry_kind::data;
  if (type == "start") return entry_kind::start;
  if (type == "end") return entry_kind::end;
  return std::nullopt;
}

packet_fault fault_of(const cbor::unreadable& e) {
  switch (e.why) {
  case cbor::unreadable::reason::cut_off:
    return packet_fault::truncated;
  case cbor::unreadable::reason::too_much:
    return packet_fault::oversized;
  case cbor::unreadable::reason::malformed:
    break;
  }
  return packet_fault::corrupt;
}

/// What the reader wants to know of a message.
struct header_fields {
  std::optional<entry_kind> kind;
  std::optional<std::uint64_t> series, image, count;
  bool has_data = false;

  bool numbered() const { return kind && (kind != entry_kind::data || image); }
};

void take(std::string_view key, const token& t, item& from, header_fields& fields) {
  if (key == "type") {
    fields.kind = kind_of(from.text_of(t));
  } else if (key == "series_id") {
    fields.series = from.whole_number_of(t);
  } else if (key == "image_id") {
    fields.image = from.whole_number_of(t);
  } else if (key == "number_of_images") {
    fields.count = from.whole_number_of(t);
  } else {
    if (key == "data") fields.has_data = t.what == kind::map;
    from.skip(t);
  }
}

std::optional<packet_fault> read_fields(std::span<const std::byte> bytes, header_fields& fields) {
  try {
    item message(bytes);
    if (!message.is_map()) return packet_fault::unknown;
    std::string_view key;
    token t;
    while (message.next(key, t)) take(key, t, message, fields);
    if (!message.in().at_end()) return packet_fault::corrupt;
  } catch (const cbor::unreadable& e) {
    return fault_of(e);
  }
  return std::nullopt;
}

/// What is wrong with a message, or nothing. `fields` holds what could be read.
std::optional<packet_fault> examine(std::span<const frame> parts, header_fields& fields) {
  if (parts.empty()) return packet_fault::truncated;
  if (auto fault = read_fields(parts[0].bytes(), fields)) return fault;
  if (parts.size() > 1) return packet_fault::oversized;
  if (!fields.numbered()) return packet_fault::unknown;
  if (fields.kind == entry_kind::data && !fields.has_data) return packet_fault::unknown;
  return std::nullopt;
}

class dectris_v2 final : public protocol {
 public:
  std::string_view name() const override { return "dectris_v2"; }
  std::string_view type_tag() const override { return dectris_v2_type_tag; }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    header_fields fields;
    auto& packet = packets.emplace_back();
    packet.fault = examine(message.frames(), fields);
    packet.numbered = fields.numbered();
    if (packet.numbered) packet.numbers = numbers_of(fields);
    if (!packet.fault) packet.data = std::move(message);
  }

 private:
  static entry_numbers numbers_of(const header_fields& fields) {
    entry_numbers numbers{.kind = *fields.kind, .series = fields.series};
    if (numbers.kind == entry_kind::data) numbers.number = fields.image;
    if (numbers.kind == entry_kind::start) numbers.count = fields.count;
    return numbers;
  }
};

// ---- arrays

void read_compressed(token_reader& in, dectris_v2_array& to, token& blob) {
  auto parts = cbor::array_of(in, in.next(), 3, 3, "algorithm, size of elements and bytes");
  to.algorithm = cbor::short_text(in, cbor::element(in, parts, "the algorithm"), name_limit, "the algorithm");
  auto size = cbor::element(in, parts, "the size of elements");
  if (size.what != kind::number) in.fail("no size of elements");
  if (to.algorithm == "bslz4")
    to.compression = codec::bslz4;
  else if (to.algorithm == "lz4")
    to.compression = codec::lz4;
  else
    to.compression = std::nullopt;
  to.element_size = size.n;
  blob = cbor::element(in, parts, "the bytes");
}

void read_blob(token_reader& in, const token& t, dectris_v2_array& to) {
  if (t.what == kind::byte_chunks) {
    constexpr auto any_size = std::numeric_limits<std::size_t>::max(); // the message's own size bounds it
    to.joined =
        std::make_shared<const std::vector<std::byte>>(cbor::joined<std::vector<std::byte>>(in, t, any_size));
    to.blob = *to.joined;
  } else if (t.what == kind::bytes) {
    to.blob = std::as_bytes(std::span(t.run));
  } else {
    in.fail("elements that are no bytes");
  }
}

void read_elements(token_reader& in, const token& t, dectris_v2_array& to) {
  auto element = t.what == kind::tag ? cbor::element_type_of(t.n) : std::nullopt;
  if (!element) in.fail("elements of a type that we don't have");
  to.type = element->type;
  to.big_endian = element->big_endian;
  auto blob = in.next();
  if (blob.what != kind::tag) return read_blob(in, blob, to);
  if (blob.n != tag_compressed) in.fail("unexpected tag " + std::to_string(blob.n));
  read_compressed(in, to, blob);
  read_blob(in, blob, to);
}

/// Of the header that both compressions have.
std::uint64_t announced_bytes(token_reader& in, std::span<const std::byte> blob) {
  if (blob.size() < 12) in.fail("a compressed array without its header");
  std::uint64_t bytes = 0;
  for (auto byte : blob.first(8)) bytes = bytes << 8 | std::to_integer<std::uint64_t>(byte);
  return bytes;
}

void check_length(token_reader& in, const dectris_v2_array& read) {
  auto announced = bytes_of(read.shape, read.type);
  bool plain = read.compression == codec::none;
  if (plain ? announced != read.blob.size()
            : announced > saturating_product(most_expansion, read.blob.size()))
    in.fail("an array of another length than its shape");
}

dectris_v2_array read_array(token_reader& in, const token& t) {
  dectris_v2_array read;
  if (t.what == kind::tag && t.n == tag_row_major) {
    auto parts = cbor::array_of(in, in.next(), 2, 2, "shape and elements");
    auto shape = cbor::array_of(in, cbor::element(in, parts, "the shape"), 0, dimension_limit, "the shape");
    for (token extent; shape.next(extent); read.shape.push_back(extent.n))
      if (extent.what != kind::number) in.fail("a shape that is no number");
    read_elements(in, cbor::element(in, parts, "the elements"), read);
    cbor::close(in, parts);
  } else {
    read_elements(in, t, read);
    auto bytes = read.compression == codec::none ? read.blob.size() : announced_bytes(in, read.blob);
    read.shape = {bytes / size_of(read.type)};
  }
  check_length(in, read);
  return read;
}

std::vector<dectris_v2_channel> read_channels(token_reader& in, const token& t) {
  if (t.what != kind::map) in.fail("no map of channels");
  container pairs(t, channel_limit, in);
  std::vector<dectris_v2_channel> channels;
  for (token key; pairs.next(key);) {
    auto name = cbor::short_text(in, key, name_limit, "the name of a channel");
    channels.push_back({std::move(name), read_array(in, in.next())});
  }
  return channels;
}

// ---- messages

/// A message with its arrays as they are and everything else as values.
struct message_content {
  value_map fields;
  std::vector<dectris_v2_channel> data, flatfield, pixel_mask;
  std::optional<dectris_v2_array> countrate_table;
};

bool take_array(std::string_view key, const token& t, entry_kind kind, token_reader& in,
                message_content& to) {
  if (kind == entry_kind::data && key == "data")
    to.data = read_channels(in, t);
  else if (kind == entry_kind::start && key == "flatfield")
    to.flatfield = read_channels(in, t);
  else if (kind == entry_kind::start && key == "pixel_mask")
    to.pixel_mask = read_channels(in, t);
  else if (kind == entry_kind::start && key == countrate_key)
    to.countrate_table = read_array(in, t);
  else
    return false;
  return true;
}

/// The message in `data` if the reader takes it and it is of that kind.
std::optional<message_content> read_content(const stream_data& data, entry_kind wanted) {
  if (dectris_v2_kind(data) != wanted) return std::nullopt;
  try {
    message_content content;
    item message(data.frames()[0].bytes());
    std::string_view key;
    token t;
    while (message.next(key, t)) {
      if (take_array(key, t, wanted, message.in(), content)) continue;
      std::string name(key);
      auto field = message.value_of(t);
      if (field && !name.empty()) content.fields.set(name, std::move(*field));
    }
    return content;
  } catch (const cbor::unreadable&) {
    return std::nullopt;
  }
}

std::optional<std::uint64_t> whole_number(const value& content) {
  if (auto n = std::get_if<std::uint64_t>(&content.content())) return *n;
  auto n = std::get_if<std::int64_t>(&content.content());
  if (!n || *n < 0) return std::nullopt;
  return static_cast<std::uint64_t>(*n);
}

bool take_text(const value& content, std::string& to) {
  if (auto text = content.as_text()) to = *text;
  return content.as_text() != nullptr;
}

bool take_rational(const value& content, std::optional<dectris_v2_rational>& to) {
  auto parts = content.as_list();
  if (!parts || parts->size() != 2) return false;
  auto numerator = whole_number((*parts)[0]), denominator = whole_number((*parts)[1]);
  if (!numerator || !denominator) return false;
  to = {*numerator, *denominator};
  return true;
}

/// What all messages have. False if it is to be kept as metadata, as it is wherever it has an unusual form.
bool take_common(std::string_view key, const value& content, std::string& unique_id) {
  if (key == "type" || key == "series_id") return true;
  return key == unique_id_key && take_text(content, unique_id);
}

bool take_field(std::string_view key, const value& content, dectris_v2_image& image) {
  if (key == "image_id") return true;
  if (key == "real_time") return take_rational(content, image.real_time);
  if (key == "start_time") return take_rational(content, image.start_time);
  if (key == "stop_time") return take_rational(content, image.stop_time);
  if (key == "series_date") return take_text(content, image.series_date);
  if (key == "user_data") image.user_data = content;
  return key == "user_data";
}

std::optional<std::uint64_t> find_whole_number(const value_map& fields, std::string_view key) {
  auto found = fields.find(key);
  return found ? whole_number(*found) : std::nullopt;
}

std::vector<std::string> texts_of(const value* content) {
  std::vector<std::string> texts;
  auto list = content ? content->as_list() : nullptr;
  if (!list) return texts;
  for (auto& item : *list)
    if (auto text = item.as_text()) texts.push_back(*text);
  return texts;
}

// ---- senders

/// Keys of a map, which stand in front of it, are counted before they are written.
class message_writer {
 public:
  message_writer(std::vector<std::byte>& out, dectris_v2_tag tag, std::uint64_t keys,
                 const value_map& metadata)
      : out_(out), metadata_(metadata) {
    out.clear();
    if (tag == dectris_v2_tag::self_described) out_.tag(tag_self_described);
    out_.map(keys + metadata.size());
  }

  void put_common(std::string_view type, std::uint64_t series, std::string_view unique_id) {
    put_text("type", type);
    put_number("series_id", series);
    if (!unique_id.empty()) put_text(unique_id_key, unique_id);
  }

  void put_number(std::string_view key, std::uint64_t n) {
    out_.text(key);
    out_.number(n);
  }

  void put_text(std::string_view key, std::string_view text) {
    out_.text(key);
    out_.text(text);
  }

  void put_date(std::string_view key, std::string_view date) {
    out_.text(key);
    out_.tag(tag_date);
    out_.text(date);
  }

  void put_rational(std::string_view key, const std::optional<dectris_v2_rational>& time) {
    if (!time) return;
    out_.text(key);
    out_.array(2);
    out_.number(time->numerator);
    out_.number(time->denominator);
  }

  void put_channels(std::string_view key, const std::vector<dectris_v2_channel>& channels) {
    out_.text(key);
    out_.map(channels.size());
    for (auto& channel : channels) {
      out_.text(channel.name);
      put_array(channel.data);
    }
  }

  void put_array(const dectris_v2_array& array) {
    constexpr std::uint64_t little_endian = 4; // a bit of the tags of elements longer than a byte
    bool plain = array.compression == codec::none;
    if (array.shape.size() != 1 || !plain) {
      out_.tag(tag_row_major);
      out_.array(2);
      out_.array(array.shape.size());
      for (auto extent : array.shape) out_.number(extent);
    }
    auto tag = cbor::tag_of(array.type);
    out_.tag(array.big_endian ? tag & ~little_endian : tag);
    if (!plain) {
      out_.tag(tag_compressed);
      out_.array(3);
      out_.text(array.algorithm);
      out_.number(array.element_size);
    }
    out_.bytes(array.blob);
  }

  void put_table(std::string_view key, const dectris_v2_array& array) {
    out_.text(key);
    put_array(array);
  }

  void put_value(std::string_view key, const value& content) {
    out_.text(key);
    out_.write(content);
  }

  void put_metadata() {
    for (auto& [key, content] : metadata_)
      if (key == "arm_date" && content.as_text())
        put_date(key, *content.as_text());
      else
        put_value(key, content);
  }

 private:
  cbor::writer out_;
  const value_map& metadata_;
};

} // namespace

std::unique_ptr<protocol> make_dectris_v2(const protocol_options& options) {
  option_reader(options).finish();
  return std::make_unique<dectris_v2>();
}

std::optional<entry_kind> dectris_v2_kind(const stream_data& data) {
  header_fields fields;
  if (examine(data.frames(), fields)) return std::nullopt;
  return fields.kind;
}

std::optional<array_view> dectris_v2_array::plain() const {
  if (compression != codec::none || big_endian) return std::nullopt;
  return array_view{type, shape, blob};
}

array elements_of(const dectris_v2_array& from) {
  if (!from.compression) throw corrupt_blob("compression '" + from.algorithm + "' is not known");
  constexpr std::size_t sizes[] = {1, 2, 4, 8};
  bool shuffled = from.compression == codec::bslz4;
  if (shuffled && std::find(std::begin(sizes), std::end(sizes), from.element_size) == std::end(sizes))
    throw corrupt_blob("bit-shuffled elements of " + std::to_string(from.element_size) + " bytes");
  auto bytes = bytes_of(from.shape, from.type);
  auto elements = std::make_shared_for_overwrite<std::byte[]>(bytes);
  std::span<std::byte> out(elements.get(), bytes);
  decompress(*from.compression, from.element_size, from.blob, out);
  if (from.big_endian) cbor::swap_bytes(out, size_of(from.type));
  return {from.type, from.shape, std::move(elements)};
}

std::optional<dectris_v2_start> parse_dectris_v2_start(const stream_data& data) {
  auto content = read_content(data, entry_kind::start);
  auto series = content ? find_whole_number(content->fields, "series_id") : std::nullopt;
  if (!series) return std::nullopt;
  dectris_v2_start start{.series = *series};
  start.number_of_images = find_whole_number(content->fields, "number_of_images");
  start.image_size_x = find_whole_number(content->fields, "image_size_x");
  start.image_size_y = find_whole_number(content->fields, "image_size_y");
  start.channels = texts_of(content->fields.find("channels"));
  start.flatfield = std::move(content->flatfield);
  start.pixel_mask = std::move(content->pixel_mask);
  start.countrate_table = std::move(content->countrate_table);
  for (auto& [key, field] : content->fields)
    if (!take_common(key, field, start.unique_id)) start.metadata.set(key, field);
  return start;
}

std::optional<dectris_v2_image> parse_dectris_v2_image(const stream_data& data) {
  auto content = read_content(data, entry_kind::data);
  auto series = content ? find_whole_number(content->fields, "series_id") : std::nullopt;
  auto number = content ? find_whole_number(content->fields, "image_id") : std::nullopt;
  if (!series || !number) return std::nullopt;
  dectris_v2_image image{.series = *series, .image = *number};
  image.channels = std::move(content->data);
  for (auto& [key, field] : content->fields)
    if (!take_common(key, field, image.unique_id) && !take_field(key, field, image))
      image.metadata.set(key, field);
  return image;
}

std::optional<dectris_v2_end> parse_dectris_v2_end(const stream_data& data) {
  auto content = read_content(data, entry_kind::end);
  auto series = content ? find_whole_number(content->fields, "series_id") : std::nullopt;
  if (!series) return std::nullopt;
  dectris_v2_end end{.series = *series};
  for (auto& [key, field] : content->fields)
    if (!take_common(key, field, end.unique_id)) end.metadata.set(key, field);
  return end;
}

void write_dectris_v2_start(std::vector<std::byte>& out, const dectris_v2_start& start, dectris_v2_tag tag) {
  auto keys = 2u + !start.unique_id.empty() + start.countrate_table.has_value() + !start.flatfield.empty() +
              !start.pixel_mask.empty();
  message_writer message(out, tag, keys, start.metadata);
  message.put_common("start", start.series, start.unique_id);
  message.put_metadata();
  if (start.countrate_table) message.put_table(countrate_key, *start.countrate_table);
  if (!start.flatfield.empty()) message.put_channels("flatfield", start.flatfield);
  if (!start.pixel_mask.empty()) message.put_channels("pixel_mask", start.pixel_mask);
}

void write_dectris_v2_image(std::vector<std::byte>& out, const dectris_v2_image& image, dectris_v2_tag tag) {
  auto keys = 4u + !image.unique_id.empty() + image.real_time.has_value() + !image.series_date.empty() +
              image.start_time.has_value() + image.stop_time.has_value() + image.user_data.has_value();
  message_writer message(out, tag, keys, image.metadata);
  message.put_common("image", image.series, image.unique_id);
  message.put_number("image_id", image.image);
  message.put_rational("real_time", image.real_time);
  if (!image.series_date.empty()) message.put_date("series_date", image.series_date);
  message.put_rational("start_time", image.start_time);
  message.put_rational("stop_time", image.stop_time);
  message.put_channels("data", image.channels);
  if (image.user_data) message.put_value("user_data", *image.user_data);
  message.put_metadata();
}

void write_dectris_v2_end(std::vector<std::byte>& out, const dectris_v2_end& end, dectris_v2_tag tag) {
  message_writer message(out, tag, 2u + !end.unique_id.empty(), end.metadata);
  message.put_common("end", end.series, end.unique_id);
  message.put_metadata();
}

} // namespace dtranspose
