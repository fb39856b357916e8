/// The time that a sender wrote into the header of a frame.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string_view>

namespace dtranspose::benchmarks {

/// `sent_ns` of a STINS header as `bare_sender` writes it; nothing without.
inline std::optional<std::int64_t> stamp_in(std::string_view header) {
  constexpr std::string_view key = R"("sent_ns":)";
  auto place = header.find(key);
  if (place == header.npos) return std::nullopt;
  std::int64_t stamp = 0;
  auto begin = header.data() + place + key.size();
  if (std::from_chars(begin, header.data() + header.size(), stamp).ec != std::errc()) return std::nullopt;
  return stamp;
}

} // namespace dtranspose::benchmarks
