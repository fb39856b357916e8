#include "instrument/frame_generator.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include <time.h>

#include "protocol/stins.hpp"

namespace dtranspose {

namespace {

using pixels = std::unique_ptr<std::byte[]>;

/// Patterns of noise that images take by turns.
constexpr std::size_t patterns = 4;

std::int64_t realtime_ns() {
  timespec now = {};
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * std::int64_t{1'000'000'000} + now.tv_nsec;
}

/// Sebastiano Vigna's splitmix64: the same numbers on every machine.
std::uint64_t next_random(std::uint64_t& state) {
  auto z = state += 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

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

} // namespace

/// Memory of images, by pattern. An image is given back from whatever thread drops it.
class frame_generator::pixel_pool {
 public:
  explicit pixel_pool(const generated_frames& what) : size_(elements_of(what) * size_of(what.type)) {
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
  generated_image(std::string header, std::shared_ptr<pixel_pool> pool, std::uint64_t frame_number)
      : header_(std::move(header)), pool_(std::move(pool)), pattern_(frame_number % patterns),
        pixels_(pool_->take(pattern_)) {
    write_number(pixels_.get(), pool_->size(), frame_number);
    views_ = {frame(header_.data(), header_.size()), frame(pixels_.get(), pool_->size())};
    set_frames(views_);
  }
  ~generated_image() override { pool_->give_back(pattern_, std::move(pixels_)); }

 private:
  std::string header_;
  std::shared_ptr<pixel_pool> pool_;
  std::size_t pattern_;
  pixels pixels_;
  std::array<frame, 2> views_;
};

frame_generator::frame_generator(generated_frames what)
    : what_(std::move(what)), pool_(std::make_shared<pixel_pool>(what_)) {}
frame_generator::~frame_generator() = default;
frame_generator::frame_generator(frame_generator&&) noexcept = default;
frame_generator& frame_generator::operator=(frame_generator&&) noexcept = default;

std::size_t frame_generator::image_bytes() const { return pool_->size(); }

std::optional<stream_data> frame_generator::next() {
  if (made_ == what_.frames + 2) return std::nullopt;
  auto place = made_++;
  if (place > 0 && place <= what_.frames) return make_image(place - 1);
  std::string header;
  if (place == 0)
    write_stins_header(header, what_.first_message_number, "", realtime_ns());
  else
    write_stins_end(header, what_.first_message_number + place, realtime_ns());
  return memory_frames::of(stins_type_tag, {header});
}

stream_data frame_generator::make_image(std::uint64_t frame) {
  std::string header;
  write_stins_image(header, what_.first_message_number + frame + 1, {frame, what_.shape, name_of(what_.type)},
                    realtime_ns());
  return stream_data(std::make_unique<generated_image>(std::move(header), pool_, frame), stins_type_tag);
}

std::vector<std::byte> frame_generator::expected_pixels(std::uint64_t frame) const {
  auto noise = pool_->noise(frame % patterns);
  std::vector<std::byte> pixels(noise, noise + image_bytes());
  write_number(pixels.data(), pixels.size(), frame);
  return pixels;
}

} // namespace dtranspose
