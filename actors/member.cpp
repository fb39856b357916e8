#include "actors/member.hpp"

#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/io/middleman.hpp>
#include <caf/io/middleman_actor.hpp>
#include <caf/sec.hpp>
#include <caf/stateful_actor.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <map>
#include <set>

#include "actors/conduct.hpp"
#include "model/error.hpp"

namespace dtranspose {

namespace {

/// How soon a process that could not be reached is tried again.
constexpr auto redial = std::chrono::milliseconds(200);
constexpr auto answer_timeout = std::chrono::seconds(2);
/// How often a wait for the controller is mentioned.
constexpr int dials_per_mention = 25;

struct member_state;
using member_actor = caf::stateful_actor<member_state>;

struct member_state {
  static inline const char* name = "member";

  explicit member_state(member_actor* self) : self(self) {}

  caf::behavior make_behavior() {
    set_conduct(self);
    // At once: a peer may introduce itself before the address is announced.
    options.self.member = self;
    self->set_down_handler([this](caf::down_msg& m) { lose(m); });
    return {
        [this](dial_atom, const std::string& address) { announce(address); },
        [this](dial_atom) { dial_controller(); },
        [this](dial_atom, std::uint64_t life) { dial(incarnation(life)); },
        [this](hello_atom, const std::string& version, const std::string& system) {
          return check(version, system);
        },
        [this](const member_info& peer) { return link(peer); },
        [this](const roster& m) { connect_to(m); },
        [this](const renew&) { start_anew(); },
        [this](const departed& m) { report_unreachable(m.life); },
        [this](const unreachable& m) {
          if (options.controller) self->send(options.controller, m);
        },
        [this](tick_atom) { give_sign_of_life(); },
        [this](tick_atom, std::uint64_t life) { heard[incarnation(life)] = options.steady(); },
        [this](status_atom) { return status(); },
        [this](const value& warnings) { note_warnings(warnings); },
    };
  }

  /// CAF misses who is silent, but does not say whether that was it. Only the log needs to know.
  void give_sign_of_life() {
    if (!options.steady) return;
    for (auto& [life, peer] : peers) self->send(peer.member, tick_atom::value, options.self.life.value);
    tell_warnings();
    self->delayed_send(self, options.heartbeat, tick_atom::value);
  }

  /// So that who asks the controller sees what went wrong elsewhere. Kept while it is away.
  void tell_warnings() {
    auto i = peers.find(controller_life);
    if (!options.warnings || i == peers.end()) return;
    if (auto warnings = options.warnings(); !warnings.empty())
      self->send(i->second.member, value(std::move(warnings)));
  }

  void note_warnings(const value& warnings) {
    if (!options.warned) return;
    for (auto& [life, peer] : peers)
      if (peer.member == self->current_sender()) return options.warned(peer.name, warnings);
  }

  std::string how_lost(incarnation life) {
    auto i = heard.find(life);
    if (i == heard.end() || !options.steady) return {};
    auto silent = std::chrono::nanoseconds(options.steady() - i->second);
    heard.erase(i);
    if (silent < 3 * options.heartbeat)
      return ": its connection was closed, so its process has probably ended";
    return fmt::format(": it was silent for {:.1f} s, so it is frozen or cut off",
                       std::chrono::duration<double>(silent).count());
  }

  // -- joining ------------------------------------------------------------------------------------------

  void announce(const std::string& address) {
    options.self.member = self;
    options.self.address = address;
    give_sign_of_life();
    tell_own(options.self);
    if (options.controller)
      self->send(options.controller, options.self);
    else
      dial_controller();
  }

  /// Our own actors learn of a process with whom they may talk.
  void tell_own(const member_info& peer) {
    auto tell = [&](const caf::actor& to) {
      if (to) self->send(to, peer);
    };
    for (auto& ingester : options.self.ingesters) tell(ingester.handle);
    for (auto& worker : options.self.workers) tell(worker.handle);
    tell(options.self.assembler);
    tell(options.self.reducer);
  }

  void dial_controller() {
    if (dials++ % dials_per_mention == 0)
      spdlog::info("joining the controller at {}:{}{}", options.join_host, options.join_port,
                   dials > 1 ? ": not there yet" : "");
    connect(
        options.join_host, options.join_port, [this](const caf::actor& peer) { greet(peer, {}); },
        [this] { self->delayed_send(self, redial, dial_atom::value); });
  }

