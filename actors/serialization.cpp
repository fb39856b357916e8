#include "actors/serialization.hpp"

#include <caf/binary_deserializer.hpp>
#include <caf/sec.hpp>

#include <bit>

#include "model/type_tag.hpp"

namespace dtranspose {

namespace {

/// Bounds of what a peer may send: far above what is used, far below what would exhaust memory.
constexpr std::size_t most_frames = 1 << 16;
constexpr std::size_t largest_block = std::size_t{1} << 32;
constexpr std::size_t deepest_value = 64;
constexpr std::size_t most_dimensions = 32;

caf::error bad(const char* text) { return caf::make_error(caf::sec::invalid_argument, text); }

template <class T>
caf::error get(caf::deserializer& source, T& x) {
  return source(x);
}

/// An announced size that is larger than what came would be allocated before it is found out.
bool is_there(caf::deserializer& source, std::uint64_t size) {
  auto bytes = dynamic_cast<caf::binary_deserializer*>(&source);
  return size <= largest_block && (!bytes || size <= bytes->remaining());
}

caf::error load_block(caf::deserializer& source, std::size_t size, std::byte* data) {
  return size > 0 ? source.apply_raw(size, data) : caf::error();
}

} // namespace

caf::error save(caf::serializer& sink, const stream_data& x) {
  std::string type(x.type());
  auto count = static_cast<std::uint32_t>(x.frames().size());
  if (auto e = sink(type, count)) return e;
  for (auto& f : x.frames()) {
    std::uint64_t size = f.size();
    if (auto e = sink(size)) return e;
    if (size > 0)
      if (auto e = sink.apply_raw(size, const_cast<std::byte*>(f.data()))) return e;
  }
  return caf::none;
}

caf::error load(caf::deserializer& source, stream_data& x) {
  std::string type;
  std::uint32_t count = 0;
  if (auto e = source(type, count)) return e;
  if (count > most_frames || !is_there(source, count)) return bad("too many frames");
  std::vector<frame> views;
  std::vector<std::shared_ptr<std::byte[]>> blocks;
  views.reserve(count);
  blocks.reserve(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    std::uint64_t size = 0;
    if (auto e = source(size)) return e;
    if (!is_there(source, size)) return bad("a frame is larger than its message");
    // Not initialised: it is overwritten at once, and a value-initialised buffer would be written twice.
    auto block = std::make_shared_for_overwrite<std::byte[]>(size);
    if (auto e = load_block(source, size, block.get())) return e;
    views.emplace_back(block.get(), size);
    blocks.push_back(std::move(block));
  }
  auto keep = std::make_shared<const std::vector<std::shared_ptr<std::byte[]>>>(std::move(blocks));
  x = stream_data(std::make_unique<borrowed_frames>(std::move(views), std::move(keep)), intern_type(type));
  return caf::none;
}

caf::error save(caf::serializer& sink, const arm_place& x) {
  auto start = x.start, first = x.first;
  if (auto e = sink(start, first)) return e;
  for (auto& number : {x.message_number, x.announced, x.series}) {
    bool there = number.has_value();
    auto n = number.value_or(0);
    if (auto e = sink(there, n)) return e;
  }
  return caf::none;
}

caf::error load(caf::deserializer& source, arm_place& x) {
  if (auto e = source(x.start, x.first)) return e;
  for (auto number : {&x.message_number, &x.announced, &x.series}) {
    bool there = false;
    std::uint64_t n = 0;
    if (auto e = source(there, n)) return e;
    *number = there ? std::optional(n) : std::nullopt;
  }
  return caf::none;
}

caf::error save(caf::serializer& sink, const outgoing_entry& x) {
  auto event = x.event.value, dispatch = x.dispatch.value;
  bool missing = x.missing.has_value();
  auto carried = x.carried;
  if (auto e = sink(event, dispatch, carried, missing)) return e;
  if (!missing) return save(sink, x.data);
  auto how = x.missing->how;
  auto cause = x.missing->cause;
  return sink(how, cause);
}

caf::error load(caf::deserializer& source, outgoing_entry& x) {
  bool missing = false;
  if (auto e = source(x.event.value, x.dispatch.value, x.carried, missing)) return e;
  if (x.carried > most_frames) return bad("too many frames");
  if (!missing) return load(source, x.data);
  auto& why = x.missing.emplace();
  if (auto e = source(why.how, why.cause)) return e;
  return why.how > fate::lost ? bad("no such fate") : caf::error();
}

namespace {

struct value_saver {
  caf::serializer& sink;

