/// Generated frames: what a detector would send as STINS, with pixels that receivers can verify.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"

namespace dtranspose {

struct generated_frames {
  std::uint64_t frames = 1000;
  std::vector<std::size_t> shape = {256, 256};
  dtype type = dtype::uint16;
  std::uint64_t seed = 0;
  std::uint64_t first_message_number = 0; ///< of the start
  std::string filename = "generated.h5";  ///< of the start; empty: nothing is to be saved
  bool bslz4 = false;                     ///< compressed?
  bool blob_each = false; ///< one blob for each index of the first axis, which then must be there
  bool metadata = false;  ///< nested metadata of the scan in the start, further keys in the images
};

/// Makes one series: start, images numbered from 0, end. Every header has the key `sent_ns`,
/// `CLOCK_REALTIME` when the message was made.
///
/// Pixels are whole numbers 0..15 of noise, one of a few patterns by turns, over whose first
/// min(8, size) bytes the frame number is written, least significant byte first. The memory of an
/// image is used again once nobody holds it, so that making one writes 8 bytes; as many images
/// exist as are held at once.
///
/// Compressed images have what `fill_pixels` gives for the numbers 0 to 3, by turns: they are compressed
/// once, and their pixels do not tell the frame number.
///
/// Used from one thread; what it made may be held and dropped in any, also after this is gone.
class frame_generator {
 public:
  explicit frame_generator(generated_frames what);
  ~frame_generator();
  frame_generator(frame_generator&&) noexcept;
  frame_generator& operator=(frame_generator&&) noexcept;

  /// The next message; nothing after the end.
  std::optional<stream_data> next();

  /// Bytes of one image, not compressed.
  std::size_t image_bytes() const;

  /// The pixels of that frame, as everybody who knows shape, type and seed can tell.
  std::vector<std::byte> expected_pixels(std::uint64_t frame) const;

 private:
  class pixel_pool;
  class generated_image;
  class compressed_images;

  stream_data make_start() const;
  stream_data make_image(std::uint64_t frame);

  generated_frames what_;
  std::string extra_; ///< keys of every image
  std::shared_ptr<pixel_pool> pool_;
  std::shared_ptr<const compressed_images> compressed_; ///< instead of the pool
  std::uint64_t made_ = 0;                              ///< messages
};

} // namespace dtranspose