  /// Connects to the member that a process has published.
  void connect(const std::string& host, std::uint16_t port, std::function<void(const caf::actor&)> reached,
               std::function<void()> not_reached) {
    auto connector = options.connector
                         ? options.connector
                         : caf::actor_cast<caf::actor>(self->system().middleman().actor_handle());
    host_and_port to{host, port};
    try {
      if (options.route) to = options.route(host, port);
    } catch (const std::exception& e) {
      spdlog::warn("cannot connect to {}:{}: {}", host, port, e.what());
      return not_reached();
    }
    self->request(connector, answer_timeout, caf::connect_atom::value, to.host, to.port)
        .then(
            [=](const caf::node_id&, const caf::strong_actor_ptr& found, const std::set<std::string>&) {
              found ? reached(caf::actor_cast<caf::actor>(found)) : not_reached();
            },
            [=](const caf::error&) { not_reached(); });
  }

  /// Plain texts come first: a process of another version may not understand anything else.
  void greet(const caf::actor& peer, incarnation life) {
    bool to_controller = life == incarnation();
    self->request(peer, answer_timeout, hello_atom::value, options.version, options.system)
        .then([=, this](hello_atom) { introduce(peer, life); },
              [=, this](const caf::error& e) {
                if (code_of(e) == ec::refused && to_controller) {
                  options.refused(text_of(e));
                  return;
                }
                spdlog::warn("a process does not take our greeting: {}", text_of(e));
                dial_again(life);
              });
  }

  caf::result<hello_atom> check(const std::string& version, const std::string& system) const {
    if (system != options.system)
      return refuse(
          fmt::format("this is the system '{}', not '{}': see [cluster] name", options.system, system));
    if (version != options.version)
      return refuse(fmt::format("this process runs version {}, the other {}: use one version throughout",
                                options.version, version));
    return hello_atom::value;
  }

  static caf::error refuse(std::string text) {
    spdlog::warn("refused a process: {}", text);
    return make_error(ec::refused, std::move(text));
  }

  void introduce(const caf::actor& peer, incarnation life) {
    self->request(peer, answer_timeout, options.self)
        .then([=, this](const member_info& m) { accept(m, life == incarnation()); },
              [=, this](const caf::error& e) {
                spdlog::warn("a process does not answer: {}", text_of(e));
                dial_again(life);
              });
  }

  /// A process by its incarnation; the controller's without one.
  void dial_again(incarnation life) {
    if (life == incarnation())
      self->delayed_send(self, redial, dial_atom::value);
    else
      self->delayed_send(self, redial, dial_atom::value, life.value);
  }

  void accept(const member_info& m, bool is_controller) {
    if (is_controller) {
      spdlog::info("joined {}", m.name);
      controller_life = m.life;
      dials = 0;
    }
    know(m);
  }

  member_info link(const member_info& peer) {
    know(peer);
    if (options.controller) {
      self->send(options.controller, peer);
      send_roster();
    }
    return options.self;
  }

  void know(const member_info& peer) {
    // One that was given up goes on under another name.
    for (auto& [life, known] : peers)
      if (known.member == peer.member && life != peer.life) {
        auto old = life;
        self->demonitor(known.member);
        peers.erase(old);
        forget_peer(old);
        break;
      }
    if (!peers.contains(peer.life)) self->monitor(peer.member);
    peers[peer.life] = peer;
    dialling.erase(peer.life);
    tell_own(peer);
  }

  /// It was lost a while ago and has not come back, while the controller still has it on its roster.
  void report_unreachable(incarnation life) {
    if (peers.contains(life) || !on_roster.contains(life)) return;
    if (auto i = peers.find(controller_life); i != peers.end())
      self->send(i->second.member, unreachable{options.self.life, life});
  }

  /// We were given up: what we had is somebody else's now, and nothing of it counts any more. We go on as
  /// another process, and tell everybody.
  void start_anew() {
    incarnation life;
    while (life.value == 0) life = incarnation(options.random());
    spdlog::warn("this process was given up, as it could not be reached: it starts anew");
    options.self.life = life;
    auto tell = [&](const caf::actor& to) {
      if (to) self->send(to, renew{life});
    };
    for (auto& ingester : options.self.ingesters) tell(ingester.handle);
    for (auto& worker : options.self.workers) tell(worker.handle);
    tell(options.self.assembler);
    tell(options.self.reducer);
    tell_own(options.self);
    for (auto& [peer_life, peer] : peers)
      self->request(peer.member, answer_timeout, options.self)
          .then([](const member_info&) {}, [](const caf::error&) {});
    if (options.controller) self->send(options.controller, options.self);
  }

