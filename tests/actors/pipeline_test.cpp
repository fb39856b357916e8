/// The whole pipeline in one thread, from a seed: random maps, random order of whatever may happen
/// next, and a plain model of what must come of it. `DTRANSPOSE_SEED=N` runs that seed alone.
#include <cmath>
#include <cstdlib>
#include <functional>
#include <set>

#include "actors/assembler.hpp"
#include "actors/controller.hpp"
#include "actors/fixture.hpp"
#include "actors/ingester.hpp"
#include "actors/reducer.hpp"
#include "actors/worker.hpp"
#include "model/plain_map.hpp"
#include "output/hdf5.hpp"
#include "protocol/stins.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace test;

constexpr std::size_t stream_count = 3;
const std::string names[stream_count] = {"stream1", "stream2", "stream3"};

/// What is drawn for one run.
struct variant {
  std::string analysis = "roi";
  std::function<plain::map(std::mt19937_64&)> make_map;
  std::uint64_t least_budget = 1, most_budget = 20; ///< in frames
  std::uint64_t late_window = 8;
  std::size_t losses = 0; ///< frames that one stream loses, at most
  bool disorder = false;  ///< duplicates, and swaps within the late window
  bool stop = false;      ///< somebody stops it on the way
};

std::uint16_t pixel_of(std::size_t stream, std::uint64_t number) {
  return static_cast<std::uint16_t>(1000 * (stream + 1) + number);
}

/// One series of a stream: start, images of one pixel, end.
std::vector<stream_packet> series(std::size_t stream, std::uint64_t images) {
  auto format = make_stins();
  std::vector<stream_packet> packets;
  std::string header;
  std::uint64_t message = 0;
  write_stins_header(header, message++, "raw.h5");
  format->read(memory_frames::of(stins_type_tag, {header}), packets);
  for (std::uint64_t n = 0; n < images; ++n) {
    std::size_t shape[] = {1, 1};
    write_stins_image(header, message++, {.frame = n, .shape = shape});
    auto x = pixel_of(stream, n);
    format->read(memory_frames::of(stins_type_tag, {header, {reinterpret_cast<char*>(&x), sizeof x}}),
                 packets);
  }
  write_stins_end(header, message);
  format->read(memory_frames::of(stins_type_tag, {header}), packets);
  return packets;
}

/// A few parts of up to 20 events with everything that a map may hold.
plain::map any_map(std::mt19937_64& random) {
  plain::map m;
  for (auto p = 1 + plain::below(random, 3); p > 0; --p) {
    plain::part next{"part" + std::to_string(p), {}};
    auto length = plain::below(random, 20);
    auto constraints = static_cast<std::int64_t>(1 + plain::below(random, 20));
    auto few = plain::below(random, 2) == 0;
    for (auto s = 1 + plain::below(random, stream_count); s > 0; --s) {
      plain::row r{names[s - 1], {}};
      for (std::size_t e = 0; e < length; ++e) {
        r.slots.push_back(
            plain::random_slot(random, few ? std::min<std::int64_t>(constraints, 4) : constraints));
        // More constraints than workers in one event are refused.
        if (auto& slot = r.slots.back(); slot && slot->size() > 1 && !few) slot->resize(1);
      }
      next.rows.push_back(r);
    }
    m.parts.push_back(next);
  }
  for (auto n = 1 + plain::below(random, 4); n > 0; --n)
    m.sequence.push_back(m.parts[plain::below(random, m.parts.size())].name);
  return m;
}

/// Every event has all streams, for one worker each.
plain::map even_map(std::mt19937_64& random) {
  plain::part p{"all", {}};
  auto length = 20 + plain::below(random, 40);
  for (auto& name : names) {
    plain::row r{name, {}};
    for (std::size_t e = 0; e < length; ++e)
      r.slots.push_back(std::vector<plain::worker>{{{"generic"}, static_cast<std::int64_t>(e)}});
    p.rows.push_back(r);
  }
  return {{p}, {"all"}};
}

/// Stands before the reducer and holds back `finish_scan`, so that a test can look at what is left
/// when every event has ended.
class gate {
 public:
  gate(world& w, caf::actor reducer) {
    handle = w.own(w.system().spawn([this, reducer](caf::event_based_actor* self) -> caf::behavior {
      return {[self, reducer](const arm& m) { return self->delegate(reducer, m); },
              [self, reducer](const disarm& m) { self->send(reducer, m); },
              [self, reducer](const seal& m) { return self->delegate(reducer, m); },
              [self, reducer](const keep_ledger& m) { return self->delegate(reducer, m); },
              [this, self](const finish_scan& m) {
                held_ = m;
                answer_ = self->make_response_promise<finished_scan>();
                return *answer_;
              },
              [this, self, reducer](tick_atom) {
                self->request(reducer, caf::infinite, held_)
                    .then([this](const finished_scan& m) { answer_->deliver(m); },
                          [this](const caf::error& e) { answer_->deliver(e); });
              }};
    }));
  }

