#include "simulation/cluster.hpp"

#include <algorithm>

#include <caf/event_based_actor.hpp>
#include <caf/make_actor.hpp>
#include <caf/monitorable_actor.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>

#include "model/error.hpp"

namespace dtranspose::simulation {

namespace {

/// An actor without a mailbox: what it gets goes on at once.
class porter final : public caf::monitorable_actor {
 public:
  porter(caf::actor_config& config, std::function<void(caf::mailbox_element&)> take)
      : caf::monitorable_actor(config), take_(std::move(take)) {}
  void enqueue(caf::mailbox_element_ptr what, caf::execution_unit*) override {
    if (what) take_(*what);
  }
  using caf::abstract_actor::enqueue;

 private:
  std::function<void(caf::mailbox_element&)> take_;
};

caf::resumable* job_of(const caf::actor& actor) {
  return dynamic_cast<caf::resumable*>(caf::actor_cast<caf::abstract_actor*>(actor));
}

std::string text_of_message(const caf::message& m) {
  if (!m.match_elements<partial_events>()) return caf::to_string(m).substr(0, 4000);
  auto& p = m.get_as<partial_events>(0);
  auto text = fmt::format("partial_events of stream {}, connection {}, {}: event/dispatch", p.stream.value,
                          p.connection, p.sequence);
  for (auto& e : p.entries)
    text += fmt::format(" {}/{}{}", e.event.value, e.dispatch.value,
                        e.missing ? " missing: " + e.missing->cause : "");
  return text;
}

bool has_ended(const caf::actor& actor) {
  return caf::actor_cast<caf::abstract_actor*>(actor)->getf(caf::abstract_actor::is_cleaned_up_flag);
}

} // namespace

cluster::testing_config::testing_config() {
  add_message_types<caf::id_block::dtranspose>();
  set("scheduler.policy", caf::atom("testing"));
}

cluster::cluster(std::uint64_t seed)
    : random(seed), system_(config_),
      scheduler_(dynamic_cast<caf::scheduler::test_coordinator&>(system_.scheduler())) {}

cluster::~cluster() {
  log = nullptr;
  for (auto& b : bodies_)
    if (b.alive) kill(b);
  for (auto& l : links_) {
    l.way[0].clear();
    l.way[1].clear();
    l.open_requests.clear();
    l.proxies.clear();
  }
  while (scheduler().try_run_once()) {
  }
}

surroundings cluster::around() {
  return {[this] { return now; }, [this] { return now; }, [this] { return random(); }};
}

caf::actor cluster::make_porter(std::function<void(caf::mailbox_element&)> take) {
  caf::actor_config config;
  return caf::make_actor<porter, caf::actor>(system_.next_actor_id(), system_.node(), &system_, config,
                                             std::move(take));
}

// -- processes ------------------------------------------------------------------------------------------

body& cluster::start(std::string name, std::function<void(body&)> fill) {
  auto& b = bodies_.emplace_back();
  b.name = std::move(name);
  b.info.name = b.name;
  while (b.info.life.value == 0) b.info.life = incarnation(random());
  b.member = make_porter([this, &b](caf::mailbox_element& m) {
    if (!b.alive || !m.content().match_elements<renew>()) return;
    b.inbox.push_back([this, &b] { renew_life(b); });
  });
  b.info.member = b.member;
  fill(b);
  note(fmt::format("start {} as {:x}", b.name, b.info.life.value & 0xFFFF));
  auto own = [&](const caf::actor& actor, const std::string& what) {
    if (!actor) return;
    b.actors.push_back(actor);
    owners_[actor.id()] = &b;
    jobs_[job_of(actor)] = &b;
    names_[actor.id()] = b.name + "." + what;
  };
  own(b.controller, "controller");
  own(b.info.reducer, "reducer");
  own(b.info.assembler, "assembler");
  for (auto& w : b.info.workers) own(w.handle, w.name);
  for (auto& i : b.info.ingesters) own(i.handle, i.stream);
  owners_[b.member.id()] = &b;
  names_[b.member.id()] = b.name + ".member";
  tell_own(b, caf::make_message(b.info), true);
  for (auto& other : bodies_)
    if (&other != &b && other.alive && (b.controls() || other.controls())) reunite_later(b, other, now);
  return b;
}

void cluster::kill(body& b) {
  note("kill " + b.name);
  b.alive = false;
  b.frozen = false;
  b.inbox.clear();
  for (auto l : std::vector<link*>(live_))
    if (l->ends[0] == &b || l->ends[1] == &b) sever(*l);
  std::erase_if(reunions_, [&](auto& r) { return r.a == &b || r.b == &b; });
  for (auto& actor : b.actors) end_actor(actor);
  b.actors.clear();
  b.controller = nullptr;
  b.info = {};
}

/// Nothing of its mailbox is heeded any more.
void cluster::end_actor(const caf::actor& actor) {
  auto job = job_of(actor);
  caf::anon_send_exit(actor, caf::exit_reason::kill);
  while (!has_ended(actor)) {
    auto& jobs = scheduler().jobs;
    auto i = std::find(jobs.begin(), jobs.end(), job);
    if (i == jobs.end()) break;
    run_job(static_cast<std::size_t>(i - jobs.begin()));
  }
  jobs_.erase(job);
}

void cluster::set_frozen(body& b, bool frozen) {
  if (!b.alive) return;
  note((frozen ? "freeze " : "thaw ") + b.name);
  b.frozen = frozen;
}

body* cluster::body_of(const caf::strong_actor_ptr& actor) const {
  if (!actor) return nullptr;
  auto i = owners_.find(actor->id());
  return i == owners_.end() ? nullptr : i->second;
}

body* cluster::body_of(caf::resumable* job) const {
  auto i = jobs_.find(job);
  return i == jobs_.end() ? nullptr : i->second;
}

std::string cluster::name_of(const caf::strong_actor_ptr& actor) const {
  if (!actor) return "nobody";
  auto i = names_.find(actor->id());
  return i == names_.end() ? "?" : i->second;
}

void cluster::tell_own(body& b, const caf::message& m, bool controller) {
  for (auto& actor : b.actors)
    if (actor != b.controller) caf::anon_send(actor, m);
  if (controller && b.controller) caf::anon_send(b.controller, m);
}

/// As a member does that was given up.
void cluster::renew_life(body& b) {
  incarnation life;
  while (life.value == 0) life = incarnation(random());
  note(fmt::format("{} goes on as {:x}", b.name, life.value & 0xFFFF));
  b.info.life = life;
  tell_own(b, caf::make_message(renew{life}), false);
  tell_own(b, caf::make_message(b.info), false);
  for (auto l : live_) {
    if (!l->up || (l->ends[0] != &b && l->ends[1] != &b)) continue;
    introduce(*l, 1 - l->end_of(&b), false);
  }
}

// -- connections ----------------------------------------------------------------------------------------

bool cluster::talk(const body& a, const body& b) {
  auto one_way = [](const body& x, const body& y) {
    return x.controls() || (x.ingests() && (y.works() || y.ingests())) || (x.works() && y.reduces());
  };
  return one_way(a, b) || one_way(b, a);
}

link* cluster::link_of(const body& a, const body& b) const {
  for (auto l : live_)
    if ((l->ends[0] == &a && l->ends[1] == &b) || (l->ends[0] == &b && l->ends[1] == &a)) return l;
  return nullptr;
}

bool cluster::connected(const body& a, const body& b) const {
  auto l = link_of(a, b);
  return l && l->up && l->known[0].value != 0 && l->known[1].value != 0;
}

void cluster::reunite_later(body& a, body& b, std::int64_t at) {
  for (auto& r : reunions_)
    if ((r.a == &a && r.b == &b) || (r.a == &b && r.b == &a)) {
      r.at = std::max(r.at, at);
      return;
    }
  reunions_.push_back({&a, &b, at});
}

bool cluster::may_meet(const body& a, const body& b) const {
  if (!a.alive || !b.alive || a.frozen || b.frozen || link_of(a, b)) return false;
  if (a.controls() || b.controls()) return true;
  for (auto& [x, y] : introduced_)
    if ((x == &a && y == &b) || (x == &b && y == &a)) return true;
  return false;
}

void cluster::connect(body& a, body& b) {
  auto& l = links_.emplace_back();
  l.ends[0] = &a;
  l.ends[1] = &b;
  live_.push_back(&l);
  note(fmt::format("connect {} - {}", a.name, b.name));
  // Who joins dials the controller; of others, the one with the smaller incarnation dials.
  auto dialler = a.controls() ? 1 : b.controls() ? 0 : a.info.life < b.info.life ? 0 : 1;
  introduce(l, 1 - dialler, true);
}

/// Tells that end who is at the other; `answer`: it says in turn who it is.
void cluster::introduce(link& l, int to, bool answer) {
  auto info = info_for(l, to);
  link::letter m;
  m.control = [this, &l, to, answer, info] {
    auto& at = *l.ends[to];
    at.inbox.push_back([this, &l, to, answer, info] {
      if (!l.up) return;
      know(l, to, info, true);
      if (answer) {
        // The other end was asked, and gets this as the answer: its controller was told already.
        introduce(l, 1 - to, false);
      }
    });
  };
  send(l, to, std::move(m));
}

void cluster::know(link& l, int at, const member_info& info, bool tell_controller) {
  auto& me = *l.ends[at];
  auto& other = *l.ends[1 - at];
  note(fmt::format("{} knows {} as {:x}", me.name, other.name, info.life.value & 0xFFFF));
  if (l.known[at].value != 0 && l.known[at] != info.life)
    tell_own(me, caf::make_message(departed{l.known[at]}), true);
  l.known[at] = info.life;
  tell_own(me, caf::make_message(info), tell_controller);
  if (!me.controls()) return;
  // The roster: whoever has something to do with each other connects.
  for (auto& third : bodies_) {
    if (&third == &me || &third == &other || !third.alive || !talk(other, third) || !link_of(me, third))
      continue;
    introduced_.emplace_back(&other, &third);
    if (!link_of(other, third)) reunite_later(other, third, now);
  }
}

member_info cluster::info_for(link& l, int at) {
  auto info = l.ends[1 - at]->info;
  auto replace = [&](caf::actor& handle) {
    if (handle) handle = proxy(l, caf::actor_cast<caf::strong_actor_ptr>(handle), at);
  };
  replace(info.member);
  replace(info.assembler);
  replace(info.reducer);
  for (auto& i : info.ingesters) replace(i.handle);
  for (auto& w : info.workers) replace(w.handle);
  return info;
}

/// What stands for an actor of one end at the other.
caf::actor cluster::proxy(link& l, const caf::strong_actor_ptr& actor, int at) {
  auto& known = l.proxies[{actor->id(), at}];
  if (known) return known;
  known = make_porter([this, &l, actor, at](caf::mailbox_element& m) {
    auto& from = *l.ends[at];
    if (!from.alive) return;
    link::letter x{m.sender, actor, m.mid, m.move_content_to_message(), {}};
    if (l.up) return send(l, 1 - at, std::move(x));
    if (mood.bounces && x.id.is_request() && x.from)
      x.from->enqueue(nullptr, x.id.response_id(),
                      caf::make_message(make_error(caf::sec::request_receiver_down)), nullptr);
  });
  return known;
}

void cluster::send(link& l, int to, link::letter m) {
  if (!m.control && on_send && !on_send(*l.ends[1 - to], *l.ends[to], m.content)) return;
  if (l.way[to].empty() && mood.delay > 0)
    l.not_before[to] = now + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(mood.delay)));
  if (m.id.is_request()) l.open_requests.emplace_back(m.from, m.id.response_id());
  l.way[to].push_back(std::move(m));
}

