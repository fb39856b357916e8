#include "instrument/frame_generator.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "instrument/pixels.hpp"
#include "instrument/sent_ns.hpp"
#include "instrument/splitmix.hpp"
#include "protocol/compression.hpp"
#include "protocol/stins.hpp"

namespace dtranspose {

namespace {

using pixels = std::unique_ptr<std::byte[]>;

/// Patterns of noise that images take by turns.
constexpr std::size_t patterns = 4;

void fill_with_noise(std::byte* to, std::size_t elements, dtype type, std::uint64_t seed) {
  visit_dtype(type, [&](auto sample) {
    std::uint64_t state = seed, random = 0;
    for (std::size_t i = 0; i < elements; ++i, random >>= 4) {
      if (i % 16 == 0) random = next_random(state);
      sample = static_cast<decltype(sample)>(random & 15);
      std::memcpy(to + i * sizeof sample, &sample, sizeof sample);
    }
  });
}

void write_number(std::byte* to, std::size_t size, std::uint64_t number) {
  static_assert(std::endian::native == std::endian::little);
  if (size > 0) std::memcpy(to, &number, std::min(size, sizeof number));
}

std::size_t elements_of(const generated_frames& what) {
  std::size_t n = 1;
  for (auto extent : what.shape) n *= extent;
  return n;
}

std::size_t bytes_of(const generated_frames& what) { return elements_of(what) * size_of(what.type); }

std::size_t blobs_of(const generated_frames& what) { return what.blob_each ? what.shape.at(0) : 1; }

std::string extra_keys(const generated_frames& what) {
  std::string keys;
  if (what.metadata)
    keys =
        R"("exposure_time":0.01,"timestamps":{"exposure_start":"2024-10-07T08:49:10.627Z"},"discard":false)";
  if (!what.blob_each) return keys;
  std::vector<std::size_t> chunk(what.shape);
  chunk[0] = 1;
  return fmt::format("{}{}\"chunks\":[{}]", keys, keys.empty() ? "" : ",", fmt::join(chunk, ","));
}

std::string scan_metadata(const generated_frames& what) {
  return fmt::format(R"({{"title":"generated","seed":{},"energy":{{"value":8041.0,"unit":"eV"}},)"
                     R"("motors":[{{"name":"x","from":-1.5,"to":1.5}},{{"name":"y","from":0,"to":null}}]}})",
                     what.seed);
}

std::vector<std::byte> compressible_pixels(const generated_frames& what, std::uint64_t pattern) {
  std::vector<std::byte> pixels(bytes_of(what));
  fill_pixels(pixels, what.type, what.seed, pattern);
  return pixels;
}

} // namespace

/// Memory of images, by pattern. An image is given back from whatever thread drops it.
class frame_generator::pixel_pool {
 public:
  explicit pixel_pool(const generated_frames& what) : size_(bytes_of(what)) {
    for (std::size_t i = 0; i < patterns; ++i) {
      noise_[i] = std::make_unique<std::byte[]>(size_);
      fill_with_noise(noise_[i].get(), elements_of(what), what.type, what.seed * patterns + i);
    }
  }

  std::size_t size() const { return size_; }
  const std::byte* noise(std::size_t pattern) const { return noise_[pattern].get(); }

  pixels take(std::size_t pattern) {
    if (auto used = take_used(pattern)) return used;
    auto fresh = std::make_unique_for_overwrite<std::byte[]>(size_);
    std::memcpy(fresh.get(), noise(pattern), size_);
    return fresh;
  }

  void give_back(std::size_t pattern, pixels image) {
    std::lock_guard lock(mutex_);
    free_[pattern].push_back(std::move(image));
  }

 private:
  pixels take_used(std::size_t pattern) {
    std::lock_guard lock(mutex_);
    auto& free = free_[pattern];
    if (free.empty()) return nullptr;
    auto image = std::move(free.back());
    free.pop_back();
    return image;
  }

