/// What raw captures hold for the protocol of their instrument, and which events they can be replayed with.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "model/number_tracker.hpp"
#include "protocol/protocol.hpp"
#include "recording/mapped_file.hpp"
#include "recording/recording_index.hpp"

namespace dtranspose {

/// Far more than files hold: numbers beyond are nonsense, and would make a map that nobody can hold.
inline constexpr std::uint64_t capture_entries_limit = std::uint64_t{1} << 28;

/// More series than this are not listed.
inline constexpr std::size_t capture_series_limit = 1000;

/// A capture as its protocol reads it.
struct capture_contents {
  std::uint64_t messages = 0;
  std::uint64_t bytes = 0; ///< of their parts
  std::uint64_t packets = 0;
  std::uint64_t entries = 0; ///< of a map in which everything has its place, also what is missing
  bool ends = false;         ///< is the last of them an end?
  std::array<std::uint64_t, verdict_count> verdicts = {};
  std::array<std::uint64_t, packet_fault_count> faults = {};
  std::vector<std::uint64_t> series = {}; ///< numbers of series, in order of their appearance
  /// A series whose place is not known: what follows it has none either.
  bool doubtful = false;
  std::string cut_off = {}, damage = {}, gaps = {}; ///< as of the reader
  std::optional<recorded_span> times = {};
  double longest_pause = 0; ///< between two messages, in s

  std::uint64_t faulty() const;
};

/// Gathers what messages hold, one by one.
class contents_counter {
 public:
  /// `format` outlives it.
  explicit contents_counter(protocol& format);
  ~contents_counter();

  /// What the message is for the protocol, until the next is taken. `interrupted`: the connection was lost
  /// before.
  std::span<const stream_packet> take(stream_data message, std::optional<double> time = {},
                                      bool interrupted = false);

  /// Of all that were taken. Once.
  capture_contents finish();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Reads all of `file`, once. Throws std::runtime_error, naming the file, when it is no capture.
capture_contents read_capture(const std::shared_ptr<const mapped_file>& file, protocol& format);

/// `2 truncated, 1 not_json`; empty if there are none.
std::string faults_text(const capture_contents& contents);

/// One stream `name`, with its entries in the events from 0 on. Throws std::runtime_error, naming the file,
/// when there is no such protocol, when it has no such option, when the file is no capture, or when the
/// protocol finds no entry in it.
recording_index capture_index(const std::string& name, const std::string& protocol_name,
                              const protocol_options& options,
                              const std::shared_ptr<const mapped_file>& file);

/// All of them replayed together: whatever `ends` does so in the last event of all. Throws
/// std::runtime_error, naming the stream, when one is in several of them.
recording_index joined(std::vector<recording_index> parts);

} // namespace dtranspose
