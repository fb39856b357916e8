#include "protocol/bluesky.hpp"

#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "protocol/pickle.hpp"

namespace dtranspose {
namespace {

using namespace std::literals;
using enum bluesky_serializer;

// pickle.dumps({"uid": "e1", "time": 1.5, "data": {"det": 0.25, "img": numpy.arange(4,
// dtype="<u2").reshape(2, 2)},
//               "timestamps": {"det": 1.25}, "seq_num": 3, "filled": {}, "descriptor": "d1"}), Python 3.11
constexpr auto pickled_event =
    "\200\004\225\026\001\000\000\000\000\000\000}\224(\214\003uid\224\214\002e1\224\214\004time\224G\077\370"
    "\000\000\000\000\000\000\214\004data\224}\224("
    "\214\003det\224G\077\320\000\000\000\000\000\000\214\003img"
    "\224\214\026numpy._core.multiarray\224\214\014_"
    "reconstruct\224\223\224\214\005numpy\224\214\007ndarray\224"
    "\223\224K\000\205\224C\001b\224\207\224R\224("
    "K\001K\002K\002\206\224h\013\214\005dtype\224\223\224\214\002"
    "u2\224\211\210\207\224R\224(K\003\214\001<"
    "\224NNNJ\377\377\377\377J\377\377\377\377K\000t\224b\211C\010\000"
    "\000\001\000\002\000\003\000\224t\224bu\214\012timestamps\224}"
    "\224h\006G\077\364\000\000\000\000\000\000s"
    "\214\007seq_num\224K\003\214\006filled\224}\224\214\012descriptor\224\214\002d1\224u."sv;

// msgpack.packb(the same, default=msgpack_numpy.encode)
constexpr auto packed_event = "\207\243uid\242e1\244time\313\077\370\000\000\000\000\000\000\244data\202\243d"
                              "et\313\077\320\000\000\000\000"
                              "\000\000\243img\205\304\002nd\303\304\004type\243<"
                              "u2\304\004kind\304\000\304\005shape\222\002\002\304\004data"
                              "\304\010\000\000\001\000\002\000\003\000\252timestamps\201\243det\313\077\364"
                              "\000\000\000\000\000\000\247seq"
                              "_num\003\246filled\200\252descriptor\242d1"sv;

// json.dumps(the same with img.tolist())
constexpr auto json_event =
    R"({"uid": "e1", "time": 1.5, "data": {"det": 0.25, "img": [[0, 1], [2, 3]]}, "timestamps": {"det": 1.25}, )"
    R"("seq_num": 3, "filled": {}, "descriptor": "d1"})"sv;

constexpr auto json_descriptor =
    R"({"uid":"d1","time":1.0,"run_start":"r1","name":"primary","data_keys":{"det":{"dtype":"number"}}})"sv;

stream_data message(std::string_view text) { return memory_frames::of(bluesky_type_tag, {text}); }

stream_data message(std::string_view name, std::string_view document, std::string_view prefix = "") {
  return message(std::string(prefix) + " " + std::string(name) + " " + std::string(document));
}

std::vector<stream_packet> read(protocol& format, const stream_data& received) {
  std::vector<stream_packet> packets;
  format.read(received, packets);
  return packets;
}

std::vector<stream_packet> read(protocol& format, std::string_view name, std::string_view document) {
  return read(format, message(name, document));
}

stream_packet one(protocol& format, std::string_view name, std::string_view document) {
  auto packets = read(format, name, document);
  EXPECT_EQ(packets.size(), 1u) << document;
  return packets.empty() ? stream_packet() : packets[0];
}

/// A reader that knows the descriptor d1 of stream primary.
std::unique_ptr<protocol> prepared(const protocol_options& options = {}) {
  auto format = make_bluesky(options);
  EXPECT_TRUE(read(*format, "descriptor", json_descriptor).empty());
  return format;
}

void expect_refused(const stream_packet& packet, packet_fault fault) {
  EXPECT_EQ(packet.fault, fault);
  EXPECT_FALSE(packet.numbered);
  EXPECT_FALSE(packet.data);
}

TEST(bluesky, reads_the_example) {
  auto format = prepared();
  EXPECT_EQ(format->name(), "bluesky");
  EXPECT_EQ(format->type_tag(), "bluesky");
  EXPECT_TRUE(format->numbered());
  auto received = message("\x20\x65\x76\x65\x6e\x74\x20\x7b"s + std::string(json_event.substr(1)));
  auto packets = read(*format, received);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_FALSE(packets[0].fault);
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::data);
  EXPECT_EQ(packets[0].numbers.number, 2u);
  ASSERT_EQ(packets[0].data.frames().size(), 2u);
  EXPECT_EQ(packets[0].data.frames()[0].data(), received.frames()[0].data()); // no copy
  EXPECT_EQ(packets[0].data.frames()[1].text(), " descriptor " + std::string(json_descriptor));
}

TEST(bluesky, reads_each_serializer) {
  std::vector<std::uint16_t> pixels = {0, 1, 2, 3};
  for (auto [name, text] : {std::pair("pickle", pickled_event), std::pair("msgpack", packed_event),
                            std::pair("json", json_event)})
    for (auto option : {"auto", name}) {
      auto format = make_bluesky({{"serializer", option}});
      auto serializer = name == "json"s ? json : name == "msgpack"s ? msgpack : pickle;
      value_map descriptor{{"uid", "d1"}, {"data_keys", value_map{{"det", value_map()}}}};
      read(*format, message(write_bluesky_message("", "descriptor", descriptor, serializer)));
      auto packet = one(*format, "event", text);
      ASSERT_FALSE(packet.fault) << name << " as " << option;
      EXPECT_EQ(packet.numbers.number, 2u);
      auto event = parse_bluesky_event(packet.data);
      ASSERT_TRUE(event);
      EXPECT_EQ(event->seq_num, 3u);
      EXPECT_EQ(event->time, 1.5);
      EXPECT_EQ(event->uid, "e1");
      EXPECT_EQ(event->descriptor, "d1");
      EXPECT_EQ(*event->data.find("det"), value(0.25));
      auto img = event->data.find("img")->as_array();
      ASSERT_TRUE(img);
      EXPECT_EQ(img->shape(), (std::vector<std::size_t>{2, 2}));
      if (name != "json"s) {
        EXPECT_EQ(*img, array::of(std::span<const std::uint16_t>(pixels), {2, 2}));
      }
      EXPECT_EQ(*event->timestamps.find("det"), value(1.25));
      EXPECT_EQ(parse_bluesky_descriptor(packet.data)->stream, "primary");
      EXPECT_TRUE(parse_bluesky_descriptor(packet.data)->data_keys.find("det"));
    }
}

TEST(bluesky, takes_only_the_serializer_that_was_asked_for) {
  for (auto [option, fault] :
       {std::pair("json", packet_fault::not_json), std::pair("msgpack", packet_fault::corrupt)})
    expect_refused(one(*make_bluesky({{"serializer", option}}), "event", pickled_event), fault);
  expect_refused(one(*make_bluesky({{"serializer", "pickle"}}), "event", json_event), packet_fault::corrupt);
}

TEST(bluesky, reads_start_and_stop) {
  auto format = make_bluesky();
  auto received =
      message("start", R"({"uid":"r1","time":2.5,"scan_id":4,"plan_name":"scan","num_points":7})");
  auto packets = read(*format, received);
  ASSERT_EQ(packets.size(), 1u);
  auto start = packets[0];
  EXPECT_FALSE(start.fault);
  EXPECT_EQ(start.numbers.kind, entry_kind::start);
  EXPECT_EQ(start.numbers.count, 7u);
  EXPECT_EQ(start.data.frames()[0].data(), received.frames()[0].data());
  auto stop = one(*format, "stop",
                  R"({"uid":"s","time":9,"run_start":"r1","exit_status":"abort","reason":"why",)"
                  R"("num_events":{"baseline":2,"primary":5}})");
  EXPECT_FALSE(stop.fault);
  EXPECT_EQ(stop.numbers.kind, entry_kind::end);
  EXPECT_EQ(stop.numbers.count, 5u);
  EXPECT_EQ(stop.numbers.series, start.numbers.series);

  auto parsed = parse_bluesky_start(start.data);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->uid, "r1");
  EXPECT_EQ(parsed->time, 2.5);
  EXPECT_EQ(parsed->scan_id, 4);
  EXPECT_EQ(parsed->plan_name, "scan");
  EXPECT_EQ(parsed->num_points, 7u);
  EXPECT_EQ(parsed->document.size(), 5u);
  auto ended = parse_bluesky_stop(stop.data);
  ASSERT_TRUE(ended);
  EXPECT_EQ(ended->uid, "s");
  EXPECT_EQ(ended->run_start, "r1");
  EXPECT_EQ(ended->time, 9);
  EXPECT_EQ(ended->exit_status, "abort");
  EXPECT_EQ(ended->reason, "why");
  EXPECT_EQ(*ended->num_events.find("baseline"), value(2));

