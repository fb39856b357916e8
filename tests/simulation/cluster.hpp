/// Processes and the connections between them, in one thread: actors of different processes talk through
/// links that keep the order of each direction and may be cut; nothing runs but by `step`, and time only
/// passes by `advance`.
#pragma once

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/scheduler/test_coordinator.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <vector>

#include "actors/messages.hpp"
#include "model/surroundings.hpp"

namespace dtranspose::simulation {

using namespace std::chrono_literals;

class cluster;

/// One life of a process.
struct body {
  std::string name;
  bool alive = true, frozen = false;
  member_info info; ///< with the handles of its own actors
  caf::actor controller;
  std::vector<caf::actor> actors;          ///< all of them
  std::deque<std::function<void()>> inbox; ///< of its member
  caf::actor member;

  bool ingests() const { return !info.ingesters.empty(); }
  bool works() const { return !info.workers.empty(); }
  bool reduces() const { return bool(info.reducer); }
  bool controls() const { return bool(controller); }
};

/// A connection between two processes: until it is cut, and never again.
struct link {
  struct letter {
    caf::strong_actor_ptr from, to;
    caf::message_id id;
    caf::message content;
    std::function<void()> control; ///< between members
  };

  body* ends[2];
  bool up = true;
  bool noticed[2] = {false, false};    ///< that it was cut
  incarnation known[2];                ///< how each end knows the other; 0: not yet
  std::deque<letter> way[2];           ///< towards each end
  std::int64_t not_before[2] = {0, 0}; ///< when that direction goes on
  std::int64_t notice_at[2] = {0, 0};
  std::map<std::pair<caf::actor_id, int>, caf::actor> proxies; ///< of an actor, at an end
  std::vector<std::pair<caf::strong_actor_ptr, caf::message_id>> open_requests;

  int end_of(const body* b) const { return ends[0] == b ? 0 : 1; }
};

/// What carries frames beside a link.
struct lane {
  body *from, *to;
  std::deque<std::shared_ptr<const bulk_piece>> way;
  bool lost = false;
};

/// How unpleasant a run is, beside its faults.
struct temper {
  double laziness = 0;     ///< how likely a link is passed over
  std::int64_t delay = 0;  ///< of a link that was idle, ns at most
  std::int64_t notice = 0; ///< how late the loss of a connection is noticed, ns at most
  bool bounces = false;    ///< requests under way fail at once when a link is cut, or when their time is over
};

class cluster {
 public:
  explicit cluster(std::uint64_t seed);
  cluster(const cluster&) = delete;
  cluster& operator=(const cluster&) = delete;
  ~cluster();

  caf::actor_system& system() { return system_; }
  surroundings around();
  std::uint64_t below(std::uint64_t n) { return random() % n; }

  // -- processes
  body& start(std::string name, std::function<void(body&)> fill);
  void kill(body& b);
  void set_frozen(body& b, bool frozen);
  /// Is a process of that incarnation there?
  const std::deque<body>& bodies() const { return bodies_; }

  // -- connections
  /// Cuts what connects two processes; they find together again after `for_so_long`.
  void cut(body& a, body& b, std::chrono::nanoseconds for_so_long);
  bool connected(const body& a, const body& b) const;
  /// Makes ways for frames from that process to others, whose addresses are their names.
  bulk_outlet_factory outlets_of(body& from);
  /// Cuts what carries frames between two processes, but not their link.
  void cut_frames(const body& a, const body& b);
  static bool talk(const body& a, const body& b);

  // -- running
  /// Does one thing of those that may happen now; false: there is nothing.
  bool step();
  void advance(std::chrono::nanoseconds by);
  /// When something may happen next.
  std::int64_t next_time() const;
  /// Asks an actor that is idle, and runs it alone.
  template <class T, class... Ts>
  std::optional<T> ask(const caf::actor& to, Ts&&... content) {
    auto answer = ask_message(to, caf::make_message(std::forward<Ts>(content)...));
    if (!answer || !answer->template match_elements<T>()) return std::nullopt;
    return answer->template get_as<T>(0);
  }
  /// The same without waiting: `answered` gets what comes.
  void ask_later(const caf::actor& to, caf::message content, std::function<void(caf::message)> answered);

  /// Sees everything that is sent over links; false: it is lost.
  std::function<bool(const body& from, const body& to, const caf::message& content)> on_send;
  /// False: that is not delivered yet.
  std::function<bool(const body& to, const caf::message& content)> may_deliver;
  std::function<void(const std::string&)> log;
  temper mood;
  std::int64_t now = 1'700'000'000'000'000'000;
  std::mt19937_64 random;
  std::string name_of(const caf::strong_actor_ptr& actor) const;

 private:
  struct testing_config : caf::actor_system_config {
    testing_config();
  };
  struct reunion {
    body *a, *b;
    std::int64_t at;
  };

  caf::scheduler::test_coordinator& scheduler() { return scheduler_; }
  caf::actor make_porter(std::function<void(caf::mailbox_element&)> take);
  std::optional<caf::message> ask_message(const caf::actor& to, caf::message content);
  body* body_of(const caf::strong_actor_ptr& actor) const;
  body* body_of(caf::resumable* job) const;
  link* link_of(const body& a, const body& b) const;
  caf::actor proxy(link& l, const caf::strong_actor_ptr& actor, int at);
  void send(link& l, int to, link::letter m);
  void deliver(link& l, int to);
  void sever(link& l);
  void notice(link& l, int end);
  void connect(body& a, body& b);
  void introduce(link& l, int to, bool answer);
  void know(link& l, int at, const member_info& info, bool tell_controller);
  member_info info_for(link& l, int at);
  void tell_own(body& b, const caf::message& m, bool controller);
  void renew_life(body& b);
  void reunite_later(body& a, body& b, std::int64_t at);
  bool may_meet(const body& a, const body& b) const;
  void run_job(std::size_t index);
  void end_actor(const caf::actor& actor);
  void note(const std::string& text) {
    if (log) log(text);
  }

  testing_config config_;
  caf::actor_system system_;
  caf::scheduler::test_coordinator& scheduler_;
  std::deque<body> bodies_;
  std::deque<link> links_;
  std::vector<link*> live_; ///< up, or cut and not noticed by both
  std::vector<std::shared_ptr<lane>> lanes_;
  std::vector<reunion> reunions_;
  std::vector<std::pair<const body*, const body*>> introduced_;
  std::unordered_map<caf::actor_id, body*> owners_;
  std::unordered_map<caf::resumable*, body*> jobs_;
  std::map<caf::actor_id, std::string> names_;
  std::uint64_t questions_ = 0;
};

} // namespace dtranspose::simulation
