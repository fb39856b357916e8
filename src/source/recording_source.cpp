#include "source/recording_source.hpp"

#include <algorithm>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>

#include "recording/dump.hpp"
#include "source/allowance.hpp"

namespace dtranspose {

namespace {

using files = std::vector<std::shared_ptr<const mapped_file>>;

/// What one stream has in several dumps, in step by event number.
class stream_player {
 public:
  stream_player(const files& recorded, std::string_view stream) : stream_(stream) {
    for (auto& file : recorded) {
      heads_.push_back({dump_reader(file), {}});
      advance(heads_.back());
    }
  }

  /// The next entry; nothing at the end, when `error` is set, and soon after `stop` was requested.
  std::optional<stream_packet> next(const std::stop_token& stop) {
    while (error_.empty() && !stop.stop_requested()) {
      auto lowest = lowest_head();
      if (!lowest) {
        error_ = cut_off_;
        break;
      }
      auto event = lowest->item->event;
      auto data = take(*lowest->item);
      if (data && last_ && *last_ >= event)
        error_ = lowest->reader.file().path().string() + ": stream '" + stream_ + "' has event " +
                 std::to_string(event) + " after event " + std::to_string(*last_);
      else if (data)
        last_ = event;
      advance(*lowest);
      if (data && error_.empty()) return stream_packet{std::move(*data), {.event = event}};
    }
    return std::nullopt;
  }

  /// Why it ended before its end.
  const std::string& error() const { return error_; }

 private:
  struct head {
    dump_reader reader;
    std::optional<dump_item> item;
  };

  void advance(head& at) {
    at.item = at.reader.next();
    if (!at.reader.cut_off().empty()) cut_off_ = at.reader.cut_off();
  }

  head* lowest_head() {
    head* lowest = nullptr;
    for (auto& head : heads_)
      if (head.item && (!lowest || head.item->event < lowest->item->event)) lowest = &head;
    return lowest;
  }

  std::optional<stream_data> take(dump_item& item) {
    for (auto& stream : item.streams)
      if (stream.name == stream_) return std::move(stream.data);
    return std::nullopt;
  }

  std::string stream_;
  std::vector<head> heads_;
  std::optional<std::uint64_t> last_; ///< event that was taken last
  std::string cut_off_;               ///< of a file, while others may go on
  std::string error_;
};

class recording_source final : public source {
 public:
  recording_source(files recorded, std::string stream)
      : files_(std::move(recorded)), stream_(std::move(stream)) {
    const stream_player checked(files_, stream_); // refuses what is no dump
    static_cast<void>(checked);
    for (auto& file : files_)
      status_.address += (status_.address.empty() ? "" : ", ") + file->path().string();
    status_.connected = true;
  }

  ~recording_source() override { disarm(); }

  void arm(packet_sink sink) override {
    std::lock_guard lock(control_);
    stop();
    allowance_.reset();
    report(true, "");
    thread_ = std::jthread([this, sink = std::move(sink)](const std::stop_token& stop) { play(stop, sink); });
  }

  void disarm() override {
    std::lock_guard lock(control_);
    stop();
  }

  void allow(std::uint64_t bytes, std::uint64_t beyond) override { allowance_.allow(bytes, beyond); }

  source_status status() const override {
    std::lock_guard lock(status_mutex_);
    auto copy = status_;
    copy.reading = !allowance_.waiting();
    return copy;
  }

 private:
  void stop() { thread_ = std::jthread(); }

  void report(bool connected, const std::string& error) {
    std::lock_guard lock(status_mutex_);
    status_.connected = connected;
    status_.error = error;
  }

  void play(const std::stop_token& stop, const packet_sink& sink) {
    stream_player player(files_, stream_);
    auto batch = std::make_shared<packet_batch>();
    auto hand_over = [&] {
      if (!batch->packets.empty()) sink(std::exchange(batch, std::make_shared<packet_batch>()));
    };
    std::size_t payload = 0; // of the batch
    while (auto packet = player.next(stop)) {
      auto size = packet->data.bytes();
      auto cost = budgeted_bytes(size);
      if (batch->packets.size() == recording_batch_packets || payload + size > recording_batch_bytes) {
        hand_over();
        payload = 0;
      }
      if (!allowance_.take(cost)) {
        hand_over();
        payload = 0;
        if (!allowance_.wait(cost, stop)) return;
      }
      batch->packets.push_back(std::move(*packet));
      batch->bytes += cost;
      payload += size;
    }
    if (stop.stop_requested()) return;
    hand_over();
    report(false, player.error());
  }

  const files files_;
  const std::string stream_;
  allowance allowance_;
  mutable std::mutex status_mutex_;
  source_status status_;
  std::mutex control_; ///< of `thread_`: arming and disarming exclude one another
  std::jthread thread_;
};

} // namespace

std::unique_ptr<source> make_recording_source(files recorded, std::string stream) {
  return std::make_unique<recording_source>(std::move(recorded), std::move(stream));
}

} // namespace dtranspose