  bool holds() const { return answer_.has_value(); }
  void open() { caf::anon_send(handle, tick_atom::value); }

  caf::actor handle;

 private:
  finish_scan held_;
  std::optional<caf::typed_response_promise<finished_scan>> answer_;
};

/// What the model says of an event.
struct expectation {
  fate how = fate::discarded;
  std::optional<double> row; ///< of `roi`, where there must be one
  bool may_lack_row = false; ///< another worker may have had what it needs
  bool by_loss = false;
};

class run {
 public:
  run(std::uint64_t seed, const variant& v) : v_(v), w_(seed), user_(w_) {
    w_.shuffled = true;
    build();
    draw();
    lose_and_disorder();
    play();
    if (!testing::Test::HasFatalFailure()) check();
  }

 private:
  static constexpr std::uint64_t frame_cost = 400; ///< more than any of ours counts against budgets

  std::uint64_t drawn(std::uint64_t least, std::uint64_t most) {
    return least + w_.random() % (most - least + 1);
  }

  // -- the system
  // -----------------------------------------------------------------------------------------

  void build() {
    reducer_ = w_.own(spawn_reducer(w_.system(), {
                                                     .life = incarnation(30),
                                                     .around = w_.around(),
                                                     .output = (directory_ / "out.h5").string(),
                                                 }));
    gate_.emplace(w_, reducer_);
    controller_ = w_.own(spawn_controller(w_.system(), {.life = incarnation(1),
                                                        .around = w_.around(),
                                                        .analysis = v_.analysis,
                                                        .parameters = {{"stream", names[0]}}}));
    member_info reduce;
    reduce.life = incarnation(30);
    reduce.reducer = gate_->handle;
    tell(controller_, reduce);
    reduce.reducer = reducer_;
    member_info ingest;
    ingest.life = incarnation(10);
    for (std::size_t s = 0; s < stream_count; ++s) {
      scripts_.push_back(std::make_shared<source_script>());
      budgets_.push_back({frame_cost * drawn(v_.least_budget, v_.most_budget),
                          frame_cost * drawn(v_.least_budget, v_.most_budget)});
      ingesters_.push_back(w_.own(spawn_ingester(w_.system(), {.stream = names[s],
                                                               .protocol = "stins",
                                                               .budget = budgets_.back(),
                                                               .late_window = v_.late_window,
                                                               .rearm_timeout = 2s,
                                                               .life = incarnation(10),
                                                               .around = w_.around(),
                                                               .make_source = [script = scripts_.back()] {
                                                                 return std::make_unique<scripted_source>(
                                                                     script);
                                                               }})));
      ingest.ingesters.push_back({names[s], ingesters_.back()});
    }
    tell(controller_, ingest);
    build_workers(20, {{"generic"}, {"generic"}}, reduce);
    build_workers(21, {{"generic"}, {"generic", "gpu"}}, reduce);
  }

  void build_workers(std::uint64_t life, const std::vector<tag_set>& tags, const member_info& reduce) {
    member_info m;
    m.life = incarnation(life);
    std::vector<caf::actor> handles;
    for (auto& t : tags) {
      auto name = "w" + std::to_string(workers_.size());
      handles.push_back(
          w_.own(spawn_worker(w_.system(), {.name = name, .life = m.life, .around = w_.around()})));
      workers_.push_back(handles.back());
      m.workers.push_back({name, t, handles.back()});
      tell(handles.back(), reduce);
    }
    m.assembler =
        w_.own(spawn_assembler(w_.system(), {.life = m.life, .memory = 1 << 20, .workers = handles}));
    assemblers_.push_back(m.assembler);
    tell(m.assembler, reduce);
    tell(controller_, m);
    for (auto& ingester : ingesters_) tell(ingester, m);
  }

  void tell(const caf::actor& to, const member_info& m) { caf::anon_send(to, m); }

  // -- the scan
  // -------------------------------------------------------------------------------------------

