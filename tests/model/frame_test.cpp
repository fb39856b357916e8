#include "model/frame.hpp"

#include <set>
#include <string>
#include <thread>

#include <gtest/gtest.h>

#include "model/type_tag.hpp"

namespace dtranspose {
namespace {

/// Tells how many of its kind are alive.
class counted_frames final : public frame_owner {
 public:
  explicit counted_frames(std::atomic<int>& alive) : alive_(alive) { ++alive_; }
  ~counted_frames() override { --alive_; }

 private:
  std::atomic<int>& alive_;
};

stream_data counted(std::atomic<int>& alive) {
  return stream_data(std::make_unique<counted_frames>(alive), "TEST");
}

TEST(frame, views_bytes) {
  const std::string text("a\0b", 3);
  frame f(text.data(), text.size());
  EXPECT_EQ(f.text(), text);
  EXPECT_EQ(f.size(), 3u);
  EXPECT_EQ(static_cast<const void*>(f.data()), text.data());
  EXPECT_EQ(frame().size(), 0u);
}

TEST(stream_data, holds_its_frames_in_order) {
  auto data = memory_frames::of("TEST", {"head", "", "blob"});
  EXPECT_EQ(data.type(), "TEST");
  ASSERT_EQ(data.frames().size(), 3u);
  EXPECT_EQ(data.frames()[0].text(), "head");
  EXPECT_EQ(data.frames()[1].text(), "");
  EXPECT_EQ(data.frames()[2].text(), "blob");
  EXPECT_EQ(data.bytes(), 8u);
}

TEST(stream_data, an_empty_handle_has_nothing) {
  stream_data none;
  EXPECT_FALSE(none);
  EXPECT_EQ(none.type(), "");
  EXPECT_TRUE(none.frames().empty());
  EXPECT_EQ(none.bytes(), 0u);
  none.reset();
  EXPECT_EQ(none, stream_data());
}

TEST(stream_data, copies_share_the_bytes) {
  auto data = memory_frames::of("TEST", {"blob"});
  auto copy = data;
  EXPECT_EQ(copy.frames()[0].data(), data.frames()[0].data());
}

TEST(stream_data, the_last_handle_frees_the_bytes) {
  std::atomic<int> alive = 0;
  {
    auto a = counted(alive);
    auto b = a;
    auto c = std::move(a);
    EXPECT_FALSE(a);
    c.reset();
    EXPECT_EQ(alive, 1);
    EXPECT_TRUE(b);
  }
  EXPECT_EQ(alive, 0);
}

TEST(stream_data, assigning_frees_what_was_there) {
  std::atomic<int> alive = 0;
  auto a = counted(alive), b = counted(alive);
  a = b;
  EXPECT_EQ(alive, 1);
  b = stream_data();
  EXPECT_EQ(alive, 1);
  auto& self = a;
  a = self;
  EXPECT_EQ(alive, 1);
  a = std::move(self);
  EXPECT_EQ(alive, 1);
  EXPECT_TRUE(a);
  a.reset();
  a.reset();
  EXPECT_EQ(alive, 0);
}

TEST(stream_data, equality_is_of_type_and_bytes) {
  auto a = memory_frames::of("TEST", {"x", "y"});
  EXPECT_EQ(a, memory_frames::of("TEST", {"x", "y"}));
  EXPECT_FALSE(a == memory_frames::of("OTHER", {"x", "y"}));
  EXPECT_FALSE(a == memory_frames::of("TEST", {"xy"}));
  EXPECT_FALSE(a == memory_frames::of("TEST", {"x", "z"}));
  EXPECT_FALSE(a == stream_data());
}

TEST(stream_data, borrowed_frames_keep_what_they_view) {
  auto text = std::make_shared<const std::string>("mapped");
  std::weak_ptr<const std::string> watch = text;
  stream_data data(std::make_unique<borrowed_frames>(std::vector<frame>{frame(text->data(), 3)}, text),
                   "TEST");
  text.reset();
  EXPECT_FALSE(watch.expired());
  EXPECT_EQ(data.frames()[0].text(), "map");
  data.reset();
  EXPECT_TRUE(watch.expired());
}

TEST(stream_data, handles_may_be_copied_and_dropped_in_any_thread) {
  std::atomic<int> alive = 0;
  auto data = counted(alive);
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([mine = data] {
      for (int i = 0; i < 10'000; ++i) {
        auto copy = mine;
        auto moved = std::move(copy);
      }
    });
  data.reset();
  for (auto& t : threads) t.join();
  threads.clear();
  EXPECT_EQ(alive, 0);
}

// -- type tags -----------------------------------------------------------------------------------

TEST(intern_type, equal_tags_are_the_same_text) {
  auto first = intern_type(std::string("frame_test tag"));
  auto again = intern_type(std::string("frame_test tag"));
  EXPECT_EQ(first, "frame_test tag");
  EXPECT_EQ(first.data(), again.data());
  EXPECT_EQ(intern_type(""), "");
}

TEST(intern_type, a_tag_of_absurd_length_is_other) {
  EXPECT_EQ(intern_type(std::string(256, 'x')), std::string(256, 'x'));
  EXPECT_EQ(intern_type(std::string(257, 'x')), "other");
}

// In a process of its own: the table is that of the process, and other tests need room in it.
TEST(intern_type, distinct_tags_are_bounded_in_number) {
  EXPECT_EXIT(
      {
        auto known = intern_type("known");
        std::set<std::string_view> distinct;
        for (int i = 0; i < 100'000; ++i) distinct.insert(intern_type("tag " + std::to_string(i)));
        bool bounded = distinct.size() < 10'000 && distinct.contains("other");
        std::exit(bounded && intern_type("known").data() == known.data() ? 0 : 1);
      },
      testing::ExitedWithCode(0), "");
}

TEST(intern_type, threads_agree_on_a_tag) {
  std::vector<std::thread> threads;
  std::vector<const char*> places(4);
  for (std::size_t t = 0; t < places.size(); ++t)
    threads.emplace_back([&places, t] {
      for (int i = 0; i < 100; ++i) intern_type("thread tag " + std::to_string(i % 10));
      places[t] = intern_type("thread tag 5").data();
    });
  for (auto& t : threads) t.join();
  EXPECT_EQ(std::set<const char*>(places.begin(), places.end()).size(), 1u);
}

} // namespace
} // namespace dtranspose
