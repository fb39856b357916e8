#include "model/seclusion.hpp"

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

joined_batch batch(std::initializer_list<std::pair<std::uint64_t, std::uint64_t>> events) {
  joined_batch b;
  for (auto [event, dispatch] : events) {
    b.events.push_back({event_number(event), slot_index(), 1, dispatch_id(dispatch),
                        static_cast<std::uint32_t>(b.entries.size()), 2});
    for (std::uint16_t s = 0; s < 2; ++s)
      b.entries.push_back({stream_index(static_cast<std::uint16_t>(event * 2 + s)), {}});
  }
  return b;
}

struct seclusion_test : testing::Test {
  /// The events of each piece that was handed out, and its entries as they should be.
  std::vector<std::vector<std::uint64_t>> taken() {
    std::vector<std::vector<std::uint64_t>> list;
    for (auto& p : out) {
      auto& events = list.emplace_back();
      for (auto& e : p.batch.events) {
        events.push_back(e.number.value);
        EXPECT_EQ(e.entries, 2u);
        for (std::uint32_t i = 0; i < 2; ++i)
          EXPECT_EQ(p.batch.entries.at(e.first_entry + i).stream.value, e.number.value * 2 + i);
      }
    }
    out.clear();
    return list;
  }
  seclusion s;
  std::vector<seclusion::piece> out;
};

TEST_F(seclusion_test, lets_everything_pass_that_is_not_secluded) {
  s.add(0, batch({{1, 1}, {2, 1}}), out);
  s.add(1, batch({{3, 1}}), out);
  EXPECT_THAT(taken(), ElementsAre(ElementsAre(1, 2), ElementsAre(3)));
  EXPECT_FALSE(s.asks());
}

TEST_F(seclusion_test, a_secluded_event_waits_until_all_before_it_are_through_and_for_leave) {
  s.seclude(dispatch_id(7));
  s.add(0, batch({{1, 1}}), out);
  s.add(1, batch({{2, 1}, {3, 7}, {4, 2}, {5, 2}}), out);
  EXPECT_THAT(taken(), ElementsAre(ElementsAre(1), ElementsAre(2)));
  EXPECT_FALSE(s.asks());
  s.done(out);
  EXPECT_FALSE(s.asks()) << "the other one is not through";
  EXPECT_FALSE(s.allow(dispatch_id(7), out));
  s.done(out);
  ASSERT_TRUE(s.asks());
  EXPECT_EQ(s.asks()->value, 7u);
  EXPECT_THAT(taken(), IsEmpty()) << "not without leave";
  EXPECT_FALSE(s.allow(dispatch_id(6), out));
  EXPECT_TRUE(s.allow(dispatch_id(7), out));
  EXPECT_FALSE(s.asks());
  s.add(0, batch({{6, 3}}), out);
  EXPECT_THAT(taken(), ElementsAre(ElementsAre(3))) << "it is alone";
  EXPECT_FALSE(s.through());
  s.done(out);
  EXPECT_EQ(s.through(), dispatch_id(7));
  s.add(0, batch({{7, 3}}), out);
  EXPECT_FALSE(s.known(dispatch_id(6), out));
  EXPECT_THAT(taken(), IsEmpty()) << "nobody knows yet that it was not this one";
  EXPECT_TRUE(s.known(dispatch_id(7), out));
  EXPECT_FALSE(s.through());
  EXPECT_THAT(taken(), ElementsAre(ElementsAre(4, 5), ElementsAre(6), ElementsAre(7)));
}

TEST_F(seclusion_test, several_go_one_after_the_other) {
  s.seclude(dispatch_id(7));
  s.seclude(dispatch_id(8));
  s.add(0, batch({{1, 7}, {2, 8}}), out);
  EXPECT_EQ(s.asks(), dispatch_id(7));
  EXPECT_FALSE(s.allow(dispatch_id(8), out));
  EXPECT_TRUE(s.allow(dispatch_id(7), out));
  s.done(out);
  EXPECT_FALSE(s.asks());
  EXPECT_TRUE(s.known(dispatch_id(7), out));
  EXPECT_EQ(s.asks(), dispatch_id(8));
  EXPECT_TRUE(s.allow(dispatch_id(8), out));
  s.done(out);
  EXPECT_TRUE(s.known(dispatch_id(8), out));
  EXPECT_THAT(taken(), ElementsAre(ElementsAre(1), ElementsAre(2)));
  s.add(0, batch({{3, 9}}), out);
  EXPECT_THAT(taken(), ElementsAre(ElementsAre(3)));
}

} // namespace
} // namespace dtranspose
