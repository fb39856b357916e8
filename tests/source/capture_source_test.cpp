#include "source/capture_source.hpp"

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <gmock/gmock.h>

#include "model/stream_queue.hpp"
#include "protocol/stins.hpp"
#include "recording/packed.hpp"
#include "recordings.hpp"
#include "source/collector.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using test::collector;
using test::everything;
using test::soon;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Le;
using testing::Pointee;
using testing::SizeIs;

std::string header(std::uint64_t message_number) {
  std::string text;
  write_stins_header(text, message_number, "");
  return text;
}

std::string end(std::uint64_t message_number) {
  std::string text;
  write_stins_end(text, message_number);
  return text;
}

/// An image of `size` bytes.
std::string image(std::uint64_t message_number, std::uint64_t number, std::size_t size = 10) {
  const std::size_t shape[] = {size};
  std::string text;
  write_stins_image(text, message_number, {.frame = number, .shape = shape, .type = "uint8"});
  return test::captured({text, std::string(size, 'x')});
}

std::string series(std::uint64_t images, std::size_t size = 10) {
  auto bytes = test::captured({header(0)});
  for (std::uint64_t i = 0; i < images; ++i) bytes += image(i + 1, i, size);
  return bytes + test::captured({end(images + 1)});
}

std::shared_ptr<const mapped_file> file(std::string_view bytes) {
  return mapped_file::of(std::as_bytes(std::span(bytes)), "file.cbors");
}

/// Makes a given number of packets of each message, or none.
class rows final : public protocol {
 public:
  explicit rows(std::size_t packets) : packets_(packets) {}
  std::string_view name() const override { return "rows"; }
  std::string_view type_tag() const override { return "ROWS"; }
  void read(stream_data message, std::vector<stream_packet>& packets) override {
    for (std::size_t i = 0; i < packets_; ++i)
      packets.push_back({.data = message, .numbers = {.number = number_++}});
  }
  void reset() override { number_ = 0; }

 private:
  std::size_t packets_;
  std::uint64_t number_ = 0;
};

class capture_source : public testing::Test {
 protected:
  static std::vector<std::uint64_t> numbers_of(const std::vector<stream_packet>& packets) {
    std::vector<std::uint64_t> numbers;
    for (auto& packet : packets) numbers.push_back(packet.numbers.number.value());
    return numbers;
  }

  collector got_; // outlives the sources of the tests
};

TEST_F(capture_source, plays_messages_as_if_they_were_received) {
  auto recorded = series(3);
  auto source = make_capture_source(file(recorded), make_stins());
  EXPECT_TRUE(source->status().connected);
  EXPECT_EQ(source->status().address, "file.cbors");
  source->arm(got_.sink());
  source->allow(everything, 0);
  auto packets = got_.wait_for(5);
  ASSERT_THAT(packets, SizeIs(5));
  EXPECT_EQ(packets[0].numbers.kind, entry_kind::start);
  EXPECT_EQ(packets[4].numbers.kind, entry_kind::end);
  for (std::uint64_t i = 0; i < 3; ++i) {
    auto& numbers = packets[i + 1].numbers;
    EXPECT_EQ(numbers.kind, entry_kind::data);
    EXPECT_EQ(numbers.number, i);
    EXPECT_EQ(numbers.message_number, i + 1);
    EXPECT_FALSE(numbers.event);
    EXPECT_EQ(packets[i + 1].data.type(), "STINS");
    EXPECT_EQ(packets[i + 1].data.frames()[1].text(), "xxxxxxxxxx");
  }
  EXPECT_TRUE(soon([&] { return !source->status().connected; }));
  EXPECT_THAT(source->status().error, IsEmpty());
}

