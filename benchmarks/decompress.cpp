// How fast do pixels come out of a compressed image? One thread decompresses bslz4 blobs of what detectors
// send; by turns with it: memcpy of the decompressed size, liblz4 on the same blocks without un-shuffling,
// and the bitshuffle library where its HDF5 plug-in is installed.
#include <dlfcn.h>
#include <fmt/format.h>
#include <lz4.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>
#include <random>

#include "figures.hpp"
#include "protocol/bit_unshuffle.hpp"
#include "protocol/compression.hpp"

namespace {

using namespace dtranspose;
using benchmarks::summarise;
using benchmarks::summary;
using pixels = std::vector<std::byte>;

// ---- images ---------------------------------------------------------------------------------------------

/// A pixel at a place, both sides of the image being 1; the same in every run.
using recipe = std::function<double(std::mt19937& random, double x, double y)>;

template <class Pixel>
pixels image_of(std::size_t side, const recipe& value) {
  std::mt19937 random(1);
  std::vector<Pixel> image(side * side);
  auto unit = 1 / static_cast<double>(side);
  for (std::size_t row = 0; row < side; ++row)
    for (std::size_t column = 0; column < side; ++column)
      image[row * side + column] = static_cast<Pixel>(std::clamp<double>(
          value(random, static_cast<double>(column) * unit, static_cast<double>(row) * unit), 0,
          std::numeric_limits<Pixel>::max()));
  auto bytes = std::as_bytes(std::span(image));
  return {bytes.begin(), bytes.end()};
}

pixels image_of(std::size_t pixel_bytes, std::size_t side, const recipe& value) {
  if (pixel_bytes == 1) return image_of<std::uint8_t>(side, value);
  if (pixel_bytes == 2) return image_of<std::uint16_t>(side, value);
  return image_of<std::uint32_t>(side, value);
}

recipe photons(double mean) {
  return [counts = std::poisson_distribution<int>(mean)](std::mt19937& random, double, double) mutable {
    return counts(random);
  };
}

/// A camera: offset, a wide spot, noise of the read-out.
recipe camera() {
  return [noise = std::normal_distribution<double>(0, 2)](std::mt19937& random, double x, double y) mutable {
    auto spot = std::exp(-8 * ((x - 0.4) * (x - 0.4) + (y - 0.6) * (y - 0.6)));
    return 100 + 600 * spot + noise(random);
  };
}

struct content {
  std::string name;
  std::size_t pixel_bytes;
  recipe value;
};

std::vector<content> all_contents() {
  std::vector<content> all;
  for (auto mean : {0.1, 3.0, 100.0})
    for (std::size_t pixel_bytes : {1, 2, 4})
      all.push_back({fmt::format("photons, mean {}", mean), pixel_bytes, photons(mean)});
  all.push_back({"camera", 2, camera()});
  return all;
}

// ---- what takes turns -----------------------------------------------------------------------------------

/// The bitshuffle library, from the HDF5 plug-in of Debian's package `bitshuffle`.
class reference_library {
 public:
  explicit reference_library(const std::string& path) {
    setenv("OMP_NUM_THREADS", "1", 1); // per core, as the others
    auto library = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (library) x_decompress = reinterpret_cast<function>(dlsym(library, "bshuf_decompress_lz4"));
  }

  explicit operator bool() const { return x_decompress; }

  void decompress(std::size_t pixel_bytes, std::span<const std::byte> blob, std::span<std::byte> out) const {
    auto used = x_decompress(blob.data() + 12, out.data(), out.size() / pixel_bytes, pixel_bytes, 0);
    if (used != static_cast<std::int64_t>(blob.size() - 12)) throw std::runtime_error("the library fails");
  }

 private:
  using function = std::int64_t (*)(const void* in, void* out, std::size_t elements, std::size_t element_size,
                                    std::size_t block_elements);
  function x_decompress = nullptr;
};

/// The blocks of a blob of ours, to one place in the cache, with the same room behind it as in ours.
void lz4_alone(std::span<const std::byte> blob, std::size_t bytes) {
  constexpr std::size_t block_bytes = 8192;
  char block[block_bytes + 64];
  blob = blob.subspan(12);
  for (std::size_t done = 0; done + block_bytes <= bytes; done += block_bytes) {
    std::size_t length = 0;
    for (auto b : blob.first(4)) length = length << 8 | std::to_integer<std::size_t>(b);
    if (LZ4_decompress_safe(reinterpret_cast<const char*>(blob.data() + 4), block, static_cast<int>(length),
                            sizeof(block)) != block_bytes)
      throw std::runtime_error("liblz4 fails");
    blob = blob.subspan(4 + length);
  }
}

struct candidate {
  std::string name;
  std::function<void()> run;
  std::vector<double> rates;
};

/// Of this thread: what else the machine does is not counted.
double cpu_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// GB/s of `bytes` in as many runs as take some 20 ms.
double measure(const std::function<void()>& run, std::size_t bytes) {
  auto begin = cpu_seconds();
  std::size_t runs = 0;
  double seconds = 0;
  do {
    run();
    ++runs;
    seconds = cpu_seconds() - begin;
  } while (seconds < 0.02);
  return static_cast<double>(bytes * runs) / seconds * 1e-9;
}

void take_turns(std::vector<candidate>& candidates, std::size_t bytes, int repeat) {
  for (auto& c : candidates) c.run(); // touches all memory
  for (int i = 0; i < repeat; ++i)
    for (auto& c : candidates) c.rates.push_back(measure(c.run, bytes));
}

summary ratio(const candidate& of, const candidate& to) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < of.rates.size(); ++i) ratios.push_back(of.rates[i] / to.rates[i]);
  return summarise(std::move(ratios));
}

