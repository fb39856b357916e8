#include "worker_host.hpp"

#include <exception>

namespace dtranspose {

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
  if (!runs.empty()) {
    auto& last = runs.back();
    if (last.first_slot == first_slot && last.slots == slots && last.events.last() < event &&
        last.events.extend(event))
      return;
  }
  runs.push_back({{event, 1, 1}, first_slot, slots});
}

void worker_host::process(const joined_batch& batch, bool tick, mapped_batch& out) {
  views_.clear();
  for (auto& e : batch.events)
    views_.emplace_back(e.number, std::span(batch.entries).subspan(e.first_entry, e.entries), names_,
                        e.missing);
  for (std::size_t done = 0; done < views_.size();) {
    answers_.clear();
    std::string cause;
    bool threw = false;
    try {
      part_->process_batch(std::span(views_).subspan(done), settings_, tick && done == 0, answers_);
    } catch (...) {
      threw = true;
      cause = current_exception_text();
    }
    auto answered = std::min(answers_.size(), views_.size() - done);
    for (std::size_t i = 0; i < answered; ++i) take(batch.events[done + i], std::move(answers_[i]), out);
    done += answered;
    if (done == views_.size()) return;
    // The first event without an answer is the one that threw; the others are tried on their own.
    auto& e = batch.events[done++];
    out.failed.push_back(
        {{{e.number, 1, 1}, e.first_slot, e.slots}, threw ? cause : "the analysis gave no answer"});
  }
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