  void draw() {
    map_ = v_.make_map(w_.random);
    model_ = plain::expand(map_, true);
    std::map<std::string, std::uint64_t> entries;
    for (auto& e : model_)
      for (auto& [stream, slot] : e.slots)
        places_[stream].push_back(static_cast<std::uint64_t>(&e - model_.data()));
    for (std::size_t s = 0; s < stream_count; ++s) {
      auto n = places_[names[s]].size();
      packets_.push_back(n >= 2 ? series(s, n - 2) : std::vector<stream_packet>());
    }
  }

  void lose_and_disorder() {
    if (v_.losses > 0) {
      lossy_ = plain::below(w_.random, stream_count);
      auto& list = packets_[lossy_];
      for (auto n = drawn(1, v_.losses); n > 0 && list.size() > 2; --n) {
        auto at = static_cast<std::ptrdiff_t>(drawn(1, list.size() - 2));
        lost_.insert(*list[static_cast<std::size_t>(at)].numbers.number);
        list.erase(list.begin() + at);
      }
    }
    if (!v_.disorder) return;
    for (auto& list : packets_) {
      // No frame is moved twice, so that none comes later than the window allows.
      for (std::size_t i = 1; i + 2 < list.size(); ++i) {
        auto j = i + plain::below(w_.random, 4);
        if (plain::below(w_.random, 3) > 0 || j + 1 >= list.size()) continue;
        std::swap(list[i], list[j]);
        i = j;
      }
      for (std::size_t i = 1; i + 1 < list.size(); ++i)
        if (plain::below(w_.random, 5) == 0)
          list.insert(list.begin() + static_cast<std::ptrdiff_t>(drawn(i, list.size() - 2)), list[i]);
    }
  }

  /// Whatever may happen next happens, until the scan is over.
  void play() {
    auto answer = user_.ask<std::string>(controller_, set_sequence{plain::request(map_), true});
    ASSERT_EQ(answer.error(), "") << plain::request(map_);
    auto stop_at = v_.stop ? plain::below(w_.random, 400) : ~std::uint64_t{0};
    for (std::uint64_t steps = 0, quiet = 0;; ++steps) {
      if (steps == stop_at) caf::anon_send(controller_, stop_atom::value);
      if (plain::below(w_.random, 3) == 0 && push()) quiet = 0;
      if (w_.step() || push()) {
        quiet = 0;
        continue;
      }
      check_budgets();
      if (testing::Test::HasFatalFailure()) return;
      auto p = user_.ask<progress>(controller_, progress_atom::value).get();
      if (p.finished) return;
      if (p.state == "draining" && gate_->holds()) {
        check_nothing_left(p);
        gate_->open();
        w_.run();
        continue;
      }
      ASSERT_LT(++quiet, 200u) << "nothing happens any more: " << describe(p);
      w_.advance(100ms);
    }
  }

  /// A random stream hands over what it may of a random number of packets.
  bool push() {
    auto s = plain::below(w_.random, stream_count);
    for (std::size_t i = 0; i < stream_count; ++i, s = (s + 1) % stream_count) {
      auto& script = *scripts_[s];
      auto& next = pushed_[s];
      script.status.reading = false;
      std::vector<stream_packet> chunk;
      std::uint64_t cost = 0;
      for (auto n = drawn(1, 5); n > 0 && next < packets_[s].size(); --n) {
        auto size = packets_[s][next].data.bytes();
        auto fits = script.sink && ((chunk.empty() && script.handed_over < script.beyond) ||
                                    script.handed_over + cost + budgeted_bytes(size) <= script.allowed);
        if (!fits) break;
        cost += budgeted_bytes(size);
        chunk.push_back(packets_[s][next++]);
      }
      script.status.reading = next == packets_[s].size();
      if (chunk.empty()) continue;
      script.push(std::move(chunk));
      return true;
    }
    return false;
  }

  // -- what must hold
  // -------------------------------------------------------------------------------------

  value status(const caf::actor& of) { return user_.ask<value>(of, status_atom::value).get(); }

  void check_budgets() {
    for (std::size_t s = 0; s < stream_count; ++s) {
      auto report = status(ingesters_[s]);
      if (!report.find("held_bytes")) continue;
      // One packet passes beyond a budget, and so many as it takes to tell that a frame is missing.
      auto beyond = 1 + (v_.losses > 0 || v_.disorder ? v_.late_window : 0);
      ASSERT_LE(number_in(report, {"held_bytes"}), budgets_[s].retain + beyond * frame_cost) << names[s];
    }
  }