void cluster::deliver(link& l, int to) {
  auto m = std::move(l.way[to].front());
  l.way[to].pop_front();
  if (m.control) return m.control();
  if (log)
    note(fmt::format("{} -> {}{}: {}", name_of(m.from), name_of(m.to),
                     m.id.is_request()    ? " asks"
                     : m.id.is_response() ? " answers"
                                          : "",
                     text_of_message(m.content)));
  if (m.id.is_response())
    std::erase_if(l.open_requests, [&](auto& r) { return r.first == m.to && r.second == m.id; });
  auto from = m.from ? caf::actor_cast<caf::strong_actor_ptr>(proxy(l, m.from, to)) : nullptr;
  m.to->enqueue(std::move(from), m.id, std::move(m.content), nullptr);
}

/// Everything on its way is lost; both ends will notice.
void cluster::sever(link& l) {
  if (l.up) {
    cut_frames(*l.ends[0], *l.ends[1]);
    note(fmt::format("cut {} - {}: {} and {} messages are lost", l.ends[0]->name, l.ends[1]->name,
                     l.way[0].size(), l.way[1].size()));
    l.up = false;
    l.way[0].clear();
    l.way[1].clear();
    for (auto& [who, id] : std::exchange(l.open_requests, {})) {
      auto b = body_of(who);
      if (mood.bounces && b && b->alive)
        who->enqueue(nullptr, id, caf::make_message(make_error(caf::sec::request_receiver_down)), nullptr);
    }
    for (auto end : {0, 1})
      l.notice_at[end] =
          now +
          (mood.notice > 0 ? static_cast<std::int64_t>(below(static_cast<std::uint64_t>(mood.notice))) : 0);
  }
  for (auto end : {0, 1}) l.noticed[end] = l.noticed[end] || !l.ends[end]->alive;
  if (l.noticed[0] && l.noticed[1]) std::erase(live_, &l);
}

