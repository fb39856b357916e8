#include "model/dispatch_book.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

worker_run run(std::uint64_t first, std::uint32_t count, std::uint32_t stride = 1) {
  return {{event_number(first), count, stride}, worker_index(0), slot_index(0), 1, 1};
}

slot_run slots(std::uint64_t first, std::uint32_t count) {
  return {{event_number(first), count, 1}, slot_index(0), 1};
}

class a_dispatch_book : public testing::Test {
 protected:
  a_dispatch_book() {
    book.add_worker();
    book.add_worker();
    for (int i = 0; i < 100; ++i) fates.open(1);
  }

  std::vector<std::uint64_t> open_events() {
    std::vector<std::uint64_t> events;
    for (auto& g : book.open_of(worker_index(0), fates))
      for (std::uint32_t i = 0; i < g.run.events.count; ++i) events.push_back(g.run.events.at(i).value);
    return events;
  }

  ledger fates{100};
  dispatch_book book;
};

TEST_F(a_dispatch_book, lists_what_is_open_with_its_dispatch) {
  book.give(run(0, 4), dispatch_id(1));
  book.give(run(10, 3, 5), dispatch_id(2));
  fates.end(slots(1, 2), fate::folded);
  fates.end(slots(15, 1), fate::lost);
  EXPECT_THAT(open_events(), ElementsAre(0, 3, 10, 20));
  EXPECT_EQ(book.open_of(worker_index(0), fates).back().dispatch, dispatch_id(2));
  EXPECT_THAT(book.open_of(worker_index(1), fates), IsEmpty());
}

TEST_F(a_dispatch_book, forgets_what_has_ended_at_the_front) {
  book.give(run(0, 4), dispatch_id(1));
  book.give(run(10, 3, 5), dispatch_id(2));
  fates.end(slots(0, 4), fate::folded);
  fates.end(slots(10, 1), fate::folded);
  book.prune(fates);
  EXPECT_EQ(book.runs(), 1u);
  EXPECT_EQ(book.of(worker_index(0)).front().run.events, (event_run{event_number(15), 2, 5}));
  EXPECT_THAT(open_events(), ElementsAre(15, 20));
  fates.end(slots(15, 6), fate::folded);
  book.prune(fates);
  EXPECT_EQ(book.runs(), 0u);
}

TEST_F(a_dispatch_book, a_worker_that_is_gone_has_nothing) {
  book.give(run(0, 4), dispatch_id(1));
  book.clear(worker_index(0));
  EXPECT_THAT(open_events(), IsEmpty());
}

} // namespace
} // namespace dtranspose
