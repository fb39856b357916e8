/// What every fuzz target offers: the entry point that libFuzzer calls, and inputs to begin with. Without
/// libFuzzer a plain `main` runs the seeds, the files of its corpus and changed copies of both as a test.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "model/frame.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

/// Inputs that reach the interesting places; made with the writers of the format.
std::vector<std::vector<std::uint8_t>> fuzz_seeds();

namespace dtranspose::fuzz {

/// Cuts one input into messages of one or several parts and back. Each part is preceded by 3 bytes: its
/// length as 16 bit little endian, and a byte whose lowest bit says that another part of the same message
/// follows. What is left over at the end is a part of its own.
inline std::vector<std::vector<std::vector<std::byte>>> messages_of(const std::uint8_t* data,
                                                                    std::size_t size) {
  std::vector<std::vector<std::vector<std::byte>>> messages;
  bool more = false;
  while (size >= 3) {
    std::size_t length = data[0] + std::size_t{256} * data[1];
    bool continues = data[2] & 1;
    data += 3, size -= 3;
    length = std::min(length, size);
    if (!more) messages.emplace_back();
    auto bytes = std::as_bytes(std::span(data, length));
    messages.back().emplace_back(bytes.begin(), bytes.end());
    more = continues;
    data += length, size -= length;
  }
  return messages;
}

/// Appends a message to an input.
inline void add_message(std::vector<std::uint8_t>& input, std::span<const frame> parts) {
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto length = std::min<std::size_t>(parts[i].size(), 65535);
    input.push_back(static_cast<std::uint8_t>(length));
    input.push_back(static_cast<std::uint8_t>(length >> 8));
    input.push_back(i + 1 < parts.size());
    auto* bytes = reinterpret_cast<const std::uint8_t*>(parts[i].data());
    input.insert(input.end(), bytes, bytes + length);
  }
}

/// Memory of exactly these sizes, so that the sanitizers see every step beyond.
inline stream_data stream_data_of(std::vector<std::vector<std::byte>> parts, std::string_view type) {
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), type);
}

} // namespace dtranspose::fuzz