void cluster::notice(link& l, int end) {
  auto& me = *l.ends[end];
  l.noticed[end] = true;
  note(fmt::format("{} notices that {} is gone", me.name, l.ends[1 - end]->name));
  if (l.known[end].value != 0) tell_own(me, caf::make_message(departed{l.known[end]}), true);
  if (l.noticed[0] && l.noticed[1]) {
    std::erase(live_, &l);
    if (l.ends[0]->alive && l.ends[1]->alive) reunite_later(*l.ends[0], *l.ends[1], now);
  }
}

void cluster::cut(body& a, body& b, std::chrono::nanoseconds for_so_long) {
  auto l = link_of(a, b);
  if (!l || !l->up) return;
  sever(*l);
  reunite_later(a, b, now + for_so_long.count());
}

// -- frames -------------------------------------------------------------------------------------------

namespace {

class lane_outlet final : public bulk_outlet {
 public:
  explicit lane_outlet(std::shared_ptr<lane> l) : lane_(std::move(l)) {}
  ~lane_outlet() override {
    lane_->lost = true;
    lane_->way.clear();
  }

  void send(const scan_id& scan, std::uint64_t ticket, std::uint64_t sequence,
            std::vector<stream_data> entries) override {
    if (lane_->lost) return;
    auto piece = std::make_shared<bulk_piece>();
    piece->scan = scan;
    piece->ticket = ticket;
    piece->sequence = sequence;
    for (auto& e : entries)
      for (auto& f : e.frames()) piece->frames.push_back(f);
    piece->keep = std::make_shared<std::vector<stream_data>>(std::move(entries));
    lane_->way.push_back(std::move(piece));
  }

