/// The fault table: each message of a scan of three streams dropped, doubled, swapped, delayed, cut short and
/// repeated, one at a time and at random. What should be affected is, nothing else is, and the scan ends.
#include <algorithm>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "instrument/series_generator.hpp"
#include "model/event_joiner.hpp"
#include "model/ledger.hpp"
#include "model/stream_queue.hpp"
#include "protocol/protocol.hpp"

namespace dtranspose {
namespace {

constexpr std::uint64_t late_window = 8;
constexpr std::uint64_t unlimited = std::uint64_t{1} << 40;

struct variant {
  const char* name;
  const char* protocol;
  protocol_options sender = {};
  /// Data do not tell which start they belong to: what comes before its start counts as left over.
  bool anonymous_data = false;
  /// Several messages make an image and share no number: each may be lost, cut short or doubled, but only
  /// whole images can come in another order. (ZeroMQ keeps the order of a publisher's messages.)
  bool loose_pieces = false;
  protocol_options reader = {};
  std::uint64_t frames = 10;
};

std::ostream& operator<<(std::ostream& out, const variant& v) { return out << v.name; }

using bytes_of_parts = std::vector<std::string>;

bytes_of_parts bytes_of(const stream_data& data) {
  bytes_of_parts parts;
  for (auto& f : data.frames()) parts.emplace_back(f.text());
  return parts;
}

std::vector<std::vector<std::byte>> copied_parts(const stream_data& message) {
  std::vector<std::vector<std::byte>> parts;
  for (auto& f : message.frames()) parts.emplace_back(f.bytes().begin(), f.bytes().end());
  return parts;
}

stream_data copied(const stream_data& message) {
  return stream_data(std::make_unique<memory_frames>(copied_parts(message)), message.type());
}

/// A series as it was sent, what a receiver makes of it, and to which entries each message contributes.
struct series {
  std::vector<stream_data> messages;
  std::vector<bytes_of_parts> entries;
  std::vector<std::set<std::uint64_t>> feeds; ///< by message: events of the entries that hold something of it
};

bool within(const frame& piece, const stream_data& message) {
  auto begin = piece.data(), end = begin + piece.size();
  return piece.size() > 0 && std::any_of(message.frames().begin(), message.frames().end(), [&](auto& f) {
           return begin >= f.data() && end <= f.data() + f.size();
         });
}

series series_of(const variant& v) {
  series s;
  auto generator = make_series(
      v.protocol,
      {.frames = v.frames, .shape = {2, 16}, .type = dtype::uint32, .seed = 3, .options = v.sender});
  auto format = make_protocol(v.protocol, v.reader);
  std::vector<stream_data> kept;
  while (auto made = generator->next()) {
    std::vector<stream_packet> packets;
    auto index = s.messages.size();
    // A copy: generators may use the same memory for equal pixels.
    s.messages.push_back(copied(*made));
    s.feeds.emplace_back();
    format->read(s.messages.back(), packets);
    for (auto& packet : packets) {
      EXPECT_FALSE(packet.fault) << "message " << index;
      auto place = s.entries.size();
      s.entries.push_back(bytes_of(packet.data));
      s.feeds[index].insert(place);
      for (std::size_t m = 0; m < index; ++m)
        for (auto& piece : packet.data.frames())
          if (within(piece, s.messages[m])) s.feeds[m].insert(place);
    }
  }
  return s;
}

/// What became of the events of a scan.
struct outcome {
  std::set<std::uint64_t> whole, incomplete, lost;
  std::map<std::uint64_t, std::string> causes;
};

/// Three streams from the wire to whole events, as an ingester process and a worker process do it.
class scan {
 public:
  scan(std::vector<const variant*> formats, std::uint64_t events)
      : events_(events), joiner_({"first", "second", "third"}, 1, false), fates_(events) {
    for (auto v : formats) {
      formats_.push_back(make_protocol(v->protocol, v->reader));
      queues_.push_back(std::make_unique<stream_queue>(
          events, late_window, stream_queue::budget{unlimited, unlimited}, !formats_.back()->has_start()));
    }
    event_run all{event_number(0), static_cast<std::uint32_t>(events), 1};
    for (auto& queue : queues_) queue->assign({all, {0}}, dispatch_id(1));
    joiner_.expect(0, {all, worker_index(0), slot_index(0), 1, 7}, dispatch_id(1));
    joiner_.match();
    for (std::uint64_t e = 0; e < events; ++e) fates_.open(1);
  }