  caf::error operator()(std::monostate) { return caf::none; }
  /// As its bits: CAF 0.17 writes neither NaN nor infinity, and takes for ever to find that out.
  caf::error operator()(double x) {
    auto bits = std::bit_cast<std::uint64_t>(x);
    return sink(bits);
  }
  template <class T>
    requires std::is_arithmetic_v<T>
  caf::error operator()(T x) {
    return sink(x);
  }
  caf::error operator()(const std::string& x) { return sink(const_cast<std::string&>(x)); }
  caf::error operator()(const std::shared_ptr<const value_bytes>& x) { return block({x->data(), x->size()}); }
  caf::error operator()(const std::shared_ptr<const array>& x) {
    auto type = x->type();
    std::vector<std::uint64_t> shape(x->shape().begin(), x->shape().end());
    if (auto e = sink(type, shape)) return e;
    return block(x->bytes());
  }
  caf::error operator()(const std::shared_ptr<const value_list>& x) {
    auto size = static_cast<std::uint64_t>(x->size());
    if (auto e = sink(size)) return e;
    for (auto& item : *x)
      if (auto e = save(sink, item)) return e;
    return caf::none;
  }
  caf::error operator()(const std::shared_ptr<const value_map>& x) {
    auto size = static_cast<std::uint64_t>(x->size());
    if (auto e = sink(size)) return e;
    for (auto& [key, item] : *x) {
      if (auto e = sink(const_cast<std::string&>(key))) return e;
      if (auto e = save(sink, item)) return e;
    }
    return caf::none;
  }
  caf::error block(std::span<const std::byte> bytes) {
    auto size = static_cast<std::uint64_t>(bytes.size());
    if (auto e = sink(size)) return e;
    return size > 0 ? sink.apply_raw(size, const_cast<std::byte*>(bytes.data())) : caf::error();
  }
};

/// Reads one value; its kinds are numbered as in `value::variant`.
struct value_loader {
  caf::deserializer& source;
  std::size_t depth = 0;

  caf::error read(value& x) {
    std::uint8_t kind = 0;
    if (auto e = get(source, kind)) return e;
    switch (kind) {
    case 0:
      x = value();
      return caf::none;
    case 1:
      return number<bool>(x);
    case 2:
      return number<std::int64_t>(x);
    case 3:
      return number<std::uint64_t>(x);
    case 4:
      return real(x);
    case 5:
      return text(x);
    case 6:
      return bytes(x);
    case 7:
      return read_array(x);
    case 8:
      return list(x);
    case 9:
      return map(x);
    default:
      return bad("no such kind of value");
    }
  }

  template <class T>
  caf::error number(value& x) {
    T n{};
    if (auto e = get(source, n)) return e;
    x = value(n);
    return caf::none;
  }

  caf::error real(value& x) {
    std::uint64_t bits = 0;
    if (auto e = get(source, bits)) return e;
    x = value(std::bit_cast<double>(bits));
    return caf::none;
  }

  caf::error text(value& x) {
    std::string s;
    if (auto e = get(source, s)) return e;
    x = value(std::move(s));
    return caf::none;
  }

  caf::error size_of_block(std::uint64_t& size) {
    if (auto e = get(source, size)) return e;
    return is_there(source, size) ? caf::error() : bad("a value is larger than its message");
  }

  caf::error bytes(value& x) {
    std::uint64_t size = 0;
    if (auto e = size_of_block(size)) return e;
    value_bytes data(size);
    if (auto e = load_block(source, size, data.data())) return e;
    x = value(std::move(data));
    return caf::none;
  }

  caf::error read_array(value& x) {
    dtype type{};
    std::vector<std::uint64_t> shape;
    std::uint64_t size = 0;
    if (auto e = source(type, shape)) return e;
    if (auto e = size_of_block(size)) return e;
    if (type > dtype::float64 || shape.size() > most_dimensions) return bad("no such array");
    std::uint64_t expected = dtranspose::size_of(type);
    for (auto n : shape)
      if (__builtin_mul_overflow(expected, n, &expected)) return bad("array too large");
    if (expected != size && !(size == 0 && shape == std::vector<std::uint64_t>{0}))
      return bad("the shape of an array does not fit its size");
    auto data = std::make_shared_for_overwrite<std::byte[]>(size);
    if (auto e = load_block(source, size, data.get())) return e;
    x = value(array(type, {shape.begin(), shape.end()}, std::move(data)));
    return caf::none;
  }

  template <class F>
  caf::error each(F&& f) {
    std::uint64_t size = 0;
    if (auto e = size_of_block(size)) return e;
    if (++depth > deepest_value) return bad("values are nested too deeply");
    for (std::uint64_t i = 0; i < size; ++i)
      if (auto e = f()) return e;
    --depth;
    return caf::none;
  }

  caf::error list(value& x) {
    value_list items;
    auto e = each([&] { return read(items.emplace_back()); });
    if (!e) x = value(std::move(items));
    return e;
  }

  caf::error map(value& x) {
    value_map items;
    auto e = each([&]() -> caf::error {
      std::string key;
      value item;
      if (auto e = get(source, key)) return e;
      if (auto e = read(item)) return e;
      items.set(key, std::move(item));
      return caf::none;
    });
    if (!e) x = value(std::move(items));
    return e;
  }
};

} // namespace

caf::error save(caf::serializer& sink, const value& x) {
  auto kind = static_cast<std::uint8_t>(x.content().index());
  if (auto e = sink(kind)) return e;
  return std::visit(value_saver{sink}, x.content());
}

caf::error load(caf::deserializer& source, value& x) { return value_loader{source}.read(x); }

} // namespace dtranspose
