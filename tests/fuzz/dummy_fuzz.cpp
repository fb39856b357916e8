// The pattern for the fuzz target of a wire format. Every build compiles it; as a test it runs its seeds and
// changed copies of them, and with libFuzzer it runs for as long as one likes.
#include "fuzz/fuzz.hpp"

#include <cstdlib>
#include <string>

#include "protocol/dummy.hpp"

/// Drives the reader and every decoder. What holds for all inputs is checked here; the sanitizers see to
/// the rest.
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace dtranspose;
  auto reader = make_dummy();
  for (auto& parts : fuzz::messages_of(data, size)) {
    auto message = fuzz::stream_data_of(std::move(parts), dummy_type_tag);
    std::vector<stream_packet> packets;
    reader->read(message, packets);
    // One packet for each message: either good data or a fault.
    if (packets.size() != 1 || packets[0].fault.has_value() == static_cast<bool>(packets[0].data))
      std::abort();
    // A decoder takes a frame just when the reader does, and its view ends where the pixels do.
    auto frame = parse_dummy_frame(message);
    bool is_frame = !packets[0].fault && packets[0].numbers.kind == entry_kind::data;
    if (frame.has_value() != is_frame) std::abort();
    if (frame && bytes_of(frame->pixels.shape, frame->pixels.type) != frame->pixels.bytes.size())
      std::abort();
  }
  return 0;
}

/// One input for each thing that can be in the stream, so that changing a few bytes reaches all of the code.
std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  using namespace dtranspose;
  std::vector<std::uint8_t> series;
  std::string header;
  write_dummy_start(header, 3);
  fuzz::add_message(series, memory_frames::of(dummy_type_tag, {header}).frames());
  write_dummy_frame(header, 3, 0, {2, 3}, dtype::uint16, 17);
  fuzz::add_message(series, memory_frames::of(dummy_type_tag, {header, "abcdefghijkl"}).frames());
  write_dummy_end(header, 3, 1);
  fuzz::add_message(series, memory_frames::of(dummy_type_tag, {header}).frames());
  return {series};
}
