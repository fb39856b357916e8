/// What crosses processes comes out as it went in; anything else that comes in is an error and
/// costs little.
#include "actors/serialization.hpp"

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include <bit>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/binary_deserializer.hpp>
#include <caf/binary_serializer.hpp>
#include <cstdlib>
#include <limits>
#include <random>

#include "actors/messages.hpp"
#include "model/error.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;

using octets = std::vector<char>;

template <class T>
octets written(const T& x) {
  octets bytes;
  caf::binary_serializer sink(nullptr, bytes);
  auto e = sink(const_cast<T&>(x));
  EXPECT_FALSE(e) << text_of(e);
  return bytes;
}

template <class T>
caf::error read_into(T& x, const octets& bytes) {
  caf::binary_deserializer source(nullptr, bytes);
  return source(x);
}

template <class T>
T reread(const T& x) {
  T back;
  auto e = read_into(back, written(x));
  EXPECT_FALSE(e) << text_of(e);
  return back;
}

/// Comes back with the same bytes, which is as good as equality; no beginning of them is taken for
/// the whole.
template <class T>
void expect_round_trip(const char* name, const T& x) {
  SCOPED_TRACE(name);
  auto bytes = written(x);
  T back;
  caf::binary_deserializer source(nullptr, bytes);
  auto e = source(back);
  ASSERT_FALSE(e) << text_of(e);
  EXPECT_EQ(source.remaining(), 0u);
  EXPECT_EQ(written(back), bytes);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    T cut;
    EXPECT_TRUE(read_into(cut, octets(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(n))))
        << n << " of " << bytes.size() << " bytes were taken for the whole";
  }
}

value nested(std::size_t depth) {
  value v(1.5);
  for (std::size_t i = 0; i < depth; ++i) v = i % 2 ? value(value_list{v}) : value(value_map{{"k", v}});
  return v;
}

std::vector<value> values() {
  std::vector<std::uint16_t> pixels{1, 2, 65535, 4, 5, 6};
  return {value(),
          value(true),
          value(false),
          value(std::int64_t{-1}),
          value(std::numeric_limits<std::int64_t>::min()),
          value(std::numeric_limits<std::uint64_t>::max()),
          value(1e-300),
          value(""),
          value(std::string("with\0nul and \xff", 14)),
          value(std::string(300, 'x')),
          value(value_bytes{}),
          value(value_bytes{std::byte{0}, std::byte{255}}),
          value(array()),
          value(array::of(std::vector<double>{})),
          value(array::of(std::span<const std::uint16_t>(pixels), {2, 3})),
          value(array::of(std::span<const std::uint16_t>(pixels).first(1), {})),
          value(array::of(std::span<const std::uint16_t>(), {3, 0})),
          value(value_list{}),
          value(value_list{value(), value(1), value("two"), value(value_list{3.0})}),
          value(value_map{}),
          value(value_map{{"", 1}, {"b", value(value_map{{"c", value_list{1u, 2u}}})}, {"a", "z"}}),
          nested(64)};
}

stream_data some_data() {
  return memory_frames::of("STINS", {"{\"htype\":\"image\"}", "", std::string(70, 'p')});
}

event_run run_of(std::uint64_t first, std::uint32_t count, std::uint32_t stride = 1) {
  return {event_number(first), count, stride};
}

const message_head head{scan_id{0x0123456789abcdef, 42}, generation(3), incarnation(0xfedcba9876543210)};

TEST(serialization, values_of_every_kind) {
  for (auto& v : values()) {
    expect_round_trip("value", v);
    auto back = reread(v);
    EXPECT_EQ(back.content().index(), v.content().index());
    EXPECT_EQ(back, v);
  }
}

/// Bit by bit: analyses give NaN where a pixel is none. In a process of its own, as what goes wrong
/// here is an endless loop.
TEST(serialization, every_floating_point_number) {
  using limits = std::numeric_limits<double>;
  for (double x : {limits::quiet_NaN(), limits::infinity(), -limits::infinity(), limits::denorm_min(),
                   limits::max(), limits::min(), -0.0, 0.1}) {
    SCOPED_TRACE(x);
    auto check = [x] {
      alarm(2);
      auto back = reread(value(x)).as_number();
      std::_Exit(back && std::bit_cast<std::uint64_t>(*back) == std::bit_cast<std::uint64_t>(x) ? 0 : 1);
    };
    EXPECT_EXIT(check(), testing::ExitedWithCode(0), "");
  }
}

