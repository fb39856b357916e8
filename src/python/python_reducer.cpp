#include "python/python_reducer.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace dtranspose {

namespace {

using namespace std::chrono_literals;

/// So many versions of parameters a process remembers.
constexpr std::size_t most_versions = 16;
constexpr auto longest_finish = 60s;
/// Of one message of results.
constexpr std::uint32_t most_results = 1024;
constexpr std::size_t most_bytes = std::size_t{16} << 20;

/// Calls `ask`; what was folded is lost with the process.
template <class F>
auto with_process(F&& ask) {
  try {
    return ask();
  } catch (const host_lost& e) {
    throw fold_lost(fmt::format("the reducer in Python: {}", e.what()));
  }
}

} // namespace

python_reducer::python_reducer(std::shared_ptr<python_code> code, std::uint32_t reading,
                               const scan_facts& facts, parameters settings)
    : code_(std::move(code)), reading_(reading), settings_(std::move(settings)) {
  for (std::uint32_t tries = 0; !host_; ++tries) {
    try {
      begin(facts);
    } catch (const host_lost& e) {
      host_.reset();
      if (tries < 2) continue; // an idle one may have gone since
      throw std::runtime_error(fmt::format("the reducer cannot be made: {}", e.what()));
    }
  }
}

python_reducer::~python_reducer() {
  if (host_) code_->give_back(std::move(host_));
}

void python_reducer::begin(const scan_facts& facts) {
  host_ = code_->take(python_role::reducer, reading_);
  auto version = static_cast<std::uint32_t>(facts.version.value);
  try {
    auto said = host_->begin(facts, settings_, version);
    has_timer_ = flag_in(said, "timer");
    told_ = {version};
  } catch (const host_failed& e) {
    code_->give_back(std::move(host_));
    throw std::runtime_error(
        fmt::format("class '{}' cannot be made: {}", code_->settings().reducer, e.what()));
  }
}

void python_reducer::tell(std::uint32_t version, const parameters& settings) {
  host_->set_parameters(settings, version);
  told_.push_back(version);
  if (told_.size() > most_versions) told_.erase(told_.begin());
  // What was told last holds for the timer and the end.
  latest_is_told_ = settings.all() == settings_.all();
}

void python_reducer::tell_latest() {
  if (latest_is_told_) return;
  // The number of it comes with the first result that was made with it.
  host_->set_parameters(settings_, *std::ranges::max_element(told_) + 1);
  latest_is_told_ = true;
}

void python_reducer::process_result(const folded_result& result, const parameters& settings) {
  std::string trouble;
  process_results({&result, 1}, settings, {&trouble, 1});
  if (!trouble.empty()) throw std::runtime_error(trouble);
}

void python_reducer::process_results(std::span<const folded_result> results, const parameters& settings,
                                     std::span<std::string> troubles) {
  with_process([&] {
    for (std::size_t done = 0; done < results.size();) {
      results_builder message;
      auto first = done;
      for (; done < results.size() && message.bytes() < most_bytes && message.count() < most_per_message_;
           ++done) {
        auto& r = results[done];
        auto version = static_cast<std::uint32_t>(r.version.value);
        if (std::ranges::find(told_, version) == told_.end()) tell(version, settings);
        message.add(r.event, r.events, r.worker, version, r.content);
      }
      send(message, troubles.subspan(first, done - first));
    }
  });
}

void python_reducer::send(results_builder& message, std::span<std::string> troubles) {
  auto number = ++messages_;
  auto count = message.count();
  auto timeout = code_->settings().event_timeout;
  auto began = std::chrono::steady_clock::now();
  auto answer =
      host_->ask(host_message_type::results, message.finish(number), timeout, host_message_type::folded);
  // Only so many together that a message which takes too long has a result that does.
  auto each = std::chrono::nanoseconds(std::chrono::steady_clock::now() - began).count() / count;
  most_per_message_ = static_cast<std::uint32_t>(
      std::clamp<std::int64_t>(timeout.count() / 8 / std::max<std::int64_t>(each, 1), 1, most_results));
  try {
    for (auto& failure : parse_folded(answer.body, number, count))
      troubles[failure.place] = failure.text.empty() ? "no reason was given" : std::move(failure.text);
  } catch (const bad_message& e) {
    host_->give_up(e.what());
    throw host_lost(e.what());
  }
}

bool python_reducer::change_parameters(const parameters& settings) {
  settings_ = settings;
  latest_is_told_ = false;
  return true;
}

std::optional<std::chrono::nanoseconds> python_reducer::timer(const parameters&) {
  if (!has_timer_) return std::nullopt;
  return with_process([&]() -> std::optional<std::chrono::nanoseconds> {
    tell_latest();
    auto said = host_->ask(host_message_type::timer, value(), code_->settings().event_timeout);
    auto seconds = said.find("seconds");
    auto number = seconds ? seconds->as_number() : std::nullopt;
    if (!number) return std::nullopt;
    auto bounded = std::clamp(*number, 0.001, 1e6);
    return std::chrono::nanoseconds(static_cast<std::int64_t>(bounded * 1e9));
  });
}

void python_reducer::finish(const parameters&) {
  with_process([&] {
    tell_latest();
    host_->ask(host_message_type::finish, value(),
               std::max<std::chrono::nanoseconds>(code_->settings().event_timeout, longest_finish));
  });
}

value python_reducer::published() const {
  return with_process([&] {
    auto answer = [&] {
      byte_writer wish;
      wish.put(value_map{{"if_changed", true}});
      return host_->ask(host_message_type::publish, std::move(wish.content()),
                        code_->settings().event_timeout, host_message_type::tree);
    }();
    try {
      byte_reader in(answer.body);
      if (in.number<std::uint8_t>() != 0) tree_ = in.get();
    } catch (const bad_message& e) {
      host_->give_up(e.what());
      throw host_lost(e.what());
    }
    return tree_;
  });
}

} // namespace dtranspose
