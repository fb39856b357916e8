// Does the memory of any process grow with the length of a scan? A sender in a process of its own sends small
// frames as fast as they are taken; what each process holds in memory is noted at every tenth of the scan.
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "actors/messages.hpp"
#include "figures.hpp"
#include "pipeline.hpp"
#include "sender.hpp"

namespace {

using namespace dtranspose;
using namespace dtranspose::benchmarks;
using steady = std::chrono::steady_clock;

constexpr int tenths = 10;
/// Behind this tenth of a scan, memory is to stay as it is.
constexpr std::size_t warm_up_tenths = 2;

struct options {
  std::uint64_t events = 10'000'000;
  std::size_t size = 2 << 10;
  int runs = 5;
  std::uint32_t workers = 2;
  bool all = false, journal = false;
  std::string json_file;
};

struct run_figures {
  std::vector<role_process> processes;
  std::vector<std::vector<double>> mebibytes; ///< by process, at each tenth
  std::vector<double> rates;                  ///< events per second in each tenth
};

/// Waits until so many events are complete.
progress wait_for(pipeline& system, std::uint64_t events) {
  for (;;) {
    auto p = system.ask();
    if (p.completed_events >= events) return p;
    if (p.finished) throw std::runtime_error("the scan " + p.state + ": " + p.trouble);
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

run_figures measure(const options& o) {
  sender from({.size = o.size, .frames = o.events});
  pipeline_settings settings{.urls = from.urls(), .workers = o.workers, .journal = o.journal};
  auto system = o.all ? in_processes(settings, {"all"}) : in_processes(settings);
  run_figures figures{system->processes(), {}, {}};
  figures.mebibytes.resize(figures.processes.size());
  system->start(o.events);
  from.go();
  auto last_time = steady::now();
  std::uint64_t last_events = 0;
  progress p;
  for (int tenth = 1; tenth <= tenths; ++tenth) {
    p = wait_for(*system, o.events * static_cast<std::uint64_t>(tenth) / tenths);
    auto now = steady::now();
    figures.rates.push_back(static_cast<double>(p.completed_events - last_events) /
                            std::chrono::duration<double>(now - last_time).count());
    last_time = now;
    last_events = p.completed_events;
    for (std::size_t i = 0; i < figures.processes.size(); ++i)
      figures.mebibytes[i].push_back(static_cast<double>(resident_bytes(figures.processes[i].pid)) /
                                     (1 << 20));
  }
  p = wait_for(*system, o.events + 2);
  check_mapped(p, o.events, settings);
  from.wait();
  return figures;
}

/// Behind the warm-up, in MiB.
double growth(const std::vector<double>& mebibytes) {
  return mebibytes.back() - mebibytes.at(warm_up_tenths - 1);
}

void print(const run_figures& f) {
  fmt::print("{:<12} {:>8}   MiB at each tenth of the scan\n", "process", "growth");
  for (std::size_t i = 0; i < f.processes.size(); ++i) {
    fmt::print("{:<12} {:>8.1f}  ", f.processes[i].role, growth(f.mebibytes[i]));
    for (auto m : f.mebibytes[i]) fmt::print(" {:>6.1f}", m);
    fmt::print("\n");
  }
  fmt::print("{:<12} {:>8}  ", "events/s", "");
  for (auto rate : f.rates) fmt::print(" {:>6.0f}", rate);
  fmt::print("\n");
  std::fflush(stdout);
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"memory of every process over a long scan"};
  options o;
  app.add_option("--events", o.events, "events of the scan")
      ->check(CLI::Range(std::uint64_t{100}, ~std::uint64_t{0}))
      ->capture_default_str();
  app.add_option("--size", o.size, "bytes of a frame")->capture_default_str();
  app.add_option("--runs", o.runs, "scans, each with new processes")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--workers", o.workers, "workers")->capture_default_str();
  app.add_flag("--all", o.all, "all roles in one process, not one each");
  app.add_flag("--journal", o.journal, "with a journal, in the folder for temporary files");
  app.add_option("--json", o.json_file, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::warn);
  try {
    auto runs = nlohmann::json::array();
    for (int i = 0; i < o.runs; ++i) {
      auto f = measure(o);
      print(f);
      nlohmann::json processes;
      for (std::size_t p = 0; p < f.processes.size(); ++p)
        processes[f.processes[p].role] = {{"mib", f.mebibytes[p]}, {"growth_mib", growth(f.mebibytes[p])}};
      runs.push_back({{"processes", processes}, {"events_per_second", f.rates}});
    }
    if (!o.json_file.empty()) std::ofstream(o.json_file) << runs.dump(1) << "\n";
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "memory: {}\n", e.what());
    return 1;
  }
}