  /// Every event has ended: nobody keeps anything.
  void check_nothing_left(const progress& p) {
    EXPECT_EQ(p.completed_events, p.total_events);
    for (auto& assembler : assemblers_) {
      auto report = status(assembler);
      EXPECT_EQ(number_in(report, {"open_events"}), 0u);
      EXPECT_EQ(number_in(report, {"open_bytes"}), 0u);
      EXPECT_EQ(number_in(report, {"holes"}), 0u);
    }
    for (auto& worker : workers_) {
      EXPECT_EQ(number_in(status(worker), {"deferred"}), 0u);
      EXPECT_EQ(number_in(status(worker), {"unaccepted_results"}), 0u);
    }
    EXPECT_EQ(number_in(status(reducer_), {"duplicates"}), 0u);
    for (std::size_t s = 0; s < stream_count && !v_.stop; ++s)
      if (auto report = status(ingesters_[s]); report.find("held_bytes")) {
        EXPECT_EQ(number_in(report, {"held_bytes"}), 0u) << names[s];
      }
  }

  expectation expect(std::uint64_t event) const {
    expectation x;
    for (auto& [stream, slot] : model_[event].slots) {
      if (slot.empty()) continue;
      if (x.how == fate::discarded) x.how = fate::empty;
      auto& places = places_.at(stream);
      auto entry =
          static_cast<std::uint64_t>(std::find(places.begin(), places.end(), event) - places.begin());
      if (entry == 0 || entry + 1 == places.size()) continue;
      if (stream == names[lossy_] && lost_.contains(entry - 1))
        x.by_loss = true;
      else if (stream == names[0]) {
        x.how = fate::folded;
        x.row = pixel_of(0, entry - 1);
      }
    }
    if (x.by_loss) {
      x.how = fate::incomplete;
      x.may_lack_row = true;
    }
    return x;
  }

  void check() {
    auto p = user_.ask<progress>(controller_, progress_atom::value).get();
    std::uint64_t sum = 0;
    for (auto& [name, n] : p.fates) sum += n;
    EXPECT_EQ(p.total_events, model_.size());
    EXPECT_EQ(p.completed_events, model_.size());
    EXPECT_EQ(sum, model_.size());
    if (!v_.stop) {
      EXPECT_EQ(p.state, "finished") << p.trouble;
    }
    EXPECT_TRUE(p.state == "finished" || p.state == "stopped") << p.state << ": " << p.trouble;
    if (v_.stop) {
      EXPECT_EQ(p.fates["failed"] + p.fates["incomplete"], 0u);
      check_rows(p, true);
      return;
    }
    std::map<std::string, std::uint64_t> counts;
    std::set<std::uint64_t> incomplete;
    for (std::uint64_t e = 0; e < model_.size(); ++e) {
      auto x = expect(e);
      ++counts[name_of(x.how)];
      if (x.by_loss) incomplete.insert(e);
    }
    for (std::size_t f = 0; f < fate_count; ++f) {
      auto name = name_of(static_cast<fate>(f));
      EXPECT_EQ(p.fates[name], counts[name]) << name;
    }
    check_ledger(incomplete);
    check_rows(p, false);
  }

  /// The ledger names exactly the events that lost a frame, with the stream.
  void check_ledger(const std::set<std::uint64_t>& incomplete) {
    auto report = user_.ask<value>(controller_, ledger_atom::value).get();
    std::set<std::uint64_t> named;
    for (auto& t : *report.find("troubles")->as_list()) {
      EXPECT_THAT(*t.find("cause")->as_text(), testing::HasSubstr("'" + names[lossy_] + "'"));
      for (auto e = number_in(t, {"first"}); e <= number_in(t, {"last"}); ++e) named.insert(e);
    }
    EXPECT_EQ(named, incomplete);
  }

  void check_rows(const progress& p, bool stopped) {
    if (v_.analysis != "roi") return check_image();
    ASSERT_EQ(p.output, (directory_ / "out.h5").string());
    auto rows = read("/entry/result/mean", model_.size());
    std::uint64_t folded = 0;
    for (std::uint64_t e = 0; e < model_.size(); ++e) {
      auto x = expect(e);
      if (!std::isnan(rows[e])) ++folded;
      if ((stopped || x.may_lack_row) && std::isnan(rows[e])) continue;
      EXPECT_EQ(std::isnan(rows[e]), !x.row) << "event " << e;
      if (x.row) {
        EXPECT_EQ(rows[e], *x.row) << "event " << e;
      }
    }
    EXPECT_GE(folded, p.fates.at("folded"));
  }