TEST(serialization, arrays_of_every_type) {
  for (int i = 0; i <= static_cast<int>(dtype::float64); ++i)
    visit_dtype(static_cast<dtype>(i), []<class T>(T) {
      std::vector<T> numbers{T(1), std::numeric_limits<T>::lowest(), std::numeric_limits<T>::max()};
      value v(array::of(std::span<const T>(numbers), {3, 1}));
      expect_round_trip("array", v);
      EXPECT_EQ(reread(v), v);
    });
}

TEST(serialization, frames) {
  for (auto& data : {some_data(), memory_frames::of("T", {}), memory_frames::of("T", {""}), stream_data()}) {
    expect_round_trip("stream_data", data);
    EXPECT_EQ(reread(data), data);
  }
  // A type tag is a view: it must not point into what was read.
  stream_data back;
  {
    auto bytes = written(some_data());
    ASSERT_FALSE(read_into(back, bytes));
    std::fill(bytes.begin(), bytes.end(), '?');
  }
  EXPECT_EQ(back, some_data());
}

TEST(serialization, entries_with_data_and_tombstones) {
  outgoing_entry data{event_number(1), dispatch_id(2), some_data(), {}};
  expect_round_trip("data", data);
  EXPECT_EQ(reread(data).data, some_data());
  EXPECT_FALSE(reread(data).missing);
  for (auto how : {fate::discarded, fate::incomplete, fate::lost}) {
    outgoing_entry tombstone{
        event_number(~std::uint64_t{0}), dispatch_id(2), {}, missing_data{how, "frame 7"}};
    expect_round_trip("tombstone", tombstone);
    auto back = reread(tombstone);
    ASSERT_TRUE(back.missing);
    EXPECT_EQ(back.missing->how, how);
    EXPECT_EQ(back.missing->cause, "frame 7");
    EXPECT_EQ(back.event, tombstone.event);
    EXPECT_FALSE(back.data);
  }
}

arm_place full_place() {
  return {.start = 10, .first = 12, .message_number = 3, .announced = {}, .series = 5};
}

arm full_arm() {
  return {.head = head,
          .events = 1'000'000,
          .streams = {"pilatus", "", "xspress3"},
          .workers = {{"w0", incarnation(5), 0}, {"w1", incarnation(6), 1, true}},
          .analysis = "roi",
          .parameters = {{"rows", "1:2"}, {"stream", ""}},
          .version = parameters_version(4),
          .worker = worker_index(1),
          .stream = stream_index(2),
          .entries = 77,
          .events_of_stream = {run_of(3, 77, 2)},
          .resume = true,
          .from = {stream_position(15), full_place()}};
}

mapped_batch full_batch() {
  mapped_batch b;
  b.mapped.push_back({{run_of(3, 1), slot_index(1), 2},
                      {{run_of(5, 2, 7), slot_index(0), 1}},
                      value(value_map{{"mean", 2.5}})});
  b.mapped.push_back({{}, {}, value(array::of(std::vector<float>{1, 2}))});
  b.empty.push_back({run_of(9, 4), slot_index(3), 1});
  b.failed.push_back({{run_of(20, 1), slot_index(0), 1}, "it threw"});
  return b;
}