  condition look() override { return lane_->lost ? condition::lost : condition::connected; }

 private:
  std::shared_ptr<lane> lane_;
};

} // namespace

bulk_outlet_factory cluster::outlets_of(body& from) {
  return [this, &from](const bulk_address& to) -> std::unique_ptr<bulk_outlet> {
    auto l = std::make_shared<lane>();
    l->from = &from;
    for (auto& b : bodies_)
      if (b.alive && b.name == to.url) l->to = &b;
    if (!l->to) throw std::runtime_error("there is no " + to.url);
    lanes_.push_back(l);
    return std::make_unique<lane_outlet>(l);
  };
}

void cluster::cut_frames(const body& a, const body& b) {
  for (auto& l : lanes_) {
    if ((l->from != &a || l->to != &b) && (l->from != &b || l->to != &a)) continue;
    if (!l->way.empty()) note(fmt::format("{} pieces of frames are lost", l->way.size()));
    l->lost = true;
    l->way.clear();
  }
}

// -- running --------------------------------------------------------------------------------------------

bool cluster::step() {
  struct choice {
    enum { job, inbox, way, notice, reunion, frames } what;
    std::size_t index;
    int end;
  };
  std::vector<choice> list;
  auto& jobs = scheduler().jobs;
  for (std::size_t i = 0; i < jobs.size(); ++i)
    if (auto b = body_of(jobs[i]); !b || !b->frozen) list.push_back({choice::job, i, 0});
  for (std::size_t i = 0; i < bodies_.size(); ++i)
    if (bodies_[i].alive && !bodies_[i].frozen && !bodies_[i].inbox.empty())
      list.push_back({choice::inbox, i, 0});
  auto ready = list.size();
  for (std::size_t i = 0; i < live_.size(); ++i)
    for (auto end : {0, 1}) {
      auto& l = *live_[i];
      if (!l.ends[end]->alive || l.ends[end]->frozen) continue;
      if (!l.up) {
        if (!l.noticed[end] && l.notice_at[end] <= now) list.push_back({choice::notice, i, end});
        continue;
      }
      if (l.way[end].empty() || l.not_before[end] > now) continue;
      auto& first = l.way[end].front();
      if (!first.control && may_deliver && !may_deliver(*l.ends[end], first.content)) continue;
      list.push_back({choice::way, i, end});
    }
  std::erase_if(lanes_, [](auto& l) { return l->lost; });
  for (std::size_t i = 0; i < lanes_.size(); ++i)
    if (!lanes_[i]->way.empty() && lanes_[i]->to->alive && !lanes_[i]->to->frozen)
      list.push_back({choice::frames, i, 0});
  for (std::size_t i = 0; i < reunions_.size(); ++i)
    if (reunions_[i].at <= now && may_meet(*reunions_[i].a, *reunions_[i].b))
      list.push_back({choice::reunion, i, 0});
  if (list.empty()) return false;
  auto chosen = list[below(list.size())];
  if (ready > 0 && chosen.what == choice::way && mood.laziness > 0 &&
      static_cast<double>(below(1000)) < 1000 * mood.laziness)
    chosen = list[below(ready)];
  switch (chosen.what) {
  case choice::job:
    run_job(chosen.index);
    break;
  case choice::inbox: {
    auto& inbox = bodies_[chosen.index].inbox;
    auto next = std::move(inbox.front());
    inbox.pop_front();
    next();
    break;
  }
  case choice::way:
    deliver(*live_[chosen.index], chosen.end);
    break;
  case choice::frames: {
    auto& l = *lanes_[chosen.index];
    note(fmt::format("{} -> {}: frames of number {}", l.from->name, l.to->name, l.way.front()->sequence));
    caf::anon_send(l.to->info.assembler, carried{std::move(l.way.front())});
    l.way.pop_front();
    break;
  }
  case choice::notice:
    notice(*live_[chosen.index], chosen.end);
    break;
  case choice::reunion: {
    auto r = reunions_[chosen.index];
    reunions_.erase(reunions_.begin() + static_cast<std::ptrdiff_t>(chosen.index));
    connect(*r.a, *r.b);
    break;
  }
  }
  return true;
}

