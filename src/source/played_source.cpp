#include "source/played_source.hpp"

#include <utility>

namespace dtranspose {

bool batch_filler::wait_until_due(std::uint64_t event, std::optional<double> time) {
  if (!pace_ || pace_->due(event, time)) return true;
  hand_over();
  return pace_->wait(event, time, stop_);
}

bool batch_filler::make_room(std::size_t size) {
  auto cost = budgeted_bytes(size);
  if (batch_->packets.size() >= recording_batch_packets || payload_ + size > recording_batch_bytes)
    hand_over();
  if (!allowance_.take(cost)) {
    hand_over();
    if (!allowance_.wait(cost, stop_)) return false;
  }
  batch_->bytes += cost;
  payload_ += size;
  if (pace_) pace_->count(size);
  return true;
}

void batch_filler::hand_over() {
  if (batch_->bytes > 0 || !batch_->packets.empty())
    sink_(std::exchange(batch_, std::make_shared<packet_batch>()));
  payload_ = 0;
}

played_source::played_source(std::string address, std::shared_ptr<playback> pace) : pace_(std::move(pace)) {
  status_.address = std::move(address);
  status_.connected = true;
}

void played_source::arm(packet_sink sink) {
  std::lock_guard lock(control_);
  thread_ = std::jthread();
  allowance_.reset();
  report(true, "");
  thread_ = std::jthread([this, sink = std::move(sink)](const std::stop_token& stop) { run(stop, sink); });
}

void played_source::disarm() {
  std::lock_guard lock(control_);
  thread_ = std::jthread();
}

source_status played_source::status() const {
  std::lock_guard lock(status_mutex_);
  auto copy = status_;
  copy.reading = !allowance_.waiting();
  return copy;
}

void played_source::run(const std::stop_token& stop, const packet_sink& sink) {
  batch_filler batches(allowance_, sink, stop, pace_.get());
  auto error = play(stop, batches);
  if (stop.stop_requested()) return;
  batches.hand_over();
  report(false, error);
  if (pace_) pace_->end();
}

void played_source::report(bool connected, const std::string& error) {
  std::lock_guard lock(status_mutex_);
  status_.connected = connected;
  status_.error = error;
}

} // namespace dtranspose
