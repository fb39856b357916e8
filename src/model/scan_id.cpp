#include "scan_id.hpp"

#include <fmt/format.h>

namespace dtranspose {

std::string to_string(scan_id id) {
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", id.high >> 32, id.high >> 16 & 0xffff,
                     id.high & 0xffff, id.low >> 48, id.low & 0xffff'ffff'ffff);
}

} // namespace dtranspose
