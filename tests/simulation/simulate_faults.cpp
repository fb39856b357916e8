/// Runs seeds of the simulation: `simulate_faults --first S --seeds N --variant NAME --bug NAME -v`.
#include <chrono>
#include <cstdlib>
#include <cstring>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "simulation/run.hpp"

namespace {

using namespace dtranspose::simulation;

std::string joined(const std::vector<std::string>& list) { return fmt::format("{}", fmt::join(list, ", ")); }

int usage() {
  fmt::print(
      stderr,
      "usage: simulate_faults [--first S] [--seeds N] [--variant NAME] [--bug NAME] [--keep-going] [-v]\n"
      "variants: {}\nbugs: {}\n",
      joined(variants()), joined(bugs()));
  return 2;
}

bool has(const std::vector<std::string>& list, const std::string& name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

} // namespace

int main(int argc, char** argv) {
  std::uint64_t first = 1, seeds = 1000;
  bool verbose = false, keep_going = false;
  settings how;
  for (int i = 1; i < argc; ++i) {
    std::string option = argv[i];
    auto next = [&]() -> std::string { return i + 1 < argc ? argv[++i] : ""; };
    if (option == "--first")
      first = std::strtoull(next().c_str(), nullptr, 10);
    else if (option == "--seeds")
      seeds = std::strtoull(next().c_str(), nullptr, 10);
    else if (option == "--variant")
      how.variant = next();
    else if (option == "--bug")
      how.bug = next();
    else if (option == "--keep-going")
      keep_going = true;
    else if (option == "-v")
      verbose = true;
    else
      return usage();
  }
  if (!has(variants(), how.variant) || (!how.bug.empty() && !has(bugs(), how.bug))) return usage();
  spdlog::set_level(verbose ? spdlog::level::info : spdlog::level::off);
  spdlog::set_pattern("    log: %v");
  if (verbose) how.log = [](const std::string& text) { fmt::print("{}\n", text); };
  auto began = std::chrono::steady_clock::now();
  std::uint64_t failures = 0, refused = 0, faults = 0, steps = 0;
  for (auto seed = first; seed < first + seeds; ++seed) {
    auto o = run_seed(seed, how);
    refused += o.refused;
    faults += o.faults;
    steps += o.steps;
    if (verbose) fmt::print("{}", o.plan);
    if (o.failure.empty()) continue;
    ++failures;
    fmt::print("seed {}: {}\n{}", seed, o.failure, o.plan);
    std::fflush(stdout);
    if (!keep_going) break;
  }
  std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("{} seeds ({} of them cannot be mapped), {} faults, {} steps, {} failures, {:.1f} s\n", seeds,
             refused, faults, steps, failures, took.count());
  return failures == 0 ? 0 : 1;
}