TEST_F(capture_source, faults_are_played_as_well) {
  auto source = make_capture_source(file(test::captured({header(0)}) + test::captured({"no json"}) +
                                         image(1, 0) + test::captured({"{\"htype\":\"image\",\"frame\":1}"}) +
                                         test::captured({}) + test::captured({end(2)})),
                                    make_stins());
  source->arm(got_.sink());
  source->allow(everything, 0);
  auto packets = got_.wait_for(6);
  ASSERT_THAT(packets, SizeIs(6));
  EXPECT_EQ(packets[1].fault, packet_fault::not_json);
  EXPECT_FALSE(packets[1].numbered);
  EXPECT_EQ(packets[3].fault, packet_fault::unknown);
  EXPECT_TRUE(packets[3].numbered);
  EXPECT_EQ(packets[3].numbers.number, 1u);
  EXPECT_EQ(packets[4].fault, packet_fault::truncated);
  EXPECT_EQ(packets[5].numbers.kind, entry_kind::end);
}

TEST_F(capture_source, every_message_counts_once_whatever_it_holds) {
  auto recorded = file(test::capture_of({std::string(44, 'a'), std::string(144, 'b')}));
  for (std::size_t packets : {0, 1, 5}) {
    collector got;
    auto source = make_capture_source(recorded, std::make_unique<rows>(packets));
    source->arm(got.sink());
    source->allow(everything, 0);
    EXPECT_TRUE(soon([&] { return !source->status().connected; })) << packets;
    EXPECT_EQ(got.bytes(), 300 + 400u) << packets;
    EXPECT_THAT(got.settled(), SizeIs(2 * packets));
    source.reset();
  }
}

TEST_F(capture_source, packets_come_with_the_bytes_of_their_message) {
  auto recorded =
      file(test::capture_of({std::string(44, 'a'), std::string(144, 'b'), std::string(744, 'c')}));
  auto source = make_capture_source(recorded, std::make_unique<rows>(2));
  source->arm(got_.sink());
  std::uint64_t allowed = 0;
  for (std::uint64_t cost : {300, 400, 1000}) {
    source->allow(allowed += cost, 0);
    EXPECT_TRUE(soon([&] { return got_.bytes() == allowed; }));
    EXPECT_EQ(got_.batches().back()->bytes, cost);
    EXPECT_THAT(got_.batches().back()->packets, SizeIs(2));
  }
}

TEST_F(capture_source, messages_without_packets_use_up_the_allowance_and_are_handed_over) {
  auto source = make_capture_source(file(test::capture_of({std::string(44, 'a'), std::string(44, 'b')})),
                                    std::make_unique<rows>(0));
  source->arm(got_.sink());
  source->allow(300, 0);
  EXPECT_TRUE(soon([&] { return got_.bytes() == 300; }));
  EXPECT_TRUE(soon([&] { return !source->status().reading; }));
  EXPECT_TRUE(source->status().connected);
  source->allow(600, 0);
  EXPECT_TRUE(soon([&] { return got_.bytes() == 600; }));
}

TEST_F(capture_source, keeps_to_its_allowance) {
  std::string recorded;
  for (int i = 0; i < 8; ++i) recorded += test::captured({std::string(44, 'x')}); // counts 300
  auto source = make_capture_source(file(recorded), std::make_unique<rows>(1));
  source->arm(got_.sink());
  EXPECT_THAT(got_.settled(), IsEmpty());
  EXPECT_TRUE(soon([&] { return !source->status().reading; }));
  source->allow(299, 0);
  EXPECT_THAT(got_.settled(), IsEmpty());
  source->allow(300, 0);
  EXPECT_THAT(got_.wait_for(1), SizeIs(1));
  source->allow(899, 0);
  EXPECT_THAT(got_.wait_for(2), SizeIs(2));
  EXPECT_THAT(got_.settled(), SizeIs(2));
  source->allow(0, 601); // one beyond
  EXPECT_THAT(got_.wait_for(3), SizeIs(3));
  source->allow(0, 601); // said again: it has passed
  EXPECT_THAT(got_.settled(), SizeIs(3));
  source->allow(everything, 0);
  EXPECT_THAT(got_.wait_for(8), SizeIs(8));
  EXPECT_TRUE(source->status().reading);
}

