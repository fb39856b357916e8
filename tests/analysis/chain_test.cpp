#include "analysis/chain.hpp"

#include <map>
#include <optional>

#include <gmock/gmock.h>

#include "analysis/images.hpp"
#include "analysis/reducer_host.hpp"
#include "analysis/registry.hpp"
#include "analysis/streams.hpp"
#include "analysis/worker_host.hpp"

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

const stream_names names{"det", "alba"};

/// A chain with a worker and a reducer, as a scan has them.
class scan {
 public:
  using settings = std::map<std::string, std::string>;

  scan(const std::string& analyses, const settings& set)
      : code_(load_analysis(analyses)), settings_(complete_parameters(*code_, set)),
        worker_(code_->make_worker(settings_), settings_, names),
        reducer_(code_->make_reducer(settings_), settings_, parameters_version(1),
                 [this](event_number e, const value& row, parameters_version) { rows[e.value] = row; }) {}

  /// An image of two pixels and a reading of the electrometer.
  void see(std::uint16_t left, std::uint16_t right, double current) {
    see({{stream_index(0), test::image<std::uint16_t>({1, 2}, {left, right})},
         {stream_index(1), streams::alba({{1, current}})}});
  }

  void see(std::vector<stream_entry> entries) {
    joined_batch batch;
    batch.entries = std::move(entries);
    joined_event e;
    e.number = event_number(next_++);
    e.entries = static_cast<std::uint32_t>(batch.entries.size());
    e.slots = 1;
    batch.events.push_back(e);
    mapped_batch out;
    worker_.process(batch, false, out);
    take(std::move(out));
  }

  void flush() {
    mapped_batch out;
    worker_.flush(out);
    take(std::move(out));
  }

  void change(const settings& set, std::uint64_t version) {
    settings_ = complete_parameters(*code_, set);
    reducer_.change_parameters(settings_, parameters_version(version),
                               [this](const parameters& p) { return code_->make_reducer(p); });
    mapped_batch out;
    EXPECT_EQ(worker_.change_parameters(
                  settings_, [this](const parameters& p) { return code_->make_worker(p); }, out),
              "");
    take(std::move(out));
    version_ = parameters_version(version);
  }

  void finish() {
    mapped_batch out;
    EXPECT_EQ(worker_.finish(out), "");
    take(std::move(out));
    reducer_.finish();
  }

  value at(const std::string& path) const {
    auto found = reducer_.published();
    std::size_t begin = 0;
    while (begin <= path.size()) {
      auto slash = std::min(path.find('/', begin), path.size());
      auto next = found.find(std::string_view(path).substr(begin, slash - begin));
      if (!next) return {};
      found = value(*next);
      begin = slash + 1;
    }
    return found;
  }
  double number(const std::string& path) const { return at(path).as_number().value_or(NAN); }
  double row(std::uint64_t event, const std::string& name) const {
    auto found = rows.at(event).find(name);
    return found ? found->as_number().value_or(NAN) : NAN;
  }

  std::map<std::uint64_t, value> rows;
  std::map<std::uint64_t, fate> fates;
  std::vector<std::string> causes;

 private:
  void take(mapped_batch out) {
    std::vector<ended_slots> ended;
    reducer_.fold(worker_index(0), version_, out, ended);
    for (auto& e : ended) {
      for (std::uint32_t i = 0; i < e.slots.events.count; ++i) fates[e.slots.events.at(i).value] = e.how;
      if (!e.cause.empty()) causes.push_back(e.cause);
    }
  }

  std::shared_ptr<const analysis> code_;
  parameters settings_;
  worker_host worker_;
  reducer_host reducer_;
  parameters_version version_ = parameters_version(1);
  std::uint64_t next_ = 0;
};

TEST(chain, parameters_and_results_are_called_by_their_step) {
  auto both = load_analysis("roi,cog");
  EXPECT_EQ(both->name(), "roi,cog");
  std::vector<std::string> parameters, results;
  for (auto& p : both->describe_parameters()) parameters.push_back(p.name);
  for (auto& r : both->describe_results(complete_parameters(*both, {}))) results.push_back(r.name);
  EXPECT_THAT(parameters, testing::IsSupersetOf({"roi.rows", "cog.threshold"}));
  EXPECT_THAT(results, testing::IsSupersetOf({"roi.mean", "cog.row"}));
}

TEST(chain, each_step_gives_its_rows_and_its_tree) {
  scan s("roi,cog", {{"roi.columns", "1:2"}});
  s.see(1, 3, 0);
  s.finish();
  EXPECT_EQ(s.row(0, "roi.mean"), 3);
  EXPECT_EQ(s.row(0, "cog.column"), 0.75);
  EXPECT_EQ(s.row(0, "cog.total"), 4);
  EXPECT_EQ(s.number("cog/events"), 1);
  EXPECT_TRUE(s.at("roi").is_null()); // it publishes nothing
  EXPECT_EQ(*s.at("_attrs/default").as_text(), "cog");
  EXPECT_EQ(s.fates.at(0), fate::folded);
}

