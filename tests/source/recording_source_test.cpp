#include "source/recording_source.hpp"

#include <chrono>
#include <fstream>
#include <thread>

#include <gmock/gmock.h>

#include "recording/dump_writer.hpp"
#include "recordings.hpp"
#include "source/collector.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

using test::collector;
using test::everything;
using test::soon;

class recording_source : public testing::Test {
 protected:
  /// A dump with one frame of `size` bytes for each of `events` of `stream`.
  std::shared_ptr<const mapped_file> recorded(const std::string& name, const std::string& stream,
                                              const std::vector<std::uint64_t>& events,
                                              std::size_t size = 44) {
    {
      dump_writer writer(directory_ / name);
      for (auto event : events) {
        auto text = std::to_string(event);
        text.resize(size, ' ');
        const dump_stream data{stream, memory_frames::of("STINS", {text})};
        writer.append(event, {&data, 1});
      }
    }
    return mapped_file::open(directory_ / name);
  }

  static std::vector<std::uint64_t> events_of(const std::vector<stream_packet>& packets) {
    std::vector<std::uint64_t> events;
    for (auto& packet : packets) events.push_back(packet.numbers.event.value());
    return events;
  }

  test::temporary_directory directory_;
  collector got_; // outlives the sources of the tests
};

TEST_F(recording_source, plays_its_stream_in_step) {
  auto source = make_recording_source(
      {recorded("1", "det", {0, 3, 4, 9}), recorded("2", "other", {0, 1, 2}), recorded("3", "det", {1, 5})},
      "det");
  source->arm(got_.sink());
  source->allow(everything, 1);
  auto packets = got_.wait_for(6);
  EXPECT_THAT(events_of(packets), ElementsAre(0, 1, 3, 4, 5, 9));
  for (auto& packet : packets) {
    EXPECT_EQ(packet.numbers.kind, entry_kind::data);
    EXPECT_EQ(packet.data.type(), "STINS");
    EXPECT_FALSE(packet.fault);
    EXPECT_EQ(std::stoull(std::string(packet.data.frames()[0].text())), *packet.numbers.event);
  }
  EXPECT_EQ(got_.bytes(), 6 * 300u);
  EXPECT_TRUE(soon([&] { return !source->status().connected; }));
  EXPECT_THAT(source->status().error, IsEmpty());
  EXPECT_THAT(source->status().address, HasSubstr((directory_ / "3").string()));
}

TEST_F(recording_source, keeps_to_its_allowance) {
  auto source = make_recording_source({recorded("1", "det", {0, 1, 2, 3, 4, 5, 6, 7})}, "det");
  source->arm(got_.sink()); // a packet counts 300
  EXPECT_THAT(got_.settled(), IsEmpty());
  EXPECT_TRUE(soon([&] { return !source->status().reading; }));
  source->allow(299, 0);
  EXPECT_THAT(got_.settled(), IsEmpty());
  source->allow(300, 0);
  EXPECT_THAT(got_.wait_for(1), SizeIs(1));
  source->allow(899, 0);
  EXPECT_THAT(got_.wait_for(2), SizeIs(2));
  EXPECT_THAT(got_.settled(), SizeIs(2));
  source->allow(0, 0); // an allowance that comes late takes nothing back
  source->allow(900, 0);
  EXPECT_THAT(got_.wait_for(3), SizeIs(3));
  EXPECT_THAT(got_.settled(), SizeIs(3));
  source->allow(everything, 0);
  EXPECT_THAT(got_.wait_for(8), SizeIs(8));
  EXPECT_TRUE(source->status().reading);
}

TEST_F(recording_source, one_packet_beyond_passes_for_each_time_it_is_allowed) {
  auto source = make_recording_source({recorded("1", "det", {0, 1, 2, 3, 4, 5})}, "det");
  source->arm(got_.sink());
  source->allow(0, 1);
  EXPECT_THAT(got_.wait_for(1), SizeIs(1));
  source->allow(0, 1); // said again: it has passed
  EXPECT_THAT(got_.settled(), SizeIs(1));
  source->allow(100, 301);
  EXPECT_THAT(got_.wait_for(2), SizeIs(2));
  EXPECT_THAT(got_.settled(), SizeIs(2));
  source->allow(900, 601); // within the allowance: nothing beyond it
  EXPECT_THAT(got_.wait_for(3), SizeIs(3));
  EXPECT_THAT(got_.settled(), SizeIs(3));
}

TEST_F(recording_source, batches_are_bounded) {
  std::vector<std::uint64_t> events(1000);
  for (std::size_t i = 0; i < events.size(); ++i) events[i] = i;
  auto small = make_recording_source({recorded("small", "det", events)}, "det");
  small->arm(got_.sink());
  small->allow(everything, 0);
  EXPECT_THAT(got_.wait_for(1000), SizeIs(1000));
  EXPECT_THAT(got_.batches(), testing::Each(testing::Pointee(
                                  testing::Field(&packet_batch::packets, SizeIs(testing::Le(256))))));

  collector large_ones;
  auto large = make_recording_source(
      {recorded("large", "det", {0, 1, 2, 3, 4}, 400000), recorded("larger", "det", {5, 6}, 3000000)}, "det");
  large->arm(large_ones.sink());
  large->allow(everything, 0);
  EXPECT_THAT(large_ones.wait_for(7), SizeIs(7));
  std::vector<std::size_t> sizes;
  for (auto& batch : large_ones.batches()) sizes.push_back(batch->packets.size());
  large.reset();
  EXPECT_THAT(sizes, ElementsAre(2, 2, 1, 1, 1));
}

