#include "analysis/image.hpp"

#include <stdexcept>

#include <fmt/format.h>

#include "protocol/stins.hpp"

namespace dtranspose {

namespace {

std::optional<image_view> stins_image_of(const stream_data& data) {
  auto image = parse_stins_image(data);
  if (!image) {
    if (stins_kind(data) == entry_kind::data)
      throw std::runtime_error("the image has an element type that is not supported");
    return std::nullopt;
  }
  if (image->compression != stins_compression::none)
    throw std::runtime_error("the image is compressed: compression is not supported yet");
  return image_view{image->type, std::move(image->shape), image->blobs};
}

std::optional<image_view> image_of(std::string_view stream, const stream_data& data) {
  try {
    return image_of(data);
  } catch (const std::runtime_error& e) {
    throw std::runtime_error(fmt::format("stream '{}': {}", stream, e.what()));
  }
}

} // namespace

bool carries_images(std::string_view type_tag) { return type_tag == stins_type_tag; }

std::optional<image_view> image_of(const stream_data& data) {
  if (data.type() == stins_type_tag) return stins_image_of(data);
  return std::nullopt;
}

std::optional<image_view> find_image(const event& e, std::string_view stream) {
  if (stream.empty()) {
    for (auto& entry : e.streams())
      if (auto image = image_of(e.name_of(entry), entry.data)) return image;
    return std::nullopt;
  }
  auto data = e.find(stream);
  if (!data || !*data) return std::nullopt;
  if (!carries_images(data->type()))
    throw std::runtime_error(
        fmt::format("stream '{}': data of type {} carry no images", stream, data->type()));
  return image_of(stream, *data);
}

std::string shape_text(const std::vector<std::size_t>& shape) {
  std::string text = "[";
  for (auto extent : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(extent);
  return text + "]";
}

} // namespace dtranspose