  /// `sum` of a map whose events go to one worker each.
  void check_image() {
    double expected = 0;
    std::uint64_t frames = 0;
    for (std::uint64_t e = 0; e < model_.size(); ++e)
      if (auto x = expect(e); x.how == fate::folded) expected += *x.row, ++frames;
    EXPECT_EQ(read("/entry/result/frames", 1).at(0), static_cast<double>(frames));
    EXPECT_EQ(read("/entry/result/image", 1).at(0), expected);
  }

  std::vector<double> read(const std::string& name, std::size_t count) const {
    auto path = (directory_ / "out.h5").string();
    hdf5::be_quiet();
    hdf5::handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, path, "open");
    hdf5::handle set(H5Dopen2(file.get(), name.c_str(), H5P_DEFAULT), H5Dclose, name, "open");
    hdf5::handle space(H5Dget_space(set.get()), H5Sclose, name, "space");
    EXPECT_EQ(H5Sget_simple_extent_npoints(space.get()), static_cast<hssize_t>(count));
    std::vector<double> all(count);
    hdf5::check(H5Dread(set.get(), H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()), name,
                "read");
    return all;
  }

  std::string describe(const progress& p) {
    auto text = p.state + ", " + std::to_string(p.completed_events) + " of " +
                std::to_string(p.total_events) + " ended, " + std::to_string(p.last_assigned) + " assigned";
    for (std::size_t s = 0; s < stream_count; ++s) {
      text += "\n  " + names[s] + ": " + std::to_string(pushed_[s]) + " of " +
              std::to_string(packets_[s].size()) + " packets";
      auto report = status(ingesters_[s]);
      if (report.find("held_bytes"))
        text += ", holds " + std::to_string(number_in(report, {"held_bytes"})) + " bytes of " +
                std::to_string(budgets_[s].retain);
      if (auto event = report.find("waiting_for_event"))
        text += ", waits for event " + std::to_string(static_cast<std::uint64_t>(*event->as_number()));
    }
    for (auto& assembler : assemblers_)
      if (auto report = status(assembler); report.find("open_events"))
        text += "\n  assembler: " + std::to_string(number_in(report, {"open_events"})) + " events open";
    return text;
  }

  const variant& v_;
  temporary_directory directory_;
  world w_;
  probe user_;
  std::optional<gate> gate_;
  caf::actor controller_, reducer_;
  std::vector<caf::actor> ingesters_, assemblers_, workers_;
  std::vector<std::shared_ptr<source_script>> scripts_;
  std::vector<stream_queue::budget> budgets_;

  plain::map map_;
  std::vector<plain::event> model_;
  std::map<std::string, std::vector<std::uint64_t>> places_; ///< by stream: events of its entries
  std::vector<std::vector<stream_packet>> packets_;
  std::size_t pushed_[stream_count] = {};
  std::size_t lossy_ = 0;
  std::set<std::uint64_t> lost_; ///< numbers
};

void run_seeds(std::uint64_t count, const variant& v) {
  auto chosen = std::getenv("DTRANSPOSE_SEED");
  auto first = chosen ? std::strtoull(chosen, nullptr, 10) : 1;
  for (auto seed = first; seed < (chosen ? first + 1 : count + 1); ++seed) {
    SCOPED_TRACE("DTRANSPOSE_SEED=" + std::to_string(seed));
    run once(seed, v);
    if (testing::Test::HasFailure()) return;
  }
}

TEST(pipeline, any_map_ends_as_a_plain_loop_says) { run_seeds(200, {.make_map = any_map}); }

TEST(pipeline, duplicates_and_swaps_have_no_effect) {
  run_seeds(60, {.make_map = any_map, .least_budget = 40, .most_budget = 60, .disorder = true});
}

TEST(pipeline, a_lost_frame_costs_its_own_event) {
  run_seeds(60, {.make_map = any_map, .least_budget = 60, .most_budget = 80, .losses = 4});
}

TEST(pipeline, a_lost_frame_holds_up_nothing_when_budgets_are_small) {
  run_seeds(60, {.make_map = any_map, .losses = 2});
}

TEST(pipeline, a_stop_in_the_middle_adds_up) { run_seeds(60, {.make_map = any_map, .stop = true}); }

TEST(pipeline, deferred_results_cover_every_event_once) {
  run_seeds(40, {.analysis = "sum", .make_map = even_map, .least_budget = 4});
}

TEST(pipeline, deferred_results_and_lost_frames) {
  run_seeds(40,
            {.analysis = "sum", .make_map = even_map, .least_budget = 70, .most_budget = 90, .losses = 5});
}

} // namespace
} // namespace dtranspose
