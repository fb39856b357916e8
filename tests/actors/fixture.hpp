/// A world for actors in which nothing happens by itself: one thread, a clock that tests advance,
/// sources that tests feed, and probes that write down what they get.
#pragma once

#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/message_handler.hpp>
#include <caf/response_promise.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <caf/send.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "actors/messages.hpp"
#include "model/error.hpp"
#include "model/surroundings.hpp"
#include "output/journal.hpp"
#include "source/source.hpp"

namespace dtranspose::test {

using namespace std::chrono_literals;

/// The answer to a request, once it is there.
template <class T>
class pending {
 public:
  struct state {
    std::optional<T> value;
    std::optional<caf::error> error;
    std::uint64_t arrival = 0; ///< counts together with those of letters
  };

  explicit pending(std::shared_ptr<state> s) : state_(std::move(s)) {}

  bool open() const { return !state_->value && !state_->error; }
  /// The answer; a failure of the test where there is none.
  T get() const {
    EXPECT_FALSE(open()) << "no answer yet";
    EXPECT_EQ(error(), "");
    return state_->value.value_or(T());
  }
  /// What the error says; empty without one.
  std::string error() const { return state_->error ? text_of(*state_->error) : std::string(); }
  std::uint64_t arrival() const { return state_->arrival; }
  std::optional<ec> code() const { return state_->error ? code_of(*state_->error) : std::nullopt; }

 private:
  std::shared_ptr<state> state_;
};

/// What came to a probe.
struct letter {
  std::uint64_t arrival = 0; ///< counts over all probes of a world
  caf::message content;
  caf::response_promise answer; ///< of a request that was not answered at once
};

class world {
 public:
  explicit world(std::uint64_t seed = 1) : random(seed), system_(config_) {
    spdlog::set_level(spdlog::level::off);
  }
  world(const world&) = delete;
  world& operator=(const world&) = delete;
  ~world() {
    for (auto& actor : actors_) caf::anon_send_exit(actor, caf::exit_reason::user_shutdown);
    actors_.clear();
    run();
  }

  caf::actor_system& system() { return system_; }
  surroundings around() {
    return {[this] { return now; }, [this] { return now; }, [this] { return random(); }};
  }

  /// Ends the actor with this world.
  caf::actor own(caf::actor actor) {
    actors_.push_back(actor);
    return actor;
  }

  /// Runs one message of one actor: of the one that waits longest, or of any when `shuffled`.
  bool step() {
    auto& jobs = scheduler().jobs;
    if (shuffled && jobs.size() > 1) std::swap(jobs.front(), jobs[random() % jobs.size()]);
    return scheduler().try_run_once();
  }
  /// Runs until nobody has anything to do at this time.
  void run() {
    while (step()) {
    }
  }
  /// Lets time pass, in small steps as actors may set timers one after the other.
  void advance(std::chrono::nanoseconds by, std::chrono::nanoseconds step = 50ms) {
    run();
    for (; by.count() > 0; by -= step) {
      auto passed = std::min(by, step);
      now += passed.count();
      scheduler().advance_time(passed);
      run();
    }
  }
  caf::scheduler::test_coordinator& scheduler() {
    return dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler());
  }

  std::int64_t now = 1'700'000'000'000'000'000; ///< of both clocks, ns
  std::mt19937_64 random;
  bool shuffled = false;
  std::uint64_t arrivals = 0;

 private:
  struct testing_config : caf::actor_system_config {
    testing_config() {
      add_message_types<caf::id_block::dtranspose>();
      set("scheduler.policy", caf::atom("testing"));
    }
  };

  testing_config config_;
  caf::actor_system system_;
  std::vector<caf::actor> actors_;
};

