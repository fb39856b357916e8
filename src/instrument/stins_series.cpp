#include "instrument/stins_series.hpp"

#include <array>
#include <limits>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "instrument/buffer_pool.hpp"
#include "instrument/frame_generator.hpp"
#include "instrument/sent_ns.hpp"
#include "protocol/array_view.hpp"
#include "protocol/stins.hpp"

namespace dtranspose {

namespace {

/// LZ4's own limit; no detector comes near it, and a shape with a digit too many is found out.
constexpr std::uint64_t image_bytes_limit = 0x7e000000;
/// A message has that many parts at most; detectors have some thresholds or modules.
constexpr std::size_t blobs_limit = 4096;

generated_frames frames_of(const series_settings& settings) {
  option_reader options(settings.options);
  generated_frames what{
      .frames = settings.frames, .shape = settings.shape, .type = settings.type, .seed = settings.seed};
  if (auto& camera = settings.view.camera) {
    what.shape = camera->shape();
    what.type = camera->type();
  }
  what.bslz4 = options.choice("compression", {"none", "bslz4"}) == "bslz4";
  what.blob_each = options.choice("blobs", {"one", "each"}) == "each";
  what.metadata = options.flag("metadata", false);
  what.filename = options.text("filename", what.filename);
  what.first_message_number =
      options.whole("message_number", 0, 0, std::numeric_limits<std::uint64_t>::max() / 2);
  options.finish();
  return what;
}

void check(const generated_frames& what) {
  auto bytes = bytes_of(what.shape, what.type);
  if (bytes > image_bytes_limit)
    throw std::runtime_error(
        fmt::format("shape: an image of {} bytes is more than {}", bytes, image_bytes_limit));
  if (what.blob_each && (what.shape.empty() || what.shape[0] == 0 || what.shape[0] > blobs_limit))
    throw std::runtime_error(
        fmt::format("option blobs: each wants a shape whose first axis has 1 to {} places", blobs_limit));
}

class stins_series final : public series_generator {
 public:
  explicit stins_series(generated_frames what) : entries_(what.frames + 2), generator_(std::move(what)) {}

  std::optional<stream_data> next() override { return generator_.next(); }
  std::uint64_t entries() const override { return entries_; }

 private:
  std::uint64_t entries_;
  frame_generator generator_;
};

/// A header and the pixels behind it, which come from a pool or were made for it alone.
class seen_image final : public frame_owner {
 public:
  seen_image(std::string header, std::shared_ptr<const void> keep, std::span<const std::byte> pixels)
      : header_(std::move(header)), keep_(std::move(keep)),
        views_{frame(header_.data(), header_.size()), frame(pixels)} {
    set_frames(views_);
  }

 private:
  std::string header_;
  std::shared_ptr<const void> keep_;
  std::array<frame, 2> views_;
};

/// What a camera sees.
class camera_series final : public series_generator {
 public:
  camera_series(generated_frames what, std::shared_ptr<const camera_view> camera, std::uint64_t first_frame)
      : what_(std::move(what)), camera_(std::move(camera)), first_frame_(first_frame),
        pool_(std::make_shared<buffer_pool>(bytes_of(what_.shape, what_.type))) {}

  std::optional<stream_data> next() override {
    if (made_ == entries()) return std::nullopt;
    auto place = made_++;
    std::string header;
    if (place > 0 && place <= what_.frames) return image(place - 1);
    if (place == 0)
      write_stins_header(header, what_.first_message_number, what_.filename, realtime_ns());
    else
      write_stins_end(header, what_.first_message_number + place, realtime_ns());
    return memory_frames::of(stins_type_tag, {header});
  }

  std::uint64_t entries() const override { return what_.frames + 2; }

 private:
  stream_data image(std::uint64_t number) {
    std::shared_ptr<const void> keep;
    std::span<const std::byte> pixels;
    if (what_.bslz4) {
      auto blob = std::make_shared<const std::vector<std::byte>>(camera_->compressed(first_frame_ + number));
      pixels = *blob;
      keep = std::move(blob);
    } else {
      auto buffer = pool_->take();
      std::span<std::byte> whole(buffer.get(), pool_->size());
      camera_->fill(first_frame_ + number, whole);
      pixels = whole;
      keep = std::move(buffer);
    }
    std::string header;
    write_stins_image(header, what_.first_message_number + number + 1,
                      {.frame = number,
                       .shape = what_.shape,
                       .type = name_of(what_.type),
                       .compression = what_.bslz4 ? "bslz4" : "none"},
                      realtime_ns());
    return stream_data(std::make_unique<seen_image>(std::move(header), std::move(keep), pixels),
                       stins_type_tag);
  }

  generated_frames what_;
  std::shared_ptr<const camera_view> camera_;
  std::uint64_t first_frame_;
  std::shared_ptr<buffer_pool> pool_;
  std::uint64_t made_ = 0; ///< messages
};

} // namespace

std::unique_ptr<series_generator> make_stins_series(const series_settings& settings) {
  auto what = frames_of(settings);
  check(what);
  if (settings.view.camera) {
    if (what.blob_each || what.metadata)
      throw std::runtime_error("options blobs, metadata: are for images that are made up");
    return std::make_unique<camera_series>(std::move(what), settings.view.camera, settings.first_frame);
  }
  return std::make_unique<stins_series>(std::move(what));
}

} // namespace dtranspose
