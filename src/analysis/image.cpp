#include "analysis/image.hpp"

#include <algorithm>
#include <atomic>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "protocol/array_view.hpp"
#include "protocol/compression.hpp"
#include "protocol/dectris_v2.hpp"
#include "protocol/eiger_v1.hpp"
#include "protocol/stins.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {

namespace {

/// One byte of LZ4 stands for at most 255: what announces more is not believed, so that nobody makes us
/// allocate more than so many times of what was received.
constexpr std::uint64_t longest_expansion = 256;

/// Pixels with the one blob that views them.
struct decompressed_pixels {
  std::unique_ptr<std::byte[]> bytes;
  std::size_t capacity = 0;
  frame whole;
};

/// Memory for `size` bytes. A thread uses its own again once nobody else holds it.
std::shared_ptr<decompressed_pixels> memory_for(std::size_t size) {
  thread_local std::shared_ptr<decompressed_pixels> spare;
  if (!spare || spare.use_count() > 1) spare = std::make_shared<decompressed_pixels>();
  // Whoever dropped it last may have read it in another thread.
  std::atomic_thread_fence(std::memory_order_acquire);
  if (spare->capacity < size) {
    spare->capacity = 0;
    spare->bytes = std::make_unique_for_overwrite<std::byte[]>(size);
    spare->capacity = size;
  }
  spare->whole = frame(spare->bytes.get(), size);
  return spare;
}

/// An image as it came in: one blob, or one for each index of the first axis.
struct encoded_image {
  dtype type;
  std::vector<std::size_t> shape;
  std::span<const frame> blobs;
  codec how;
  std::size_t element_size;     ///< of the bit-shuffling
  bool header_may_miss = false; ///< `bslz4` may as well be `bslz4_bare`
};

image_view decompressed(encoded_image image) {
  auto bytes = bytes_of(image.shape, image.type);
  std::uint64_t received = 0;
  for (auto& blob : image.blobs) received += blob.size();
  if (bytes > saturating_product(received, longest_expansion))
    throw corrupt_blob(fmt::format("{} compressed bytes cannot hold an image of shape {} of {}", received,
                                   shape_text(image.shape), name_of(image.type)));
  auto memory = memory_for(bytes);
  std::span<std::byte> rest(memory->bytes.get(), bytes);
  auto length = bytes / image.blobs.size();
  for (auto& blob : image.blobs) {
    auto how = image.header_may_miss ? bslz4_form(blob.bytes(), length) : image.how;
    decompress(how, image.element_size, blob.bytes(), rest.first(length));
    rest = rest.subspan(length);
  }
  return {image.type, std::move(image.shape), {&memory->whole, 1}, memory};
}

/// Pixels that something else than a frame of the stream data holds.
image_view view_of(dtype type, std::vector<std::size_t> shape, std::span<const std::byte> pixels,
                   std::shared_ptr<const void> keep) {
  using kept = std::pair<frame, std::shared_ptr<const void>>;
  auto together = std::make_shared<const kept>(frame(pixels), std::move(keep));
  return {type, std::move(shape), {&together->first, 1}, together};
}

std::runtime_error unreadable(const stream_data& data) {
  auto named = stins_keys(data);
  auto text = [&](std::string_view key) {
    auto found = named.find(key);
    auto name = found ? found->as_text() : nullptr;
    return name ? *name : std::string();
  };
  if (!dtype_of(text("type")))
    return std::runtime_error(
        fmt::format("the image has an element type that is not supported: {}", text("type")));
  return std::runtime_error(
      fmt::format("the image is compressed by something that is not supported: {}", text("compression")));
}

std::optional<image_view> stins_image_of(const stream_data& data) {
  auto image = parse_stins_image(data);
  if (!image) {
    if (stins_kind(data) == entry_kind::data) throw unreadable(data);
    return std::nullopt;
  }
  switch (image->compression) {
  case stins_compression::none:
    return image_view{image->type, std::move(image->shape), image->blobs};
  case stins_compression::bslz4:
    return decompressed({.type = image->type,
                         .shape = std::move(image->shape),
                         .blobs = image->blobs,
                         .how = codec::bslz4,
                         .element_size = size_of(image->type),
                         .header_may_miss = true});
  case stins_compression::other:
    break;
  }
  throw unreadable(data);
}

std::optional<image_view> eiger_v1_image_of(const stream_data& data) {
  auto image = parse_eiger_v1_image(data);
  if (!image) return std::nullopt;
  if (image->encoding.how == codec::none)
    return image_view{image->type, std::move(image->shape), data.frames().subspan(2, 1)};
  frame blob(image->blob);
  return decompressed({.type = image->type,
                       .shape = std::move(image->shape),
                       .blobs = {&blob, 1},
                       .how = image->encoding.how,
                       .element_size = image->encoding.element_size});
}

image_view view_of(const dectris_v2_array& pixels) {
  if (auto plain = pixels.plain())
    return view_of(plain->type, std::move(plain->shape), plain->bytes, pixels.joined);
  if (pixels.big_endian || !pixels.compression) {
    auto elements = elements_of(pixels);
    return view_of(elements.type(), elements.shape(), elements.bytes(), elements.buffer());
  }
  frame blob(pixels.blob);
  return decompressed({.type = pixels.type,
                       .shape = pixels.shape,
                       .blobs = {&blob, 1},
                       .how = *pixels.compression,
                       .element_size = pixels.element_size});
}

std::optional<image_view> dectris_v2_image_of(const stream_data& data, std::string_view channel) {
  auto image = parse_dectris_v2_image(data);
  if (!image) {
    if (dectris_v2_kind(data) == entry_kind::data) throw std::runtime_error("the image cannot be read");
    return std::nullopt;
  }
  for (auto& [name, pixels] : image->channels)
    if (channel.empty() || name == channel) return view_of(pixels);
  throw std::runtime_error(channel.empty() ? "the image has no channel"
                                           : fmt::format("the image has no channel '{}'", channel));
}

std::optional<image_view> xspress3_image_of(const stream_data& data) {
  auto image = parse_xspress3_image(data);
  if (!image) return std::nullopt;
  return image_view{image->spectra.type, std::move(image->spectra.shape), data.frames().subspan(1, 1)};
}

/// A format whose data hold one image each.
struct image_format {
  std::string_view type_tag;
  std::optional<image_view> (*image_of)(const stream_data&);
};

constexpr image_format single_images[] = {
    {stins_type_tag, stins_image_of},
    {eiger_v1_type_tag, eiger_v1_image_of},
    {xspress3_type_tag, xspress3_image_of},
};

const image_format* find_format(std::string_view type_tag) {
  for (auto& format : single_images)
    if (format.type_tag == type_tag) return &format;
  return nullptr;
}

std::optional<image_view> image_in(std::string_view stream, const stream_data& data,
                                   std::string_view channel) {
  try {
    return image_of(data, channel);
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(fmt::format("stream '{}': {}", stream, e.what()));
  }
}

} // namespace

bool carries_images(std::string_view type_tag) {
  return type_tag == dectris_v2_type_tag || find_format(type_tag);
}

std::optional<image_view> image_of(const stream_data& data, std::string_view channel) {
  if (data.type() == dectris_v2_type_tag) return dectris_v2_image_of(data, channel);
  auto format = find_format(data.type());
  if (!format) return std::nullopt;
  if (!channel.empty())
    throw std::runtime_error(fmt::format("data of type {} have no channels", data.type()));
  return format->image_of(data);
}

std::optional<image_view> find_image(const event& e, std::string_view stream, std::string_view channel) {
  if (stream.empty()) {
    for (auto& entry : e.streams())
      if (auto image = image_in(e.name_of(entry), entry.data, channel)) return image;
    return std::nullopt;
  }
  auto data = e.find(stream);
  if (!data || !*data) return std::nullopt;
  if (!carries_images(data->type()))
    throw std::runtime_error(
        fmt::format("stream '{}': data of type {} carry no images", stream, data->type()));
  return image_in(stream, *data, channel);
}

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (auto extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

} // namespace dtranspose
