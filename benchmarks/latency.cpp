// How long does a frame take from the instrument to the fold, beside bare ZeroMQ's way from one process to
// another? A paced sender, in a process of its own, writes its clock into every header. By turns are
// measured: a bare PULL socket that reads it, the pipeline in this process, and with --processes a process
// for each role; there an analysis reads it and takes the time when its result is folded.
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <zmq.h>

#include <CLI/CLI.hpp>
#include <chrono>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <thread>

#include "actors/messages.hpp"
#include "figures.hpp"
#include "instrument/sent_ns.hpp"
#include "pipeline.hpp"
#include "sender.hpp"
#include "stamp.hpp"
#include "temporary_folder.hpp"

namespace {

using namespace dtranspose;
using namespace dtranspose::benchmarks;

constexpr int silence_ms = 30'000;

struct options {
  double rate = 1000;
  std::size_t size = 2 << 10;
  std::uint64_t frames = 5000;
  int runs = 5;
  std::uint32_t workers = 2;
  bool processes = false, journal = false;
  std::string json_file;
};

/// Of one run, in us.
struct latencies {
  double p50, p99, most;
};

/// Times in us, in the order of arrival; the first tenth is not counted.
latencies of(std::vector<double> times, const options& o) {
  if (times.size() != o.frames)
    throw std::runtime_error(fmt::format("{} of {} frames were timed", times.size(), o.frames));
  times.erase(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 10));
  std::sort(times.begin(), times.end());
  return {quantile(times, 0.5), quantile(times, 0.99), times.back()};
}

void check(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + zmq_strerror(zmq_errno()));
}

/// The one-way time of every frame that `socket` receives, until the end of the series.
std::vector<double> times_of_frames(void* socket, std::uint64_t frames) {
  std::vector<double> times;
  zmq_msg_t part;
  zmq_msg_init(&part);
  for (std::uint64_t message = 0; message < frames + 2; ++message) {
    std::optional<std::int64_t> stamp;
    do {
      check(zmq_msg_recv(&part, socket, 0), "receive");
      if (!stamp) stamp = stamp_in({static_cast<const char*>(zmq_msg_data(&part)), zmq_msg_size(&part)});
    } while (zmq_msg_more(&part));
    if (stamp) times.push_back(static_cast<double>(realtime_ns() - *stamp) * 1e-3);
  }
  zmq_msg_close(&part);
  return times;
}

latencies bare(const options& o) {
  sender from({.size = o.size, .frames = o.frames, .rate = o.rate});
  std::unique_ptr<void, decltype(&zmq_ctx_term)> context(zmq_ctx_new(), zmq_ctx_term);
  std::unique_ptr<void, decltype(&zmq_close)> socket(zmq_socket(context.get(), ZMQ_PULL), zmq_close);
  check(zmq_setsockopt(socket.get(), ZMQ_RCVTIMEO, &silence_ms, sizeof silence_ms), "time-out");
  check(zmq_connect(socket.get(), from.urls().front().c_str()), "connect");
  from.go();
  auto times = times_of_frames(socket.get(), o.frames);
  from.wait();
  return of(std::move(times), o);
}

void wait_for_end(pipeline& system, std::uint64_t frames, const pipeline_settings& settings) {
  // Rarely: every question is work for those who are measured.
  for (auto p = system.ask();; p = system.ask()) {
    if (p.finished) {
      if (p.state != "finished") throw std::runtime_error("the scan " + p.state + ": " + p.trouble);
      return check_mapped(p, frames, settings);
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
  }
}

std::vector<double> times_in(const std::string& file) {
  std::ifstream in(file);
  std::vector<double> times;
  for (double ns = 0; in >> ns;) times.push_back(ns * 1e-3);
  return times;
}

latencies of_pipeline(const options& o, bool processes) {
  temporary_folder folder;
  sender from({.size = o.size, .frames = o.frames, .rate = o.rate});
  pipeline_settings settings{.urls = from.urls(),
                             .analysis = program_folder() / "liblatency_plugin.so",
                             .parameters = {{"file", folder.path() / "times"}},
                             .workers = o.workers,
                             .journal = o.journal};
  auto system = processes ? in_processes(settings) : in_this_process(settings);
  system->start(o.frames);
  from.go();
  from.wait();
  wait_for_end(*system, o.frames, settings);
  return of(times_in(settings.parameters["file"]), o);
}

struct contender {
  std::string what;
  std::function<latencies()> measure;
  std::vector<latencies> runs = {};
};

/// A figure of all runs.
std::vector<double> each(const std::vector<latencies>& runs, double latencies::*figure) {
  std::vector<double> values;
  for (auto& run : runs) values.push_back(run.*figure);
  return values;
}

/// How much more it is than in the bare run of the same turn.
std::vector<double> more_than(const std::vector<latencies>& bare, const std::vector<latencies>& runs,
                              double latencies::*figure) {
  std::vector<double> values;
  for (std::size_t i = 0; i < runs.size(); ++i) values.push_back(runs[i].*figure - bare[i].*figure);
  return values;
}

std::string text_of(const std::vector<double>& values) {
  auto s = summarise(values);
  return fmt::format("{:.0f} / {:.0f} / {:.0f}", s.least, s.median, s.most);
}

void print_and_add(const contender& c, const contender& bare, nlohmann::json& rows) {
  constexpr std::pair<const char*, double latencies::*> figures[] = {
      {"p50", &latencies::p50}, {"p99", &latencies::p99}, {"max", &latencies::most}};
  for (auto& [name, figure] : figures) {
    auto times = each(c.runs, figure), more = more_than(bare.runs, c.runs, figure);
    fmt::print("{:<22} {:<4} {:>24}   {:>24}\n", c.what, name, text_of(times), text_of(more));
    rows.push_back({{"what", c.what}, {"figure", name}, {"us", times}, {"more_than_bare_us", more}});
  }
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"time from the sender's clock to the fold, beside bare ZeroMQ"};
  options o;
  app.add_option("--rate", o.rate, "frames per second")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--size", o.size, "bytes of a frame")->capture_default_str();
  app.add_option("--frames", o.frames, "frames of a run")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--runs", o.runs, "runs of each kind, taking turns")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--workers", o.workers, "workers of the pipeline")->capture_default_str();
  app.add_flag("--processes", o.processes, "also with a process for each role");
  app.add_flag("--journal", o.journal, "with a journal, in the folder for temporary files");
  app.add_option("--json", o.json_file, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  spdlog::set_level(spdlog::level::warn);
  try {
    std::vector<contender> who{{"bare ZeroMQ", [&] { return bare(o); }},
                               {"one process", [&] { return of_pipeline(o, false); }}};
    if (o.processes) who.push_back({"a process per role", [&] { return of_pipeline(o, true); }});
    for (int run = 0; run < o.runs; ++run)
      for (auto& c : who) c.runs.push_back(c.measure());
    fmt::print("{:.0f} Hz of {} bytes, us: min / median / max of {} runs\n", o.rate, o.size, o.runs);
    fmt::print("{:<22} {:<4} {:>24}   {:>24}\n", "what", "", "stamp to fold", "more than bare ZeroMQ");
    auto rows = nlohmann::json::array();
    for (auto& c : who) print_and_add(c, who.front(), rows);
    if (!o.json_file.empty()) std::ofstream(o.json_file) << rows.dump(1) << "\n";
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "latency: {}\n", e.what());
    return 1;
  }
}
