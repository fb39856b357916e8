#include "python/python_worker.hpp"

#include <algorithm>
#include <thread>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace dtranspose {

namespace {

using namespace std::chrono_literals;

/// Frames of deferred events are held until these are flushed: in case that they are to be mapped again.
constexpr std::size_t most_deferred_bytes = std::size_t{128} << 20;
constexpr std::size_t most_start_bytes = std::size_t{64} << 20;
/// A process that could not be started is not tried again before.
constexpr auto restart_interval = 5s;
/// Starting and feeding it may be tried so often more than `max_attempts`.
constexpr std::uint32_t more_tries = 4;

value content_of(host_answer a) {
  if (a.kind == host_answer_kind::value || a.kind == host_answer_kind::pickled) return std::move(a.content);
  return {};
}

} // namespace

python_worker::python_worker(std::shared_ptr<python_code> code, std::uint32_t reading, scan_facts facts,
                             parameters settings)
    : code_(std::move(code)), reading_(reading), facts_(std::move(facts)), settings_(std::move(settings)),
      sender_(code_->settings().event_timeout) {
  for (std::uint32_t tries = 0; !host_; ++tries) {
    try {
      begin();
    } catch (const host_lost& e) {
      host_.reset();
      if (tries < 2) continue; // an idle one may have gone since
      throw std::runtime_error(fmt::format("the worker cannot be made: {}", e.what()));
    }
  }
}

python_worker::~python_worker() {
  if (host_) code_->give_back(std::move(host_));
}

void python_worker::begin() {
  host_ = code_->take(python_role::worker, reading_);
  try {
    auto said = host_->begin(facts_, settings_, version_);
    auto interval = said.find("tick_interval");
    tick_interval_ = interval ? interval->as_number() : std::nullopt;
  } catch (const host_failed& e) {
    code_->give_back(std::move(host_));
    throw std::runtime_error(
        fmt::format("class '{}' cannot be made: {}", code_->settings().worker, e.what()));
  }
}

answer python_worker::process_event(const event& e, const parameters& settings, bool tick) {
  std::vector<answer> answers;
  process_batch({&e, 1}, settings, tick, answers);
  return std::move(answers.front());
}

void python_worker::process_batch(std::span<const event> events, const parameters&, bool tick,
                                  std::vector<answer>& answers) {
  // What was answered behind an event that failed comes with the next call.
  while (!ready_.empty() && ready_.front().first != events.front().number()) ready_.pop_front();
  if (ready_.size() < events.size()) run(events.subspan(ready_.size()), tick_is_due(tick));
  for (std::size_t i = 0; i < events.size(); ++i) {
    auto a = std::move(ready_.front().second);
    ready_.pop_front();
    switch (a.kind) {
    case host_answer_kind::failed:
      throw std::runtime_error(a.text);
    case host_answer_kind::deferred:
      answers.push_back(answer::deferred());
      break;
    case host_answer_kind::empty:
      answers.push_back(answer::nothing());
      break;
    default:
      answers.push_back(answer::result(std::move(a.content)));
    }
  }
}

/// About once a second one worker of the scan is granted a tick: that serves classes which want one less
/// often. Others get theirs here.
bool python_worker::tick_is_due(bool granted) {
  if (!tick_interval_) return false;
  auto interval = std::max(sender_.tick_interval().value_or(*tick_interval_), 0.0);
  // Those that are granted come a little early or late.
  constexpr double granted_interval = 1, slack = 0.2;
  if (interval >= granted_interval && !granted) return false;
  if (interval >= granted_interval) interval -= slack;
  return code_->take_tick(facts_.id, std::chrono::duration<double>(std::min(interval, 1e9)));
}

/// Every event gets its answer: an event that ends too many processes, or for which there is none, fails.
void python_worker::run(std::span<const event> events, bool tick) {
  auto before = ready_.size();
  for (std::size_t done = 0; done < events.size(); done = ready_.size() - before) {
    auto open = events.subspan(done);
    auto number = open.front().number();
    if (auto doomed = doomed_.find(number); doomed != doomed_.end()) {
      ready_.emplace_back(number, host_answer{host_answer_kind::failed, {}, doomed->second});
      continue;
    }
    if (!ensure_host() && !ensure_host_after_a_pause()) {
      ready_.emplace_back(number, host_answer{host_answer_kind::failed, {}, start_trouble_});
      continue;
    }
    auto sound = std::ranges::find_if(open, [&](auto& e) { return doomed_.contains(e.number()); });
    try {
      sender_.send(*host_, {open.begin(), sound}, version_, std::exchange(tick, false),
                   [this](const event& e, host_answer a) { take(e, std::move(a)); });
    } catch (const std::exception& e) {
      host_->give_up(e.what());
      note_loss(events.subspan(ready_.size() - before), e.what());
    }
  }
}

