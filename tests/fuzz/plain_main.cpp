/// A fuzz target as a test, with any compiler: its seeds, the inputs of its corpus that once were findings,
/// and changed copies of all of them, the same in every run.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>

#include "fuzz/fuzz.hpp"

namespace {

using input = std::vector<std::uint8_t>;

constexpr int copies_of_each = 300;
/// Changed copies of long inputs take long and find little: the fuzzer proper is for these.
constexpr std::size_t longest_copy = 1 << 16;

std::vector<input> corpus(const char* folder) {
  std::vector<input> all;
  std::error_code none;
  for (auto& file : std::filesystem::directory_iterator(folder, none)) {
    std::ifstream in(file.path(), std::ios::binary);
    all.emplace_back(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return all;
}

class changer {
 public:
  /// One to four small changes.
  input changed(input bytes) {
    auto changes = 1 + below(4);
    for (std::size_t i = 0; i < changes; ++i) change(bytes);
    return bytes;
  }

 private:
  void change(input& bytes) {
    static constexpr std::uint8_t interesting[] = {0, 1, 0x20, 0x7f, 0x80, 0xff, '"', '{', '}', '-', 'e'};
    auto at = below(bytes.size() + 1);
    auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    auto rest = bytes.size() - at;
    switch (rest == 0 ? 0 : below(6)) {
    case 0:
      bytes.insert(place, interesting[below(std::size(interesting))]);
      break;
    case 1:
      *place ^= static_cast<std::uint8_t>(1 << below(8));
      break;
    case 2:
      *place = interesting[below(std::size(interesting))];
      break;
    case 3:
      bytes.resize(at);
      break;
    case 4:
      bytes.erase(place, place + static_cast<std::ptrdiff_t>(1 + below(std::min<std::size_t>(rest, 16))));
      break;
    default:
      input piece(place, place + static_cast<std::ptrdiff_t>(1 + below(std::min<std::size_t>(rest, 16))));
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size())), piece.begin(),
                   piece.end());
    }
  }

  std::size_t below(std::size_t n) { return random_() % n; }

  std::mt19937_64 random_{1};
};

} // namespace

/// Usage: TARGET [FOLDER of a corpus]
int main(int argc, char** argv) {
  auto inputs = fuzz_seeds();
  if (argc > 1)
    for (auto& found : corpus(argv[1])) inputs.push_back(std::move(found));
  changer change;
  std::size_t runs = 0;
  auto run = [&](const input& bytes) {
    // Memory of exactly that size, so that a sanitizer sees a step beyond.
    auto exact = std::make_unique<std::uint8_t[]>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), exact.get());
    LLVMFuzzerTestOneInput(exact.get(), bytes.size());
    ++runs;
  };
  run({});
  for (auto& seed : inputs) {
    run(seed);
    if (seed.size() > longest_copy) continue;
    for (int i = 0; i < copies_of_each; ++i) run(change.changed(seed));
  }
  std::printf("%zu inputs, of which %zu seeds\n", runs, inputs.size());
  return inputs.empty() ? 1 : 0;
}
