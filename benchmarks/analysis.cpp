// How much does it cost to look at an image? One thread runs the worker part of each analysis of images on
// frames as they come in, by turns with memcpy of their pixels; azimuthal integration also beside pyFAI,
// where that is installed.
#include <fmt/format.h>
#include <sys/wait.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>

#include "analysis/back_projection.hpp"
#include "analysis/projection_filter.hpp"
#include "analysis/registry.hpp"
#include "figures.hpp"
#include "protocol/compression.hpp"
#include "protocol/stins.hpp"

namespace {

using namespace dtranspose;
using benchmarks::summarise;
using bytes = std::vector<std::byte>;

/// Of this thread: what else the machine does is not counted.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Seconds of one run, out of as many as take some 20 ms.
double measure(const std::function<void()>& run) {
  auto begin = cpu_seconds();
  int runs = 0;
  double seconds = 0;
  do {
    run();
    ++runs;
    seconds = cpu_seconds() - begin;
  } while (seconds < 0.02);
  return seconds / runs;
}

bytes photons(std::size_t side, double mean) {
  std::mt19937 random(1);
  std::poisson_distribution<std::uint32_t> counts(mean);
  std::vector<std::uint32_t> image(side * side);
  for (auto& x : image) x = counts(random);
  auto view = std::as_bytes(std::span(image));
  return {view.begin(), view.end()};
}

stream_data frame_of(std::size_t side, const bytes& pixels, bool compressed) {
  std::string header;
  const std::vector<std::size_t> shape{side, side};
  write_stins_image(
      header, 1,
      {.frame = 0, .shape = shape, .type = "uint32", .compression = compressed ? "bslz4" : "none"});
  auto text = std::as_bytes(std::span(header));
  std::vector<bytes> parts{{text.begin(), text.end()}};
  parts.push_back(compressed ? compress(codec::bslz4, 4, pixels) : pixels);
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), stins_type_tag);
}

/// A detector with the beam in its middle.
std::string geometry(std::size_t side) {
  auto middle = 75e-6 * static_cast<double>(side) / 2;
  return fmt::format("Detector_config: {{\"pixel1\": 75e-6, \"pixel2\": 75e-6, \"max_shape\": [{0}, {0}]}}\n"
                     "Distance: 0.2\nPoni1: {1}\nPoni2: {1}\nRot1: 0\nRot2: 0\nRot3: 0\nWavelength: 1e-10\n",
                     side, middle);
}

struct analysis_case {
  std::string name, analysis;
  std::map<std::string, std::string> parameters;
  std::size_t side;
  double mean;
  bool compressed;
};

std::vector<analysis_case> all_cases() {
  std::vector<analysis_case> all;
  auto azint = [&](std::string name, std::size_t side, double mean, bool compressed,
                   std::map<std::string, std::string> more = {}) {
    more.insert({{"poni", geometry(side)}, {"polarisation", "0.99"}});
    all.push_back({std::move(name), "azint", std::move(more), side, mean, compressed});
  };
  for (std::size_t side : {1024, 3072}) {
    azint("azint bbox", side, 3, false);
    azint("azint no", side, 3, false, {{"splitting", "no"}});
    azint("azint bbox, cake", side, 3, false, {{"chi_bins", "360"}, {"rows", "False"}});
  }
  for (double mean : {0.1, 3.0}) azint("bslz4, azint bbox", 2048, mean, true);
  for (std::string name : {"roi", "sum", "cog", "pileup", "hits"})
    all.push_back({name, name, {}, 2048, 0.1, false});
  all.push_back(
      {"crop", "crop", {{"rows", "0:512"}, {"columns", "0:512"}, {"type", "uint32"}}, 2048, 0.1, false});
  all.push_back({"tomo, worker, 4 rows",
                 "tomo",
                 {{"angle", "detector:frame"}, {"rows", "0:2048:512"}, {"flats", "1"}, {"first", "0"}},
                 2048,
                 0.1,
                 false});
  return all;
}

struct measured {
  std::vector<double> seconds, of_memcpy;
};

measured measure(const analysis_case& c, int repeat) {
  auto pixels = photons(c.side, c.mean);
  bytes copy(pixels.size());
  auto data = frame_of(c.side, pixels, c.compressed);
  auto code = load_analysis(c.analysis);
  auto settings = complete_parameters(*code, c.parameters);
  auto worker = code->make_worker(settings);
  const stream_names names{"detector"};
  std::vector<stream_entry> entries{{stream_index(0), data}};
  const event e(event_number(0), entries, names);
  auto look = [&] {
    if (worker->process_event(e, settings, false).what() == answer::kind::nothing)
      throw std::runtime_error(c.name + " does not look at the image");
  };
  auto copy_pixels = [&] { std::memcpy(copy.data(), pixels.data(), pixels.size()); };
  look(); // touches all memory
  copy_pixels();
  measured m;
  for (int i = 0; i < repeat; ++i) {
    m.of_memcpy.push_back(measure(copy_pixels));
    m.seconds.push_back(measure(look));
    worker->flush();
  }
  return m;
}

