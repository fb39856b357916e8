#include <stdexcept>
#include <string>
#include <string_view>

#include "fuzz/fuzz.hpp"
#include "protocol/stins.hpp"
#include "recording/capture.hpp"
#include "recording/capture_index.hpp"
#include "recording/dump.hpp"
#include "recording/packed.hpp"
#include "recording/recording_index.hpp"

namespace {

using namespace dtranspose;
using namespace std::string_literals;

using recorded = std::shared_ptr<const mapped_file>;

volatile std::byte last_seen;

/// Touches every byte, so that a sanitizer sees views of what is not there.
void look_at(const stream_data& data) {
  for (auto& part : data.frames())
    for (auto b : part.bytes()) last_seen = b;
}

void read_dump(const recorded& file) {
  dump_reader reader(file);
  std::size_t end = 0;
  while (auto item = reader.next()) {
    if (item->end_offset <= end || item->end_offset > file->bytes().size()) __builtin_trap();
    end = item->end_offset;
    for (auto& stream : item->streams) look_at(stream.data);
  }
  if (reader.cut_off().empty() != (end == file->bytes().size())) __builtin_trap();
  try {
    auto index = index_of({file});
    for (auto& stream : index.streams)
      if (stream.events.last() >= index.events) __builtin_trap();
  } catch (const std::runtime_error&) {
  }
}

void read_captured(const recorded& file) {
  capture_reader reader(file, stins_type_tag);
  std::uint64_t messages = 0;
  while (auto message = reader.next()) {
    ++messages;
    look_at(*message);
  }
  if (reader.cut_off().empty() != (reader.offset() == file->bytes().size())) __builtin_trap();
  auto contents = read_capture(file, *make_stins());
  if (contents.messages != messages || contents.entries > capture_entries_limit) __builtin_trap();
}

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

std::string image(int frame) {
  auto text = R"({"htype":"image","shape":[2],"type":"uint8","compression":"none","frame":)" +
              std::to_string(frame) + R"(,"msg_number":)" + std::to_string(frame + 1) + "}";
  return test::captured({text, "px"});
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto file = mapped_file::of(std::as_bytes(std::span(data, size)), "input");
  auto dump = is_dump(file->bytes()), capture = is_capture(file->bytes());
  if (dump && capture) __builtin_trap();
  if (dump) read_dump(file);
  if (capture) read_captured(file);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  auto stream = "\xa1\x63"s + "det\xd9\xa7\x7e\x82\x65STINS\x82\x47{\"a\":1}\x42\x01" + "\0"s;
  auto old_item = "\xd9\xd9\xf7\xd9\xa7\x7d\x82\x05"s + stream;
  auto new_item =
      "\xd9\xd9\xf7\xd9\xa7\x7d\x83\x06"s + stream + "\xc0\x78\x1b" + "2024-10-07T08:49:10.627000Z";
  auto chunks = "\x82\x07\xbf\x63"s + "det\x82\x7f\x61\x53\x61\x54\xff\x9f\x5f\x41x\x42yz\xff\x61t\xff\xff";
  auto series = test::captured({R"({"htype":"header","msg_number":0})"});
  for (int frame : {0, 1, 3, 2, 2, 500, 501}) series += image(frame);
  series += test::captured({}) + "\x9f\x5f\x41{\x41}\xff\xff" +
            test::captured({R"({"htype":"series_end","msg_number":4})"});
  return {bytes_of(old_item + new_item), bytes_of(chunks + old_item), bytes_of(series + series),
          bytes_of(series.substr(0, series.size() - 5))};
}