  EXPECT_FALSE(one(*format, "start", R"({"uid":"r2"})").numbers.count);
  EXPECT_FALSE(one(*format, "stop", R"({"run_start":"r2"})").numbers.count);
  EXPECT_NE(one(*format, "start", R"({"uid":"r2"})").numbers.series, start.numbers.series);
}

TEST(bluesky, knows_the_run_of_an_event) {
  auto format = prepared();
  auto start = one(*format, "start", R"({"uid":"r1"})");
  ASSERT_TRUE(start.numbers.series);
  EXPECT_EQ(one(*format, "event", json_event).numbers.series, start.numbers.series);
}

TEST(bluesky, takes_the_events_of_one_stream) {
  auto with = [](std::string_view stream, std::string_view uid) {
    return R"({"uid":")" + std::string(uid) + R"(","run_start":"r1","name":")" + std::string(stream) +
           R"(","data_keys":{}})";
  };
  auto event = [](std::string_view uid) {
    return R"({"descriptor":")" + std::string(uid) + R"(","seq_num":1,"data":{}})";
  };
  auto format = make_bluesky({{"stream", "fast"}});
  for (auto stream : {"primary", "fast", "baseline"})
    EXPECT_TRUE(read(*format, "descriptor", with(stream, "d-"s + stream)).empty());
  EXPECT_TRUE(read(*format, "event", event("d-primary")).empty());
  EXPECT_TRUE(read(*format, "event", event("d-baseline")).empty());
  EXPECT_FALSE(one(*format, "event", event("d-fast")).fault);
  EXPECT_FALSE(one(*format, "start", R"({"uid":"r1","num_points":3})").numbers.count); // of the primary
  EXPECT_EQ(one(*format, "stop", R"({"run_start":"r1","num_events":{"fast":1,"primary":2}})").numbers.count,
            1u);
  // A descriptor without a name is from times when there was one stream.
  auto old = make_bluesky();
  read(*old, "descriptor", R"({"uid":"d","data_keys":{}})");
  EXPECT_FALSE(one(*old, "event", event("d")).fault);
}