TEST(chain, numbers_of_a_step_are_a_stream_for_those_behind_it) {
  scan s("cog,normalise", {{"normalise.signal", "cog:total"}, {"normalise.monitor", "alba:channel1"}});
  s.see(1, 3, 2);
  s.see(0, 0, 2);
  s.finish();
  EXPECT_EQ(s.row(0, "normalise.normalised"), 2);
  EXPECT_EQ(s.row(1, "normalise.normalised"), 0);
}

TEST(chain, those_behind_crop_see_the_region) {
  for (std::string stream : {"", "det"}) {
    scan s("roi,crop,cog", {{"crop.rows", "0:1"}, {"crop.columns", "1:2"}, {"crop.stream", stream}});
    s.see(1, 3, 0);
    s.finish();
    EXPECT_EQ(s.row(0, "roi.sum"), 4);
    EXPECT_EQ(s.row(0, "cog.total"), 3);
    EXPECT_EQ(s.row(0, "cog.column"), 0);
    auto cut = s.rows.at(0).find("crop.image");
    ASSERT_TRUE(cut && cut->as_array());
    EXPECT_THAT(cut->as_array()->elements<std::uint16_t>(), ElementsAre(3));
  }
}

TEST(chain, a_number_that_is_none_stays_none) {
  scan s("cog,normalise", {{"normalise.signal", "cog:row"}, {"normalise.monitor", "alba:channel1"}});
  s.see(0, 0, 2); // no spot
  EXPECT_THAT(s.row(0, "normalise.normalised"), testing::IsNan());
  EXPECT_THAT(s.causes, IsEmpty());
}

TEST(chain, a_step_that_defers_holds_the_rows_of_others_until_it_is_flushed) {
  scan s("roi,sum", {});
  s.see(1, 3, 0);
  s.see(10, 30, 0);
  EXPECT_THAT(s.fates, IsEmpty());
  s.flush();
  EXPECT_EQ(s.row(0, "roi.mean"), 2);
  EXPECT_EQ(s.row(1, "roi.mean"), 20);
  EXPECT_EQ(s.number("sum/frames"), 2);
  auto image = s.at("sum/image");
  ASSERT_TRUE(image.as_array());
  EXPECT_THAT(image.as_array()->elements<std::uint64_t>(), ElementsAre(11, 33));
  EXPECT_EQ(s.fates, (std::map<std::uint64_t, fate>{{0, fate::folded}, {1, fate::folded}}));
  s.see(1, 1, 0);
  s.finish();
  EXPECT_EQ(s.row(2, "roi.mean"), 1);
  EXPECT_EQ(s.number("sum/frames"), 3);
}

TEST(chain, an_event_that_a_step_fails_on_fails_and_no_step_behind_it_sees_it) {
  scan s("cog,sum", {});
  s.see(1, 1, 0);
  s.see({{stream_index(0), test::image<std::uint16_t>({3, 2}, {1, 1, 1, 1, 1, 1})}});
  s.see(1, 1, 0);
  s.finish();
  EXPECT_THAT(s.causes, ElementsAre(HasSubstr("cog: an image of shape")));
  EXPECT_EQ(s.fates.at(1), fate::failed);
  EXPECT_EQ(s.number("sum/frames"), 2);
}

TEST(chain, events_of_which_no_step_makes_anything_are_empty) {
  scan s("roi,cog", {});
  s.see({});
  EXPECT_EQ(s.fates.at(0), fate::empty);
}

TEST(chain, a_change_begins_that_step_anew_and_no_other) {
  scan s("cog,histogram", {{"histogram.signal", "det:sum"}, {"histogram.high", "10"}});
  s.see(1, 3, 0);
  s.change({{"histogram.signal", "det:sum"}, {"histogram.high", "20"}}, 2);
  s.see(1, 3, 0);
  s.finish();
  EXPECT_EQ(s.number("cog/events"), 2);
  EXPECT_EQ(s.number("histogram/events"), 1);
  EXPECT_EQ(s.number("histogram/earlier/0/events"), 1);
}

TEST(chain, refuses_what_cannot_be_told_apart) {
  auto refusal = [](const std::string& analyses) -> std::string {
    try {
      load_analysis(analyses);
      return {};
    } catch (const std::exception& e) {
      return e.what();
    }
  };
  EXPECT_THAT(refusal("roi,roi"), HasSubstr("'roi' is there twice"));
  EXPECT_THAT(refusal("roi,"), HasSubstr("no analysis ''"));
  auto code = load_analysis("cog,roi");
  EXPECT_THROW(
      {
        try {
          code->describe_results(complete_parameters(*code, {{"cog.limit", "-1"}}));
        } catch (const std::invalid_argument& e) {
          EXPECT_THAT(e.what(), HasSubstr("cog: parameter 'limit'"));
          throw;
        }
      },
      std::invalid_argument);
}

} // namespace
} // namespace dtranspose
