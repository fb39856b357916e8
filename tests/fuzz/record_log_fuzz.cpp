#include <cstdio>
#include <filesystem>
#include <iterator>
#include <stdexcept>
#include <string>
#include <string_view>

#include <unistd.h>

#include "fuzz/fuzz.hpp"
#include "output/record_log.hpp"
#include "temporary_directory.hpp"

namespace {

using namespace dtranspose;

constexpr std::string_view label = "fuzz";

volatile std::byte last_seen;

/// In memory where there is such a place: each input is synced several times.
std::filesystem::path input_path() {
  static const test::temporary_directory directory;
  static const auto in_memory = "/dev/shm/dtranspose-fuzz-" + std::to_string(::getpid());
  return ::access("/dev/shm", W_OK) == 0 ? std::filesystem::path(in_memory) : directory / "input";
}

void put(const std::filesystem::path& path, const std::uint8_t* data, std::size_t size) {
  auto file = std::fopen(path.c_str(), "wb");
  if (!file || std::fwrite(data, 1, size, file) != size || std::fclose(file) != 0) __builtin_trap();
}

std::vector<std::uint8_t> content_of(const std::filesystem::path& path) {
  std::vector<std::uint8_t> content(std::filesystem::file_size(path));
  auto file = std::fopen(path.c_str(), "rb");
  if (!file || std::fread(content.data(), 1, content.size(), file) != content.size()) __builtin_trap();
  std::fclose(file);
  return content;
}

/// Reads without changing; nothing of what is no file of records.
bool inspect(const std::filesystem::path& path, std::size_t size, record_log::summary& found) {
  try {
    std::uint64_t records = 0;
    found = record_log::read(path, [&](auto& record) {
      ++records;
      for (auto b : record.content) last_seen = b;
    });
    if (records != found.records || found.whole + found.trailing != size) __builtin_trap();
    return true;
  } catch (const std::runtime_error&) {
    return false;
  }
}

/// What was opened once is whole, and takes one more record.
void go_on(const std::filesystem::path& path, const record_log::summary& found) {
  std::uint64_t records = 0;
  {
    record_log log(path, label, [&](auto&) { ++records; });
    if (records != found.records || log.recovered() != found.trailing) __builtin_trap();
    if (log.damaged() != found.damaged) __builtin_trap();
    log.append(7, std::as_bytes(std::span(label)));
    log.commit();
  }
  record_log::summary after;
  if (!inspect(path, std::filesystem::file_size(path), after)) __builtin_trap();
  if (after.records != records + 1 || after.trailing != 0 || after.label != label) __builtin_trap();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto path = input_path();
  put(path, data, size);
  record_log::summary found;
  auto readable = inspect(path, size, found);
  try {
    go_on(path, found);
    if (!readable) __builtin_trap();
  } catch (const std::runtime_error&) { // refused: then it is as it was
    if (readable && found.label == label) __builtin_trap();
    if (content_of(path) != std::vector<std::uint8_t>(data, data + size)) __builtin_trap();
  }
  std::filesystem::remove(path);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  auto path = input_path();
  std::vector<std::vector<std::uint8_t>> seeds;
  record_log log(path, label, {});
  seeds.push_back(content_of(path));
  for (std::size_t size : {0, 1, 20, 300, 5, 0, 70}) {
    log.append(static_cast<std::uint8_t>(size), std::vector<std::byte>(size, std::byte(size)));
    log.commit();
    seeds.push_back(content_of(path));
  }
  log.remove();
  return seeds;
}