TEST_F(recording_source, begins_anew_when_armed_again) {
  auto source = make_recording_source({recorded("1", "det", {0, 1, 2, 3})}, "det");
  source->arm(got_.sink());
  source->allow(700, 0);
  EXPECT_THAT(got_.wait_for(2), SizeIs(2));
  collector second;
  source->arm(second.sink());
  EXPECT_THAT(second.settled(), IsEmpty()); // the allowance begins at 0
  source->allow(everything, 0);
  EXPECT_THAT(events_of(second.wait_for(4)), ElementsAre(0, 1, 2, 3));
  EXPECT_TRUE(soon([&] { return !source->status().connected; }));
  source->arm(second.sink()); // after its end, too
  source->allow(everything, 0);
  EXPECT_THAT(events_of(second.wait_for(8)), ElementsAre(0, 1, 2, 3, 0, 1, 2, 3));
  EXPECT_THAT(got_.settled(), SizeIs(2));
  source.reset();
}

TEST_F(recording_source, disarming_is_prompt_wherever_it_is) {
  std::vector<std::uint64_t> events(20000);
  for (std::size_t i = 0; i < events.size(); ++i) events[i] = i;
  auto source = make_recording_source({recorded("1", "det", events)}, "det");
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

TEST_F(recording_source, says_why_it_ended_early) {
  auto path = directory_ / "cut";
  recorded("cut", "det", {0, 1, 2});
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 10);
  auto cut = make_recording_source({mapped_file::open(path)}, "det");
  cut->arm(got_.sink());
  cut->allow(everything, 0);
  EXPECT_THAT(events_of(got_.wait_for(2)), ElementsAre(0, 1));
  EXPECT_TRUE(soon([&] { return !cut->status().connected; }));
  EXPECT_THAT(cut->status().error, HasSubstr("cut off"));

  collector twice;
  auto doubled = make_recording_source({recorded("1", "det", {0, 1}), recorded("2", "det", {1, 2})}, "det");
  doubled->arm(twice.sink());
  doubled->allow(everything, 0);
  EXPECT_TRUE(soon([&] { return !doubled->status().connected; }));
  EXPECT_THAT(events_of(twice.settled()), ElementsAre(0, 1));
  EXPECT_THAT(doubled->status().error, HasSubstr("stream 'det' has event 1 after event 1"));
}

TEST_F(recording_source, refuses_what_is_no_dump) {
  std::ofstream(directory_ / "raw") << "\x81\x41x";
  EXPECT_THROW(make_recording_source({mapped_file::open(directory_ / "raw")}, "det"), std::runtime_error);
}

TEST_F(recording_source, plays_a_real_recording) {
  auto recording = test::find_recording("dump_xrd.cbors");
  if (!recording) GTEST_SKIP() << "dump_xrd.cbors is not there: set DTRANSPOSE_RECORDINGS";
  auto source = make_recording_source({mapped_file::open(*recording)}, "xrd");
  source->arm(got_.sink());
  source->allow(everything, 0);
  auto packets = got_.wait_for(11);
  ASSERT_THAT(packets, SizeIs(11));
  EXPECT_THAT(packets[0].data.frames()[0].text(), HasSubstr("header"));
  for (int i = 1; i <= 9; ++i) EXPECT_EQ(packets[i].data.frames()[1].size(), 200u);
  EXPECT_THAT(packets[10].data.frames()[0].text(), HasSubstr("series_end"));
}

TEST_F(recording_source, leaves_events_out) {
  auto only = std::make_shared<event_runs>();
  for (std::uint64_t event : {0, 4, 9}) only->append(event);
  auto source =
      make_recording_source({recorded("1", "det", {0, 1, 3, 4, 8, 9, 10})}, "det", {.events = only});
  source->arm(got_.sink());
  source->allow(everything, 1);
  EXPECT_THAT(events_of(got_.wait_for(3)), ElementsAre(0, 4, 9));
  EXPECT_TRUE(soon([&] { return !source->status().connected; }));
  EXPECT_THAT(got_.settled(), SizeIs(3));
}

TEST_F(recording_source, waits_for_each_step) {
  event_runs events;
  for (std::uint64_t event = 0; event < 4; ++event) events.append(event);
  auto pace = std::make_shared<playback>(playback::settings{.stepwise = true, .events = events});
  auto source = make_recording_source({recorded("1", "det", {0, 1, 2, 3})}, "det", {.pace = pace});
  pace->begin();
  source->arm(got_.sink());
  source->allow(everything, 1);
  EXPECT_THAT(got_.settled(), IsEmpty());
  for (std::size_t step = 1; step < 4; ++step) {
    pace->step();
    EXPECT_THAT(got_.wait_for(step), SizeIs(step));
    EXPECT_THAT(got_.settled(), SizeIs(step));
  }
  EXPECT_EQ(pace->bytes(), 3 * 44u);
  pace->run_on();
  EXPECT_THAT(got_.wait_for(4), SizeIs(4));
  EXPECT_TRUE(soon([&] { return pace->ended() == 1; }));
}

TEST_F(recording_source, is_disarmed_while_it_waits_for_a_step) {
  event_runs events;
  events.append(0);
  auto pace = std::make_shared<playback>(playback::settings{.stepwise = true, .events = events});
  auto source = make_recording_source({recorded("1", "det", {0})}, "det", {.pace = pace});
  pace->begin();
  source->arm(got_.sink());
  source->allow(everything, 1);
  source->disarm();
  pace->step();
  EXPECT_THAT(got_.settled(), IsEmpty());
}

} // namespace
} // namespace dtranspose
