/// Recordings as tests make them: raw captures and gzip.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <zlib.h>

namespace dtranspose::test {

/// The head of a CBOR item of that major type.
inline std::string cbor_head(unsigned major, std::uint64_t n) {
  int size = n < 24 ? 0 : n < 0x100 ? 1 : n < 0x10000 ? 2 : n < 0x100000000 ? 4 : 8;
  auto code = size == 0   ? static_cast<unsigned>(n)
              : size == 1 ? 24u
              : size == 2 ? 25u
              : size == 4 ? 26u
                          : 27u;
  std::string bytes(1, static_cast<char>(major << 5 | code));
  while (size-- > 0) bytes += static_cast<char>(n >> (8 * size));
  return bytes;
}

/// One message of a raw capture.
inline std::string captured(const std::vector<std::string>& parts) {
  auto bytes = cbor_head(4, parts.size());
  for (auto& part : parts) bytes += cbor_head(2, part.size()) + part;
  return bytes;
}

/// A raw capture of messages of one part each.
inline std::string capture_of(std::initializer_list<std::string> messages) {
  std::string bytes;
  for (auto& message : messages) bytes += captured({message});
  return bytes;
}

/// One member of gzip.
inline std::string gzip(std::string_view content) {
  z_stream stream = {};
  if (deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw std::runtime_error("deflateInit2");
  std::string packed(deflateBound(&stream, content.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  auto state = deflate(&stream, Z_FINISH);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  if (state != Z_STREAM_END) throw std::runtime_error("deflate");
  return packed;
}

} // namespace dtranspose::test