TEST(bluesky, passes_over_what_is_no_entry) {
  auto format = make_bluesky();
  for (auto name :
       {"resource", "datum", "datum_page", "stream_resource", "stream_datum", "bulk_events", "bulk_datum"})
    EXPECT_TRUE(read(*format, name, "anything").empty()) << name;
}

TEST(bluesky, takes_messages_of_its_prefix) {
  auto start = R"({"uid":"r1"})";
  auto any = make_bluesky();
  auto lab = make_bluesky({{"prefix", "lab"}});
  for (auto prefix : {"", "lab", "other"}) {
    EXPECT_EQ(read(*any, message("start", start, prefix)).size(), 1u);
    EXPECT_EQ(read(*lab, message("start", start, prefix)).size(), prefix == "lab"s);
  }
  EXPECT_TRUE(read(*lab, message("junk", "junk", "other")).empty());
  // Only the first two spaces count.
  auto packet = one(*any, "start", R"( {"uid": "a b c"} )");
  EXPECT_EQ(parse_bluesky_start(packet.data)->uid, "a b c");
}

TEST(bluesky, cuts_pages_into_events) {
  std::vector<std::int32_t> pixels = {1, 2, 3, 4, 5, 6};
  value_map fields{
      {"uid", value_list{"a", "b", "c"}},
      {"time", value_list{1.5, 2.5, 3.5}},
      {"seq_num", value_list{4, 5, 6}},
      {"data", value_map{{"x", value_list{0.5, 1.5, 2.5}},
                         {"n", array::of(std::vector<std::int64_t>{7, 8, 9})},
                         {"rows", array::of(std::span<const std::int32_t>(pixels), {3, 2})},
                         {"text", value_list{"p", "q", "r"}}}},
      {"timestamps", value_map{{"x", value_list{1.25, 2.25, 3.25}}}},
      {"filled", value_map()},
      {"descriptor", "d1"},
  };
  for (auto serializer : {pickle, json, msgpack}) {
    auto format = prepared();
    auto packets = read(*format, message(write_bluesky_message("lab", "event_page", fields, serializer)));
    ASSERT_EQ(packets.size(), 3u);
    for (std::size_t i = 0; i < 3; ++i) {
      auto& packet = packets[i];
      ASSERT_FALSE(packet.fault);
      EXPECT_EQ(packet.numbers.number, 3 + i);
      EXPECT_TRUE(packet.numbers.series);
      ASSERT_EQ(packet.data.frames().size(), 2u);
      EXPECT_TRUE(packet.data.frames()[0].text().starts_with("lab event "));
      EXPECT_EQ(packet.data.frames()[1].data(), packets[0].data.frames()[1].data()); // shared
      auto event = parse_bluesky_event(packet.data);
      ASSERT_TRUE(event);
      EXPECT_EQ(event->seq_num, 4 + i);
      EXPECT_EQ(event->uid, std::string(1, static_cast<char>('a' + i)));
      EXPECT_EQ(event->time, 1.5 + static_cast<double>(i));
      EXPECT_EQ(*event->data.find("x"), value(0.5 + static_cast<double>(i)));
      EXPECT_EQ(*event->data.find("n"), value(static_cast<std::int64_t>(7 + i)));
      EXPECT_EQ(event->data.find("rows")->as_array()->shape(), (std::vector<std::size_t>{2}));
      if (serializer != json) {
        EXPECT_EQ(*event->data.find("rows"),
                  value(array::of(std::vector<std::int32_t>{pixels[2 * i], pixels[2 * i + 1]})));
      }
      EXPECT_EQ(*event->data.find("text"), value(std::string(1, static_cast<char>('p' + i))));
      EXPECT_EQ(*event->timestamps.find("x"), value(1.25 + static_cast<double>(i)));
      EXPECT_EQ(parse_bluesky_descriptor(packet.data)->uid, "d1");
    }
  }
}