/// Seconds that the reducer takes for one projection of one slice, with so many added at a time.
std::vector<double> seconds_per_projection(std::size_t columns, std::size_t together, int repeat) {
  std::vector<float> slice(columns * columns);
  projection_filter filter(columns, filter_window::ram_lak);
  double angle = 0;
  auto add = [&] {
    std::vector<smeared_projection> all;
    for (std::size_t i = 0; i < together; ++i) {
      std::vector<float> line(columns, 1.0F);
      filter.apply(line);
      all.emplace_back(line, angle += 0.2, 0.5 * static_cast<double>(columns), 1);
    }
    back_project(slice, columns, all);
  };
  std::vector<double> seconds;
  for (int i = 0; i < repeat; ++i) seconds.push_back(measure(add) / static_cast<double>(together));
  return seconds;
}

nlohmann::json print_back_projection(int repeat) {
  fmt::print("\n{:<20} {:>8}  {:<24} {:>9}\n", "tomo, reducer", "together", "ms min/median/max", "ns/pixel");
  auto rows = nlohmann::json::array();
  for (std::size_t columns : {512, 1024, 2048})
    for (std::size_t together : {1, 8}) {
      auto seconds = seconds_per_projection(columns, together, repeat);
      auto ms = summarise(seconds);
      fmt::print("{:<20} {:>8}  {:>6.2f} / {:>6.2f} / {:>6.2f} {:>9.2f}\n",
                 fmt::format("{} columns", columns), together, ms.least * 1e3, ms.median * 1e3, ms.most * 1e3,
                 ms.median * 1e9 / static_cast<double>(columns * columns));
      rows.push_back(
          {{"what", "tomo, reducer"}, {"columns", columns}, {"together", together}, {"seconds", seconds}});
    }
  return rows;
}

/// What benchmarks/pyfai.py prints: seconds of runs on one thread, by side of the image and method.
nlohmann::json pyfai_seconds(const std::string& python, const std::string& script) {
  if (python.empty()) return {};
  auto pipe = ::popen(fmt::format("'{}' '{}'", python, script).c_str(), "r");
  if (!pipe) throw std::runtime_error("cannot start " + python);
  std::string out;
  char buffer[4096];
  while (auto n = std::fread(buffer, 1, sizeof buffer, pipe)) out.append(buffer, n);
  if (auto status = ::pclose(pipe); !WIFEXITED(status) || WEXITSTATUS(status) != 0)
    throw std::runtime_error(fmt::format("{} {} failed", python, script));
  return nlohmann::json::parse(out);
}

/// The median of pyFAI's fastest way; 0 where there is none.
double fastest(const nlohmann::json& all, std::size_t side, const std::string& splitting) {
  double best = 0;
  for (auto& row : all)
    if (row["side"] == side && row["splitting"] == splitting) {
      auto seconds = summarise(row["seconds"].get<std::vector<double>>()).median;
      best = best == 0 ? seconds : std::min(best, seconds);
    }
  return best;
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"what analyses of images cost on one core, beside memcpy and pyFAI"};
  int repeat = 9;
  std::string json_file, python, script = DTRANSPOSE_BENCHMARKS_DIR "/pyfai.py";
  app.add_option("--repeat", repeat, "measurements of each kind, taking turns")->capture_default_str();
  app.add_option("--pyfai", python, "a python that has pyFAI: compared with");
  app.add_option("--json", json_file, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    if (repeat < 1) throw std::runtime_error("--repeat must be at least 1");
    auto theirs = pyfai_seconds(python, script);
    fmt::print("{:<20} {:>5} {:>5}  {:<24} {:>9} {:>7} {:>7}\n", "what", "M", "mean", "ms min/median/max",
               "ns/pixel", "memcpy", "pyFAI");
    auto rows = nlohmann::json::array();
    for (auto& c : all_cases()) {
      auto m = measure(c, repeat);
      auto ms = summarise(m.seconds);
      auto pixels = static_cast<double>(c.side * c.side);
      std::vector<double> ratios;
      for (std::size_t i = 0; i < m.seconds.size(); ++i) ratios.push_back(m.seconds[i] / m.of_memcpy[i]);
      bool comparable = c.analysis == "azint" && !c.compressed && !c.parameters.contains("chi_bins");
      auto splitting = c.parameters.contains("splitting") ? std::string("no") : std::string("bbox");
      auto pyfai = comparable ? fastest(theirs, c.side, splitting) : 0;
      fmt::print("{:<20} {:>5.1f} {:>5.1f}  {:>6.2f} / {:>6.2f} / {:>6.2f} {:>9.2f} {:>7.1f} {:>7}\n", c.name,
                 pixels * 1e-6, c.mean, ms.least * 1e3, ms.median * 1e3, ms.most * 1e3,
                 ms.median * 1e9 / pixels, summarise(ratios).median,
                 pyfai > 0 ? fmt::format("{:.1f}", pyfai / ms.median) : "-");
      std::fflush(stdout);
      rows.push_back({{"what", c.name},
                      {"side", c.side},
                      {"mean", c.mean},
                      {"seconds", m.seconds},
                      {"memcpy_seconds", m.of_memcpy},
                      {"pyfai_seconds", pyfai}});
    }
    for (auto& row : print_back_projection(repeat)) rows.push_back(row);
    if (!json_file.empty()) std::ofstream(json_file) << rows.dump(1) << "\n";
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "analysis: {}\n", e.what());
    return 1;
  }
}
