#include "recording/dump_writer.hpp"

#include <chrono>
#include <cmath>

#include <cbor.h>

#include "model/utc_time.hpp"

namespace dtranspose {

dump_writer::dump_writer(const std::filesystem::path& path, packing how) : file_(path, how) {}

void dump_writer::append(std::uint64_t event, std::span<const dump_stream> streams,
                         std::optional<double> created_at) {
  put_head(cbor_encode_tag, 55799);
  put_head(cbor_encode_tag, 42877);
  put_head(cbor_encode_array_start, created_at ? 3 : 2);
  put_head(cbor_encode_uint, event);
  put_head(cbor_encode_map_start, streams.size());
  for (auto& stream : streams) put_stream(stream);
  if (created_at) {
    put_head(cbor_encode_tag, 0);
    std::chrono::microseconds since_1970(std::llround(*created_at * 1e6));
    put_text(utc_text(std::chrono::sys_time<std::chrono::microseconds>(since_1970)));
  }
  file_.flush_if_large();
}

void dump_writer::put_stream(const dump_stream& stream) {
  put_text(stream.name);
  put_head(cbor_encode_tag, 42878);
  put_head(cbor_encode_array_start, 2);
  put_text(stream.data.type());
  put_head(cbor_encode_array_start, stream.data.frames().size());
  file_.put_parts(stream.data,
                  [this](const frame& part) { put_head(cbor_encode_bytestring_start, part.size()); });
}

void dump_writer::put_head(encoder encode, std::uint64_t n) {
  unsigned char head[9];
  file_.put(head, encode(n, head, sizeof head));
}

void dump_writer::put_text(std::string_view text) {
  put_head(cbor_encode_string_start, text.size());
  file_.put(text.data(), text.size());
}

} // namespace dtranspose