TEST(bluesky, names_the_events_of_a_page_that_does_not_add_up) {
  auto format = prepared();
  auto packets =
      read(*format, "event_page", R"({"descriptor":"d1","seq_num":[1,2],"data":{"a":[1,2],"b":[1]}})");
  ASSERT_EQ(packets.size(), 2u);
  for (std::size_t i = 0; i < 2; ++i) {
    EXPECT_EQ(packets[i].fault, packet_fault::truncated);
    EXPECT_TRUE(packets[i].numbered);
    EXPECT_EQ(packets[i].numbers.number, i);
    EXPECT_FALSE(packets[i].data);
  }
  packets = read(*format, "event_page", R"({"descriptor":"d1","seq_num":[1,0,"x",4],"data":{}})");
  ASSERT_EQ(packets.size(), 4u);
  EXPECT_FALSE(packets[0].fault);
  expect_refused(packets[1], packet_fault::unknown);
  expect_refused(packets[2], packet_fault::unknown);
  EXPECT_FALSE(packets[3].fault);
  packets = read(*format, "event_page", R"({"descriptor":"d1","seq_num":[3]})");
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_EQ(packets[0].fault, packet_fault::unknown);
  EXPECT_EQ(packets[0].numbers.number, 2u);
  expect_refused(one(*format, "event_page", R"({"descriptor":"d1","seq_num":3,"data":{}})"),
                 packet_fault::unknown);
  EXPECT_TRUE(read(*format, "event_page", R"({"descriptor":"d1","seq_num":[],"data":{}})").empty());
}