  void receive(std::size_t stream, const stream_data& message) {
    packet_batch batch;
    formats_[stream]->read(message, batch.packets);
    batch.bytes = budgeted_bytes(message.bytes());
    queues_[stream]->receive(batch);
    deliver();
  }

  /// Silence, and at last a stop.
  outcome end() {
    for (int i = 0; i < 3; ++i)
      for (auto& queue : queues_)
        if (queue->unsettled()) queue->settle();
    deliver();
    for (auto& queue : queues_) queue->close("stopped");
    deliver();
    for (auto& queue : queues_) EXPECT_EQ(queue->held_bytes(), 0u);
    EXPECT_TRUE(fates_.complete()) << fates_.ended() << " of " << events_ << " events ended";
    EXPECT_EQ(joiner_.open(), 0u);
    return result_;
  }

  /// What each stream gave to a whole event.
  const std::vector<std::vector<bytes_of_parts>>& content() const { return content_; }
  const stream_queue& queue(std::size_t stream) const { return *queues_[stream]; }

 private:
  void deliver() {
    for (std::uint16_t s = 0; s < queues_.size(); ++s) {
      for (auto& entry : std::exchange(queues_[s]->outgoing(0), {})) joiner_.add(stream_index(s), entry);
      queues_[s]->ready_processes().clear();
    }
    auto batch = std::exchange(joiner_.batch(0), {});
    for (auto& event : batch.events) take(event, batch);
    for (auto& u : std::exchange(joiner_.given_up(), {}))
      for (std::uint32_t i = 0; i < u.slots.events.count; ++i) {
        auto event = u.slots.events.at(i);
        (u.how == fate::lost ? result_.lost : result_.incomplete).insert(event.value);
        result_.causes[event.value] = u.cause;
        end(event, u.how, u.cause);
      }
  }

  void take(const joined_event& event, const joined_batch& batch) {
    EXPECT_TRUE(result_.whole.insert(event.number.value).second) << "event twice";
    content_.resize(std::max<std::size_t>(content_.size(), event.number.value + 1));
    auto& streams = content_[event.number.value];
    for (std::uint32_t i = 0; i < event.entries; ++i)
      streams.push_back(bytes_of(batch.entries[event.first_entry + i].data));
    end(event.number, fate::folded, {});
  }

  void end(event_number event, fate how, const std::string& cause) {
    fates_.end({{event, 1, 1}, slot_index(0), 1}, how, cause);
    for (auto& queue : queues_) queue->forget({event, event + 1});
  }

  std::uint64_t events_;
  std::vector<std::unique_ptr<protocol>> formats_;
  std::vector<std::unique_ptr<stream_queue>> queues_;
  event_joiner joiner_;
  ledger fates_;
  outcome result_;
  std::vector<std::vector<bytes_of_parts>> content_;
};

enum class fault { drop, duplicate, swap, delay, truncate, repeat };
constexpr fault all_faults[] = {fault::drop,  fault::duplicate, fault::swap,
                                fault::delay, fault::truncate,  fault::repeat};
constexpr const char* fault_names[] = {"drop", "duplicate", "swap", "delay", "truncate", "repeat"};

stream_data cut_short(const stream_data& message) {
  auto parts = copied_parts(message);
  auto longest =
      std::max_element(parts.begin(), parts.end(), [](auto& a, auto& b) { return a.size() < b.size(); });
  longest->resize(longest->size() / 2);
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), message.type());
}

using unit = std::vector<stream_data>; ///< messages that stay together

/// Messages one by one, or together where they make one entry.
std::vector<unit> units_of(const series& s, bool whole) {
  std::vector<unit> units;
  for (std::size_t m = 0; m < s.messages.size(); ++m)
    if (whole && m > 0 && s.feeds[m].size() == 1 && s.feeds[m] == s.feeds[m - 1])
      units.back().push_back(s.messages[m]);
    else
      units.push_back({s.messages[m]});
  return units;
}

