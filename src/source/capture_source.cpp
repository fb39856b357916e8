#include "source/capture_source.hpp"

#include <mutex>
#include <stop_token>
#include <thread>
#include <utility>

#include "recording/capture.hpp"
#include "source/allowance.hpp"

namespace dtranspose {

namespace {

class capture_source final : public source {
 public:
  capture_source(std::shared_ptr<const mapped_file> file, std::unique_ptr<protocol> format)
      : reader_(std::move(file), format->type_tag()), format_(std::move(format)) {
    status_.address = reader_.file().path().string();
    status_.connected = true;
  }

  ~capture_source() override { disarm(); }

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

  // --- the thread of the source
  // --------------------------------------------------------------------

  void play(const std::stop_token& stop, const packet_sink& sink) {
    reader_.rewind();
    format_->reset();
    batch_ = std::make_shared<packet_batch>();
    payload_ = 0;
    while (!stop.stop_requested()) {
      auto message = reader_.next();
      if (!message) break;
      if (!make_room(message->bytes(), stop, sink)) return;
      format_->read(std::move(*message), batch_->packets);
    }
    if (stop.stop_requested()) return;
    hand_over(sink);
    report(false, reader_.cut_off());
  }

  /// Waits until a message of that size may be added to the batch, and counts it; false when `stop` was
  /// requested first.
  bool make_room(std::size_t size, const std::stop_token& stop, const packet_sink& sink) {
    auto cost = budgeted_bytes(size);
    if (batch_->packets.size() >= recording_batch_packets || payload_ + size > recording_batch_bytes)
      hand_over(sink);
    if (!allowance_.take(cost)) {
      hand_over(sink);
      if (!allowance_.wait(cost, stop)) return false;
    }
    batch_->bytes += cost;
    payload_ += size;
    return true;
  }

  /// Also where the messages held no packets: they count all the same.
  void hand_over(const packet_sink& sink) {
    if (batch_->bytes > 0) sink(std::exchange(batch_, std::make_shared<packet_batch>()));
    payload_ = 0;
  }

  capture_reader reader_;
  std::unique_ptr<protocol> format_;
  std::shared_ptr<packet_batch> batch_;
  std::size_t payload_ = 0; ///< of the batch

  allowance allowance_;
  mutable std::mutex status_mutex_;
  source_status status_;
  std::mutex control_; ///< of `thread_`: arming and disarming exclude one another
  std::jthread thread_;
};

} // namespace

std::unique_ptr<source> make_capture_source(std::shared_ptr<const mapped_file> file,
                                            std::unique_ptr<protocol> format) {
  return std::make_unique<capture_source>(std::move(file), std::move(format));
}

} // namespace dtranspose
