#include "analysis/scalar_worker.hpp"

#include <cmath>
#include <stdexcept>

#include <gmock/gmock.h>

#include "analysis/driven_analysis.hpp"

namespace dtranspose {
namespace {

using streams::made_event;
using testing::HasSubstr;

scalar_worker two_of(const std::string& a, const std::string& b) {
  return {[a, b](const parameters&) {
            return std::vector<named_scalar>{{"a", a}, {"b", b}, {"none", ""}};
          },
          {}};
}

TEST(scalar_worker, answers_with_numbers_by_their_names) {
  auto worker = two_of("alba:channel1", "contrast:sx");
  auto found = worker.process_event(reading(4, 0, 1, 2.5).view(), {}, false);
  EXPECT_EQ(found.content(), value(value_map{{"a", 4.0}, {"b", 2.5}}));
}

TEST(scalar_worker, starts_and_events_of_other_streams_are_nothing) {
  auto worker = two_of("alba:channel1", "contrast:sx");
  made_event start({{"alba", streams::alba({{1, 4}})}, {"contrast", streams::contrast_start()}});
  made_event other({{"xspress3", streams::xspress3_end()}});
  for (auto e : {&start, &other})
    EXPECT_EQ(worker.process_event(e->view(), {}, false).what(), answer::kind::nothing);
}

TEST(scalar_worker, what_is_missing_is_nan_and_what_is_not_sent_an_error) {
  auto worker = two_of("alba:channel1", "contrast:sx");
  made_event missing({{"alba", streams::alba({{1, 4}})}}, {"contrast"});
  auto found = worker.process_event(missing.view(), {}, false);
  EXPECT_EQ(number_in(found.content(), "a"), 4);
  EXPECT_TRUE(std::isnan(number_in(found.content(), "b")));
  made_event absent({{"alba", streams::alba({{1, 4}})}});
  try {
    worker.process_event(absent.view(), {}, false);
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("no contrast:sx"));
  }
  EXPECT_THROW(number_in(found.content(), "c"), std::runtime_error);
  EXPECT_THROW(number_in(value(), "c"), std::runtime_error);
}

} // namespace
} // namespace dtranspose