TEST_F(capture_source, batches_are_bounded) {
  auto small = make_capture_source(file(series(1000)), make_stins());
  small->arm(got_.sink());
  small->allow(everything, 0);
  EXPECT_THAT(got_.wait_for(1002), SizeIs(1002));
  EXPECT_THAT(got_.batches(), Each(Pointee(testing::Field(&packet_batch::packets, SizeIs(Le(256))))));
  EXPECT_THAT(got_.batches(), SizeIs(Le(10)));

  collector large_ones;
  auto large = make_capture_source(file(series(4, 400000)), make_stins());
  large->arm(large_ones.sink());
  large->allow(everything, 0);
  EXPECT_THAT(large_ones.wait_for(6), SizeIs(6));
  std::vector<std::size_t> sizes;
  for (auto& batch : large_ones.batches()) sizes.push_back(batch->packets.size());
  large.reset();
  EXPECT_THAT(sizes, ElementsAre(3, 3)); // start and two images, two images and end
}

TEST_F(capture_source, begins_anew_when_armed_again) {
  std::string recorded;
  for (int i = 0; i < 4; ++i) recorded += test::captured({std::string(44, 'x')});
  auto source = make_capture_source(file(recorded), std::make_unique<rows>(1));
  source->arm(got_.sink());
  source->allow(700, 0);
  EXPECT_THAT(got_.wait_for(2), SizeIs(2));
  collector second;
  source->arm(second.sink());
  EXPECT_THAT(second.settled(), IsEmpty()); // the allowance begins at 0
  source->allow(everything, 0);
  // From the first message on, with a protocol that has forgotten.
  EXPECT_THAT(numbers_of(second.wait_for(4)), ElementsAre(0, 1, 2, 3));
  EXPECT_TRUE(soon([&] { return !source->status().connected; }));
  source->arm(second.sink()); // after its end, too
  EXPECT_TRUE(source->status().connected);
  source->allow(everything, 0);
  EXPECT_THAT(numbers_of(second.wait_for(8)), ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
  EXPECT_THAT(got_.settled(), SizeIs(2));
  source.reset();
}

TEST_F(capture_source, disarming_is_prompt_wherever_it_is) {
  auto source = make_capture_source(file(series(20000)), make_stins());
  source->disarm();
  for (std::uint64_t allowed : {std::uint64_t{0}, std::uint64_t{5000}, everything})
    for (auto delay : {0us, 200us, 2000us}) {
      source->arm(got_.sink());
      source->allow(allowed, 0);
      std::this_thread::sleep_for(delay);
      auto begin = std::chrono::steady_clock::now();
      source->disarm();
      EXPECT_LT(std::chrono::steady_clock::now() - begin, 5s);
      auto count = got_.bytes();
      source->allow(everything, 1);
      std::this_thread::sleep_for(1ms);
      EXPECT_EQ(got_.bytes(), count);
    }
  source->arm(got_.sink()); // its destructor joins
}

TEST_F(capture_source, says_why_it_ended_early) {
  auto recorded = series(3);
  auto source = make_capture_source(file(recorded.substr(0, recorded.size() - 3)), make_stins());
  source->arm(got_.sink());
  source->allow(everything, 0);
  EXPECT_THAT(got_.wait_for(4), SizeIs(4));
  EXPECT_TRUE(soon([&] { return !source->status().connected; }));
  EXPECT_THAT(source->status().error, HasSubstr("file.cbors: byte "));
  EXPECT_THAT(source->status().error, HasSubstr("cut off"));
  source->arm(got_.sink());
  EXPECT_THAT(source->status().error, IsEmpty());
}

TEST_F(capture_source, refuses_what_is_no_capture) {
  EXPECT_THROW(make_capture_source(file("\xd9\xd9\xf7"), make_stins()), std::runtime_error);
  EXPECT_THROW(make_capture_source(file("\x80\x04\x95"), make_stins()), std::runtime_error);
}

/// Entries of a real recording.
struct recording {
  const char* name;
  const char* protocol;
  std::uint32_t entries;
  std::uint32_t missing = 0; ///< of them, because of faults

  friend void PrintTo(const recording& r, std::ostream* out) { *out << r.name; }
};

class captures_of_instruments : public testing::TestWithParam<recording> {};

/// Plays into the queue of an ingester that holds little, a few events at a time, and takes what goes out.
std::vector<outgoing_entry> through_queue(source& input, std::uint32_t entries) {
  stream_queue queue(entries, 64, {.retain = 100000, .read_ahead = 50000});
  collector got;
  input.arm(got.sink());
  std::vector<outgoing_entry> sent;
  std::size_t taken = 0;
  std::uint32_t assigned = 0;
  soon([&] {
    auto batches = got.batches();
    for (; taken < batches.size(); ++taken) queue.receive(*batches[taken]);
    if (auto some = std::min(entries - assigned, 40u); some > 0 && queue.idle()) {
      queue.assign({{event_number(assigned), some}, {process_index(0)}}, dispatch_id(1));
      assigned += some;
    }
    for (auto& entry : std::exchange(queue.outgoing(0), {})) {
      sent.push_back(entry);
      queue.forget({entry.event, entry.event + 1});
    }
    queue.ready_processes().clear();
    input.allow(queue.allowance(), queue.may_exceed() ? queue.handed_over() + 1 : 0);
    return sent.size() == entries;
  });
  input.disarm();
  EXPECT_EQ(queue.held_bytes(), 0u);
  return sent;
}

TEST_P(captures_of_instruments, pass_through_a_queue_that_holds_little) {
  auto& expected = GetParam();
  auto path = test::find_recording(expected.name);
  if (!path) GTEST_SKIP() << expected.name << " is not there: set DTRANSPOSE_RECORDINGS";
  auto format = make_protocol(expected.protocol);
  ASSERT_TRUE(format) << "there is no protocol " << expected.protocol;
  auto type = std::string(format->type_tag());
  auto input = make_capture_source(mapped_file::open(*path), std::move(format));
  for (int scan = 0; scan < 2; ++scan) {
    auto sent = through_queue(*input, expected.entries);
    ASSERT_EQ(sent.size(), expected.entries);
    std::uint32_t missing = 0;
    for (std::uint32_t i = 0; i < sent.size(); ++i) {
      EXPECT_EQ(sent[i].event.value, i);
      if (sent[i].missing)
        ++missing;
      else
        EXPECT_EQ(sent[i].data.type(), type);
    }
    EXPECT_EQ(missing, expected.missing);
  }
}

// The blobs of the Eiger's images are cut.
INSTANTIATE_TEST_SUITE_P(all, captures_of_instruments,
                         testing::Values(recording{"contrast-dump.cbors", "contrast", 22},
                                         recording{"eiger-small.cbors", "eiger_v1", 5, 3},
                                         recording{"pcap-zmq.cbors", "pcap", 1502},
                                         recording{"xspress3-dump.cbors", "xspress3", 22},
                                         recording{"xspress3-multipart.cbors", "xspress3", 7},
                                         recording{"maui-02-continuous-3.cbor.gz", "lecroy", 4}),
                         [](auto& about) {
                           std::string name = about.param.name;
                           std::replace_if(
                               name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

TEST_F(capture_source, waits_for_each_step) {
  event_runs events;
  events.append(0, 6);
  auto pace = std::make_shared<playback>(playback::settings{.stepwise = true, .events = events});
  collector got;
  auto source = make_capture_source(file(series(4)), make_stins(), {.pace = pace});
  pace->begin();
  source->arm(got.sink());
  source->allow(everything, 1);
  EXPECT_THAT(got.settled(), IsEmpty());
  for (std::size_t step = 1; step <= 6; ++step) {
    pace->step();
    EXPECT_THAT(got.wait_for(step), SizeIs(step));
    EXPECT_THAT(got.settled(), SizeIs(step));
  }
  EXPECT_TRUE(soon([&] { return pace->ended() == 1; }));
}

} // namespace
} // namespace dtranspose