  std::size_t size_;
  std::array<pixels, patterns> noise_;
  std::mutex mutex_;
  std::array<std::vector<pixels>, patterns> free_;
};

class frame_generator::generated_image final : public frame_owner {
 public:
  generated_image(std::string header, std::shared_ptr<pixel_pool> pool, std::uint64_t frame_number,
                  std::size_t blobs)
      : header_(std::move(header)), pool_(std::move(pool)), pattern_(frame_number % patterns),
        pixels_(pool_->take(pattern_)) {
    write_number(pixels_.get(), pool_->size(), frame_number);
    views_.reserve(1 + blobs);
    views_.emplace_back(header_.data(), header_.size());
    auto length = pool_->size() / blobs;
    for (std::size_t i = 0; i < blobs; ++i) views_.emplace_back(pixels_.get() + i * length, length);
    set_frames(views_);
  }
  ~generated_image() override { pool_->give_back(pattern_, std::move(pixels_)); }

 private:
  std::string header_;
  std::shared_ptr<pixel_pool> pool_;
  std::size_t pattern_;
  pixels pixels_;
  std::vector<frame> views_;
};

/// All blobs of all patterns.
class frame_generator::compressed_images {
 public:
  explicit compressed_images(const generated_frames& what) {
    for (std::size_t i = 0; i < patterns; ++i) {
      auto pixels = compressible_pixels(what, i);
      auto length = pixels.size() / blobs_of(what);
      for (std::size_t blob = 0; blob < blobs_of(what); ++blob)
        blobs_[i].push_back(
            compress(codec::bslz4, size_of(what.type), std::span(pixels).subspan(blob * length, length)));
    }
  }

  /// The message of that frame, which shares what is behind its header.
  static stream_data message(std::shared_ptr<const compressed_images> images, const std::string& header,
                             std::uint64_t frame_number) {
    auto kept = std::make_shared<const std::pair<std::shared_ptr<const compressed_images>, std::string>>(
        std::move(images), header);
    std::vector<frame> views = {frame(kept->second.data(), kept->second.size())};
    for (auto& blob : kept->first->blobs_[frame_number % patterns]) views.emplace_back(std::span(blob));
    return stream_data(std::make_unique<borrowed_frames>(std::move(views), kept), stins_type_tag);
  }

 private:
  std::array<std::vector<std::vector<std::byte>>, patterns> blobs_;
};

frame_generator::frame_generator(generated_frames what) : what_(std::move(what)), extra_(extra_keys(what_)) {
  if (what_.bslz4)
    compressed_ = std::make_shared<compressed_images>(what_);
  else
    pool_ = std::make_shared<pixel_pool>(what_);
}
frame_generator::~frame_generator() = default;
frame_generator::frame_generator(frame_generator&&) noexcept = default;
frame_generator& frame_generator::operator=(frame_generator&&) noexcept = default;

std::size_t frame_generator::image_bytes() const { return bytes_of(what_); }

std::optional<stream_data> frame_generator::next() {
  if (made_ == what_.frames + 2) return std::nullopt;
  auto place = made_++;
  if (place == 0) return make_start();
  if (place <= what_.frames) return make_image(place - 1);
  std::string header;
  write_stins_end(header, what_.first_message_number + place, realtime_ns());
  return memory_frames::of(stins_type_tag, {header});
}

stream_data frame_generator::make_start() const {
  std::string header;
  write_stins_header(header, what_.first_message_number, what_.filename, realtime_ns());
  if (!what_.metadata) return memory_frames::of(stins_type_tag, {header});
  return memory_frames::of(stins_type_tag, {header, scan_metadata(what_)});
}

stream_data frame_generator::make_image(std::uint64_t frame) {
  std::string header;
  write_stins_image(header, what_.first_message_number + frame + 1,
                    {.frame = frame,
                     .shape = what_.shape,
                     .type = name_of(what_.type),
                     .compression = what_.bslz4 ? "bslz4" : "none",
                     .extra = extra_},
                    realtime_ns());
  if (compressed_) return compressed_images::message(compressed_, header, frame);
  auto image = std::make_unique<generated_image>(std::move(header), pool_, frame, blobs_of(what_));
  return stream_data(std::move(image), stins_type_tag);
}

std::vector<std::byte> frame_generator::expected_pixels(std::uint64_t frame) const {
  if (compressed_) return compressible_pixels(what_, frame % patterns);
  auto noise = pool_->noise(frame % patterns);
  std::vector<std::byte> pixels(noise, noise + image_bytes());
  write_number(pixels.data(), pixels.size(), frame);
  return pixels;
}

} // namespace dtranspose
