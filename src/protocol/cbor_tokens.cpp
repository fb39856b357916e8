#include "protocol/cbor_tokens.hpp"

#include <algorithm>

#include <cbor.h>

namespace dtranspose::cbor {

namespace {

/// Tags before one value where it is known which may stand there: two are usual.
constexpr int tag_limit = 4;

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

template <kind what, bool endless = false>
void on_mark(void* context) {
  of(context) = {.what = what, .endless = endless};
}

void on_tag(void* context, std::uint64_t n) { of(context) = {.what = kind::tag, .n = n}; }
void on_boolean(void* context, bool set) { of(context) = {.what = kind::boolean, .n = set}; }

constexpr cbor_callbacks callbacks = {
    .uint8 = on_number<std::uint8_t>,
    .uint16 = on_number<std::uint16_t>,
    .uint32 = on_number<std::uint32_t>,
    .uint64 = on_number<std::uint64_t>,
    .negint64 = on_negative<std::uint64_t>,
    .negint32 = on_negative<std::uint32_t>,
    .negint16 = on_negative<std::uint16_t>,
    .negint8 = on_negative<std::uint8_t>,
    .byte_string_start = on_mark<kind::byte_chunks>,
    .byte_string = on_run<kind::bytes>,
    .string = on_run<kind::text>,
    .string_start = on_mark<kind::text_chunks>,
    .indef_array_start = on_mark<kind::array, true>,
    .array_start = on_length<kind::array>,
    .indef_map_start = on_mark<kind::map, true>,
    .map_start = on_length<kind::map>,
    .tag = on_tag,
    .float2 = on_real<float>,
    .float4 = on_real<float>,
    .float8 = on_real<double>,
    .undefined = on_mark<kind::null>,
    .null = on_mark<kind::null>,
    .boolean = on_boolean,
    .indef_break = on_mark<kind::stop>,
};

void skip_chunks(token_reader& in, const token& start, std::uint64_t& tokens) {
  auto expected = start.what == kind::text_chunks ? kind::text : kind::bytes;
  for (auto t = in.next(); t.what != kind::stop; t = in.next()) {
    if (t.what != expected) in.fail("a string with a chunk that is no string");
    if (tokens-- == 0) in.refuse("too many values");
  }
}

} // namespace

token token_reader::next() {
  begin_ = end_;
  token found;
  auto rest = bytes_.subspan(begin_);
  auto step = cbor_stream_decode(reinterpret_cast<cbor_data>(rest.data()), rest.size(), &callbacks, &found);
  if (step.status == CBOR_DECODER_NEDATA)
    throw unreadable{bytes_.size(), unreadable::reason::cut_off, "cut off"};
  if (step.status == CBOR_DECODER_ERROR) fail("no valid CBOR");
  end_ += step.read;
  return found;
}

token without_tags(token_reader& in, token t, std::initializer_list<std::uint64_t> known) {
  for (int tags = 0; t.what == kind::tag; t = in.next())
    if (++tags > tag_limit || std::find(known.begin(), known.end(), t.n) == known.end())
      in.fail("unexpected tag " + std::to_string(t.n));
  return t;
}

container::container(const token& start, std::uint64_t limit, token_reader& in)
    : in_(in), endless_(start.endless), left_(start.endless ? limit : start.n), limit_(limit) {
  if (left_ > limit_) too_long();
}

bool container::next(token& t) {
  if (!endless_ && left_ == 0) return false;
  t = in_.next();
  if (endless_ && t.what == kind::stop) return false;
  if (left_ == 0) too_long();
  --left_;
  return true;
}

void container::too_long() const {
  in_.refuse("more than the " + std::to_string(limit_) + " elements that are taken");
}

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

void close(token_reader& in, container& array) {
  token t;
  if (array.next(t)) in.fail("an element too many");
}

std::string short_text(token_reader& in, const token& t, std::size_t limit, const char* what) {
  if (t.what == kind::text_chunks) return joined<std::string>(in, t, limit);
  if (t.what != kind::text) in.fail(std::string("no text: ") + what);
  if (t.run.size() > limit) in.refuse(std::string("too long: ") + what);
  return std::string(t.run);
}

void skip(token_reader& in, const token& t, std::uint64_t& tokens, int depth) {
  if (tokens-- == 0) in.refuse("too many values");
  if (depth > depth_limit) in.refuse("nested too deeply");
  switch (t.what) {
  case kind::byte_chunks:
  case kind::text_chunks:
    return skip_chunks(in, t, tokens);
  case kind::tag:
    return skip(in, in.next(), tokens, depth + 1);
  case kind::array:
  case kind::map: {
    container elements(t, t.endless ? tokens : t.n, in);
    token first;
    while (elements.next(first)) {
      skip(in, first, tokens, depth + 1);
      if (t.what == kind::map) skip(in, in.next(), tokens, depth + 1);
    }
    return;
  }
  case kind::stop:
    in.fail("a stop where nothing is open");
  default:
    return;
  }
}

} // namespace dtranspose::cbor
