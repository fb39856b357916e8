#include "instrument/stins_series.hpp"

#include <limits>
#include <stdexcept>

#include <fmt/format.h>

#include "instrument/frame_generator.hpp"
#include "protocol/array_view.hpp"

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
  what.bslz4 = options.choice("compression", {"none", "bslz4"}) == "bslz4";
  what.blob_each = options.choice("blobs", {"one", "each"}) == "each";
  what.metadata = options.flag("metadata", false);
  what.filename = options.text("filename");
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

} // namespace

std::unique_ptr<series_generator> make_stins_series(const series_settings& settings) {
  auto what = frames_of(settings);
  check(what);
  return std::make_unique<stins_series>(std::move(what));
}

} // namespace dtranspose
