#include "actors/bulk_meeting.hpp"

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

stream_data type_only() { return memory_frames::of("A", {}); }

/// A message with one entry whose frames travel beside it, and one that has its own.
partial_events message(std::uint64_t ticket, std::uint64_t sequence, std::uint32_t frames = 2) {
  partial_events m;
  m.ticket = ticket;
  m.sequence = sequence;
  m.entries.push_back({event_number(sequence), {}, memory_frames::of("A", {"own"}), {}, 0});
  m.entries.push_back({event_number(sequence + 100), {}, type_only(), {}, frames});
  return m;
}

std::shared_ptr<const bulk_piece> piece(std::uint64_t ticket, std::uint64_t sequence) {
  auto p = std::make_shared<bulk_piece>();
  p->ticket = ticket;
  p->sequence = sequence;
  auto texts = std::make_shared<std::vector<std::string>>(
      std::vector{"head " + std::to_string(sequence), std::string("image")});
  for (auto& t : *texts) p->frames.emplace_back(t.data(), t.size());
  p->keep = texts;
  return p;
}

void expect_whole(const std::optional<partial_events>& m, std::uint64_t sequence) {
  ASSERT_TRUE(m);
  EXPECT_EQ(m->sequence, sequence);
  EXPECT_TRUE(m->entries[0].data == memory_frames::of("A", {"own"}));
  EXPECT_EQ(m->entries[1].carried, 0U);
  EXPECT_TRUE(m->entries[1].data == memory_frames::of("A", {"head " + std::to_string(sequence), "image"}));
}

TEST(bulk_meeting, joins_whichever_comes_first) {
  bulk_meeting meeting;
  EXPECT_FALSE(meeting.take(message(5, 0)));
  expect_whole(meeting.take(piece(5, 0)), 0);
  EXPECT_FALSE(meeting.take(piece(5, 1)));
  EXPECT_FALSE(meeting.take(piece(5, 2)));
  expect_whole(meeting.take(message(5, 1)), 1);
  expect_whole(meeting.take(message(5, 2)), 2);
  EXPECT_EQ(meeting.waiting(), 0U);
  EXPECT_EQ(meeting.bytes(), 3U * 11);
  EXPECT_FALSE(meeting.take_lacking());
}

TEST(bulk_meeting, keeps_ways_apart) {
  bulk_meeting meeting;
  EXPECT_FALSE(meeting.take(message(5, 0)));
  EXPECT_FALSE(meeting.take(piece(6, 0)));
  expect_whole(meeting.take(message(6, 0)), 0);
  expect_whole(meeting.take(piece(5, 0)), 0);
}

TEST(bulk_meeting, notices_that_frames_were_lost) {
  bulk_meeting meeting;
  EXPECT_FALSE(meeting.take(message(5, 0)));
  EXPECT_FALSE(meeting.take(message(5, 1)));
  EXPECT_FALSE(meeting.take(piece(5, 1)));
  auto lacking = meeting.take_lacking();
  ASSERT_TRUE(lacking);
  EXPECT_EQ(lacking->sequence, 0U);
  EXPECT_FALSE(meeting.take_lacking());
  // That way is over.
  EXPECT_FALSE(meeting.take(piece(5, 2)));
  EXPECT_FALSE(meeting.take(message(5, 2)));
  EXPECT_EQ(meeting.waiting(), 0U);
  EXPECT_FALSE(meeting.take_lacking());
}

TEST(bulk_meeting, notices_other_frames_than_announced) {
  bulk_meeting meeting;
  EXPECT_FALSE(meeting.take(piece(5, 0)));
  EXPECT_FALSE(meeting.take(message(5, 0, 3)));
  ASSERT_TRUE(meeting.take_lacking());
}

TEST(bulk_meeting, lets_go_of_a_way_that_is_given_up) {
  bulk_meeting meeting;
  EXPECT_FALSE(meeting.take(message(5, 0)));
  EXPECT_FALSE(meeting.take(piece(6, 9)));
  meeting.retire(5);
  EXPECT_EQ(meeting.waiting(), 1U);
  EXPECT_FALSE(meeting.take(piece(5, 0)));
  EXPECT_EQ(meeting.waiting(), 1U);
}

} // namespace
} // namespace dtranspose