/// Stands for any actor: keeps what it gets, sends and asks on behalf of the test.
class probe {
 public:
  /// `answers` are given at once; every other request waits for its letter's `answer`.
  explicit probe(world& w, caf::message_handler answers = {}) : world_(w) {
    handle = w.own(w.system().spawn([&](caf::event_based_actor* self) -> caf::behavior {
      self_ = self;
      self->set_default_handler(
          [this, answers](caf::scheduled_actor* me,
                          caf::message_view& view) mutable -> caf::result<caf::message> {
            auto content = view.move_content_to_message();
            letters.push_back({world_.arrivals++, content, {}});
            if (auto result = answers(content)) return std::move(*result);
            letters.back().answer = me->make_response_promise();
            return caf::delegated<caf::message>();
          });
      return {[](caf::unit_t) {}};
    }));
    w.run();
  }
  probe(const probe&) = delete;
  probe& operator=(const probe&) = delete;

  template <class... Ts>
  void send(const caf::actor& to, Ts&&... content) {
    self()->send(to, std::forward<Ts>(content)...);
    world_.run();
  }

  /// Asks, and lets the world run.
  template <class T, class... Ts>
  pending<T> ask(const caf::actor& to, Ts&&... content) {
    auto state = std::make_shared<typename pending<T>::state>();
    self()
        ->request(to, caf::infinite, std::forward<Ts>(content)...)
        .then(
            [this, state](const T& x) {
              state->value = x;
              state->arrival = world_.arrivals++;
            },
            [state](const caf::error& e) { state->error = e; });
    world_.run();
    return pending<T>(state);
  }

  /// Takes the oldest letter with a message of that type.
  template <class T>
  std::optional<letter> take_letter() {
    auto i = std::find_if(letters.begin(), letters.end(),
                          [](auto& l) { return l.content.template match_elements<T>(); });
    if (i == letters.end()) return std::nullopt;
    auto found = std::move(*i);
    letters.erase(i);
    return found;
  }

  /// Takes the oldest message of that type; a failure of the test that says what there is instead.
  template <class T>
  T expect() {
    auto found = take_letter<T>();
    if (!found) ADD_FAILURE() << "no " << typeid(T).name() << " among " << describe();
    return found ? found->content.template get_as<T>(0) : T();
  }

  /// Takes all messages of that type.
  template <class T>
  std::vector<T> all() {
    std::vector<T> list;
    while (auto found = take_letter<T>()) list.push_back(found->content.template get_as<T>(0));
    return list;
  }

  /// Answers the oldest request of that type that waits.
  template <class T, class Answer>
  void answer(Answer&& with) {
    auto found = take_letter<T>();
    if (!found) ADD_FAILURE() << "no request " << typeid(T).name() << " among " << describe();
    if (found) reply(*found, std::forward<Answer>(with));
  }
  template <class Answer>
  void reply(letter& request, Answer&& with) {
    self();
    request.answer.deliver(std::forward<Answer>(with));
    world_.run();
  }

  std::string describe() const {
    std::string text = std::to_string(letters.size()) + " letters";
    for (auto& l : letters) text += "\n  " + caf::to_string(l.content).substr(0, 200);
    return text;
  }

  caf::actor handle;
  std::deque<letter> letters;

 private:
  /// For use from outside of its own messages: what it ran in last is gone.
  caf::event_based_actor* self() {
    self_->context(nullptr);
    return self_;
  }

  world& world_;
  caf::event_based_actor* self_ = nullptr;
};

/// The test's end of a source: what its ingester said, and a way to hand over packets.
struct source_script {
  packet_sink sink; ///< of the arming in force; empty: not armed
  std::uint64_t allowed = 0, handed_over = 0;
  std::uint64_t beyond = 0;
  int arms = 0, disarms = 0;
  source_status status{.address = "script", .connected = true, .reading = true};

  /// May it hand over a packet of that many bytes?
  bool fits(std::size_t payload) const {
    return sink && (handed_over < beyond || handed_over + budgeted_bytes(payload) <= allowed);
  }
  void push(std::vector<stream_packet> packets) {
    auto batch = std::make_shared<packet_batch>();
    for (auto& p : packets) batch->bytes += budgeted_bytes(p.data.bytes());
    handed_over += batch->bytes;
    batch->packets = std::move(packets);
    ASSERT_TRUE(sink) << "the source is not armed";
    sink(std::move(batch));
  }
};

