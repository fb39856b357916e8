/// Messages between the program and its Python processes: docs/python_host.md, byte for byte.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/event.hpp"
#include "python/host_value.hpp"

namespace dtranspose {

inline constexpr std::uint32_t host_protocol_version = 1;
/// Longer messages are taken for a broken connection.
inline constexpr std::uint64_t longest_host_message = std::uint64_t{1} << 32;
inline constexpr std::size_t host_header_size = 16;

enum class host_message_type : std::uint32_t {
  welcome = 1,
  load,
  describe,
  begin,
  segment,
  drop_segment,
  names,
  set_parameters,
  batch,
  results,
  flush,
  finish,
  timer,
  publish,
  reload,
  close,
  hello = 100,
  done,
  failed,
  answers,
  folded,
  released,
  log,
  tree,
};

struct host_header {
  host_message_type type;
  std::uint32_t id;
  std::uint64_t size; ///< of the body
};

struct host_message {
  host_message_type type;
  std::uint32_t id = 0;
  std::vector<std::byte> body;
};

/// Bytes of one frame in a batch: inline in segment 0, or in shared memory.
struct frame_place {
  std::uint32_t segment = 0;
  std::uint64_t offset = 0, size = 0;
};

/// Puts a batch of events together, event after event, entry after entry.
class batch_builder {
 public:
  void begin_event(std::uint64_t number, std::uint64_t missing, bool tick);
  void begin_entry(stream_index stream, std::uint16_t type);
  /// A frame of the entry that was begun last.
  void add_frame(const frame_place& place);
  /// The image of that entry. At most 5 dimensions.
  void add_array(dtype type, std::span<const std::size_t> shape, const frame_place& pixels);
  /// Bytes that travel with the message itself.
  frame_place add_inline(std::span<const std::byte> bytes);

  std::uint32_t events() const { return events_; }
  /// The body.
  std::vector<std::byte> finish(std::uint64_t batch, std::uint32_t version);

 private:
  std::uint32_t events_ = 0, entries_ = 0, frames_ = 0, arrays_ = 0;
  std::size_t entries_of_event_ = 0, frames_of_entry_ = 0; ///< where their counts are
  bool ticks_ = false;
  byte_writer event_table_, entry_table_, frame_table_, late_frame_table_, inline_;
  struct pending_array {
    dtype type;
    std::vector<std::size_t> shape;
  };
  std::vector<pending_array> array_list_;
};

enum class host_answer_kind : std::uint8_t { empty, value, pickled, deferred, failed, column_row };

/// What a host says of one event.
struct host_answer {
  host_answer_kind kind = host_answer_kind::empty;
  value content;    ///< of a result, pickled ones as `pickled_result`
  std::string text; ///< of a failure
};

struct host_answers {
  std::uint64_t batch = 0;
  double tick_interval = 0; ///< s; NaN: as before
  bool released = false;
  std::vector<host_answer> list; ///< rows of columns are taken apart: they are values
};

/// Throws bad_message.
host_answers parse_answers(std::span<const std::byte> body);

/// A pickle on its way to a reducer in Python, which alone knows what to do with it.
value pickled_result(std::span<const std::byte> pickle);
/// The bytes of one; null where `content` is something else.
const value_bytes* find_pickle(const value& content);

/// Puts results for a reducer together.
class results_builder {
 public:
  /// Without an event: what a worker's `finish` gave.
  void add(std::optional<event_number> event, std::size_t events, worker_index worker, std::uint32_t version,
           const value& content);
  std::uint32_t count() const { return count_; }
  std::size_t bytes() const { return inline_.size(); }
  std::vector<std::byte> finish(std::uint64_t number);

 private:
  std::uint32_t count_ = 0;
  byte_writer rows_, inline_;
};

struct folded_failure {
  std::uint32_t place = 0;
  std::string text;
};

/// What failed of `count` results. Throws bad_message.
std::vector<folded_failure> parse_folded(std::span<const std::byte> body, std::uint64_t number,
                                         std::uint32_t count);

} // namespace dtranspose
