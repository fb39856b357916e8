#include "worker_host.hpp"

#include <algorithm>
#include <exception>
#include <utility>

namespace dtranspose {

namespace {

thread_local const execution_watch* here = nullptr;

} // namespace

const execution_watch* execution_here() { return here; }

namespace {

/// What the exception in flight says.
std::string current_exception_text() {
  try {
    throw;
  } catch (const std::exception& e) {
    return e.what();
  } catch (...) {
    return "unknown exception";
  }
}

} // namespace

void append(std::vector<slot_run>& runs, event_number event, slot_index first_slot, std::uint16_t slots) {
  if (!runs.empty() && runs.back().extend(event, first_slot, slots)) return;
  runs.push_back({{event, 1, 1}, first_slot, slots});
}

void worker_host::process(const joined_batch& batch, bool tick, mapped_batch& out) {
  views_.clear();
  for (auto& e : batch.events)
    views_.emplace_back(e.number, std::span(batch.entries).subspan(e.first_entry, e.entries), names_,
                        e.missing);
  for (std::size_t done = 0; done < views_.size();) {
    auto first = done;
    bool looked_at = batch.events[first].slots == 0;
    while (done < views_.size() && (batch.events[done].slots == 0) == looked_at) ++done;
    looked_at ? look(first, done, out) : map(batch, first, done, tick && first == 0, out);
  }
}

/// What it makes of events that it only looks at is nobody's: nothing of it gets into a result.
void worker_host::look(std::size_t first, std::size_t end, mapped_batch& out) {
  flush(out);
  while (first < end) {
    std::string cause;
    auto answered =
        call(std::span(views_).subspan(first, std::min(most_per_call_, end - first)), false, cause);
    first += std::max<std::size_t>(answered, 1);
  }
  try {
    part_->flush();
  } catch (...) {
    // It was for nobody.
  }
}

void worker_host::map(const joined_batch& batch, std::size_t done, std::size_t end, bool tick,
                      mapped_batch& out) {
  while (done < end) {
    std::string cause;
    auto wanted = std::min(most_per_call_, end - done);
    auto answered = call(std::span(views_).subspan(done, wanted), std::exchange(tick, false), cause);
    for (std::size_t i = 0; i < answered; ++i) take(batch.events[done + i], std::move(answers_[i]), out);
    done += answered;
    if (answered < wanted) {
      // The first event without an answer is the one that threw; the others are tried on their own.
      auto& e = batch.events[done++];
      out.failed.push_back({{{e.number, 1, 1}, e.first_slot, e.slots}, cause});
    }
    if (part_->wants_flush()) flush(out);
  }
}

/// How many events have an answer; `cause` says why not all of them have.
std::size_t worker_host::call(std::span<const event> events, bool tick, std::string& cause) {
  answers_.clear();
  answers_.reserve(events.size());
  auto began = steady_ ? steady_() : 0;
  watch_->first = events.front().number().value;
  watch_->events = static_cast<std::uint32_t>(events.size());
  watch_->answers = &answers_;
  watch_->begin = events.data();
  watch_->thread = pthread_self();
  watch_->since = part_->watches_itself() ? 0 : began;
  here = watch_.get();
  cause = "the analysis gave no answer";
  try {
    part_->process_batch(events, settings_, tick, answers_);
  } catch (...) {
    cause = current_exception_text();
  }
  here = nullptr;
  watch_->since = 0;
  most_per_call_ = std::size_t{1} << 20;
  if (event_timeout_.count() > 0 && steady_ && !part_->watches_itself()) {
    auto each = (steady_() - began) / static_cast<std::int64_t>(events.size());
    auto fit = event_timeout_.count() / 8 / std::max<std::int64_t>(each, 1);
    most_per_call_ = static_cast<std::size_t>(std::clamp<std::int64_t>(fit, 1, 1 << 20));
  }
  return std::min(answers_.size(), events.size());
}

void worker_host::take(const joined_event& e, answer a, mapped_batch& out) {
  switch (a.what()) {
  case answer::kind::nothing:
    append(out.empty, e.number, e.first_slot, e.slots);
    return;
  case answer::kind::result:
    out.mapped.push_back({{{e.number, 1, 1}, e.first_slot, e.slots}, {}, std::move(a.content()), false});
    return;
  case answer::kind::deferred:
    append(deferred_, e.number, e.first_slot, e.slots);
    ++deferred_events_;
    return;
  case answer::kind::failed:
    out.failed.push_back({{{e.number, 1, 1}, e.first_slot, e.slots}, *a.content().as_text()});
  }
}

void worker_host::flush(mapped_batch& out) {
  if (deferred_.empty()) return;
  auto covered = std::exchange(deferred_, {});
  deferred_events_ = 0;
  value content;
  try {
    content = part_->flush();
  } catch (...) {
    auto cause = current_exception_text();
    for (auto& run : covered) out.failed.push_back({run, cause});
    return;
  }
  if (content.is_null()) {
    out.empty.insert(out.empty.end(), covered.begin(), covered.end());
    return;
  }
  mapped_batch::result r{covered.front(), {covered.begin() + 1, covered.end()}, std::move(content), true};
  out.mapped.push_back(std::move(r));
}

std::string
worker_host::change_parameters(parameters settings,
                               const std::function<std::unique_ptr<worker_part>(const parameters&)>& make,
                               mapped_batch& out) {
  flush(out);
  std::string trouble;
  if (!part_->change_parameters(settings)) {
    auto next = make(settings);
    trouble = finish(out);
    part_ = std::move(next);
  }
  settings_ = std::move(settings);
  return trouble;
}

std::string worker_host::finish(mapped_batch& out) {
  flush(out);
  try {
    auto last = part_->finish(settings_);
    if (!last.is_null()) out.mapped.push_back({{}, {}, std::move(last), false});
    return {};
  } catch (...) {
    return current_exception_text();
  }
}

} // namespace dtranspose
