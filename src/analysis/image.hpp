/// What the analyses that ship with dtranspose see of an image, whatever wire format brought it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/event.hpp"
#include "model/value.hpp"

namespace dtranspose {

/// Uncompressed pixels in C order, little endian, of any alignment. Valid as long as the stream
/// data.
struct image_view {
  dtype type = dtype::uint16;
  std::vector<std::size_t> shape; ///< slowest axis first
  /// One blob with all of it, or one for each index of the first axis: together as long as `shape`
  /// says.
  std::span<const frame> blobs;
};

/// Can stream data of this type tag hold an image?
bool carries_images(std::string_view type_tag);

/// The image in `data`; nothing for starts, ends, and types that carry none. Throws
/// std::runtime_error for an image that is compressed or has elements that are none of ours.
std::optional<image_view> image_of(const stream_data& data);

/// The image of that stream; of the first stream that has one when `stream` is empty. Nothing where
/// the event has none. Throws std::runtime_error, naming the stream, for an image that cannot be
/// read and for a named stream whose type carries no images.
std::optional<image_view> find_image(const event& e, std::string_view stream);

/// `[2, 3]`.
std::string shape_text(const std::vector<std::size_t>& shape);

} // namespace dtranspose
