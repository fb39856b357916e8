#include "recording/parts.hpp"

#include <limits>
#include <utility>
#include <vector>

namespace dtranspose {

namespace {

using cbor::kind;
using cbor::token;

/// Instruments send up to some dozens; an empty part costs the file one byte but us a view of 16.
constexpr std::uint64_t max_parts = 65536;
/// The file's own size bounds what is put together.
constexpr auto any_size = std::numeric_limits<std::size_t>::max();

/// What frames are views of: the file, and the parts that had to be put together.
struct frame_keeper {
  std::shared_ptr<const mapped_file> file;
  std::vector<std::vector<std::byte>> joined;
};

frame read_part(cbor::token_reader& in, const token& t, frame_keeper& keep) {
  if (t.what == kind::bytes || t.what == kind::text) return {t.run.data(), t.run.size()};
  if (t.what != kind::byte_chunks && t.what != kind::text_chunks) in.fail("a part that is no string");
  keep.joined.push_back(cbor::joined<std::vector<std::byte>>(in, t, any_size));
  return frame(std::span<const std::byte>(keep.joined.back()));
}

} // namespace

stream_data read_parts(cbor::token_reader& in, const token& start,
                       const std::shared_ptr<const mapped_file>& file, std::string_view type) {
  auto parts = cbor::array_of(in, start, 0, max_parts, "the parts of a message");
  frame_keeper keep{file, {}};
  std::vector<frame> frames;
  token t;
  while (parts.next(t)) frames.push_back(read_part(in, t, keep));
  std::shared_ptr<const void> owner = file;
  if (!keep.joined.empty()) owner = std::make_shared<const frame_keeper>(std::move(keep));
  return stream_data(std::make_unique<borrowed_frames>(std::move(frames), std::move(owner)), type);
}

} // namespace dtranspose
