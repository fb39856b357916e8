// How close does the whole pipeline come to bare libzmq? A sender, in a process of its own, sends the same
// messages by turns to a bare reader and to the pipeline, with a worker that returns nothing and one that
// returns a small map for every event. One constraint per event.
//   (no option)    the pipeline in this process, beside a bare PULL socket
//   --processes    a process for each role, beside a bare forwarder between sender and reader: two hops
//   --streams N    N streams, beside one stream; bare libzmq the same
// Rates are of the steady state: the first tenth of every run is not counted.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "actors/messages.hpp"
#include "bare_pull.hpp"
#include "figures.hpp"
#include "pipeline.hpp"
#include "runtime/allocator.hpp"
#include "sender.hpp"

namespace {

using namespace dtranspose;
using namespace dtranspose::benchmarks;
using steady = std::chrono::steady_clock;

constexpr double warm_up = 0.1;
constexpr std::size_t kept_bytes = 8 << 20;
constexpr std::size_t bytes_beside_streams = 128 << 10;
/// Many streams take longer to come up to speed.
constexpr double longer_beside_streams = 4;

struct workload {
  std::size_t size;     ///< bytes of pixels
  std::uint64_t frames; ///< of one run, of all streams together: a second or so
};

constexpr workload workloads[] = {
    {2 << 10, 400'000}, {32 << 10, 80'000}, {128 << 10, 25'000}, {512 << 10, 8'000}, {2 << 20, 2'000}};

struct options {
  int runs = 5;
  std::uint32_t workers = 2;
  std::size_t streams = 1;
  bool processes = false, journal = false;
  double scale = 1;
  std::vector<std::size_t> sizes;
  std::string json_file;
};

/// Sends the frames of the workload, an equal share in each stream.
sender start_sender(const workload& w, std::size_t streams) {
  return sender({.size = w.size, .frames = w.frames / streams, .streams = streams});
}

/// With the start and the end of every stream.
std::uint64_t messages_of(const workload& w, std::size_t streams) {
  return (w.frames / streams + 2) * streams;
}

/// Messages per second from one process to this one, which frees them at once, or when so many bytes more
/// have come.
double bare_rate(const workload& w, std::size_t streams, std::size_t kept_bytes = 0) {
  auto from = start_sender(w, streams);
  from.go();
  auto rate = bare_pull(from.urls(), messages_of(w, streams), warm_up, 2 * kept_bytes / w.size);
  from.wait();
  return rate.messages_per_second;
}

/// Messages per second from one process through a second to this one.
double forwarded_rate(const workload& w) {
  auto messages = messages_of(w, 1);
  auto from = start_sender(w, 1);
  child_process hop(
      {"bare_forwarder", "--from", from.urls().front(), "--messages", std::to_string(messages)});
  auto urls = sender::urls_in(hop.read_line());
  from.go();
  auto rate = bare_pull(urls, messages, warm_up);
  from.wait();
  hop.wait();
  return rate.messages_per_second;
}

/// Events per second behind the warm-up, until all are complete.
double rate_to_end(pipeline& system, std::uint64_t frames, const pipeline_settings& settings) {
  auto warm_events = static_cast<std::uint64_t>(static_cast<double>(frames) * warm_up);
  std::uint64_t warm = 0;
  steady::time_point start;
  for (;;) {
    auto p = system.ask();
    auto now = steady::now();
    if (warm == 0 && p.completed_events >= warm_events) {
      warm = p.completed_events;
      start = now;
    }
    if (p.completed_events == p.total_events) {
      check_mapped(p, frames, settings);
      return static_cast<double>(p.total_events - warm) / std::chrono::duration<double>(now - start).count();
    }
    if (p.finished) throw std::runtime_error("the scan " + p.state + ": " + p.trouble);
    // Asking takes a core as well.
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

/// Frames per second of all streams together.
double pipeline_rate(const workload& w, const std::string& analysis, std::size_t streams, const options& o) {
  auto frames = w.frames / streams;
  auto from = start_sender(w, streams);
  pipeline_settings settings{
      .urls = from.urls(), .analysis = analysis, .workers = o.workers, .journal = o.journal};
  if (analysis == "roi") settings.parameters = {{"columns", "0:16"}};
  auto system = o.processes ? in_processes(settings) : in_this_process(settings);
  system->start(frames);
  from.go();
  auto rate = rate_to_end(*system, frames, settings);
  from.wait();
  return rate * static_cast<double>(streams);
}

/// One way of moving the frames of a workload.
struct contender {
  std::string what;
  std::function<double(const workload&)> rate;
  std::size_t beside = 0; ///< place of the one that it is compared with
};

std::vector<contender> contenders(const options& o) {
  auto bare = [](std::size_t streams) { return [=](auto& w) { return bare_rate(w, streams); }; };
  auto piped = [o](const char* analysis, std::size_t streams) {
    return [=](auto& w) { return pipeline_rate(w, analysis, streams, o); };
  };
  if (o.streams > 1) {
    auto many = fmt::format("{} streams", o.streams);
    return {{"bare libzmq, 1 stream", bare(1)},
            {"bare libzmq, " + many, bare(o.streams)},
            {"1 stream", piped("none", 1), 2},
            {many, piped("none", o.streams), 2}};
  }
  contender bound{"bare libzmq", bare(1)};
  if (o.processes) bound = {"bare libzmq, two hops", forwarded_rate};
  std::vector<contender> list{
      bound, {"worker gives nothing", piped("none", 1)}, {"worker gives a map", piped("roi", 1)}};
  // What a receiver that holds frames for a while can reach: buffers come back out of the cache.
  if (!o.processes) list.push_back({"bare, 8 MiB kept", [](auto& w) { return bare_rate(w, 1, kept_bytes); }});
  return list;
}

/// Measures by turns and prints a line for each; returns its rows.
nlohmann::json measure(const workload& w, const options& o) {
  auto who = contenders(o);
  std::vector<std::vector<double>> rates(who.size()), ratios(who.size());
  for (int run = 0; run < o.runs; ++run)
    for (std::size_t i = 0; i < who.size(); ++i) {
      rates[i].push_back(who[i].rate(w));
      ratios[i].push_back(rates[i].back() / rates[who[i].beside].back());
    }
  auto rows = nlohmann::json::array();
  for (std::size_t i = 0; i < who.size(); ++i) {
    auto rate = summarise(rates[i]);
    auto ratio = summarise(ratios[i]);
    fmt::print("{:>9}  {:<22} {:>12.0f} {:>9.2f}   {:.2f} / {:.2f} / {:.2f}\n", w.size, who[i].what,
               rate.median, rate.median * static_cast<double>(w.size) * 1e-9, ratio.least, ratio.median,
               ratio.most);
    rows.push_back({{"bytes", w.size},
                    {"what", who[i].what},
                    {"beside", who[who[i].beside].what},
                    {"events_per_second", rates[i]},
                    {"ratios", ratios[i]},
                    {"ratio", {ratio.least, ratio.median, ratio.most}}});
  }
  std::fflush(stdout);
  return rows;
}

bool wanted(const workload& w, const options& o) {
  if (o.sizes.empty()) return o.streams == 1 || w.size == bytes_beside_streams;
  return std::find(o.sizes.begin(), o.sizes.end(), w.size) != o.sizes.end();
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"throughput of the pipeline beside bare libzmq"};
  options o;
  app.add_option("--runs", o.runs, "runs of each kind, taking turns")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--workers", o.workers, "workers of the pipeline")->capture_default_str();
  app.add_flag("--processes", o.processes, "a process for each role, beside a bare forwarder");
  app.add_option("--streams", o.streams, "so many streams beside one")
      ->check(CLI::Range(1, 64))
      ->capture_default_str();
  app.add_flag("--journal", o.journal, "with a journal, in the folder for temporary files");
  app.add_option("--size", o.sizes, "only these frame sizes, in bytes");
  app.add_option("--scale", o.scale, "longer (above 1) or shorter runs")->capture_default_str();
  app.add_option("--json", o.json_file, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::warn);
  keep_freed_memory(); // for bare libzmq as well: it gains as much
  try {
    fmt::print("{:>9}  {:<22} {:>12} {:>9}   ratio to bare or 1 stream: min / median / max of {} runs\n",
               "bytes", "what", o.streams > 1 ? "frames/s" : "events/s", "GB/s", o.runs);
    auto rows = nlohmann::json::array();
    for (auto w : workloads) {
      if (!wanted(w, o)) continue;
      auto scale = o.streams > 1 ? o.scale * longer_beside_streams : o.scale;
      w.frames = static_cast<std::uint64_t>(static_cast<double>(w.frames) * scale);
      for (auto& row : measure(w, o)) rows.push_back(row);
    }
    if (!o.json_file.empty()) std::ofstream(o.json_file) << rows.dump(1) << "\n";
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "throughput: {}\n", e.what());
    return 1;
  }
}
