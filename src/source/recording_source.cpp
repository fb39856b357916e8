#include "source/recording_source.hpp"

#include <optional>
#include <stop_token>
#include <utility>

#include "recording/ordered_dump.hpp"
#include "source/played_source.hpp"

namespace dtranspose {

namespace {

using files = std::vector<std::shared_ptr<const mapped_file>>;

/// An entry of a stream, and when it was recorded.
struct played_entry {
  stream_packet packet;
  std::optional<double> time;
};

/// What one stream has in several dumps, in step by event number.
class stream_player {
 public:
  stream_player(const files& recorded, std::string_view stream, const event_runs* only)
      : stream_(stream), only_(only) {
    for (auto& file : recorded) {
      heads_.push_back({ordered_dump_reader(file), {}});
      advance(heads_.back());
    }
  }

  /// The next entry; nothing at the end, when `error` is set, and soon after `stop` was requested.
  std::optional<played_entry> next(const std::stop_token& stop) {
    while (error_.empty() && !stop.stop_requested()) {
      auto lowest = lowest_head();
      if (!lowest) {
        error_ = cut_off_;
        break;
      }
      auto event = lowest->item->event;
      auto time = lowest->item->created_at;
      auto data = only_ && !only_->contains(event) ? std::nullopt : take(*lowest->item);
      if (data && last_ && *last_ >= event)
        error_ = lowest->reader.file().path().string() + ": stream '" + stream_ + "' has event " +
                 std::to_string(event) + " after event " + std::to_string(*last_);
      else if (data)
        last_ = event;
      advance(*lowest);
      if (data && error_.empty()) return played_entry{{std::move(*data), {.event = event}}, time};
    }
    return std::nullopt;
  }

  /// Why it ended before its end.
  const std::string& error() const { return error_; }

 private:
  struct head {
    ordered_dump_reader reader;
    std::optional<dump_item> item;
  };

  void advance(head& at) {
    at.item = at.reader.next();
    if (!at.reader.cut_off().empty()) cut_off_ = at.reader.cut_off();
  }

  head* lowest_head() {
    head* lowest = nullptr;
    for (auto& head : heads_)
      if (head.item && (!lowest || head.item->event < lowest->item->event)) lowest = &head;
    return lowest;
  }

  std::optional<stream_data> take(dump_item& item) {
    for (auto& stream : item.streams)
      if (stream.name == stream_) return std::move(stream.data);
    return std::nullopt;
  }

  std::string stream_;
  const event_runs* only_; ///< null: all
  std::vector<head> heads_;
  std::optional<std::uint64_t> last_; ///< event that was taken last
  std::string cut_off_;               ///< of a file, while others may go on
  std::string error_;
};

std::string paths_of(const files& recorded) {
  std::string paths;
  for (auto& file : recorded) paths += (paths.empty() ? "" : ", ") + file->path().string();
  return paths;
}

class recording_source final : public played_source {
 public:
  recording_source(files recorded, std::string stream, play_options options)
      : played_source(paths_of(recorded), std::move(options.pace)), files_(std::move(recorded)),
        stream_(std::move(stream)), only_(std::move(options.events)) {
    const stream_player checked(files_, stream_, only_.get()); // refuses what is no dump
    static_cast<void>(checked);
  }

  ~recording_source() override { disarm(); }

 private:
  std::string play(const std::stop_token& stop, batch_filler& batches) override {
    stream_player player(files_, stream_, only_.get());
    while (auto entry = player.next(stop)) {
      auto& packet = entry->packet;
      if (!batches.wait_until_due(*packet.numbers.event, entry->time)) break;
      if (!batches.make_room(packet.data.bytes())) break;
      batches.packets().push_back(std::move(packet));
    }
    return player.error();
  }

  const files files_;
  const std::string stream_;
  const std::shared_ptr<const event_runs> only_;
};

} // namespace

std::unique_ptr<source> make_recording_source(files recorded, std::string stream, play_options options) {
  return std::make_unique<recording_source>(std::move(recorded), std::move(stream), std::move(options));
}

} // namespace dtranspose