class scripted_source final : public source {
 public:
  explicit scripted_source(std::shared_ptr<source_script> script) : script_(std::move(script)) {}
  ~scripted_source() override { script_->sink = nullptr; }

  void arm(packet_sink sink) override {
    script_->sink = std::move(sink);
    script_->allowed = script_->handed_over = 0;
    script_->beyond = 0;
    ++script_->arms;
  }
  void disarm() override {
    script_->sink = nullptr;
    ++script_->disarms;
  }
  void allow(std::uint64_t bytes, std::uint64_t beyond) override {
    script_->allowed = std::max(script_->allowed, bytes);
    script_->beyond = std::max(script_->beyond, beyond);
  }
  source_status status() const override { return script_->status; }

 private:
  std::shared_ptr<source_script> script_;
};

/// Journals in memory, with a disk that tests fill up and machines that they switch off.
class memory_journals final : public journal_store {
 public:
  struct record {
    std::uint8_t kind = 0;
    std::vector<std::byte> content;
  };
  struct log {
    std::vector<record> records; ///< written: the death of a process leaves them
    std::size_t synced = 0;      ///< so many of them are on disk for good
  };

  std::unique_ptr<journal> open(const std::string& name, const journal_reader& each) override {
    auto& log = logs[name];
    for (auto& r : log.records)
      if (each) each(r.kind, r.content);
    return std::make_unique<writer>(*this, name);
  }
  std::vector<std::string> names() const override {
    std::vector<std::string> list;
    for (auto& [name, log] : logs) list.push_back(name);
    return list;
  }

  /// The machine goes down: what was not synced is gone. The processes that wrote it are to go, too.
  void lose_power() {
    for (auto& [name, log] : logs) log.records.resize(log.synced);
  }

  /// The only one that there is; a failure of the test where there are none, or several.
  log& only() {
    EXPECT_EQ(logs.size(), 1u);
    return logs.begin()->second;
  }

  std::map<std::string, log> logs;
  bool full = false;
  int syncs = 0;

 private:
  class writer final : public journal {
   public:
    writer(memory_journals& store, std::string name) : store_(store), name_(std::move(name)) {}

    void append(std::uint8_t kind, std::span<const std::byte> content) override {
      pending_.push_back({kind, {content.begin(), content.end()}});
    }
    void commit() override {
      if (store_.full) throw journal_full("no space left");
      auto& log = store_.logs[name_];
      for (auto& r : std::exchange(pending_, {})) log.records.push_back(std::move(r));
    }
    void sync() override {
      commit();
      auto& log = store_.logs[name_];
      log.synced = log.records.size();
      ++store_.syncs;
    }
    void remove() override { store_.logs.erase(name_); }

   private:
    memory_journals& store_;
    std::string name_;
    std::vector<record> pending_;
  };
};

/// Stream data of a single frame with that text.
inline stream_data text_data(std::string_view text) { return memory_frames::of("T", {text}); }

/// A number that a status report has under these keys; a failure of the test where it has none.
inline std::uint64_t number_in(const value& report, std::initializer_list<std::string_view> keys) {
  auto at = &report;
  for (auto key : keys)
    if (at) at = at->find(key);
  auto number = at ? at->as_number() : std::nullopt;
  EXPECT_TRUE(number) << "no number '" << *(keys.end() - 1) << "'";
  return static_cast<std::uint64_t>(number.value_or(0));
}

inline message_head head_of(std::uint64_t scan = 1, std::uint32_t gen = 1, std::uint64_t from = 1) {
  return {scan_id{scan, scan}, generation(gen), incarnation(from)};
}

} // namespace dtranspose::test