  // -- peers --------------------------------------------------------------------------------------------

  void send_roster() {
    roster m;
    for (auto& [life, p] : peers)
      m.members.push_back(
          {life, p.name, p.address, !p.ingesters.empty(), !p.workers.empty(), bool(p.reducer)});
    for (auto& [life, p] : peers) self->send(p.member, m);
  }

  /// Ingesters talk to worker processes and to each other, worker processes to the reducer. Of two processes,
  /// the one with the smaller incarnation dials, so that there is one connection per pair.
  void connect_to(const roster& m) {
    on_roster.clear();
    for (auto& entry : m.members) on_roster.insert(entry.life);
    for (auto& entry : m.members) {
      bool ours = (!options.self.ingesters.empty() && (entry.works || entry.ingests)) ||
                  (!options.self.workers.empty() && entry.reduces);
      bool theirs = (entry.ingests && !options.self.workers.empty()) || (entry.works && options.self.reducer);
      if (!(ours || theirs) || entry.life <= options.self.life) continue;
      // Also of who is connected already, in whatever way: it may be lost.
      addresses[entry.life] = entry;
      if (peers.contains(entry.life)) continue;
      if (dialling.insert(entry.life).second) dial(entry.life);
    }
    // Who is not on the roster any more is not dialled again.
    std::erase_if(addresses, [&](auto& a) {
      return std::none_of(m.members.begin(), m.members.end(), [&](auto& e) { return e.life == a.first; });
    });
  }

  void dial(incarnation life) {
    auto i = addresses.find(life);
    if (i == addresses.end() || !dialling.contains(life) || peers.contains(life)) {
      dialling.erase(life);
      return;
    }
    auto& address = i->second.address;
    auto colon = address.rfind(':');
    auto port = static_cast<std::uint16_t>(std::stoul(address.substr(colon + 1)));
    connect(
        address.substr(0, colon), port, [this, life](const caf::actor& peer) { greet(peer, life); },
        [this, life] { self->delayed_send(self, redial, dial_atom::value, life.value); });
  }

  void lose(const caf::down_msg& m) {
    for (auto i = peers.begin(); i != peers.end(); ++i) {
      if (i->second.member.address() != m.source) continue;
      auto life = i->first;
      spdlog::warn("lost {}{}", i->second.name, how_lost(life));
      peers.erase(i);
      forget_peer(life);
      // Only the link may be gone: the process is dialled until the roster lacks it.
      if (addresses.contains(life) && dialling.insert(life).second)
        self->delayed_send(self, redial, dial_atom::value, life.value);
      if (controller_life != incarnation() && life != controller_life)
        self->delayed_send(self, options.timeout, departed{life});
      return;
    }
  }

  void forget_peer(incarnation life) {
    auto tell = [&](const caf::actor& to) {
      if (to) self->send(to, departed{life});
    };
    for (auto& ingester : options.self.ingesters) tell(ingester.handle);
    for (auto& worker : options.self.workers) tell(worker.handle);
    tell(options.self.assembler);
    tell(options.self.reducer);
    tell(options.controller);
    if (options.controller) send_roster();
    if (life == controller_life) {
      controller_life = incarnation();
      dial_controller();
    }
  }

  value status() const {
    value_list list;
    for (auto& [life, p] : peers) list.push_back(p.name);
    return value_map{
        {"name", options.self.name}, {"address", options.self.address}, {"peers", std::move(list)}};
  }

  // -- state --------------------------------------------------------------------------------------------

  member_actor* self;
  member_options options;
  /// Processes that we are connected to.
  std::map<incarnation, member_info> peers;
  /// Where those are that we must connect to.
  std::map<incarnation, roster::entry> addresses;
  std::set<incarnation> dialling;
  /// Who the controller says is there.
  std::set<incarnation> on_roster;
  /// When there was the last sign of life.
  std::map<incarnation, std::int64_t> heard;
  /// The process that we joined.
  incarnation controller_life;
  int dials = 0;
};

} // namespace

caf::actor spawn_member(caf::actor_system& system, member_options options) {
  return system.spawn([options = std::move(options)](member_actor* self) {
    self->state.options = options;
    return self->state.make_behavior();
  });
}

} // namespace dtranspose