/// By unit: events that hold something of it.
std::vector<std::set<std::uint64_t>> feeds_of(const series& s, const std::vector<unit>& units) {
  std::vector<std::set<std::uint64_t>> feeds;
  std::size_t message = 0;
  for (auto& u : units) {
    feeds.emplace_back();
    for (std::size_t i = 0; i < u.size(); ++i, ++message)
      feeds.back().insert(s.feeds[message].begin(), s.feeds[message].end());
  }
  return feeds;
}

std::vector<stream_data> flat(const std::vector<unit>& units) {
  std::vector<stream_data> messages;
  for (auto& u : units) messages.insert(messages.end(), u.begin(), u.end());
  return messages;
}

constexpr std::size_t delay_in_units = 4;

/// The messages as they arrive when something happens to unit `at`.
std::vector<unit> disturbed(std::vector<unit> messages, fault what, std::size_t at) {
  auto moved = messages[at];
  auto later = [&](std::size_t by) {
    return messages.begin() + static_cast<long>(std::min(at + by, messages.size()));
  };
  switch (what) {
  case fault::drop:
    messages.erase(later(0));
    break;
  case fault::duplicate:
    messages.insert(later(1), moved);
    break;
  case fault::swap:
    if (at + 1 < messages.size()) std::swap(messages[at], messages[at + 1]);
    break;
  case fault::delay:
    messages.insert(later(delay_in_units), moved);
    messages.erase(messages.begin() + static_cast<long>(at));
    break;
  case fault::truncate:
    messages[at].back() = cut_short(moved.back());
    break;
  case fault::repeat:
    messages.insert(later(delay_in_units), moved);
  }
  return messages;
}

const variant plain_stins{"stins", "stins"};
const variant plain_albaem{"albaem", "albaem"};

class fault_table : public testing::TestWithParam<variant> {
 protected:
  /// Other streams are fed in step, so that everything is under way at the same time.
  static outcome play(scan& s, const std::vector<std::vector<stream_data>>& streams) {
    std::size_t longest = 0;
    for (auto& messages : streams) longest = std::max(longest, messages.size());
    for (std::size_t i = 0; i < longest; ++i)
      for (std::size_t stream = 0; stream < streams.size(); ++stream)
        if (i < streams[stream].size()) s.receive(stream, streams[stream][i]);
    return s.end();
  }

  /// Whatever happened: an event is what it was, or it is named.
  static void check_identity(const scan& s, const outcome& result,
                             const std::vector<const series*>& originals,
                             const std::set<std::uint64_t>& may_differ) {
    for (auto event : result.whole) {
      ASSERT_EQ(s.content()[event].size(), 3u) << "event " << event;
      for (std::size_t stream = 0; stream < 3; ++stream)
        if (!may_differ.contains(event)) {
          EXPECT_TRUE(s.content()[event][stream] == originals[stream]->entries[event])
              << "event " << event << " got something else of stream " << stream;
        }
    }
    for (auto& [event, cause] : result.causes) EXPECT_FALSE(cause.empty()) << "event " << event;
  }
};

std::string text_of(const std::set<std::uint64_t>& events) {
  std::string text;
  for (auto e : events) text += " " + std::to_string(e);
  return text;
}

TEST_P(fault_table, nothing_is_affected_when_nothing_happens) {
  auto& v = GetParam();
  auto first = series_of(v), second = series_of(plain_stins), third = series_of(plain_albaem);
  ASSERT_EQ(first.entries.size(), second.entries.size());
  scan s({&v, &plain_stins, &plain_albaem}, first.entries.size());
  auto result = play(s, {first.messages, second.messages, third.messages});
  EXPECT_EQ(result.whole.size(), first.entries.size());
  check_identity(s, result, {&first, &second, &third}, {});
}

