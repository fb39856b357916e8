// How close does the whole pipeline in one process come to bare libzmq? One sender, in a process of its own,
// sends the same messages by turns to (a) a bare PULL socket, (b) the pipeline with a worker that returns
// nothing, (c) the pipeline with a worker that returns a small map for every event. One constraint per event.
// Rates are of the steady state: the first tenth of every run is not counted.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "actors/messages.hpp"
#include "bare_pull.hpp"
#include "child_process.hpp"
#include "instrument/fitting_map.hpp"
#include "runtime/allocator.hpp"
#include "runtime/inquiry.hpp"
#include "runtime/node.hpp"

namespace {

using namespace dtranspose;
using namespace dtranspose::benchmarks;
using steady = std::chrono::steady_clock;

constexpr double warm_up = 0.1;

struct workload {
  std::size_t size;     ///< bytes of pixels
  std::uint64_t frames; ///< of one run: a second or so
};

constexpr workload workloads[] = {
    {2 << 10, 400'000}, {32 << 10, 80'000}, {128 << 10, 25'000}, {512 << 10, 8'000}, {2 << 20, 2'000}};

struct summary {
  double least, median, most;
};

summary summarise(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return {v.front(), v[v.size() / 2], v.back()};
}

/// The sender; it listens before this returns, and sends when it is told to.
std::unique_ptr<child_process> start_sender(const workload& w, std::string& url) {
  auto sender = std::make_unique<child_process>(
      std::vector<std::string>{"bare_sender", "--url", "tcp://127.0.0.1:*", "--size", std::to_string(w.size),
                               "--frames", std::to_string(w.frames), "--wait"});
  auto line = sender->read_line();
  if (!line.starts_with("ready ")) throw std::runtime_error("the sender does not listen: " + line);
  url = line.substr(6);
  return sender;
}

double bare_rate(const workload& w) {
  std::string url;
  auto sender = start_sender(w, url);
  sender->write_line("go");
  auto rate = bare_pull(url, w.frames + 2, warm_up);
  sender->wait();
  return rate.messages_per_second;
}

/// Events per second behind the warm-up.
double pipeline_rate(const workload& w, const std::string& analysis, std::uint32_t workers) {
  std::string url;
  auto sender = start_sender(w, url);
  configuration settings;
  settings.streams = {{.name = "det", .protocol = "stins", .url = url}};
  settings.worker.count = workers;
  settings.analysis.use = {analysis};
  if (analysis == "roi") settings.analysis.parameters["roi"] = {{"columns", "0:16"}};
  node process({.settings = settings, .roles = {true, true, true, true}, .networked = false});
  simulated_stream stream{"det", w.frames, 1};
  start_scan(process.system(), process.controller(), fitting_map({&stream, 1}), true);
  sender->write_line("go");
  auto warm_events = static_cast<std::uint64_t>(static_cast<double>(w.frames) * warm_up);
  std::uint64_t warm = 0;
  steady::time_point start;
  for (;;) {
    auto p = ask_progress(process.system(), process.controller());
    auto now = steady::now();
    if (warm == 0 && p.completed_events >= warm_events) {
      warm = p.completed_events;
      start = now;
    }
    if (p.completed_events == p.total_events) {
      sender->wait();
      if (p.fates[analysis == "none" ? "empty" : "folded"] < w.frames)
        throw std::runtime_error("not all events were mapped");
      return static_cast<double>(p.total_events - warm) / std::chrono::duration<double>(now - start).count();
    }
    if (p.finished) throw std::runtime_error("the scan " + p.state + ": " + p.trouble);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"throughput of the pipeline in one process, beside bare libzmq"};
  int runs = 5;
  std::uint32_t workers = 2;
  std::string json_file;
  std::vector<std::size_t> sizes;
  double scale = 1;
  app.add_option("--runs", runs, "runs of each kind, taking turns")->capture_default_str();
  app.add_option("--workers", workers, "workers of the pipeline")->capture_default_str();
  app.add_option("--size", sizes, "only these frame sizes, in bytes");
  app.add_option("--scale", scale, "longer (above 1) or shorter runs")->capture_default_str();
  app.add_option("--json", json_file, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::warn);
  keep_freed_memory(); // for bare libzmq as well: it gains as much
  try {
    fmt::print("{:>9}  {:<22} {:>12} {:>9}   ratio to bare: min / median / max of {} runs\n", "bytes", "what",
               "events/s", "GB/s", runs);
    auto rows = nlohmann::json::array();
    for (auto w : workloads) {
      if (!sizes.empty() && std::find(sizes.begin(), sizes.end(), w.size) == sizes.end()) continue;
      w.frames = static_cast<std::uint64_t>(static_cast<double>(w.frames) * scale);
      std::vector<double> bare, nothing, map, nothing_ratio, map_ratio;
      for (int i = 0; i < runs; ++i) {
        bare.push_back(bare_rate(w));
        nothing.push_back(pipeline_rate(w, "none", workers));
        map.push_back(pipeline_rate(w, "roi", workers));
        nothing_ratio.push_back(nothing.back() / bare.back());
        map_ratio.push_back(map.back() / bare.back());
      }
      auto row = [&](const char* what, const std::vector<double>& rates, const std::vector<double>* ratios) {
        auto rate = summarise(rates);
        auto ratio = ratios ? summarise(*ratios) : summary{1, 1, 1};
        fmt::print("{:>9}  {:<22} {:>12.0f} {:>9.2f}   {:.2f} / {:.2f} / {:.2f}\n", w.size, what, rate.median,
                   rate.median * static_cast<double>(w.size) * 1e-9, ratio.least, ratio.median, ratio.most);
        rows.push_back({{"bytes", w.size},
                        {"what", what},
                        {"events_per_second", rates},
                        {"ratio", {ratio.least, ratio.median, ratio.most}}});
      };
      row("bare libzmq", bare, nullptr);
      row("worker gives nothing", nothing, &nothing_ratio);
      row("worker gives a map", map, &map_ratio);
      std::fflush(stdout);
    }
    if (!json_file.empty()) std::ofstream(json_file) << rows.dump(1) << "\n";
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "throughput: {}\n", e.what());
    return 1;
  }
}
