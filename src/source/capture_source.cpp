#include "source/capture_source.hpp"

#include <stop_token>
#include <string>
#include <utility>
#include <vector>

#include "recording/message_reader.hpp"
#include "source/played_source.hpp"

namespace dtranspose {

namespace {

class capture_source final : public played_source {
 public:
  capture_source(std::unique_ptr<message_reader> messages, std::unique_ptr<protocol> format,
                 play_options options)
      : played_source(messages->file().path().string(), std::move(options.pace)),
        reader_(std::move(messages)), format_(std::move(format)) {}

  ~capture_source() override { disarm(); }

 private:
  std::string play(const std::stop_token& stop, batch_filler& batches) override {
    reader_->rewind();
    format_->reset();
    std::uint64_t entry = 0; // its place among all: about the number of its event
    std::vector<stream_packet> packets;
    while (!stop.stop_requested()) {
      auto message = reader_->next();
      if (!message || !batches.wait_until_due(entry, reader_->time()) || !batches.make_room(message->bytes()))
        break;
      packets.clear();
      if (reader_->interrupted()) format_->interrupted(packets);
      format_->read(std::move(*message), packets);
      for (auto& packet : packets) {
        bool counts = !packet.fault || packet.numbered;
        if (counts && !batches.wait_until_due(entry++, reader_->time())) return {};
        batches.packets().push_back(std::move(packet));
      }
    }
    return reader_->cut_off();
  }

  std::unique_ptr<message_reader> reader_;
  std::unique_ptr<protocol> format_;
};

} // namespace

std::unique_ptr<source> make_capture_source(std::shared_ptr<const mapped_file> file,
                                            std::unique_ptr<protocol> format, play_options options) {
  auto messages = read_messages(std::move(file), format->type_tag());
  return make_capture_source(std::move(messages), std::move(format), std::move(options));
}

std::unique_ptr<source> make_capture_source(std::unique_ptr<message_reader> messages,
                                            std::unique_ptr<protocol> format, play_options options) {
  return std::make_unique<capture_source>(std::move(messages), std::move(format), std::move(options));
}

} // namespace dtranspose
