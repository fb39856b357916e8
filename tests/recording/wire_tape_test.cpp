#include "recording/wire_tape.hpp"

#include <gmock/gmock.h>

#include "protocol/stins.hpp"
#include "source/source.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr std::size_t frame_bytes = 10;

stream_data message(std::string_view text) { return memory_frames::of("", {text}); }

class wire_tape_test : public testing::Test {
 protected:
  std::unique_ptr<wire_tape> make(bool leave_gaps = false, transport way = transport::zmq_pull) {
    wire_tape_options o{
        .folder = "/folder", .what = {"det", "stins", {}}, .way = way, .packed = packing::zstd};
    o.budget = 2 * budgeted_bytes(frame_bytes);
    o.leave_gaps = leave_gaps;
    o.clock = [this] { return ++time_; };
    auto tape = std::make_unique<wire_tape>(std::move(o));
    tape->call_when_filled([this] { ++woken_; });
    return tape;
  }

  /// What waits, in words.
  static std::vector<std::string> told(wire_tape& tape) {
    std::vector<std::string> list;
    for (auto& entry : tape.take_all()) {
      using kind = wire_tape::entry::kind;
      switch (entry.what) {
      case kind::file:
        list.push_back(entry.file.empty() ? "end" : "file");
        break;
      case kind::message:
      case kind::bytes:
        list.push_back((entry.what == kind::bytes ? "bytes " : "") +
                       std::string(entry.data.frames()[0].text()));
        break;
      case kind::interruption:
        list.push_back("interruption");
        break;
      case kind::gap:
        list.push_back("gap of " + std::to_string(entry.left_out.messages) + ", " +
                       std::to_string(entry.left_out.bytes));
      }
    }
    return list;
  }

  std::int64_t time_ = 0;
  int woken_ = 0;
};

TEST_F(wire_tape_test, keeps_what_comes_in_its_order_from_begin_to_end) {
  auto tape = make();
  tape->take(message("early"));
  tape->take_interruption();
  auto file = tape->begin();
  EXPECT_EQ(file.parent_path(), "/folder");
  EXPECT_TRUE(file.filename().string().starts_with("det-wire-1970-01-01"));
  EXPECT_EQ(file.extension(), ".zst");
  tape->take_interruption();
  tape->take(message("a"));
  tape->take_interruption();
  tape->take(message("b"));
  tape->end();
  tape->take(message("late"));
  EXPECT_EQ(woken_, 1);
  EXPECT_THAT(told(*tape), ElementsAre("file", "a", "interruption", "b", "end"));
  EXPECT_THAT(tape->take_all(), IsEmpty());
  tape->begin();
  EXPECT_EQ(woken_, 2);
}

TEST_F(wire_tape_test, counts_what_waits_until_it_is_written) {
  auto tape = make();
  tape->begin();
  for (auto text : {"0123456789", "0123456789", "0123456789"}) tape->take(message(text));
  EXPECT_EQ(tape->waiting(), 3 * budgeted_bytes(frame_bytes)) << "who allows the source holds it";
  EXPECT_THAT(told(*tape), SizeIs(4));
  EXPECT_EQ(tape->waiting(), 3 * budgeted_bytes(frame_bytes)) << "nothing of it is written yet";
  tape->written(2 * budgeted_bytes(frame_bytes));
  EXPECT_EQ(tape->waiting(), budgeted_bytes(frame_bytes));
  EXPECT_EQ(tape->counted().messages, 3u);
  EXPECT_EQ(tape->counted().left_out.messages, 0u);
}

TEST_F(wire_tape_test, leaves_out_what_is_beyond_its_budget_and_says_where) {
  auto tape = make(true);
  tape->begin();
  for (auto text : {"0000000000", "1111111111", "2222222222", "33333"}) tape->take(message(text));
  tape->take_interruption();
  tape->written(2 * budgeted_bytes(frame_bytes));
  tape->take(message("4444444444"));
  EXPECT_THAT(told(*tape), ElementsAre("file", "0000000000", "1111111111", "gap of 2, 15", "4444444444"));
  EXPECT_EQ(tape->counted().messages, 5u);
  EXPECT_EQ(tape->counted().left_out.bytes, 15u);
  tape->take(message("5555555555"));
  tape->take(message("6"));
  tape->end();
  EXPECT_THAT(told(*tape), ElementsAre("5555555555", "gap of 1, 1", "end"));
}

TEST_F(wire_tape_test, wakes_its_writer_again_behind_a_gap) {
  auto tape = make(true);
  tape->begin();
  for (auto text : {"0000000000", "1111111111"}) tape->take(message(text));
  tape->take_all();
  tape->take(message("2222222222")); // what was taken is not written yet
  tape->written(2 * budgeted_bytes(frame_bytes));
  auto before = woken_;
  tape->take(message("3333333333"));
  EXPECT_EQ(woken_, before + 1);
  EXPECT_THAT(told(*tape), ElementsAre("gap of 1, 10", "3333333333"));
}

TEST_F(wire_tape_test, wakes_a_writer_that_comes_late) {
  auto tape = make();
  tape->call_when_filled({});
  tape->begin();
  tape->call_when_filled([this] { ++woken_; });
  EXPECT_EQ(woken_, 1);
}

TEST_F(wire_tape_test, takes_one_message_of_any_size) {
  auto tape = make(true);
  tape->begin();
  tape->take(message(std::string(10'000, 'x')));
  EXPECT_THAT(told(*tape), SizeIs(2));
}

TEST_F(wire_tape_test, knows_byte_streams) {
  auto tape = make(false, transport::tcp);
  tape->begin();
  tape->take(message("a piece"));
  EXPECT_THAT(told(*tape), ElementsAre("file", "bytes a piece"));
}

TEST_F(wire_tape_test, gets_what_is_read_as_ever) {
  std::shared_ptr<wire_tape> tape = make();
  auto format = make_recorded_protocol(make_stins(), tape);
  std::string start, end;
  write_stins_header(start, 0, "");
  write_stins_end(end, 1);
  std::vector<stream_packet> packets;
  format->reset();
  tape->begin();
  for (auto& text : {start, std::string("no JSON"), end}) format->read(message(text), packets);
  format->interrupted(packets);
  ASSERT_THAT(packets, SizeIs(3));
  EXPECT_EQ(packets[2].numbers.kind, entry_kind::end);
  EXPECT_THAT(told(*tape), ElementsAre("file", start, "no JSON", end, "interruption"));
}

} // namespace
} // namespace dtranspose
