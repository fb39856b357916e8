/// What the analyses that ship with dtranspose see of an image, whatever wire format brought it and however
/// it was compressed.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/event.hpp"
#include "model/value.hpp"

namespace dtranspose {

/// Pixels in C order, little endian, of any alignment. Valid as long as the stream data and a copy of this.
struct image_view {
  dtype type = dtype::uint16;
  std::vector<std::size_t> shape; ///< slowest axis first
  /// One blob with all of it, or one for each index of the first axis: together as long as `shape`
  /// says.
  std::span<const frame> blobs;
  /// Pixels that do not lie in the stream data: those that were compressed.
  std::shared_ptr<const void> keep = {};
};

/// Can stream data of this type tag hold an image?
bool carries_images(std::string_view type_tag);

/// The image in `data`; nothing for starts, ends, and types that carry none. `channel` names one of several
/// images that were taken at the same time, where a format has those; empty: the first. Pixels are
/// decompressed into memory that the calling thread uses again once no copy of the view is left; others stay
/// where they are.
///
/// | type         | shape                            |
/// | ------------ | -------------------------------- |
/// | STINS        | as sent                          |
/// | EIGER_LEGACY | [rows, columns]                  |
/// | DECTRIS_V2   | [rows, columns] of a channel     |
/// | xspress      | [detector channels, energy bins] |
///
/// Throws std::runtime_error for an image that cannot be read: pixels that do not decompress, a compression,
/// a type of elements or a channel that is not known.
std::optional<image_view> image_of(const stream_data& data, std::string_view channel = {});

/// The image of that stream; of the first stream that has one when `stream` is empty. Nothing where
/// the event has none. Throws std::runtime_error, naming the stream, for an image that cannot be
/// read and for a named stream whose type carries no images.
std::optional<image_view> find_image(const event& e, std::string_view stream, std::string_view channel = {});

/// `[2, 3]`.
std::string shape_text(const std::vector<std::size_t>& shape);

} // namespace dtranspose
