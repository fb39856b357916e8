#include "python/event_sender.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include <spdlog/spdlog.h>

#include "analysis/image.hpp"

namespace dtranspose {

namespace {

using steady = std::chrono::steady_clock;

constexpr std::size_t most_under_way = 2;
constexpr std::size_t longest_slice = 256;
/// Bytes of frames in a slice, unless one event alone has more.
constexpr std::size_t largest_slice = std::size_t{16} << 20;
/// Frames from this size on go into shared memory.
constexpr std::size_t least_shared = 256;

std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }

std::size_t bytes_of(const event& e) {
  std::size_t sum = 0;
  for (auto& entry : e.streams()) sum += entry.data.bytes();
  return sum;
}

std::size_t shared_bytes(std::span<const event> events) {
  std::size_t sum = 0;
  for (auto& e : events)
    for (auto& entry : e.streams())
      for (auto& f : entry.data.frames())
        if (f.size() >= least_shared) sum += aligned(f.size());
  return sum;
}

/// Its pixels where they are not in the stream data as they are: then Python has them only from us.
std::optional<image_view> decoded_image(const stream_data& data) {
  if (!carries_images(data.type())) return std::nullopt;
  try {
    auto image = image_of(data);
    if (image && image->keep && image->blobs.size() == 1 && image->shape.size() <= 5) return image;
  } catch (const std::runtime_error&) {
    // Who asks for the image is told by the package.
  }
  return std::nullopt;
}

/// Places the frames of one batch, and tells the host of new segments.
class frame_placer {
 public:
  frame_placer(python_host& host, std::uint64_t batch) : host_(host), batch_(batch) {}

  /// False: there is no room now.
  bool reserve(std::size_t bytes) {
    if (bytes == 0) return true;
    room_ = take(bytes);
    return room_.has_value();
  }

  frame_place place(batch_builder& batch, const frame& f) {
    if (f.size() < least_shared || !room_) return batch.add_inline(f.bytes());
    frame_place at{room_->segment, room_->offset + used_, f.size()};
    std::memcpy(room_->memory.data() + used_, f.data(), f.size());
    used_ += aligned(f.size());
    return at;
  }

  /// Pixels that were made for the batch.
  frame_place place_apart(batch_builder& batch, const frame& f) {
    auto room = f.size() < least_shared ? std::nullopt : take(f.size());
    if (!room) return batch.add_inline(f.bytes());
    std::memcpy(room->memory.data(), f.data(), f.size());
    return {room->segment, room->offset, f.size()};
  }

 private:
  std::optional<segment_store::room> take(std::size_t bytes) {
    std::vector<segment_store::announcement> added;
    std::vector<std::uint32_t> dropped;
    std::optional<segment_store::room> room;
    try {
      room = host_.segments().take(batch_, bytes, added, dropped);
    } catch (const std::runtime_error& e) {
      spdlog::error("{}", e.what()); // it goes through the socket, then
    }
    host_.announce(added, dropped);
    return room;
  }

  python_host& host_;
  std::uint64_t batch_;
  std::optional<segment_store::room> room_;
  std::size_t used_ = 0;
};

void add(batch_builder& batch, frame_placer& frames, python_host& host, const event& e, bool tick) {
  batch.begin_event(e.number().value, e.missing_streams(), tick);
  for (auto& entry : e.streams()) {
    if (!entry.data) continue;
    batch.begin_entry(entry.stream, host.type_number(entry.data.type()));
    for (auto& f : entry.data.frames()) batch.add_frame(frames.place(batch, f));
    if (!host.is_of_dtranspose()) continue; // those decode by themselves
    if (auto image = decoded_image(entry.data))
      batch.add_array(image->type, image->shape, frames.place_apart(batch, image->blobs.front()));
  }
}

} // namespace

void event_sender::send(python_host& host, std::span<const event> events, std::uint32_t version, bool tick,
                        const answer_sink& take) {
  under_way_.clear();
  std::size_t next = 0;
  while (next < events.size() || !under_way_.empty()) {
    auto rest = events.subspan(next);
    bool may_send = !rest.empty() && under_way_.size() < most_under_way &&
                    (under_way_.empty() || !is_careful(under_way_.back().events.back()));
    if (may_send) {
      auto count = slice_of(rest);
      if (send_slice(host, rest.first(count), version, tick)) {
        next += count;
        tick = false;
        continue;
      }
    }
    take_answers(host, take);
  }
}

std::size_t event_sender::slice_of(std::span<const event> events) const {
  if (is_careful(events.front())) return 1;
  std::size_t count = 0, bytes = 0;
  for (auto& e : events.first(std::min({events.size(), most_per_slice_, longest_slice}))) {
    bytes += bytes_of(e);
    if (count > 0 && bytes > largest_slice) break;
    ++count;
  }
  return count;
}

/// False: its frames have no room before something under way is answered.
bool event_sender::send_slice(python_host& host, std::span<const event> events, std::uint32_t version,
                              bool tick) {
  auto number = host.next_batch();
  frame_placer frames(host, number);
  if (!frames.reserve(shared_bytes(events)) && !under_way_.empty()) return false;
  batch_builder batch;
  for (auto& e : events) add(batch, frames, host, e, std::exchange(tick, false));
  if (under_way_.empty()) began_ = steady::now();
  // Known to be under way before the process can be lost with it.
  under_way_.push_back({0, number, events});
  under_way_.back().request = host.send(host_message_type::batch, batch.finish(number, version));
  return true;
}

void event_sender::take_answers(python_host& host, const answer_sink& take) {
  auto first = under_way_.front();
  auto& events = first.events;
  host_answers answers;
  try {
    auto message = host.answer_to(first.request, event_timeout_, true);
    answers = parse_answers(message.body);
    if (message.type != host_message_type::answers || answers.batch != first.batch ||
        answers.list.size() != events.size())
      throw bad_message("answers to something else");
  } catch (const bad_message& e) {
    host.give_up(std::string("its process has sent what cannot be read: ").append(e.what()));
    throw host_lost(std::string("its process has sent what cannot be read: ").append(e.what()));
  } catch (const host_failed& e) {
    // The whole message was refused, and its frames are released.
    answers.released = true;
    answers.tick_interval = std::numeric_limits<double>::quiet_NaN();
    answers.list.assign(events.size(), {host_answer_kind::failed, {}, e.what()});
  }
  if (!std::isnan(answers.tick_interval)) tick_interval_ = answers.tick_interval;
  if (answers.released) host.segments().release(first.batch);
  under_way_.pop_front();
  auto now = steady::now();
  auto each = std::chrono::nanoseconds(now - began_).count() / static_cast<std::int64_t>(events.size());
  began_ = now;
  most_per_slice_ = static_cast<std::size_t>(
      std::clamp<std::int64_t>(event_timeout_.count() / 8 / std::max<std::int64_t>(each, 1), 1, 1 << 20));
  for (std::size_t i = 0; i < events.size(); ++i) take(events[i], std::move(answers.list[i]));
}

event_sender::blame event_sender::lost_at(const python_host& host) const {
  blame b;
  if (under_way_.empty()) return b;
  b.last = &under_way_.back().events.back();
  auto at = host.at();
  for (auto& s : under_way_) {
    if (s.batch != at.batch || at.event >= s.events.size()) continue;
    b.where = &s.events[at.event];
    b.alone = s.events.size() == 1;
  }
  return b;
}

} // namespace dtranspose
