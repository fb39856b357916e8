#include "recording/wire_tape.hpp"

#include <algorithm>
#include <utility>

#include "source/source.hpp"

namespace dtranspose {

void wire_tape::call_when_filled(std::function<void()> wake) {
  {
    std::lock_guard lock(mutex_);
    wake_ = std::move(wake);
    if (!wake_ || entries_.empty() || std::exchange(called_, true)) return;
  }
  wake_();
}

std::filesystem::path wire_tape::begin() {
  auto now = options_.clock();
  auto file = options_.folder / (wire_file_name(options_.what.stream, now) + ending_of(options_.packed));
  std::unique_lock lock(mutex_);
  add_left_out();
  open_ = true;
  counts_ = {};
  add({.what = entry::kind::file, .time = now, .file = file}, lock);
  return file;
}

void wire_tape::end() {
  std::unique_lock lock(mutex_);
  if (!open_) return;
  add_left_out();
  open_ = false;
  add({.what = entry::kind::file, .time = options_.clock()}, lock);
}

void wire_tape::take(const stream_data& message) {
  auto now = options_.clock();
  auto bytes = budgeted_bytes(message.bytes());
  std::unique_lock lock(mutex_);
  if (!open_) return;
  ++counts_.messages;
  if (options_.leave_gaps && waiting_ > 0 && waiting_ + bytes > options_.budget) {
    if (left_out_.messages == 0) left_out_at_ = now;
    wire_gap one{1, message.bytes()};
    left_out_.add(one);
    counts_.left_out.add(one);
    return;
  }
  add_left_out();
  waiting_ += bytes;
  add({.what = options_.way == transport::tcp ? entry::kind::bytes : entry::kind::message,
       .time = now,
       .data = message},
      lock);
}

void wire_tape::take_interruption() {
  std::unique_lock lock(mutex_);
  // Before the first message of a scan nothing can be missing; a gap is an interruption anyway.
  if (!open_ || counts_.messages == 0 || left_out_.messages > 0) return;
  add({.what = entry::kind::interruption, .time = options_.clock()}, lock);
}

std::vector<wire_tape::entry> wire_tape::take_all() {
  std::lock_guard lock(mutex_);
  add_left_out();
  called_ = false;
  return std::exchange(entries_, {});
}

void wire_tape::written(std::uint64_t bytes) {
  std::lock_guard lock(mutex_);
  waiting_ -= std::min(bytes, waiting_);
}

std::uint64_t wire_tape::waiting() const {
  std::lock_guard lock(mutex_);
  return waiting_;
}

wire_tape::counts wire_tape::counted() const {
  std::lock_guard lock(mutex_);
  return counts_;
}

/// Unlocks, as who is woken may want to know more.
void wire_tape::add(entry e, std::unique_lock<std::mutex>& lock) {
  entries_.push_back(std::move(e));
  auto wake = wake_ && !std::exchange(called_, true) ? wake_ : nullptr;
  lock.unlock();
  if (wake) wake();
}

void wire_tape::add_left_out() {
  if (left_out_.messages == 0) return;
  entries_.push_back({.what = entry::kind::gap, .time = left_out_at_, .left_out = left_out_});
  left_out_ = {};
}

namespace {

class recorded_protocol final : public protocol {
 public:
  recorded_protocol(std::unique_ptr<protocol> format, std::shared_ptr<wire_tape> tape)
      : format_(std::move(format)), tape_(std::move(tape)) {}

  std::string_view name() const override { return format_->name(); }
  std::string_view type_tag() const override { return format_->type_tag(); }
  bool numbered() const override { return format_->numbered(); }
  std::string_view greeting() const override { return format_->greeting(); }
  bool has_start() const override { return format_->has_start(); }
  void reset() override { format_->reset(); }

  void read(stream_data message, std::vector<stream_packet>& packets) override {
    tape_->take(message);
    format_->read(std::move(message), packets);
  }

  void interrupted(std::vector<stream_packet>& packets) override {
    tape_->take_interruption();
    format_->interrupted(packets);
  }

 private:
  std::unique_ptr<protocol> format_;
  std::shared_ptr<wire_tape> tape_;
};

} // namespace

std::unique_ptr<protocol> make_recorded_protocol(std::unique_ptr<protocol> format,
                                                 std::shared_ptr<wire_tape> tape) {
  return std::make_unique<recorded_protocol>(std::move(format), std::move(tape));
}

} // namespace dtranspose