// ---- tables ---------------------------------------------------------------------------------------------

nlohmann::json measure_content(const content& c, std::size_t side, int repeat,
                               const reference_library& library) {
  auto image = image_of(c.pixel_bytes, side, c.value);
  auto blob = compress(codec::bslz4, c.pixel_bytes, image);
  pixels out(image.size());
  std::vector<candidate> candidates;
  candidates.push_back({"memcpy", [&] { std::memcpy(out.data(), image.data(), image.size()); }});
  candidates.push_back({"decompress", [&] { decompress(codec::bslz4, c.pixel_bytes, blob, out); }});
  candidates.push_back({"liblz4 alone", [&] { lz4_alone(blob, image.size()); }});
  if (library)
    candidates.push_back({"bitshuffle library", [&] { library.decompress(c.pixel_bytes, blob, out); }});
  for (auto& candidate : candidates) {
    if (candidate.name == "memcpy" || candidate.name == "liblz4 alone") continue;
    std::fill(out.begin(), out.end(), std::byte{0});
    candidate.run();
    if (out != image) throw std::runtime_error(candidate.name + " gives other pixels");
  }
  take_turns(candidates, image.size(), repeat);
  auto rows = nlohmann::json::array();
  for (auto& candidate : candidates) {
    auto rate = summarise(candidate.rates);
    auto to_memcpy = ratio(candidate, candidates[0]);
    auto to_library = library ? fmt::format("{:.2f}", ratio(candidate, candidates.back()).median) : "-";
    fmt::print("{:<19} uint{:<3} {:>5.1f} {:>6.1f}  {:<18} {:>6.2f} / {:>5.2f} / {:>5.2f} {:>8.2f} {:>8}\n",
               c.name, 8 * c.pixel_bytes, static_cast<double>(side * side) * 1e-6,
               static_cast<double>(image.size()) / static_cast<double>(blob.size()), candidate.name,
               rate.least, rate.median, rate.most, to_memcpy.median, to_library);
    rows.push_back({{"content", c.name},
                    {"pixel_bytes", c.pixel_bytes},
                    {"pixels", side * side},
                    {"bytes", image.size()},
                    {"blob_bytes", blob.size()},
                    {"what", candidate.name},
                    {"gigabytes_per_second", candidate.rates}});
  }
  std::fflush(stdout);
  return rows;
}

/// The un-shuffling alone, of a block in the cache.
nlohmann::json measure_kernels(int repeat) {
  pixels in(8192), out(8192);
  std::mt19937 random(1);
  for (auto& b : in) b = static_cast<std::byte>(random());
  auto rows = nlohmann::json::array();
  for (std::size_t element_size : {1, 2, 4, 8}) {
    std::vector<candidate> candidates;
    for (auto& kernel : bit_shuffle_kernels())
      candidates.push_back({std::string(kernel.name), [&, unshuffle = kernel.unshuffle] {
                              for (int i = 0; i < 100; ++i) unshuffle(element_size, in, out.data());
                            }});
    take_turns(candidates, 100 * in.size(), repeat);
    for (auto& candidate : candidates) {
      auto rate = summarise(candidate.rates);
      fmt::print("{:<19} {:>7}  {:>6.2f} / {:>5.2f} / {:>5.2f}\n", candidate.name, element_size, rate.least,
                 rate.median, rate.most);
      rows.push_back({{"kernel", candidate.name},
                      {"element_bytes", element_size},
                      {"gigabytes_per_second", candidate.rates}});
    }
  }
  return rows;
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"speed of the decompressor, beside memcpy and the bitshuffle library"};
  int repeat = 9;
  std::string json_file, library_file = "/usr/lib/x86_64-linux-gnu/hdf5/serial/plugins/libh5bshuf.so";
  std::vector<std::size_t> sides = {1024, 3072};
  app.add_option("--repeat", repeat, "measurements of each kind, taking turns")->capture_default_str();
  app.add_option("--side", sides, "pixels of one side of the images")->capture_default_str();
  app.add_option("--library", library_file, "HDF5's bitshuffle plug-in")->capture_default_str();
  app.add_option("--json", json_file, "write the figures to this file");
  CLI11_PARSE(app, argc, argv);
  try {
    if (repeat < 1) throw std::runtime_error("--repeat must be at least 1");
    reference_library library(library_file);
    if (!library) fmt::print("no bitshuffle library at {}: not compared\n\n", library_file);
    fmt::print("{:<19} {:<7} {:>5} {:>6}  {:<18} {:<22} {:>9} {:>8}\n", "content", "pixels", "M", "packed",
               "what", "GB/s min/median/max", "memcpy", "library");
    auto rows = nlohmann::json::array();
    for (auto& c : all_contents())
      for (auto side : sides)
        for (auto& row : measure_content(c, side, repeat, library)) rows.push_back(row);
    fmt::print("\n{:<19} {:>7}  GB/s min/median/max\n", "un-shuffling alone", "bytes");
    for (auto& row : measure_kernels(repeat)) rows.push_back(row);
    if (!json_file.empty()) std::ofstream(json_file) << rows.dump(1) << "\n";
    return 0;
  } catch (const std::exception& e) {
    fmt::print(stderr, "decompress: {}\n", e.what());
    return 1;
  }
}
