/// Bluesky's documents as its ZeroMQ publisher sends them, through its proxy or not. Reader for the ingester,
/// typed views for analyses, a writer for senders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "model/frame.hpp"
#include "model/value.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {

inline constexpr std::string_view bluesky_type_tag = "bluesky";

/// How a document is written.
enum class bluesky_serializer : std::uint8_t { pickle, json, msgpack };

/// Longest document in JSON: values take many times the bytes of their text.
inline constexpr std::size_t bluesky_json_limit = std::size_t{8} << 20;
/// Most keys of a document in JSON, colons in texts counted along: maps are searched from their beginning,
/// and no run has thousands of data keys.
inline constexpr std::size_t bluesky_key_limit = 20'000;
/// Longest document otherwise. Large images are not sent in documents.
inline constexpr std::size_t bluesky_document_limit = std::size_t{256} << 20;
/// Most events in a page, and most comparisons of keys to cut it up, for the same reason.
inline constexpr std::size_t bluesky_page_limit = 1 << 16;
inline constexpr std::uint64_t bluesky_page_comparison_limit = std::uint64_t{1} << 24;
/// Descriptors that are remembered, and their bytes; beyond, the oldest are forgotten. A run has some.
inline constexpr std::size_t bluesky_descriptor_limit = 256;
inline constexpr std::size_t bluesky_descriptor_bytes = std::size_t{64} << 20;

/// The reader. A run is a start, the events of one of its streams, and a stop; each is an entry.
///
/// | entry | parts                                                                                  |
/// | ----- | -------------------------------------------------------------------------------------- |
/// | start | the message                                                                            |
/// | event | the message, and that of the event's descriptor; of an `event_page` one entry for each |
/// |       | of its events, as a message `event` of our own in the same serializer                  |
/// | stop  | the message                                                                            |
///
/// Descriptors are remembered until their run stops; they, events of other streams, `resource`, `datum`,
/// `datum_page`, `stream_resource`, `stream_datum`, `bulk_events` and `bulk_datum` are no entries. An event
/// that comes with its descriptor as a second part, as recordings have it, is taken as well.
///
/// `number` is `seq_num` - 1. `series` is a number made from the uid of the run, so that events of another
/// run are known to be strays. `count` of a start is its `num_points` if the stream is `primary`, that of a
/// stop `num_events` of the stream.
///
/// | option     | values                       |                                                            |
/// | ---------- | ---------------------------- | ---------------------------------------------------------- |
/// | serializer | auto, pickle, json, msgpack  | auto: as the first byte of each document says              |
/// | stream     | a text; primary              | name of the stream whose events are taken                  |
/// | prefix     | a text; empty                | messages of other prefixes are not ours; empty: any prefix |
///
/// What it refuses:
///
/// | fault     | when                                                                      | numbered |
/// | --------- | ------------------------------------------------------------------------- | -------- |
/// | truncated | no parts, or a message that ends before its document                      | no       |
/// |           | a page in which a data key has not as many values as there are events     | yes      |
/// | oversized | a second part that is no descriptor of an event, a third part, or a       | no       |
/// |           | document or page beyond the limits above                                  |          |
/// | not_json  | a document in JSON that is no object                                      | no       |
/// | corrupt   | a pickle or MessagePack that cannot be read                               | no       |
/// | unknown   | the name of a document that is none, another serializer                   | no       |
/// |           | a start without text `uid`, a stop without text `run_start`, a descriptor | no       |
/// |           | without text `uid` and map `data_keys`                                    |          |
/// |           | an event of a descriptor that was not seen, or without usable `seq_num`   | no       |
/// |           | an event without map `data`                                               | yes      |
std::unique_ptr<protocol> make_bluesky(const protocol_options& options = {});

/// Start, event or stop; nothing for whatever is no entry of this format. Callable from any thread.
std::optional<entry_kind> bluesky_kind(const stream_data& data);

struct bluesky_start {
  std::string uid;
  double time = 0; ///< seconds since 1970
  std::optional<std::int64_t> scan_id;
  std::string plan_name;
  std::optional<std::uint64_t> num_points;
  value_map document; ///< all of it: `motors`, `shape`, `hints` and the metadata of the site
};

struct bluesky_event {
  std::uint64_t seq_num = 1; ///< from 1
  double time = 0;           ///< seconds since 1970
  std::string uid, descriptor;
  /// By data key: numbers, texts and so on; rectangular lists of numbers are arrays. What lies in a file is
  /// named here by a text.
  value_map data;
  value_map timestamps; ///< by data key: seconds since 1970
};

/// What the events of a stream hold.
struct bluesky_descriptor {
  std::string uid, run_start;
  std::string stream;  ///< e.g. `primary`
  value_map data_keys; ///< by name: a map with `source`, `dtype`, `shape` and others
  value_map document;  ///< all of it
};

struct bluesky_stop {
  std::string uid, run_start;
  double time = 0;                 ///< seconds since 1970
  std::string exit_status, reason; ///< `success`, `abort` or `fail`
  value_map num_events;            ///< by name of a stream
};

/// What an entry holds, whatever its serializer; nothing for other entries and whatever cannot be read.
/// Callable from any thread. `parse_bluesky_descriptor` takes an event's entry.
std::optional<bluesky_start> parse_bluesky_start(const stream_data& data);
std::optional<bluesky_event> parse_bluesky_event(const stream_data& data);
std::optional<bluesky_descriptor> parse_bluesky_descriptor(const stream_data& data);
std::optional<bluesky_stop> parse_bluesky_stop(const stream_data& data);

/// A message: prefix, name of the document and the document, as the publisher joins them.
std::string write_bluesky_message(std::string_view prefix, std::string_view name, const value& document,
                                  bluesky_serializer serializer);

} // namespace dtranspose