TEST(serialization, every_message_between_processes) {
  worker_run to_worker{run_of(1, 5, 2), worker_index(3), slot_index(1), 2, 0b101, true};
  stream_run of_stream{run_of(0, 4), {0, 2}};
  unmappable slot{{run_of(8, 3), slot_index(2), 1}, fate::lost, "stream 'a': gone", worker_index(7)};
  progress p{"id", "running", 1, 2, 3, true, {{"folded", 2}}, "/out.h5", "waits", 1.25};

  expect_round_trip("roster", roster{{{incarnation(1), "a", "h:1", true, false, true}, {}}});
  expect_round_trip("departed", departed{incarnation(3)});
  expect_round_trip("arm", full_arm());
  expect_round_trip("armed", armed{incarnation(3), 8, true, dispatch_id(9)});
  expect_round_trip("assignments", assignments{head,
                                               dispatch_id(3),
                                               dispatch_id(4),
                                               {of_stream, {run_of(7, 1), {}, true, true}},
                                               {{run_of(2, 3, 4), 1, dispatch_id(4)}},
                                               {0, 5}});
  expect_round_trip("dispatches", dispatches{head, dispatch_id(1), dispatch_id(2), {to_worker}});
  expect_round_trip("partial_events",
                    partial_events{head,
                                   incarnation(9),
                                   stream_index(1),
                                   2,
                                   5,
                                   {{event_number(1), dispatch_id(1), some_data(), {}},
                                    {event_number(2), dispatch_id(1), {}, missing_data{fate::lost, "c"}}}});
  expect_round_trip("credit", credit{head, {{worker_index(0), 10, 2, 99}, {worker_index(1), 8, 0, 0}}});
  expect_round_trip("results", results{head, worker_index(1), 6, parameters_version(1), full_batch()});
  expect_round_trip("closes", closes{head, 4, {slot}});
  expect_round_trip("remarks", remarks{head, {slot}});
  expect_round_trip("taken", taken{head, stream_index(2), dispatch_id(77)});
  expect_round_trip("stream_began", stream_began{head, stream_index(2), full_place()});
  expect_round_trip("fence", fence{head, {worker_index(1), worker_index(4)}});
  expect_round_trip("resend", resend{head, 12});
  expect_round_trip("obituary",
                    obituary{head, worker_index(1), {event_number(5), event_number(9)}, "signal 11"});
  expect_round_trip("renew", renew{incarnation(8)});
  expect_round_trip("unreachable", unreachable{incarnation(8), incarnation(9)});
  expect_round_trip("give_up", give_up{head, {slot}});
  expect_round_trip("led", led{head, {}});
  expect_round_trip("keep_ledger", keep_ledger{head, "{}"});
  expect_round_trip("seal", seal{head});
  expect_round_trip("commits", commits{head, {{slot.slots, fate::failed, "why"}}});
  expect_round_trip("accepted", accepted{head, 12});
  expect_round_trip("forget", forget{head, {{event_number(3), event_number(9)}}});
  expect_round_trip("pressure", pressure{head, "pilatus"});
  expect_round_trip("stalled", stalled{head, "pilatus", "nothing for 3 s"});
  expect_round_trip("halt", halt{head, "stopped"});
  expect_round_trip("flush", flush{head});
  expect_round_trip("finish_worker", finish_worker{head});
  expect_round_trip("finished_worker", finished_worker{worker_index(1), 3, "it threw"});
  expect_round_trip("finish_scan", finish_scan{head, {{worker_index(1), 3, ""}}});
  expect_round_trip("finished_scan", finished_scan{"/out.h5", {"a", "b"}, 2});
  expect_round_trip("disarm", disarm{head});
  expect_round_trip("set_sequence", set_sequence{"{}", false});
  expect_round_trip("progress", p);
}

TEST(serialization, fields_keep_their_places) {
  auto a = full_arm(), b = reread(a);
  EXPECT_EQ(b.head.scan, a.head.scan);
  EXPECT_EQ(b.head.gen, a.head.gen);
  EXPECT_EQ(b.head.from, a.head.from);
  EXPECT_EQ(b.events, a.events);
  EXPECT_EQ(b.streams, a.streams);
  EXPECT_EQ(b.workers[1].name, "w1");
  EXPECT_EQ(b.workers[1].process, incarnation(6));
  EXPECT_EQ(b.workers[1].place, 1);
  EXPECT_EQ(b.parameters, a.parameters);
  EXPECT_EQ(b.worker, a.worker);
  EXPECT_EQ(b.stream, a.stream);
  EXPECT_EQ(b.entries, a.entries);
  EXPECT_FALSE(b.workers[0].gone);
  EXPECT_TRUE(b.workers[1].gone);
  EXPECT_EQ(b.events_of_stream, a.events_of_stream);
  EXPECT_TRUE(b.resume);
  EXPECT_EQ(b.from.first, a.from.first);
  EXPECT_EQ(b.from.arm, a.from.arm);
  auto m = reread(results{head, worker_index(1), 6, parameters_version(2), full_batch()});
  ASSERT_EQ(m.mapped.mapped.size(), 2u);
  EXPECT_EQ(m.mapped.mapped[0].slots, (slot_run{run_of(3, 1), slot_index(1), 2}));
  EXPECT_EQ(m.mapped.mapped[0].more.at(0), (slot_run{run_of(5, 2, 7), slot_index(0), 1}));
  EXPECT_EQ(m.mapped.mapped[1].slots.events.count, 0u);
  EXPECT_EQ(m.mapped.failed.at(0).cause, "it threw");
  EXPECT_EQ(m.sequence, 6u);
}

