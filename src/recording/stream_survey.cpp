#include "recording/stream_survey.hpp"

#include <algorithm>
#include <utility>

#include "recording/stored_image.hpp"

namespace dtranspose {

namespace {

constexpr std::size_t most_kinds = 100;

} // namespace

void stream_survey::take(const stream_data& data, std::optional<double> time) {
  if (entries_++ == 0) first_ = data;
  last_ = data;
  bytes_ += data.bytes();
  if (time) times_ = joined(times_, recorded_span{*time, *time});
  note_image(data);
}

void stream_survey::note_image(const stream_data& data) {
  auto image = stored_image_of(data);
  if (!image) return;
  auto compression = name_of(image->how);
  auto same = std::find_if(images_.begin(), images_.end(), [&](auto& kind) {
    return kind.compression == compression && kind.type == image->type && kind.shape == image->shape;
  });
  if (same != images_.end())
    ++same->count;
  else if (images_.size() < most_kinds)
    images_.push_back({compression, image->type, std::move(image->shape), 1});
}

} // namespace dtranspose
