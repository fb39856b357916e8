#include "output/snapshots.hpp"

#include <atomic>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;

value image(double content, std::size_t elements = 1024) {
  return array::of(std::vector<double>(elements, content));
}

const array* array_in(const snapshot_store::handle& s, const char* name) {
  auto found = s->tree.find(name);
  return found ? found->as_array() : nullptr;
}

void publish(snapshot_store& store, const std::string& scan, double seconds, value tree = value_map{}) {
  store.publish(scan, seconds, 0, false, tree);
}

std::vector<std::uint64_t> numbers(const snapshot_store& store, std::string_view scan) {
  std::vector<std::uint64_t> list;
  for (auto& s : store.all(scan)) list.push_back(s->number);
  return list;
}

TEST(snapshot_store, is_empty_at_first) {
  snapshot_store store;
  EXPECT_EQ(store.latest(), nullptr);
  EXPECT_EQ(store.latest("a"), nullptr);
  EXPECT_EQ(store.find("a", 1), nullptr);
  EXPECT_THAT(store.scans(), IsEmpty());
  EXPECT_THAT(store.all("a"), IsEmpty());
  EXPECT_EQ(store.published(), 0u);
}

TEST(snapshot_store, the_latest_comes_first_and_earlier_ones_stay) {
  snapshot_store store;
  store.publish("a", 10, 5, false, value_map{{"n", 1}});
  auto first = store.latest();
  store.publish("a", 11, 6, true, value_map{{"n", 2}});
  auto latest = store.latest();
  EXPECT_EQ(latest->scan, "a");
  EXPECT_EQ(latest->number, 2u);
  EXPECT_EQ(latest->seconds, 11);
  EXPECT_EQ(latest->results, 6u);
  EXPECT_TRUE(latest->finished);
  EXPECT_EQ(*latest->tree.find("n"), value(2));
  EXPECT_EQ(*first->tree.find("n"), value(1)) << "what was published does not change";
  EXPECT_EQ(store.find("a", 1), first);
  EXPECT_EQ(store.find("a", 3), nullptr);
  EXPECT_EQ(store.published(), 2u);
}

TEST(snapshot_store, without_a_tree_it_is_an_empty_one) {
  snapshot_store store;
  publish(store, "a", 0, value());
  EXPECT_EQ(store.latest()->tree, value(value_map()));
  EXPECT_EQ(store.latest()->objects().objects().size(), 1u);
}

TEST(snapshot_store, the_last_scans_are_kept) {
  snapshot_store store({.scans = 2});
  for (auto scan : {"a", "b", "c"}) publish(store, scan, 0);
  EXPECT_EQ(store.latest()->scan, "c");
  EXPECT_EQ(store.latest("a"), nullptr);
  ASSERT_EQ(store.scans().size(), 2u);
  EXPECT_EQ(store.scans()[0]->scan, "c");
  EXPECT_EQ(store.scans()[1]->scan, "b");
}

TEST(snapshot_store, a_scan_that_goes_on_is_the_latest_again) {
  snapshot_store store;
  for (auto scan : {"a", "b", "a"}) publish(store, scan, 0);
  EXPECT_EQ(store.latest()->scan, "a");
  EXPECT_EQ(store.latest()->number, 2u);
  EXPECT_EQ(store.scans().size(), 2u);
}

TEST(snapshot_store, is_thinned_evenly_over_the_life_of_a_scan) {
  constexpr std::size_t kept = 16;
  snapshot_store store({.per_scan = kept});
  for (int i = 0; i < 1000; ++i) {
    publish(store, "a", i);
    auto all = store.all("a");
    ASSERT_LE(all.size(), kept);
    ASSERT_EQ(all.front()->number, 1u) << "the first one stays";
    ASSERT_EQ(all.back()->number, static_cast<std::uint64_t>(i) + 1) << "and so does the latest";
    if (i < 100) continue;
    for (std::size_t k = 1; k < all.size(); ++k)
      ASSERT_LE(all[k]->seconds - all[k - 1]->seconds, 2.5 * i / (kept - 1)) << "after " << i;
  }
  EXPECT_EQ(store.all("a").size(), kept);
}

TEST(snapshot_store, what_has_not_changed_is_shared) {
  snapshot_store store;
  for (int i = 0; i < 3; ++i)
    publish(store, "a", i, value_map{{"same", image(1)}, {"other", image(i)}, {"n", i}});
  auto all = store.all("a");
  EXPECT_EQ(array_in(all[0], "same"), array_in(all[2], "same"));
  EXPECT_NE(array_in(all[0], "other"), array_in(all[1], "other"));
  EXPECT_EQ(*array_in(all[2], "other"), *image(2).as_array());
  EXPECT_EQ(*all[2]->tree.find("n"), value(2));
}

