#include "runtime/log_memory.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <iterator>
#include <utility>

#include <spdlog/details/null_mutex.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

namespace dtranspose {

namespace {

constexpr const char* level_names[] = {"TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL", "OFF"};

int rank_of(std::string level) {
  std::transform(level.begin(), level.end(), level.begin(), [](unsigned char c) { return std::toupper(c); });
  auto found = std::find(std::begin(level_names), std::end(level_names), level);
  return found == std::end(level_names) ? static_cast<int>(spdlog::level::info)
                                        : static_cast<int>(found - std::begin(level_names));
}

} // namespace

class log_memory::memory_sink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  explicit memory_sink(std::shared_ptr<log_memory> memory) : memory_(std::move(memory)) {}

 protected:
  void sink_it_(const spdlog::details::log_msg& message) override {
    std::chrono::duration<double> since = message.time.time_since_epoch();
    auto rank = static_cast<int>(message.level);
    memory_->add({since.count(), level_names[rank], {message.payload.begin(), message.payload.end()}, rank});
  }
  void flush_() override {}

 private:
  std::shared_ptr<log_memory> memory_;
};

std::shared_ptr<log_memory> log_memory::attach() {
  auto memory = std::make_shared<log_memory>();
  spdlog::default_logger()->sinks().push_back(std::make_shared<memory_sink>(memory));
  return memory;
}

void log_memory::add(record r) {
  std::lock_guard lock(mutex_);
  records_.push_back(std::move(r));
  ++added_;
  if (records_.size() > most_records) records_.pop_front();
}

std::vector<log_memory::record> log_memory::last(const std::string& level) const {
  auto least = rank_of(level);
  std::vector<record> list;
  std::lock_guard lock(mutex_);
  std::copy_if(records_.begin(), records_.end(), std::back_inserter(list),
               [least](auto& r) { return r.rank >= least; });
  return list;
}

/// What is kept of them; the lock is held.
std::vector<log_memory::record> log_memory::newer_than(std::uint64_t position) const {
  auto count = std::min<std::uint64_t>(added_ - position, records_.size());
  return {records_.end() - static_cast<std::ptrdiff_t>(count), records_.end()};
}

std::vector<log_memory::record> log_memory::since(std::uint64_t& position) const {
  std::lock_guard lock(mutex_);
  auto from = std::exchange(position, added_);
  if (from == 0 || from > added_) return {};
  return newer_than(from);
}

value_list log_memory::take_warnings() {
  std::lock_guard lock(mutex_);
  auto fresh = newer_than(std::exchange(taken_, added_));
  std::erase_if(fresh, [](auto& r) { return r.rank < spdlog::level::warn || !r.component.empty(); });
  if (fresh.size() > most_warnings)
    fresh.erase(fresh.begin(), fresh.end() - static_cast<std::ptrdiff_t>(most_warnings));
  value_list list;
  for (auto& r : fresh)
    list.push_back(
        value_map{{"time", r.time}, {"level", r.level}, {"text", r.text.substr(0, longest_warning)}});
  return list;
}

void log_memory::add_of_others(const std::string& component, const value& records) {
  auto list = records.as_list();
  if (!list || list->size() > most_warnings) return;
  for (auto& r : *list) {
    auto time = r.find("time"), level = r.find("level"), text = r.find("text");
    if (!time || !time->as_number() || !level || !level->as_text() || !text || !text->as_text()) continue;
    add({*time->as_number(), *level->as_text(), text->as_text()->substr(0, longest_warning),
         rank_of(*level->as_text()), component});
  }
}

} // namespace dtranspose
