#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include "fuzz/fuzz.hpp"
#include "recording/mapped_file.hpp"
#include "recording/wire_recording.hpp"
#include "temporary_directory.hpp"

namespace {

using namespace dtranspose;

volatile std::byte last_seen;

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = std::as_bytes(std::span(data, size));
  if (!is_wire_recording(bytes)) return 0;
  auto file = mapped_file::of(bytes, "recording");
  try {
    wire_reader reader(file);
    for (int turn = 0; turn < 2; ++turn) {
      std::size_t before = 0, messages = 0;
      while (auto message = reader.next()) {
        ++messages;
        if (reader.offset() <= before || reader.offset() > size) __builtin_trap();
        before = reader.offset();
        if (message->frames().size() > wire_part_limit) __builtin_trap();
        for (auto& part : message->frames())
          for (auto b : part.bytes()) last_seen = b;
      }
      if (messages > size) __builtin_trap();
      reader.rewind();
    }
  } catch (const std::runtime_error&) {
    // No wire recording, or of a version that is not known.
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  test::temporary_directory folder;
  auto path = folder / "one";
  {
    wire_writer writer(path, {"det", "stins", {}});
    writer.append_message(1'000'000'000, memory_frames::of("T", {"head", std::string(5000, 'x')}));
    writer.append_message(2'000'000'000, memory_frames::of("T", {""}));
    writer.append_interruption(2'500'000'000);
    writer.append_bytes(3'000'000'000, memory_frames::of("T", {"a piece"}));
    writer.flush();
  }
  std::ifstream in(path, std::ios::binary);
  std::vector<std::uint8_t> whole{std::istreambuf_iterator<char>(in), {}};
  auto cut = whole;
  cut.resize(cut.size() - 3);
  return {whole, cut};
}
