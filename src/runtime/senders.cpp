#include "runtime/senders.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "instrument/http_instrument.hpp"
#include "instrument/zmq_instrument.hpp"
#include "protocol/protocol.hpp"
#include "runtime/progress_bar.hpp"
#include "runtime/signals.hpp"

namespace dtranspose {

namespace {

/// How long the end of the scan is waited for after everything was sent, when nothing moves any more.
constexpr auto idle_patience = std::chrono::seconds(10);
constexpr auto poll_interval = std::chrono::milliseconds(100);
/// What an instrument may have waiting in ZeroMQ when we are slower than it: so many messages, and about so
/// many bytes.
constexpr std::uint64_t most_waiting = 1000, most_waiting_bytes = std::uint64_t{512} << 20;

nlohmann::json json_of(const fault_report& report) {
  auto what = report.so_far();
  nlohmann::json faults{{"dropped", what.dropped}, {"duplicated", what.duplicated}};
  if (what.stalled) faults["stalled"] = *what.stalled;
  if (what.cut_off) faults["cut_off"] = *what.cut_off;
  if (what.rearmed) faults["rearmed"] = *what.rearmed;
  return faults;
}

/// "3 dropped, 1 duplicated, cut off before frame 800"; empty if nothing went wrong.
std::string told(const nlohmann::json& faults) {
  std::string text;
  auto add = [&text](const std::string& what) { text.append(text.empty() ? "" : ", ").append(what); };
  for (auto key : {"dropped", "duplicated"})
    if (!faults[key].empty()) add(fmt::format("{} {}", faults[key].size(), key));
  for (auto [key, words] :
       {std::pair("stalled", "stalled"), {"cut_off", "cut off"}, {"rearmed", "armed again"}})
    if (faults.contains(key)) add(fmt::format("{} before frame {}", words, faults[key].get<std::uint64_t>()));
  return text;
}

} // namespace

std::unique_ptr<instrument> sender_of(const stream_settings& stream, double rate, message_supply supply,
                                      line_answer answer, std::uint64_t frame_bytes) {
  switch (find_protocol(stream.protocol)->usual) {
  case transport::tcp:
    return make_tcp_instrument({.url = stream.url, .rate = rate, .answer = std::move(answer)},
                               std::move(supply));
  case transport::http:
    return make_http_instrument({.url = stream.url, .rate = rate}, std::move(supply));
  default:
    break;
  }
  auto kind = stream.socket == socket_kind::sub ? instrument_socket::pub : instrument_socket::push;
  auto fitting = most_waiting_bytes / std::max<std::uint64_t>(frame_bytes, 1);
  auto waiting = static_cast<int>(std::clamp<std::uint64_t>(fitting, 4, most_waiting));
  return make_zmq_instrument({.url = stream.url,
                              .kind = kind,
                              .bind = stream.connect,
                              .rate = rate,
                              .send_high_water_mark = waiting},
                             std::move(supply));
}

void sender_group::add(std::string stream, std::unique_ptr<instrument> socket,
                       std::shared_ptr<const fault_report> faults, std::stop_source stop) {
  spdlog::info("stream {}: sends from {}", stream, socket->address());
  auto made = std::make_unique<sender>();
  made->stream = std::move(stream);
  made->socket = std::move(socket);
  made->faults = std::move(faults);
  made->stop = std::move(stop);
  senders_.push_back(std::move(made));
}

void sender_group::start() {
  for (auto& s : senders_)
    s->thread = std::jthread([&s = *s](const std::stop_token& stop) {
      s.complete = s.socket->run(stop) == instrument::outcome::complete;
      s.done = true;
    });
}

void sender_group::stop() {
  for (auto& s : senders_) {
    s->stop.request_stop();
    s->thread.request_stop();
  }
}

void sender_group::join() {
  for (auto& s : senders_) s->thread.join();
}

bool sender_group::done() const {
  return std::all_of(senders_.begin(), senders_.end(), [](auto& s) { return s->done.load(); });
}

bool sender_group::complete() const {
  return std::all_of(senders_.begin(), senders_.end(), [](auto& s) { return s->complete.load(); });
}

nlohmann::json sender_group::summary() const {
  auto list = nlohmann::json::array();
  for (auto& s : senders_) {
    list.push_back({{"stream", s->stream},
                    {"address", s->socket->address()},
                    {"messages", s->socket->messages()},
                    {"bytes", s->socket->bytes()},
                    {"complete", s->complete.load()}});
    if (s->faults) list.back()["faults"] = json_of(*s->faults);
  }
  return list;
}

value_map sender_group::faults() const {
  value_map all;
  for (auto& s : senders_)
    if (s->faults) all.set(s->stream, s->faults->tree());
  return all;
}

std::optional<progress> follow(remote_controller& controller, const sender_group& senders, bool& signalled) {
  progress_bar bar;
  std::optional<progress> last;
  auto moved = std::chrono::steady_clock::now();
  while (!(signalled = wait_for_signal(poll_interval))) {
    auto p = controller.ask_progress();
    auto now = std::chrono::steady_clock::now();
    if (p) {
      bar.show(*p);
      if (!last || p->completed_events != last->completed_events) moved = now;
      last = p;
      if (p->finished && senders.done()) return last;
    }
    if (!senders.done()) moved = now;
    // A scan that ended before its instruments did has nobody left who takes what they send.
    if (p && p->finished && now - moved > idle_patience) return last;
    if (now - moved > idle_patience) return last;
  }
  return last;
}

bool came_to_nothing(const progress& p) {
  auto count = [&](const char* fate) {
    auto found = p.fates.find(fate);
    return found == p.fates.end() ? std::uint64_t{0} : found->second;
  };
  auto failed = count("failed"), incomplete = count("incomplete"), lost = count("lost");
  auto bad = failed + incomplete + lost;
  // Starts and ends are given to everybody, and are empty for most analyses.
  constexpr std::uint64_t starts_and_ends = 4;
  if (bad == 0 || count("folded") > 0 || count("empty") > std::max(bad, starts_and_ends)) return false;
  fmt::print(
      stderr,
      "dtranspose: the scan {}, but nothing came of it: {} events failed, {} are incomplete, {} lost\n",
      p.state, failed, incomplete, lost);
  return true;
}

void print_sent(const sender_group& senders, const std::optional<progress>& last, bool as_json) {
  nlohmann::json summary{{"streams", senders.summary()}};
  if (last) {
    summary.update({{"scan", last->scan},
                    {"state", last->state},
                    {"events", last->total_events},
                    {"fates", last->fates},
                    {"seconds", last->seconds},
                    {"output", last->output}});
    if (!last->finished) spdlog::warn("everything was sent, but the scan is {}", last->state);
    if (last->finished && last->state != "finished")
      spdlog::warn("the scan {}: {}", last->state, last->trouble);
  }
  if (as_json) {
    fmt::print("{}\n", summary.dump());
  } else {
    for (auto& s : summary["streams"]) {
      auto faults = s.contains("faults") ? told(s["faults"]) : "";
      fmt::print("stream {}: {} messages, {} bytes{}{}\n", s["stream"].get<std::string>(),
                 s["messages"].get<std::uint64_t>(), s["bytes"].get<std::uint64_t>(),
                 faults.empty() ? "" : "; ", faults);
    }
    if (last && !last->output.empty()) fmt::print("results in {}\n", last->output);
  }
  std::fflush(stdout);
}

} // namespace dtranspose
