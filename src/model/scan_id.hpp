/// Names a scan: a UUID.
#pragma once

#include <compare>
#include <cstdint>
#include <string>

namespace dtranspose {

struct scan_id {
  std::uint64_t high = 0, low = 0;
  auto operator<=>(const scan_id&) const = default;
  explicit operator bool() const { return high != 0 || low != 0; }
};

/// A random (version 4) UUID from 128 random bits.
constexpr scan_id make_scan_id(std::uint64_t high, std::uint64_t low) {
  return {(high & ~std::uint64_t{0xf000}) | 0x4000,
          (low & ~(std::uint64_t{3} << 62)) | (std::uint64_t{2} << 62)};
}

/// The usual form, 8-4-4-4-12 hex digits.
std::string to_string(scan_id id);

} // namespace dtranspose
