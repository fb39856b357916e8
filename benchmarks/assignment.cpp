// What does the controller's bookkeeping cost for each event of a long scan, and does it grow? The trigger
// map is read, events are bound, gathered into runs, given out, ended, and forgotten, as the controller does
// it, without actors and network. Cost is CPU time of this thread.
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "figures.hpp"
#include "instrument/fitting_map.hpp"
#include "model/assigner.hpp"
#include "model/assignment.hpp"
#include "model/dispatch_book.hpp"
#include "model/error.hpp"
#include "model/ledger.hpp"
#include "model/trigger_map.hpp"
#include "pipeline.hpp"

namespace {

using namespace dtranspose;
using namespace dtranspose::benchmarks;

constexpr int tenths = 10;
/// As many as the controller puts into one message.
constexpr std::uint64_t most_events_per_batch = 4096;

struct options {
  std::uint64_t events = 10'000'000;
  std::size_t streams = 8;
  std::uint32_t workers = 64, processes = 8;
  std::uint64_t window = 256;
  int runs = 5;
  std::string json_file;
};

double cpu_seconds() {
  timespec now = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

std::shared_ptr<const trigger_map> read_map(const options& o) {
  std::vector<simulated_stream> streams;
  for (std::size_t i = 0; i < o.streams; ++i) streams.push_back({"det" + std::to_string(i), o.events, 1});
  auto map = trigger_map::parse(fitting_map(streams), false);
  if (!map) throw std::runtime_error(text_of(map.error()));
  return *map;
}

/// The part of a controller that deals with every event.
class bookkeeping {
 public:
  bookkeeping(const options& o, std::shared_ptr<const trigger_map> map)
      : options_(o), bindings_(map), fates_(map->events()), processed_(o.workers) {
    for (std::uint32_t w = 0; w < o.workers; ++w) {
      auto worker = bindings_.add_worker({"generic"});
      bindings_.grant(worker, o.window);
      book_.add_worker();
      process_of_.push_back(static_cast<process_index>(w % o.processes));
    }
  }

  std::uint64_t ended() const { return fates_.ended(); }
  bool complete() const { return fates_.complete(); }

  /// Gives out what there is credit for, and ends it. Throws std::runtime_error when nothing moves.
  void turn() {
    assignment_batch batch(options_.streams, options_.processes);
    while (batch.events() < most_events_per_batch && bindings_.next(bound_)) {
      std::uint32_t slots = 0;
      for (auto& target : bound_.targets) slots += target.slots;
      fates_.open(slots);
      batch.add(bound_, process_of_);
    }
    if (batch.events() == 0) throw std::runtime_error("nothing can be assigned: the window is too small");
    bindings_.take_choices();
    ++dispatch_;
    for (std::size_t p = 0; p < options_.processes; ++p)
      for (auto& run : batch.of_process(p)) book_.give(run, dispatch_);
    for (std::size_t p = 0; p < options_.processes; ++p)
      for (auto& run : batch.of_process(p)) end(run);
    fates_.take_ended();
    book_.prune(fates_);
  }

 private:
  void end(const worker_run& run) {
    fates_.end({run.events, run.first_slot, run.slots}, fate::empty);
    auto& processed = processed_[run.worker.value];
    processed += run.events.count;
    bindings_.note_processed(run.worker, processed);
    bindings_.grant(run.worker, processed + options_.window);
  }

  options options_;
  assigner bindings_;
  ledger fates_;
  dispatch_book book_;
  dispatch_id dispatch_;
  std::vector<process_index> process_of_;
  std::vector<std::uint64_t> processed_;
  bound_event bound_;
};

struct run_figures {
  double map_seconds = 0;
  std::vector<double> event_ns; ///< by tenth
  std::vector<double> resident; ///< bytes, by tenth
};

run_figures measure(const options& o) {
  run_figures figures;
  auto start = cpu_seconds();
  auto map = read_map(o);
  figures.map_seconds = cpu_seconds() - start;
  bookkeeping books(o, map);
  for (int tenth = 1; tenth <= tenths; ++tenth) {
    auto before = books.ended();
    start = cpu_seconds();
    while (books.ended() < o.events * static_cast<std::uint64_t>(tenth) / tenths) books.turn();
    auto events = static_cast<double>(books.ended() - before);
    figures.event_ns.push_back((cpu_seconds() - start) * 1e9 / events);
    figures.resident.push_back(static_cast<double>(resident_bytes(getpid())));
  }
  if (!books.complete()) throw std::runtime_error("not all events have ended");
  return figures;
}

/// CPU per event and stream, the map included, in ns.
double stream_ns(const run_figures& f, const options& o) {
  double all = f.map_seconds * 1e9 / static_cast<double>(o.events);
  for (auto ns : f.event_ns) all += ns / tenths;
  return all / static_cast<double>(o.streams);
}

std::string text_of_all(const std::vector<double>& values, int digits) {
  auto s = summarise(values);
  return fmt::format("{:.{}f} / {:.{}f} / {:.{}f}", s.least, digits, s.median, digits, s.most, digits);
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"cost of the controller's bookkeeping over a long scan"};
  options o;
  app.add_option("--events", o.events, "events of the scan")
      ->check(CLI::Range(std::uint64_t{1000}, ~std::uint64_t{0}))
      ->capture_default_str();
  app.add_option("--streams", o.streams, "streams, all with a frame in each event")
      ->check(CLI::Range(std::size_t{1}, max_streams))
      ->capture_default_str();
  app.add_option("--workers", o.workers, "workers")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--processes", o.processes, "processes of the workers")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--window", o.window, "events that a worker may have in hand")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--runs", o.runs, "runs")->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--json", o.json_file, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    std::vector<double> cost, ratio, growth;
    auto runs = nlohmann::json::array();
    for (int i = 0; i < o.runs; ++i) {
      auto f = measure(o);
      cost.push_back(stream_ns(f, o));
      ratio.push_back(f.event_ns.back() / f.event_ns.front());
      growth.push_back((f.resident.back() - f.resident[1]) / (1 << 20));
      runs.push_back({{"map_seconds", f.map_seconds}, {"event_ns", f.event_ns}, {"resident", f.resident}});
      fmt::print("map {:.3f} s; ns per event in each tenth:", f.map_seconds);
      for (auto ns : f.event_ns) fmt::print(" {:.0f}", ns);
      fmt::print("; resident MiB:");
      for (auto bytes : f.resident) fmt::print(" {:.0f}", bytes / (1 << 20));
      fmt::print("\n");
      std::fflush(stdout);
    }
    fmt::print("min / median / max of {} runs: {} ns per event and stream; last tenth over first {}\n",
               o.runs, text_of_all(cost, 1), text_of_all(ratio, 2));
    if (!o.json_file.empty())
      std::ofstream(o.json_file) << nlohmann::json{{"ns_per_event_and_stream", cost},
                                                   {"last_over_first", ratio},
                                                   {"growth_mib", growth},
                                                   {"runs", runs}}
                                        .dump(1)
                                 << "\n";
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "assignment: {}\n", e.what());
    return 1;
  }
}