TEST_P(fault_table, one_fault_costs_its_own_events_alone) {
  auto& v = GetParam();
  auto first = series_of(v), second = series_of(plain_stins), third = series_of(plain_albaem);
  for (bool whole : {false, true}) {
    auto units = units_of(first, whole);
    auto feeds = feeds_of(first, units);
    for (auto what : all_faults)
      for (std::size_t at = 0; at < units.size(); ++at) {
        bool moves = what == fault::swap || what == fault::delay || what == fault::repeat;
        if (moves && !whole && v.loose_pieces) continue;
        SCOPED_TRACE(std::string(fault_names[static_cast<int>(what)]) + (whole ? " unit " : " message ") +
                     std::to_string(at));
        scan s({&v, &plain_stins, &plain_albaem}, first.entries.size());
        auto result = play(s, {flat(disturbed(units, what, at)), second.messages, third.messages});
        auto& own = feeds[at];
        auto allowed = own;
        auto allow_next = [&](std::size_t count) {
          for (auto u = at + 1; u <= at + count && u < feeds.size(); ++u)
            allowed.insert(feeds[u].begin(), feeds[u].end());
        };
        if (what == fault::swap) allow_next(1);
        if (what == fault::delay && at == 0 && v.anonymous_data) allow_next(delay_in_units);
        check_identity(s, result, {&first, &second, &third},
                       what == fault::truncate ? own : std::set<std::uint64_t>());
        auto affected = result.incomplete;
        affected.insert(result.lost.begin(), result.lost.end());
        for (auto event : affected)
          EXPECT_TRUE(allowed.contains(event))
              << "event " << event << ": " << result.causes[event] << "; allowed:" << text_of(allowed);
        if (what == fault::drop) {
          EXPECT_EQ(text_of(affected), text_of(own));
        }
        if (what == fault::duplicate || what == fault::repeat) {
          EXPECT_EQ(text_of(affected), "");
        }
      }
  }
}

TEST_P(fault_table, faults_at_random_shift_nothing) {
  auto& v = GetParam();
  const variant* formats[] = {&v, &plain_stins, &plain_albaem};
  std::vector<series> originals;
  for (auto f : formats) originals.push_back(series_of(*f));
  std::mt19937_64 random(5);
  for (int round = 0; round < 150; ++round) {
    SCOPED_TRACE("round " + std::to_string(round));
    scan s({formats[0], formats[1], formats[2]}, originals[0].entries.size());
    std::vector<std::vector<stream_data>> streams;
    std::set<std::uint64_t> cut;
    for (auto& original : originals) {
      auto units = units_of(original, v.loose_pieces);
      for (auto faults = random() % 4; faults > 0 && !units.empty(); --faults) {
        auto what = all_faults[random() % std::size(all_faults)];
        auto at = random() % units.size();
        if (what == fault::truncate)
          for (std::size_t m = 0; m < original.messages.size(); ++m)
            if (bytes_of(original.messages[m]) == bytes_of(units[at].back()))
              cut.insert(original.feeds[m].begin(), original.feeds[m].end());
        units = disturbed(std::move(units), what, at);
      }
      streams.push_back(flat(units));
    }
    auto result = play(s, streams);
    check_identity(s, result, {&originals[0], &originals[1], &originals[2]}, cut);
    EXPECT_EQ(result.whole.size() + result.incomplete.size() + result.lost.size(),
              originals[0].entries.size());
  }
}

const variant variants[] = {
    {"stins", "stins"},
    {"stins_bslz4", "stins", {{"compression", "bslz4"}}},
    {"stins_multi_blob", "stins", {{"blobs", "each"}}},
    {"eiger_v1_none", "eiger_v1", {{"header_detail", "none"}}},
    {"eiger_v1_all", "eiger_v1", {{"header_detail", "all"}}},
    {"dectris_v2", "dectris_v2"},
    {"xspress3_old", "xspress3", {{"form", "old"}}, true, true},
    {"xspress3_multipart", "xspress3", {{"form", "multipart"}}, true},
    {"pcap", "pcap", {{"rows_per_message", "3"}}, true},
    {"albaem", "albaem"},
    {"lecroy_continuous", "lecroy", {{"mode", "continuous"}, {"samples", "16"}}, true},
    {"lecroy_sequential", "lecroy", {{"mode", "sequential"}, {"samples", "16"}, {"triggers", "2"}}, true},
    {"sardana", "sardana", {}, true},
    {"bluesky", "bluesky", {}, true},
    {"bluesky_json", "bluesky", {{"serializer", "json"}}, true},
};

INSTANTIATE_TEST_SUITE_P(protocols, fault_table, testing::ValuesIn(variants),
                         [](auto& info) { return std::string(info.param.name); });

} // namespace
} // namespace dtranspose