/// Every message has an entry in the table of types: what lacks one is an empty message at its
/// peer.
TEST(serialization, messages_cross_as_type_erased_content) {
  struct config : caf::actor_system_config {
    config() {
      add_message_types<caf::id_block::dtranspose>();
      set("scheduler.policy", caf::atom("testing"));
    }
  } c;
  caf::actor_system system(c);
  auto cross = [&](const caf::message& m) {
    octets bytes;
    caf::binary_serializer sink(system, bytes);
    auto e = sink(const_cast<caf::message&>(m));
    EXPECT_FALSE(e) << system.render(e);
    caf::message back;
    caf::binary_deserializer source(system, bytes);
    e = source(back);
    EXPECT_FALSE(e) << system.render(e);
    EXPECT_EQ(back.size(), m.size());
    EXPECT_EQ(back.type_token(), m.type_token());
    octets again;
    caf::binary_serializer second(system, again);
    e = second(back);
    EXPECT_FALSE(e) << system.render(e);
    EXPECT_EQ(again, bytes);
  };
  member_info info;
  info.life = incarnation(9);
  info.name = "worker@host-1";
  info.address = "127.0.0.1:4242";
  info.ingesters = {{"pilatus", nullptr}};
  info.workers = {{"w0", {"generic", "gpu"}, nullptr}};
  cross(caf::make_message(info));
  cross(caf::make_message(roster{}));
  cross(caf::make_message(departed{}));
  cross(caf::make_message(full_arm()));
  cross(caf::make_message(armed{}));
  cross(caf::make_message(assignments{}));
  cross(caf::make_message(dispatches{}));
  cross(caf::make_message(
      partial_events{head, incarnation(9), stream_index(0), 0, 0, {{event_number(1), {}, some_data(), {}}}}));
  cross(caf::make_message(credit{}));
  cross(caf::make_message(results{head, {}, 0, {}, full_batch()}));
  cross(caf::make_message(closes{}));
  cross(caf::make_message(remarks{}));
  cross(caf::make_message(taken{}));
  cross(caf::make_message(stream_began{}));
  cross(caf::make_message(fence{}));
  cross(caf::make_message(resend{}));
  cross(caf::make_message(obituary{}));
  cross(caf::make_message(renew{}));
  cross(caf::make_message(unreachable{}));
  cross(caf::make_message(give_up{}));
  cross(caf::make_message(led{}));
  cross(caf::make_message(keep_ledger{}));
  cross(caf::make_message(seal{}));
  cross(caf::make_message(commits{}));
  cross(caf::make_message(accepted{}));
  cross(caf::make_message(forget{}));
  cross(caf::make_message(pressure{}));
  cross(caf::make_message(stalled{}));
  cross(caf::make_message(halt{}));
  cross(caf::make_message(flush{}));
  cross(caf::make_message(finish_worker{}));
  cross(caf::make_message(finished_worker{}));
  cross(caf::make_message(finish_scan{}));
  cross(caf::make_message(finished_scan{}));
  cross(caf::make_message(disarm{}));
  cross(caf::make_message(set_sequence{}));
  cross(caf::make_message(progress{}));
  cross(caf::make_message(value(1)));
  cross(caf::make_message(hello_atom::value, std::string("v"), std::string("s")));
}

// -- hostile bytes
// --------------------------------------------------------------------------------------

/// Bytes of anything that can be written, one behind the other.
template <class... Ts>
octets raw(Ts... xs) {
  octets bytes;
  caf::binary_serializer sink(nullptr, bytes);
  EXPECT_FALSE(sink(xs...));
  return bytes;
}

