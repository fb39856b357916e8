#include "source/capture_source.hpp"

#include <stop_token>
#include <string>
#include <utility>

#include "recording/capture.hpp"
#include "source/played_source.hpp"

namespace dtranspose {

namespace {

class capture_source final : public played_source {
 public:
  capture_source(std::shared_ptr<const mapped_file> file, std::unique_ptr<protocol> format)
      : played_source(file->path().string()), reader_(std::move(file), format->type_tag()),
        format_(std::move(format)) {}

  ~capture_source() override { disarm(); }

 private:
  std::string play(const std::stop_token& stop, batch_filler& batches) override {
    reader_.rewind();
    format_->reset();
    while (!stop.stop_requested()) {
      auto message = reader_.next();
      if (!message || !batches.make_room(message->bytes())) break;
      format_->read(std::move(*message), batches.packets());
    }
    return reader_.cut_off();
  }

  capture_reader reader_;
  std::unique_ptr<protocol> format_;
};

} // namespace

std::unique_ptr<source> make_capture_source(std::shared_ptr<const mapped_file> file,
                                            std::unique_ptr<protocol> format) {
  return std::make_unique<capture_source>(std::move(file), std::move(format));
}

} // namespace dtranspose
