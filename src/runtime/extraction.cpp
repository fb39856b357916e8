#include "runtime/extraction.hpp"

#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "analysis/image.hpp"
#include "output/image_file.hpp"
#include "protocol/protocol.hpp"
#include "recording/dump.hpp"
#include "recording/message_reader.hpp"
#include "recording/stored_image.hpp"
#include "recording/wire_recording.hpp"

namespace dtranspose {

namespace {

using nlohmann::ordered_json;
using visitor = std::function<void(const stream_data&, const image_place&)>;

/// What a stream of a dump holds; returns where the file is torn, if it is.
std::string visit_dump(const std::shared_ptr<const mapped_file>& file, const std::string& stream,
                       const visitor& visit) {
  dump_reader reader(file);
  bool found = false;
  while (auto item = reader.next())
    for (auto& s : item->streams)
      if (s.name == stream) {
        found = true;
        visit(s.data, {.event = item->event, .time = item->created_at});
      }
  if (!found) throw std::runtime_error(fmt::format("--extract {}: there is no such stream in it", stream));
  return reader.cut_off();
}

std::string visit_messages(const std::shared_ptr<const mapped_file>& file, const capture_choice& choice,
                           const visitor& visit) {
  auto format = make_protocol(choice.protocol, choice.options);
  auto reader = read_messages(file, format->type_tag());
  std::vector<stream_packet> packets;
  while (auto message = reader->next()) {
    packets.clear();
    format->read(std::move(*message), packets);
    for (auto& packet : packets)
      if (!packet.fault && packet.numbers.kind == entry_kind::data)
        visit(packet.data, {.number = packet.numbers.number, .time = reader->time()});
  }
  return reader->cut_off();
}

/// Takes images and remembers why some were left out.
class extractor {
 public:
  explicit extractor(const std::filesystem::path& to) : images_(to) {}

  void take(const stream_data& data, const image_place& place) {
    if (type_.empty()) type_ = data.type();
    if (!is_image(data)) return;
    auto why = images_.append(data, place);
    if (why.empty()) return;
    if (left_out_++ == 0)
      reason_ = place.event ? fmt::format("that of event {}: {}", *place.event, why) : why;
  }

  ordered_json finish(const std::string& stream, const std::filesystem::path& to,
                      const std::string& cut_off) {
    if (images_.images() == 0 && left_out_ == 0)
      throw std::runtime_error(
          carries_images(type_) || type_.empty()
              ? fmt::format("--extract {}: there is no image in it", stream)
              : fmt::format("--extract {}: entries of type {} carry no images", stream, type_));
    if (images_.images() == 0)
      throw std::runtime_error(fmt::format("--extract {}: no image can be read, {}", stream, reason_));
    images_.close();
    ordered_json about{{"stream", stream},
                       {"output", to.string()},
                       {"dataset", "/entry/data"},
                       {"shape", images_.shape()},
                       {"dtype", std::string(name_of(images_.type()))},
                       {"compression", std::string(images_.compression())},
                       {"left_out", left_out_}};
    about["warnings"] = ordered_json::array();
    if (left_out_ > 0)
      about["warnings"].push_back(fmt::format("{} images were left out, {}", left_out_, reason_));
    if (!cut_off.empty()) about["warnings"].push_back(cut_off);
    return about;
  }

 private:
  static bool is_image(const stream_data& data) {
    if (stored_image_of(data)) return true;
    try {
      return image_of(data).has_value();
    } catch (const std::runtime_error&) {
      return true; // to be named
    }
  }

  image_file images_;
  std::string type_, reason_;
  std::uint64_t left_out_ = 0;
};

} // namespace

ordered_json extract_images(const std::shared_ptr<const mapped_file>& file,
                            const std::optional<capture_choice>& choice, const std::string& stream,
                            const std::filesystem::path& to) {
  auto said = choice;
  if (is_wire_recording(file->bytes())) said = choice_in(wire_reader(file).description());
  auto from_dump = !holds_messages(file->bytes());
  if (!from_dump && (!said || said->name != stream))
    throw std::runtime_error(
        said ? fmt::format("--extract {}: there is no such stream in it", stream)
             : fmt::format("--extract {0}: say how to read it with --stream {0}=PROTOCOL", stream));
  extractor images(to);
  auto visit = [&](auto& data, auto& place) { images.take(data, place); };
  auto cut_off = from_dump ? visit_dump(file, stream, visit) : visit_messages(file, *said, visit);
  return images.finish(stream, to, cut_off);
}

std::string text_of_extraction(const ordered_json& e) {
  auto text =
      fmt::format("  extracted stream {} to {}: {} {} {}, compression {}\n", e["stream"].get<std::string>(),
                  e["output"].get<std::string>(), e["dataset"].get<std::string>(), e["shape"].dump(),
                  e["dtype"].get<std::string>(), e["compression"].get<std::string>());
  for (auto& warning : e["warnings"]) text += fmt::format("  {}\n", warning.get<std::string>());
  return text;
}

} // namespace dtranspose