octets operator+(octets a, const octets& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

template <class T>
void expect_refused(const octets& bytes) {
  T x;
  EXPECT_TRUE(read_into(x, bytes));
}

/// Most memory that this process ever had in hand, in bytes.
std::size_t peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

constexpr std::uint8_t text_kind = 5, bytes_kind = 6, array_kind = 7, list_kind = 8, map_kind = 9;

TEST(serialization, kinds_that_do_not_exist) {
  for (int kind = 10; kind < 256; ++kind) expect_refused<value>(raw(static_cast<std::uint8_t>(kind)));
  std::uint64_t size = 8;
  for (int type = 10; type < 256; ++type)
    expect_refused<value>(
        raw(array_kind, static_cast<std::uint8_t>(type), std::vector<std::uint64_t>{1}, size, 0.0));
  for (int how = 6; how < 256; ++how)
    expect_refused<outgoing_entry>(
        raw(std::uint64_t{1}, std::uint64_t{1}, true, static_cast<std::uint8_t>(how), std::string()));
}

TEST(serialization, arrays_whose_shape_does_not_fit) {
  auto array_of = [](std::vector<std::uint64_t> shape, std::uint64_t size) {
    return raw(array_kind, dtype::uint16, shape, size) + octets(64, 'x');
  };
  value ok;
  EXPECT_FALSE(read_into(ok, array_of({2, 3}, 12)));
  expect_refused<value>(array_of({2, 3}, 11));
  expect_refused<value>(array_of({2, 3}, 0));
  expect_refused<value>(array_of({}, 0));
  expect_refused<value>(array_of({std::uint64_t{1} << 63}, 0));
  expect_refused<value>(array_of({std::uint64_t{1} << 32, std::uint64_t{1} << 32}, 0));
  expect_refused<value>(array_of({0, std::uint64_t{1} << 63, 4}, 1));
  expect_refused<value>(array_of(std::vector<std::uint64_t>(33, 1), 2));
}

TEST(serialization, depth_is_bounded) {
  expect_refused<value>(written(nested(65)));
  octets deep;
  auto level = raw(list_kind, std::uint64_t{1});
  for (int i = 0; i < 100'000; ++i) deep.insert(deep.end(), level.begin(), level.end());
  expect_refused<value>(deep);
}

/// A length alone must not cost memory: it is a claim of the peer's.
TEST(serialization, lengths_beyond_what_came) {
  auto before = peak_memory();
  for (std::uint64_t size : {std::uint64_t{1} << 30, (std::uint64_t{1} << 32) + 1, ~std::uint64_t{0}}) {
    SCOPED_TRACE(size);
    expect_refused<value>(raw(bytes_kind, size));
    expect_refused<value>(raw(list_kind, size));
    expect_refused<value>(raw(map_kind, size));
    expect_refused<value>(raw(array_kind, dtype::uint8, std::vector<std::uint64_t>{size}, size));
    expect_refused<stream_data>(raw(std::string("STINS"), std::uint32_t{1}, size));
  }
  expect_refused<stream_data>(raw(std::string("STINS"), std::uint32_t{65536}));
  expect_refused<stream_data>(raw(std::string("STINS"), ~std::uint32_t{0}));
  // Lengths of texts and lists are CAF's own: up to five bytes of seven bits.
  octets endless(5, '\x7f');
  for (int i = 0; i < 4; ++i) endless[static_cast<std::size_t>(i)] = '\xff';
  expect_refused<value>(raw(text_kind) + endless);
  expect_refused<stream_data>(endless);
  expect_refused<roster>(endless);
  expect_refused<closes>(written(head) + endless);
  EXPECT_LT(peak_memory() - before, std::size_t{256} << 20);
}

/// Any bytes at all: an error or a message, never a crash.
TEST(serialization, damaged_bytes) {
  std::mt19937_64 random(7);
  auto good = written(results{head, worker_index(1), 6, parameters_version(1), full_batch()});
  auto frames = written(partial_events{
      head, incarnation(9), stream_index(1), 0, 5, {{event_number(1), dispatch_id(1), some_data(), {}}}});
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = i % 2 ? good : frames;
    for (auto n = 1 + random() % 3; n > 0; --n) bytes[random() % bytes.size()] = static_cast<char>(random());
    results a;
    partial_events b;
    if (i % 2)
      (void)read_into(a, bytes);
    else
      (void)read_into(b, bytes);
  }
}

} // namespace
} // namespace dtranspose
