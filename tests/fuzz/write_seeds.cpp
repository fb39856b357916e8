/// With libFuzzer: writes the seeds of a target to a folder, where the fuzzer takes them from.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "fuzz/fuzz.hpp"

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  auto folder = std::getenv("DTRANSPOSE_FUZZ_SEEDS");
  if (!folder) return 0;
  std::filesystem::create_directories(folder);
  std::size_t number = 0;
  for (auto& seed : fuzz_seeds()) {
    std::ofstream out(std::string(folder) + "/seed" + std::to_string(number++), std::ios::binary);
    out.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
  }
  return 0;
}
