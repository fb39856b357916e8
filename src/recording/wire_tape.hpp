/// The way of a wire recording from the thread that receives a stream to who writes it: what was received
/// waits here, so that a slow disk is seen and does not hold that thread.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "protocol/protocol.hpp"
#include "recording/wire_recording.hpp"

namespace dtranspose {

/// How one stream is recorded as it is received.
struct wire_tape_options {
  std::filesystem::path folder;
  wire_description what;
  transport way = transport::zmq_pull;
  packing packed = packing::none;
  std::uint64_t budget = 256 << 20;    ///< bytes that may wait to be written
  bool leave_gaps = false;             ///< what is beyond is left out; else who allows the source has to wait
  std::function<std::int64_t()> clock; ///< CLOCK_REALTIME, ns since 1970
};

/// Keeps what is received, in order, until it is taken to be written. Called from any thread.
class wire_tape {
 public:
  /// What the writer has to do next.
  struct entry {
    enum class kind : std::uint8_t { file, message, bytes, interruption, gap } what = kind::message;
    std::int64_t time = 0;
    stream_data data = {};
    wire_gap left_out = {};          ///< of a gap
    std::filesystem::path file = {}; ///< what follows goes there; empty: the file before is finished
  };

  /// What became of what was received since the file was begun.
  struct counts {
    std::uint64_t messages = 0; ///< kept or left out
    wire_gap left_out;          ///< beyond the budget
  };

  explicit wire_tape(wire_tape_options options) : options_(std::move(options)) {}

  const wire_tape_options& options() const { return options_; }

  /// `wake` is called, in the thread that receives, when something waits after nothing did.
  void call_when_filled(std::function<void()> wake);

  /// What is received from now on goes to a new file, whose path is returned. It is made with the first
  /// message.
  std::filesystem::path begin();
  /// Nothing that is received from now on is kept.
  void end();

  /// What was received just now: a message, or a piece of a byte stream.
  void take(const stream_data& message);
  void take_interruption();

  /// Everything that waits, in order.
  std::vector<entry> take_all();
  /// So many of the bytes that were taken need not be kept any more.
  void written(std::uint64_t bytes);

  /// Bytes (`budgeted_bytes`) that were received and are not written yet.
  std::uint64_t waiting() const;
  counts counted() const;

 private:
  void add(entry e, std::unique_lock<std::mutex>& lock);
  void add_left_out();

  const wire_tape_options options_;
  mutable std::mutex mutex_;
  std::function<void()> wake_;
  bool called_ = false; ///< since everything was taken
  std::vector<entry> entries_;
  std::uint64_t waiting_ = 0;
  bool open_ = false;
  counts counts_;
  wire_gap left_out_; ///< that no entry tells of yet
  std::int64_t left_out_at_ = 0;
};

/// Reads as `format` does, after `tape` was given everything: what stands between a source and the reader of
/// its stream.
std::unique_ptr<protocol> make_recorded_protocol(std::unique_ptr<protocol> format,
                                                 std::shared_ptr<wire_tape> tape);

} // namespace dtranspose