void python_worker::take(const event& e, host_answer a) {
  unexplained_ = 0;
  keep_for_later(e, a.kind == host_answer_kind::deferred);
  ready_.emplace_back(e.number(), std::move(a));
}

python_worker::kept_event python_worker::kept(const event& e) const {
  kept_event k{e.number(), {e.streams().begin(), e.streams().end()}, e.missing_streams(), 0};
  for (auto& entry : k.entries) k.bytes += entry.data.bytes();
  return k;
}

void python_worker::keep_for_later(const event& e, bool deferred) {
  std::uint64_t streams = 0;
  for (auto& entry : e.streams()) streams |= std::uint64_t{1} << entry.stream.value;
  if ((streams & ~started_streams_) != 0) {
    started_streams_ |= streams;
    auto start = kept(e);
    std::size_t bytes = start.bytes;
    for (auto& s : starts_) bytes += s.bytes;
    if (bytes <= most_start_bytes) starts_.push_back(std::move(start));
  }
  if (!deferred) return;
  deferred_.push_back(kept(e));
  deferred_bytes_ += deferred_.back().bytes;
}

// -- losses ---------------------------------------------------------------------------------------------

void python_worker::note_loss(std::span<const event> open, const std::string& cause) {
  auto blame = sender_.lost_at(*host_);
  if (blame.last) sender_.be_careful_until(blame.last->number());
  if (blame.where) {
    charge(blame.where->number(), blame.alone, cause);
  } else if (++unexplained_ > code_->settings().max_attempts && !open.empty()) {
    unexplained_ = 0;
    doomed_[open.front().number()] =
        fmt::format("the processes that were to map it ended before they came to it, the last: {}", cause);
  } else {
    spdlog::error("worker {}: {}: another process takes its place", facts_.worker, cause);
  }
  host_.reset();
}

/// Only an event that was alone in its process is certainly to blame.
void python_worker::charge(event_number event, bool alone, const std::string& cause) {
  auto deaths = ++deaths_[event];
  spdlog::error("worker {}: event {}: {}", facts_.worker, event.value, cause);
  if (alone && deaths >= code_->settings().max_attempts)
    doomed_[event] = fmt::format("it ended {} processes of the analysis, the last: {}", deaths, cause);
}

bool python_worker::ensure_host() {
  if (host_ && !host_->lost()) return true;
  host_.reset();
  auto now = std::chrono::steady_clock::now();
  if (!start_trouble_.empty() && now - tried_to_start_ < restart_interval) return false;
  start_trouble_.clear();
  for (std::uint32_t tries = 0; tries < code_->settings().max_attempts + more_tries; ++tries)
    if (rebuild())
      return true;
    else if (!start_trouble_.empty())
      break;
  if (start_trouble_.empty()) start_trouble_ = "its processes end again and again before they can go on";
  tried_to_start_ = std::chrono::steady_clock::now();
  spdlog::error("worker {}: there is no process in place of the one that was lost: {}", facts_.worker,
                start_trouble_);
  return false;
}

/// A worker that fails events at once would be the quickest of all, and take them from those that are well.
bool python_worker::ensure_host_after_a_pause() {
  std::this_thread::sleep_until(tried_to_start_ + restart_interval);
  return ensure_host();
}

/// A new process in the state of the one that was lost, as far as events have made it.
bool python_worker::rebuild() {
  try {
    begin();
    feed_again();
    return true;
  } catch (const host_lost& e) {
    note_loss_in_feeding(e.what());
  } catch (const std::exception& e) {
    start_trouble_ = e.what();
  }
  host_.reset();
  return false;
}

void python_worker::feed_again() {
  std::vector<kept_event> only_seen;
  auto is_deferred = [this](auto& s) {
    return std::ranges::any_of(deferred_, [&](auto& d) { return d.number == s.number; });
  };
  for (auto& s : starts_)
    if (!is_deferred(s)) only_seen.push_back(s);
  if (!only_seen.empty()) {
    feed(only_seen, [](const event&, const host_answer&) {});
    one_answer(host_message_type::flush, code_->settings().event_timeout); // it was for nobody
  }
  feed(deferred_, [this](const event& e, const host_answer& a) {
    if (a.kind == host_answer_kind::deferred) return;
    lost_ = fmt::format("event {} was deferred and, when it was mapped again after its process was lost, "
                        "answered otherwise",
                        e.number().value);
  });
  if (!deferred_.empty())
    spdlog::warn("worker {}: {} deferred events were mapped again", facts_.worker, deferred_.size());
}