TEST(snapshot_store, groups_that_have_not_changed_are_shared) {
  snapshot_store store;
  for (int i = 0; i < 2; ++i)
    publish(store, "a", i,
            value_map{{"group", value_map{{"x", image(1)}, {"n", 7}}},
                      {"mixed", value_map{{"inner", value_map{{"y", image(2)}, {"i", i}}}}}});
  auto all = store.all("a");
  EXPECT_EQ(all[0]->tree.find("group")->as_map(), all[1]->tree.find("group")->as_map());
  auto inner = [&](int i) { return all[i]->tree.find("mixed")->find("inner"); };
  EXPECT_EQ(inner(0)->find("y")->as_array(), inner(1)->find("y")->as_array());
  EXPECT_EQ(*inner(1)->find("i"), value(1));
}

TEST(snapshot_store, memory_is_counted_once_and_bounded) {
  auto bytes = 8 * std::size_t{1024};
  snapshot_store store({.bytes = 10 * bytes});
  for (int i = 0; i < 5; ++i) publish(store, "a", i, value_map{{"same", image(1)}});
  EXPECT_EQ(numbers(store, "a").size(), 5u);
  EXPECT_LT(store.bytes(), 2 * bytes);
  for (int i = 0; i < 50; ++i) {
    publish(store, "a", 5 + i, value_map{{"other", image(i)}});
    EXPECT_LE(store.bytes(), 10 * bytes);
  }
  EXPECT_GE(numbers(store, "a").size(), 5u);
  EXPECT_EQ(store.latest()->number, 55u);
}

TEST(snapshot_store, older_scans_make_room_first) {
  auto bytes = 8 * std::size_t{1024};
  snapshot_store store({.bytes = 6 * bytes});
  for (int i = 0; i < 4; ++i) publish(store, "a", i, value_map{{"x", image(i)}});
  for (int i = 0; i < 4; ++i) publish(store, "b", i, value_map{{"x", image(10 + i)}});
  EXPECT_THAT(numbers(store, "a"), ElementsAre(4)) << "the last one of an old scan goes last";
  EXPECT_THAT(numbers(store, "b"), ElementsAre(1, 2, 3, 4));
  for (int i = 4; i < 6; ++i) publish(store, "b", i, value_map{{"x", image(10 + i)}});
  EXPECT_EQ(store.latest("a"), nullptr);
}

TEST(snapshot_store, the_latest_stays_however_large) {
  snapshot_store store({.bytes = 100});
  publish(store, "a", 0, value_map{{"x", image(1)}});
  publish(store, "b", 1, value_map{{"x", image(2)}});
  publish(store, "b", 2, value_map{{"x", image(3)}});
  EXPECT_THAT(numbers(store, "b"), ElementsAre(2));
  EXPECT_EQ(store.latest("a"), nullptr);
  publish(store, "b", 3, value_map{});
  EXPECT_LT(store.bytes(), 100u) << "nothing is counted that is gone";
}

TEST(snapshot_store, what_is_read_stays_when_it_is_kept_no_more) {
  snapshot_store store({.scans = 1});
  publish(store, "a", 0, value_map{{"x", image(3)}});
  auto held = store.latest();
  publish(store, "b", 0);
  EXPECT_EQ(held->objects().find("/x")->data.shape(), (std::vector<std::size_t>{1024}));
  EXPECT_EQ(*array_in(held, "x"), *image(3).as_array());
}

TEST(snapshot_store, waits_for_news) {
  snapshot_store store;
  EXPECT_EQ(store.wait(0, 0ns), 0u);
  std::thread publisher([&] { publish(store, "a", 0); });
  EXPECT_EQ(store.wait(0, 60s), 1u);
  publisher.join();
  EXPECT_EQ(store.wait(0, 60s), 1u) << "what is there already is not waited for";
}

TEST(snapshot_store, is_read_while_it_is_written) {
  snapshot_store store({.per_scan = 4, .scans = 2});
  std::atomic<bool> done = false;
  std::atomic<int> torn = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([&] {
      for (std::uint64_t last = 0; !done;) {
        auto s = store.latest();
        if (!s) continue;
        auto x = array_in(s, "x");
        auto n = s->objects().find("n");
        if (!x || !n || x->elements<double>().front() != *n->data.content.as_number()) ++torn;
        if (s->results < last) ++torn;
        last = s->results;
        for (auto& other : store.all(s->scan)) torn += other->scan != s->scan;
      }
    });
  for (int i = 1; i <= 2000; ++i)
    store.publish("scan" + std::to_string(i / 100), i, static_cast<std::uint64_t>(i), false,
                  value_map{{"x", image(i, 600)}, {"n", i}});
  done = true;
  for (auto& reader : readers) reader.join();
  EXPECT_EQ(torn, 0);
}

} // namespace
} // namespace dtranspose