TEST(bluesky, takes_events_that_bring_their_descriptor) {
  auto bring = memory_frames::of(
      bluesky_type_tag, {" event " + std::string(json_event), " descriptor " + std::string(json_descriptor)});
  auto packets = read(*make_bluesky(), bring);
  ASSERT_EQ(packets.size(), 1u);
  EXPECT_FALSE(packets[0].fault);
  EXPECT_EQ(packets[0].numbers.number, 2u);
  EXPECT_EQ(packets[0].data.frames().data(), bring.frames().data()); // as it is
  for (auto second : {" descriptor {}", " stop {}", "junk", ""}) {
    packets = read(*make_bluesky(),
                   memory_frames::of(bluesky_type_tag, {" event " + std::string(json_event), second}));
    ASSERT_EQ(packets.size(), 1u);
    expect_refused(packets[0], packet_fault::oversized);
  }
  packets = read(*make_bluesky(),
                 memory_frames::of(bluesky_type_tag,
                                   {R"( start {"uid":"r"})", " descriptor " + std::string(json_descriptor)}));
  expect_refused(packets.at(0), packet_fault::oversized);
}

TEST(bluesky, refuses_what_does_not_validate) {
  struct {
    std::string_view name, document;
    packet_fault fault;
  } cases[] = {
      {"strat", "{}", packet_fault::unknown},
      {"start", "", packet_fault::truncated},
      {"start", "{}", packet_fault::unknown},
      {"start", R"({"uid":1})", packet_fault::unknown},
      {"start", "{", packet_fault::not_json},
      {"start", " []", packet_fault::not_json},
      {"start", "x", packet_fault::unknown},
      {"start", "\x80\x04N.", packet_fault::unknown}, // None
      {"start", "\x80\x04", packet_fault::corrupt},
      {"start", "\x80\x02cos\nsystem\n.", packet_fault::corrupt},
      {"start", "\x81\xa3uid", packet_fault::corrupt},
      {"stop", "{}", packet_fault::unknown},
      {"descriptor", R"({"uid":"d"})", packet_fault::unknown},
      {"descriptor", R"({"data_keys":{}})", packet_fault::unknown},
      {"event", R"({"seq_num":1,"data":{}})", packet_fault::unknown},
      {"event", R"({"descriptor":"other","seq_num":1,"data":{}})", packet_fault::unknown},
      {"event", R"({"descriptor":"d1","data":{}})", packet_fault::unknown},
      {"event", R"({"descriptor":"d1","seq_num":0,"data":{}})", packet_fault::unknown},
      {"event", R"({"descriptor":"d1","seq_num":-1,"data":{}})", packet_fault::unknown},
      {"event", R"({"descriptor":"d1","seq_num":1.0,"data":{}})", packet_fault::unknown},
      {"event_page", R"({"descriptor":"d1","data":{}})", packet_fault::unknown},
  };
  auto format = prepared();
  for (auto& c : cases) {
    SCOPED_TRACE(c.document);
    expect_refused(one(*format, c.name, c.document), c.fault);
  }
  auto known = one(*format, "event", R"({"descriptor":"d1","seq_num":5,"data":1})");
  EXPECT_EQ(known.fault, packet_fault::unknown);
  EXPECT_TRUE(known.numbered);
  EXPECT_EQ(known.numbers.number, 4u);
  for (auto text : {"", "start", " start", "start {}"})
    expect_refused(read(*format, message(text)).at(0), packet_fault::truncated);
  expect_refused(read(*format, memory_frames::of(bluesky_type_tag, {})).at(0), packet_fault::truncated);
}

TEST(bluesky, forgets_descriptors) {
  auto event_is_known = [](protocol& format) { return !one(format, "event", json_event).fault; };
  auto format = prepared();
  EXPECT_TRUE(event_is_known(*format));
  one(*format, "stop", R"({"run_start":"other"})");
  EXPECT_TRUE(event_is_known(*format));
  one(*format, "stop", R"({"run_start":"r1"})");
  EXPECT_FALSE(event_is_known(*format));
  format = prepared();
  format->reset();
  EXPECT_FALSE(event_is_known(*format));

  auto others = [](protocol& reader, std::size_t n, std::size_t size) {
    for (std::size_t i = 0; i < n; ++i)
      read(reader, "descriptor",
           R"({"data_keys":{},"uid":")" + std::to_string(i) + R"(","x":")" + std::string(size, 'x') + "\"}");
  };
  format = prepared();
  others(*format, bluesky_descriptor_limit - 1, 0);
  EXPECT_TRUE(event_is_known(*format));
  others(*format, bluesky_descriptor_limit, 0);
  EXPECT_FALSE(event_is_known(*format));
  format = prepared();
  others(*format, 7, bluesky_json_limit - 100);
  EXPECT_TRUE(event_is_known(*format));
  others(*format, 9, bluesky_json_limit - 100);
  EXPECT_FALSE(event_is_known(*format));
}