void python_worker::feed(const std::vector<kept_event>& list, const event_sender::answer_sink& take) {
  std::vector<event> events;
  events.reserve(list.size());
  for (auto& k : list) events.emplace_back(k.number, k.entries, facts_.streams, k.missing);
  try {
    sender_.send(*host_, events, version_, false, take);
  } catch (const host_lost& e) {
    // The events are gone with this function: what is to blame is told here.
    auto blame = sender_.lost_at(*host_);
    if (blame.last) sender_.be_careful_until(blame.last->number());
    if (blame.where) charge(blame.where->number(), blame.alone, e.what());
    throw;
  }
}

/// Events that end processes even now are not fed again.
void python_worker::note_loss_in_feeding(const std::string& cause) {
  spdlog::error("worker {}: {}: while it was brought to where the last one was", facts_.worker, cause);
  std::erase_if(starts_, [this](auto& s) { return doomed_.contains(s.number); });
  auto doomed = std::ranges::find_if(deferred_, [this](auto& d) { return doomed_.contains(d.number); });
  if (doomed == deferred_.end()) return;
  lost_ = fmt::format("event {}, which was deferred, ends its process when it is mapped again: {}",
                      doomed->number.value, cause);
  forget_deferred();
}

void python_worker::forget_deferred() {
  deferred_.clear();
  deferred_bytes_ = 0;
}

// -- what comes of several events -----------------------------------------------------------------------

bool python_worker::wants_flush() const {
  // As long as answers wait to be taken, nobody knows that they were deferred.
  return ready_.empty() && (!lost_.empty() || deferred_bytes_ > most_deferred_bytes);
}

value python_worker::one_answer(host_message_type request, std::chrono::nanoseconds patience) {
  byte_writer nothing;
  nothing.put(value());
  auto message = host_->ask(request, std::move(nothing.content()), patience, host_message_type::answers);
  try {
    auto answers = parse_answers(message.body);
    if (answers.list.size() != 1) throw bad_message("another number of answers than one");
    auto& only = answers.list.front();
    if (only.kind == host_answer_kind::failed) throw host_failed(only.text);
    return content_of(std::move(only));
  } catch (const bad_message& e) {
    auto cause = fmt::format("its process has sent what cannot be read: {}", e.what());
    host_->give_up(cause);
    throw host_lost(cause);
  }
}

/// Why what is deferred cannot be had; that is told once.
std::string python_worker::take_lost() {
  forget_deferred();
  return std::exchange(lost_, {});
}

value python_worker::flush() {
  std::string cause;
  for (std::uint32_t tries = 0; tries < std::max(code_->settings().max_attempts, 1U); ++tries) {
    if (!ensure_host()) {
      lost_ = start_trouble_;
      throw std::runtime_error(take_lost());
    }
    try {
      auto content = one_answer(host_message_type::flush, code_->settings().event_timeout);
      // What it holds of events that are lost is mixed with what it holds of others.
      if (!lost_.empty()) throw std::runtime_error(take_lost());
      forget_deferred();
      return content;
    } catch (const host_lost& e) {
      cause = e.what();
      spdlog::error("worker {}: flush: {}", facts_.worker, cause);
      host_.reset();
    } catch (const host_failed& e) {
      forget_deferred();
      lost_.clear();
      throw std::runtime_error(e.what());
    }
  }
  forget_deferred();
  throw std::runtime_error(fmt::format("flush ended {} processes of the analysis, the last: {}",
                                       code_->settings().max_attempts, cause));
}

bool python_worker::change_parameters(const parameters& settings) {
  auto before = std::exchange(settings_, settings);
  ++version_;
  try {
    if (host_ && !host_->lost()) host_->set_parameters(settings_, version_);
  } catch (const host_lost& e) {
    spdlog::error("worker {}: {}", facts_.worker, e.what());
    host_.reset();
  } catch (...) {
    // Its class may have them, or half of them: the next process begins with those of before.
    settings_ = std::move(before);
    host_->give_up("it could not take its parameters");
    host_.reset();
    throw;
  }
  return true;
}

value python_worker::finish(const parameters&) {
  if (!ensure_host()) throw std::runtime_error(start_trouble_);
  try {
    return one_answer(host_message_type::finish,
                      std::max<std::chrono::nanoseconds>(code_->settings().event_timeout, 60s));
  } catch (const host_lost& e) {
    auto cause = std::string(e.what());
    host_.reset();
    throw std::runtime_error(cause);
  }
}

} // namespace dtranspose
