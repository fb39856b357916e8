#include "instrument/faults.hpp"

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <utility>

#include "instrument/noise.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

namespace {

/// Keeps apart what is drawn for the same frame.
enum class draw : std::uint64_t { drop, duplicate, delay };
constexpr std::uint64_t draws = 4;

double chance_of(const fault_settings& faults, draw what, std::uint64_t frame) {
  return noise(faults.seed, frame * draws + static_cast<std::uint64_t>(what));
}

/// False: stopped.
bool wait_for(std::chrono::nanoseconds length, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wakes;
  std::unique_lock lock(mutex);
  wakes.wait_for(lock, stop, length, [] { return false; });
  return !stop.stop_requested();
}

/// Messages that belong together: one or more with a frame in them, or those of a start or an end.
struct unit {
  std::vector<stream_data> messages;
  std::uint64_t frames = 0;
};

class faulty_sender {
 public:
  faulty_sender(message_supply good, const fault_settings& faults, std::unique_ptr<protocol> reader,
                std::stop_token stop, std::shared_ptr<fault_report> report)
      : good_(std::move(good)), faults_(faults), reader_(std::move(reader)), stop_(std::move(stop)),
        report_(std::move(report)) {}

  std::optional<stream_data> next() {
    while (due_.empty() && !over_) take_unit();
    if (due_.empty()) return std::nullopt;
    auto message = std::move(due_.front());
    due_.pop_front();
    return message;
  }

 private:
  void take_unit() {
    auto what = read_unit();
    if (what.messages.empty()) {
      over_ = true;
      return;
    }
    auto first = frame_;
    frame_ += what.frames;
    if (faults_.cut_off && frame_ > *faults_.cut_off) {
      report_->cut_off(*faults_.cut_off);
      over_ = true;
      return;
    }
    if (what.frames > 0) {
      stall(first);
      if (faults_.delay.count() > 0) wait_for(delay_of(faults_, first), stop_);
    }
    if (what.frames > 0 && is_dropped(faults_, first)) return report_->dropped(first, what.frames);
    due_.insert(due_.end(), what.messages.begin(), what.messages.end());
    if (what.frames == 0 || !is_duplicated(faults_, first)) return;
    due_.insert(due_.end(), what.messages.begin(), what.messages.end());
    report_->duplicated(first, what.frames);
  }

  unit read_unit() {
    unit what;
    while (auto message = good_()) {
      what.messages.push_back(*message);
      packets_.clear();
      reader_->read(std::move(*message), packets_);
      for (auto& packet : packets_) what.frames += packet.numbers.kind == entry_kind::data ? 1 : 0;
      if (!packets_.empty()) break;
    }
    return what;
  }

  void stall(std::uint64_t first) {
    if (stalled_ || !faults_.stall_before || frame_ <= faults_.stall_before->at) return;
    stalled_ = true;
    report_->stalled(first);
    wait_for(faults_.stall_before->length, stop_);
  }

  message_supply good_;
  fault_settings faults_;
  std::unique_ptr<protocol> reader_;
  std::stop_token stop_;
  std::shared_ptr<fault_report> report_;
  std::vector<stream_packet> packets_;
  std::deque<stream_data> due_;
  std::uint64_t frame_ = 0; ///< the next one
  bool stalled_ = false, over_ = false;
};

} // namespace

bool is_dropped(const fault_settings& faults, std::uint64_t frame) {
  return chance_of(faults, draw::drop, frame) < faults.drop;
}

bool is_duplicated(const fault_settings& faults, std::uint64_t frame) {
  return chance_of(faults, draw::duplicate, frame) < faults.duplicate;
}

std::chrono::nanoseconds delay_of(const fault_settings& faults, std::uint64_t frame) {
  auto share = chance_of(faults, draw::delay, frame);
  return std::chrono::nanoseconds(
      static_cast<std::int64_t>(share * static_cast<double>(faults.delay.count())));
}

void fault_report::add(std::vector<std::uint64_t> content::*list, std::uint64_t frame, std::uint64_t count) {
  std::lock_guard lock(mutex_);
  for (std::uint64_t i = 0; i < count; ++i) (content_.*list).push_back(frame + i);
}

void fault_report::note(std::optional<std::uint64_t> content::*what, std::uint64_t frame) {
  std::lock_guard lock(mutex_);
  content_.*what = frame;
}

fault_report::content fault_report::so_far() const {
  std::lock_guard lock(mutex_);
  return content_;
}

value_map fault_report::tree() const {
  auto what = so_far();
  value_map tree{{"dropped", array::of(what.dropped)}, {"duplicated", array::of(what.duplicated)}};
  if (what.stalled) tree.set("stalled", *what.stalled);
  if (what.cut_off) tree.set("cut_off", *what.cut_off);
  if (what.rearmed) tree.set("rearmed", *what.rearmed);
  return tree;
}

message_supply faulty_supply(message_supply good, const fault_settings& faults, std::string_view protocol,
                             const protocol_options& reader_options, std::stop_token stop,
                             std::shared_ptr<fault_report> report) {
  auto reader = make_protocol(protocol, reader_options);
  auto sender = std::make_shared<faulty_sender>(std::move(good), faults, std::move(reader), std::move(stop),
                                                std::move(report));
  return [sender] { return sender->next(); };
}

} // namespace dtranspose