TEST(bluesky, bounds_documents) {
  auto format = prepared();
  auto long_text = R"({"uid":")" + std::string(bluesky_json_limit, 'x') + "\"}";
  expect_refused(one(*format, "start", long_text), packet_fault::oversized);
  std::string keys = R"({"uid":"u")";
  for (std::size_t i = 0; i < bluesky_key_limit; ++i) keys += ",\"" + std::to_string(i) + "\":1";
  expect_refused(one(*format, "start", keys + "}"), packet_fault::oversized);

  std::string page = R"({"descriptor":"d1","data":{},"seq_num":[1)";
  for (std::size_t i = 1; i < bluesky_page_limit; ++i) page += ",1";
  EXPECT_EQ(read(*format, "event_page", page + "]}").size(), bluesky_page_limit);
  expect_refused(one(*format, "event_page", page + ",1]}"), packet_fault::oversized);

  // A page of very many columns would take very long.
  auto wide = [](int rows) {
    std::string numbers = "[1";
    for (int i = 1; i < rows; ++i) numbers += ",1";
    numbers += "]";
    std::string text = R"({"descriptor":"d1","seq_num":)" + numbers + R"(,"data":{)";
    for (int i = 0; i < 1000; ++i) text += (i ? ",\"" : "\"") + std::to_string(i) + "\":" + numbers;
    return text + "}}";
  };
  EXPECT_EQ(read(*format, "event_page", wide(33)).size(), 33u);
  expect_refused(one(*format, "event_page", wide(34)), packet_fault::oversized);
}

TEST(bluesky, decodes_nothing_else) {
  auto event = prepared();
  auto good = one(*event, "event", json_event).data;
  EXPECT_EQ(bluesky_kind(good), entry_kind::data);
  EXPECT_FALSE(parse_bluesky_start(good));
  EXPECT_FALSE(parse_bluesky_stop(good));
  auto start = message("start", R"({"uid":"r1"})");
  EXPECT_EQ(bluesky_kind(start), entry_kind::start);
  EXPECT_FALSE(parse_bluesky_event(start));
  EXPECT_FALSE(parse_bluesky_descriptor(start));
  EXPECT_EQ(bluesky_kind(message("stop", R"({"run_start":"r1"})")), entry_kind::end);
  for (auto& bad :
       {stream_data(), message(""), message("junk"), message("start", "junk"), message("datum", "{}"),
        message("event", R"({"descriptor":"d1","seq_num":1})"), message("stop", "{}")}) {
    EXPECT_FALSE(bluesky_kind(bad));
    EXPECT_FALSE(parse_bluesky_start(bad));
    EXPECT_FALSE(parse_bluesky_event(bad));
    EXPECT_FALSE(parse_bluesky_stop(bad));
    EXPECT_FALSE(parse_bluesky_descriptor(bad));
  }
}

TEST(bluesky, survives_hostile_bytes) {
  std::mt19937 random(1);
  int passed = 0, refused = 0;
  for (auto text : {pickled_event, packed_event, json_event}) {
    auto format = prepared();
    for (std::size_t n = 0; n < text.size(); ++n) {
      EXPECT_TRUE(one(*format, "event", text.substr(0, n)).fault);
      for (int i = 0; i < 20; ++i) {
        std::string changed(text);
        changed[n] = static_cast<char>(random());
        for (auto& packet : read(*format, "event", changed)) {
          EXPECT_EQ(packet.fault.has_value(), !packet.data);
          EXPECT_EQ(parse_bluesky_event(packet.data).has_value(), !packet.fault);
          ++(packet.fault ? refused : passed);
        }
      }
    }
  }
  EXPECT_GT(passed, 1000);
  EXPECT_GT(refused, 1000);
}

TEST(bluesky, rejects_options) {
  EXPECT_THROW(make_bluesky({{"serializer", "xml"}}), std::runtime_error);
  EXPECT_THROW(make_bluesky({{"prefix", "a b"}}), std::runtime_error);
  EXPECT_THROW(make_bluesky({{"topic", "x"}}), std::runtime_error);
}

} // namespace
} // namespace dtranspose
