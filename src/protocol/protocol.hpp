/// What every wire format offers: it delimits what a source received into entries of a stream and finds
/// the numbers that the instrument gave them. One file per format; decoding pixels is not done here.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "protocol/options.hpp"

namespace dtranspose {

/// Role of an entry within a series of its instrument.
enum class entry_kind : std::uint8_t { start, data, end };

/// The numbers that an instrument put on an entry, as far as its format has them.
struct entry_numbers {
  entry_kind kind = entry_kind::data;
  /// Counts the data of one arm, from 0.
  std::optional<std::uint64_t> number = {};
  /// Counts every message of the source, starts and ends included.
  std::optional<std::uint64_t> message_number = {};
  /// Names the arm or series.
  std::optional<std::uint64_t> series = {};
  /// On an end: how many data the arm had. On a start: how many it announces.
  std::optional<std::uint64_t> count = {};
  /// The place in the scan itself, where a recording knows it: nothing is left to find out.
  std::optional<std::uint64_t> event = {};
  /// `number` may begin at 0 again within a series.
  bool restarts = false;
};

/// Why bytes were refused. An entry whose numbers are known is reported with them, so that its event is
/// named; anything else is counted.
enum class packet_fault : std::uint8_t {
  truncated,   ///< fewer bytes or parts than its header announces
  oversized,   ///< more bytes or parts than its header announces, or than our limits allow
  not_json,    ///< a header that is no JSON object
  unknown,     ///< valid, but no message of this format
  corrupt,     ///< bytes that contradict themselves: a compressed blob that is cut short, a malformed pickle
  interrupted, ///< no message: the connection was lost, and what was sent meanwhile is not known
};
inline constexpr std::size_t packet_fault_count = 6;

/// `truncated`, `oversized`, `not_json`, `unknown`, `corrupt`, `interrupted`.
std::string_view name_of(packet_fault fault);

/// One entry of a stream as it came in: good data, or a fault with what is known of its numbers.
struct stream_packet {
  stream_data data; ///< empty when faulty
  entry_numbers numbers;
  std::optional<packet_fault> fault = {};
  /// With a fault: are `numbers` good enough to name the event?
  bool numbered = true;
};

/// A wire format. One object per stream, used from one thread; it may keep state between messages.
class protocol {
 public:
  virtual ~protocol() = default;

  /// Name in the configuration, e.g. `stins`.
  virtual std::string_view name() const = 0;
  /// Type tag of its stream data, e.g. `STINS`.
  virtual std::string_view type_tag() const = 0;
  /// Does it number its data? A stream without is matched by position and says so.
  virtual bool numbered() const { return true; }
  /// Takes one message as received (its type is `type_tag`) and appends what it holds: none, one or
  /// several packets. Never throws on bad bytes.
  /// What comes from a byte stream (TCP) is given in pieces as they were received, cut anywhere.
  virtual void read(stream_data message, std::vector<stream_packet>& packets) = 0;
  /// Forgets what it kept of earlier messages: called when a scan is armed.
  virtual void reset() {}
  /// The connection was lost and is there again. A format that can't tell from its numbers what is missing
  /// then appends a packet with the fault `interrupted`; one that was in the middle of a message drops it.
  virtual void interrupted(std::vector<stream_packet>& packets) { static_cast<void>(packets); }
  /// What is sent to the instrument as soon as it is connected (TCP).
  virtual std::string_view greeting() const { return {}; }
  /// Does a series begin with a start message? Without, number n is the n-th entry of all.
  virtual bool has_start() const { return true; }
};

/// How a format reaches us.
enum class transport : std::uint8_t {
  zmq_pull, ///< ZeroMQ PULL: the instrument pushes
  zmq_sub,  ///< ZeroMQ SUB to everything: the instrument publishes
  tcp,      ///< we connect, send a greeting and read
  http,     ///< we listen, the instrument posts
};

/// What is known of a format without making one.
struct protocol_info {
  std::string_view name;     ///< in configuration and on the command line, e.g. `eiger_v1`
  std::string_view type_tag; ///< of its stream data, e.g. `EIGER_LEGACY`
  transport usual = transport::zmq_pull;
};

/// All formats.
std::span<const protocol_info> protocols();

/// The format of that name; null for a name that is none. `type_tag` of `raw` is its option.
const protocol_info* find_protocol(std::string_view name);

/// A reader of the format of that name; null for a name that is none. Throws std::runtime_error that names
/// the option when one is unknown or has a value that it can't have.
std::unique_ptr<protocol> make_protocol(std::string_view name, const protocol_options& options = {});

/// Names that `make_protocol` takes.
std::vector<std::string_view> protocol_names();

} // namespace dtranspose
