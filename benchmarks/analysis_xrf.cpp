// How many fluorescence spectra does one core fit in a second? One thread gives `xrf` events of an Xspress3
// with 4 elements of 4096 channels, positions and the incident current: those of the simulated sample,
// prepared beforehand. By turns: windows alone, and fits of more and more elements.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

#include "analysis/registry.hpp"
#include "beamline/xrf_raster.hpp"
#include "figures.hpp"
#include "protocol/albaem.hpp"
#include "protocol/contrast.hpp"
#include "protocol/xspress3.hpp"

namespace {

using namespace dtranspose;
using benchmarks::summarise;
using bytes = std::vector<std::byte>;

bytes bytes_of(std::string_view text) {
  auto view = std::as_bytes(std::span(text));
  return {view.begin(), view.end()};
}

stream_data message(std::string_view type, std::vector<bytes> parts) {
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), type);
}

stream_data spectra_of(const spectrometer_view& spectrometer, std::uint64_t frame) {
  std::vector<std::uint32_t> spectra(spectrometer.channels() * spectrometer.bins());
  auto counted = spectrometer.fill(frame, spectra);
  std::vector<double> correction;
  for (auto events : counted.events) correction.push_back(1 + 97.0 * events / 8e5);
  std::string header;
  write_xspress3_image(header,
                       {.frame = frame, .channels = spectrometer.channels(), .bins = spectrometer.bins()});
  std::vector<array> counters(8, array::of(correction));
  auto pixels = std::as_bytes(std::span(spectra));
  return message(xspress3_type_tag,
                 {bytes_of(header), {pixels.begin(), pixels.end()}, write_xspress3_meta(counters)});
}

const stream_names names{"xspress3", "contrast", "alba"};

std::vector<std::vector<stream_entry>> make_events(std::size_t n) {
  auto sample = make_xrf_raster({});
  auto spectrometer = sample->view("spectra").spectrometer;
  auto positions = sample->view("positions").readings;
  std::vector<std::vector<stream_entry>> events;
  for (std::uint64_t i = 0; i < n; ++i) {
    auto frame = i * sample->frames() / n;
    auto at = positions->at(frame);
    value_map fields{{"sx", at[0]}, {"sy", at[1]}};
    std::string reading;
    write_albaem_reading(reading, {.frame_number = frame, .channels = {{1, 1e-7}}});
    events.push_back(
        {{stream_index(0), spectra_of(*spectrometer, frame)},
         {stream_index(1), message(contrast_type_tag, {write_contrast_point({.fields = fields})})},
         {stream_index(2), message(albaem_type_tag, {bytes_of(reading)})}});
  }
  return events;
}

struct candidate {
  std::string name;
  parameters settings;
  std::unique_ptr<worker_part> worker;
  std::vector<double> rates = {};
};

candidate make_candidate(std::string name, std::map<std::string, std::string> set) {
  std::map<std::string, std::string> all{{"energy", "12"},        {"x", "contrast:sx"},
                                         {"x_grid", "0:39.5:80"}, {"y", "contrast:sy"},
                                         {"y_grid", "0:29.5:60"}, {"i0", "alba:channel1"}};
  set.merge(all);
  auto xrf = load_analysis("xrf");
  auto settings = complete_parameters(*xrf, set);
  auto worker = xrf->make_worker(settings);
  return {std::move(name), std::move(settings), std::move(worker)};
}

/// Of this thread: what else the machine does is not counted.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Spectra in a second.
double measure(candidate& c, const std::vector<std::vector<stream_entry>>& events) {
  auto begin = cpu_seconds();
  for (auto& entries : events)
    if (c.worker->process_event(event(event_number(1), entries, names), c.settings, false).what() !=
        answer::kind::result)
      throw std::runtime_error(c.name + " gave nothing");
  return static_cast<double>(events.size()) / (cpu_seconds() - begin);
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"fluorescence spectra of 4 x 4096 channels that one core fits in a second"};
  int repeat = 9;
  std::size_t events = 500;
  std::string json_file;
  app.add_option("--repeat", repeat, "measurements of each kind, taking turns")->capture_default_str();
  app.add_option("--events", events, "spectra in each")->capture_default_str();
  app.add_option("--json", json_file, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    if (repeat < 1 || events < 1) throw std::runtime_error("--repeat and --events must be at least 1");
    auto made = make_events(events);
    const std::string five = "K, Ca, Fe, Cu, Zn", ten = five + ", S, Cl, Ti, Mn, Ni",
                      twenty = ten + ", P, Ar, V, Cr, Co, Ga, Ge, As, Pb_M, Hg_L3";
    std::vector<candidate> candidates;
    candidates.push_back(make_candidate("windows alone", {{"regions", "a=6.2:6.6, b=7.8:8.3, c=3.5:3.9"}}));
    candidates.push_back(make_candidate("5 elements", {{"elements", five}}));
    candidates.push_back(make_candidate("5 elements, snip", {{"elements", five}, {"background", "snip"}}));
    candidates.push_back(
        make_candidate("5 elements, equal weights", {{"elements", five}, {"weights", "equal"}}));
    candidates.push_back(make_candidate("10 elements", {{"elements", ten}}));
    candidates.push_back(make_candidate("20 elements", {{"elements", twenty}, {"energy", "13"}}));
    for (int i = 0; i < repeat; ++i)
      for (auto& c : candidates) c.rates.push_back(measure(c, made));
    fmt::print("{:<26} {}\n", "4 x 4096 channels", "spectra/s min / median / max");
    auto rows = nlohmann::json::array();
    for (auto& c : candidates) {
      auto rate = summarise(c.rates);
      fmt::print("{:<26} {:>7.0f} / {:>6.0f} / {:>6.0f}\n", c.name, rate.least, rate.median, rate.most);
      rows.push_back({{"what", c.name}, {"spectra_per_second", c.rates}});
    }
    if (!json_file.empty()) std::ofstream(json_file) << rows.dump(1) << "\n";
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "analysis_xrf: {}\n", e.what());
    return 1;
  }
}