void cluster::run_job(std::size_t index) {
  auto& jobs = scheduler().jobs;
  auto chosen = jobs[index];
  jobs.erase(jobs.begin() + static_cast<std::ptrdiff_t>(index));
  jobs.push_front(chosen);
  scheduler().try_run_once();
}

void cluster::advance(std::chrono::nanoseconds by) {
  now += by.count();
  scheduler().advance_time(by);
}

std::int64_t cluster::next_time() const {
  auto next = now + std::int64_t{100'000'000};
  auto consider = [&](std::int64_t t) {
    if (t > now) next = std::min(next, t);
  };
  auto& clock = const_cast<cluster*>(this)->scheduler().clock();
  auto& schedule = dynamic_cast<caf::detail::test_actor_clock&>(clock).schedule();
  if (!schedule.empty()) consider(now + (schedule.begin()->first - clock.now()).count());
  for (auto l : live_)
    for (auto end : {0, 1})
      consider(l->up ? (l->way[end].empty() ? 0 : l->not_before[end]) : l->notice_at[end]);
  for (auto& r : reunions_) consider(r.at);
  return next;
}

std::optional<caf::message> cluster::ask_message(const caf::actor& to, caf::message content) {
  auto answer = std::make_shared<std::optional<caf::message>>();
  ask_later(to, std::move(content), [answer](caf::message m) { *answer = std::move(m); });
  auto job = job_of(to);
  while (!*answer) {
    auto& jobs = scheduler().jobs;
    auto i = std::find(jobs.begin(), jobs.end(), job);
    if (i == jobs.end()) return std::nullopt;
    run_job(static_cast<std::size_t>(i - jobs.begin()));
  }
  return *answer;
}

void cluster::ask_later(const caf::actor& to, caf::message content,
                        std::function<void(caf::message)> answered) {
  auto from = make_porter(
      [answered = std::move(answered)](caf::mailbox_element& m) { answered(m.move_content_to_message()); });
  caf::actor_cast<caf::abstract_actor*>(to)->enqueue(caf::actor_cast<caf::strong_actor_ptr>(from),
                                                     caf::make_message_id(++questions_), std::move(content),
                                                     nullptr);
}

} // namespace dtranspose::simulation
