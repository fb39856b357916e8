#include "simulation/run.hpp"

#include <dlfcn.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <stdexcept>

#include <caf/binary_deserializer.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "actors/assembler.hpp"
#include "actors/controller.hpp"
#include "actors/ingester.hpp"
#include "actors/reducer.hpp"
#include "actors/worker.hpp"
#include "model/error.hpp"
#include "model/plain_map.hpp"
#include "model/value_json.hpp"
#include "protocol/stins.hpp"
#include "simulation/cluster.hpp"
#include "simulation/journals.hpp"
#include "simulation/witness.hpp"

namespace dtranspose::simulation {

namespace {

constexpr std::size_t stream_count = 3;
const std::string names[stream_count] = {"stream1", "stream2", "stream3"};
constexpr std::uint64_t frame_cost = 400; ///< more than any of ours counts against budgets
constexpr auto stop_timeout = std::chrono::seconds(3);

/// A broken promise, or a harness that is at its end.
struct violation : std::runtime_error {
  using std::runtime_error::runtime_error;
};

enum class fault_kind : std::uint8_t {
  kill_worker,
  kill_ingester,
  kill_reducer,
  kill_controller,
  cut,
  freeze,
  disk_full,
  late_join,
  stop,
  cut_frames,
  set_parameter,
};
constexpr const char* fault_names[] = {"kill_worker", "kill_ingester", "kill_reducer", "kill_controller",
                                       "cut",         "freeze",        "disk_full",    "late_join",
                                       "stop",        "cut_frames",    "set_parameter"};

struct fault {
  fault_kind kind;
  std::uint64_t step;        ///< after so many
  std::size_t target = 0;    ///< place among the processes
  std::size_t other = 0;     ///< of a cut
  std::int64_t duration = 0; ///< ns; negative: for good
};

witness_book& witness() {
  static auto& book = *[] {
    auto object = ::dlopen(DTRANSPOSE_SIMULATION_PLUGIN, RTLD_NOW | RTLD_LOCAL);
    auto symbol = object ? ::dlsym(object, "dtranspose_witness") : nullptr;
    if (!symbol) throw std::runtime_error(fmt::format("the simulation's analysis: {}", ::dlerror()));
    return reinterpret_cast<witness_book* (*)()>(symbol)();
  }();
  return book;
}

std::uint64_t hash_of(const stream_data& data) {
  auto hash = hash_seed;
  for (auto& part : data.frames())
    for (auto byte : part.bytes()) hash = hash_step(hash, static_cast<std::uint8_t>(byte));
  return hash;
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
    auto x = static_cast<std::uint16_t>(1000 * (stream + 1) + n);
    format->read(memory_frames::of(stins_type_tag, {header, {reinterpret_cast<char*>(&x), sizeof x}}),
                 packets);
  }
  write_stins_end(header, message);
  format->read(memory_frames::of(stins_type_tag, {header}), packets);
  return packets;
}

/// What an instrument and one ingester know of each other.
struct script {
  packet_sink sink; ///< empty: not armed
  std::uint64_t allowed = 0, handed_over = 0, beyond = 0;
  const bool* all_sent = nullptr; ///< has the instrument sent everything?
};

class scripted_source final : public source {
 public:
  explicit scripted_source(std::shared_ptr<script> s) : script_(std::move(s)) {}
  ~scripted_source() override { script_->sink = nullptr; }

  void arm(packet_sink sink) override { *script_ = {.sink = std::move(sink), .all_sent = script_->all_sent}; }
  void disarm() override { script_->sink = nullptr; }
  void allow(std::uint64_t bytes, std::uint64_t beyond) override {
    script_->allowed = std::max(script_->allowed, bytes);
    script_->beyond = std::max(script_->beyond, beyond);
  }
  /// It is silent, and nobody holds it back.
  source_status status() const override {
    return {.address = "script", .connected = true, .reading = *script_->all_sent};
  }

 private:
  std::shared_ptr<script> script_;
};

/// A process that may live several times.
struct place {
  enum { controls, ingests, works, reduces } role;
  std::string name;
  std::vector<std::size_t> streams;
  std::vector<tag_set> workers;
  std::shared_ptr<memory_journals> journals = std::make_shared<memory_journals>();
  body* now = nullptr;
  bool late = false; ///< not there from the beginning
  std::map<std::size_t, std::shared_ptr<script>> scripts;
};

/// Something that ends a fault.
struct appointment {
  std::int64_t at;
  std::function<void()> what;
};

/// The reducer folds what it has folded.
template <class Options>
void forget_folds(Options& o) {
  if constexpr (requires { o.folds_again; })
    o.folds_again = true;
  else
    throw std::logic_error("reducer_options has no folds_again: this bug cannot be injected");
}

class run {
 public:
  run(std::uint64_t seed, const settings& how)
      : seed_(seed), how_(how), random_(seed * 0x9E3779B97F4A7C15u + 1), cluster_(seed) {}

  outcome go() {
    try {
      draw();
      watch();
      build();
      play();
      if (!result_.refused) check();
    } catch (const violation& v) {
      result_.failure = v.what();
    }
    result_.steps = steps_;
    cluster_.log = nullptr;
    cluster_.on_send = nullptr;
    return result_;
  }

 private:
  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  bool blames_events() const { return seed_ % 4 == 0; }
  std::uint64_t drawn(std::uint64_t least, std::uint64_t most) { return least + below(most - least + 1); }
  bool may(const char* kind) const { return how_.variant == "all" || how_.variant == kind; }

  // -- what is drawn ------------------------------------------------------------------------------------

  void draw() {
    witness().folds.clear();
    witness().last_result = witness().mixed_up = 0;
    draw_map();
    draw_places();
    mode_ = static_cast<answers>(below(3));
    budget_least_ = drawn(1, 8);
    budget_most_ = budget_least_ + drawn(0, 20);
    auto& mood = cluster_.mood;
    if (below(2)) mood.laziness = static_cast<double>(below(100)) / 100;
    if (below(3) == 0) mood.delay = static_cast<std::int64_t>(drawn(1, 50)) * 1'000'000;
    if (below(2)) mood.notice = static_cast<std::int64_t>(drawn(1, 300)) * 1'000'000;
    mood.bounces = below(2);
    fsync_ = below(2) ? static_cast<std::int64_t>(drawn(1, 200)) * 1'000'000 : 0;
    bulk_from_ = below(2) * drawn(1, 200);
    draw_faults();
    describe_plan();
  }

  void draw_map() {
    auto parts = drawn(1, 2);
    for (std::uint64_t p = 0; p < parts; ++p) {
      plain::part next{"part" + std::to_string(p), {}};
      auto length = drawn(1, 25);
      auto constraints = static_cast<std::int64_t>(drawn(1, 20));
      auto even = below(2) == 0;
      for (std::size_t s = 0; s < stream_count; ++s) {
        plain::row r{names[s], {}};
        for (std::size_t e = 0; e < length; ++e) {
          if (even) {
            r.slots.push_back(std::vector<plain::worker>{{{"generic"}, static_cast<std::int64_t>(e)}});
            continue;
          }
          r.slots.push_back(plain::random_slot(random_, constraints));
          // More constraints than workers in one event are refused.
          if (auto& slot = r.slots.back(); slot && slot->size() > 1) slot->resize(1);
        }
        next.rows.push_back(r);
      }
      map_.parts.push_back(next);
    }
    for (auto n = drawn(1, 3); n > 0; --n) map_.sequence.push_back(map_.parts[below(parts)].name);
    model_ = plain::expand(map_, true);
    for (auto& e : model_)
      for (auto& [stream, slot] : e.slots)
        for (std::size_t s = 0; s < stream_count; ++s)
          if (stream == names[s]) events_of_[s].push_back(static_cast<std::uint64_t>(&e - model_.data()));
    for (std::size_t s = 0; s < stream_count; ++s) {
      packets_[s] = series(s, events_of_[s].size() - 2);
      handed_to_[s].resize(packets_[s].size());
    }
  }

  void draw_places() {
    places_.push_back({place::controls, "controller"});
    auto first = drawn(1, 3);
    place a{place::ingests, "ingest0"}, b{place::ingests, "ingest1"};
    for (std::size_t s = 0; s < stream_count; ++s) (s < first ? a : b).streams.push_back(s);
    places_.push_back(a);
    if (!b.streams.empty()) places_.push_back(b);
    auto count = drawn(2, 3);
    for (std::uint64_t p = 0; p <= count; ++p) {
      place w{place::works, "work" + std::to_string(p)};
      w.workers.push_back({"generic", "gpu"});
      if (below(2)) w.workers.push_back({"generic"});
      w.late = p == count;
      places_.push_back(w);
    }
    places_.push_back({place::reduces, "reduce"});
  }

  std::vector<std::size_t> places_of(int role) const {
    std::vector<std::size_t> list;
    for (std::size_t p = 0; p < places_.size(); ++p)
      if (places_[p].role == role) list.push_back(p);
    return list;
  }
  std::size_t any(const std::vector<std::size_t>& list) { return list[below(list.size())]; }

  std::int64_t draw_duration() {
    constexpr std::int64_t longest[] = {1, 10, 100, 1000, 4000};
    return static_cast<std::int64_t>(drawn(0, static_cast<std::uint64_t>(longest[below(5)]))) * 1'000'000;
  }

  void draw_faults() {
    std::vector<fault_kind> kinds;
    for (std::size_t k = 0; k < std::size(fault_names); ++k)
      if (may(fault_names[k])) kinds.push_back(static_cast<fault_kind>(k));
    if (how_.variant == "none") kinds.clear();
    if (how_.variant == "kill_any")
      kinds = {fault_kind::kill_worker, fault_kind::kill_ingester, fault_kind::kill_reducer,
               fault_kind::kill_controller, fault_kind::late_join};
    if (how_.variant == "lossless")
      kinds = {fault_kind::kill_worker, fault_kind::kill_reducer, fault_kind::kill_controller,
               fault_kind::cut,         fault_kind::freeze,       fault_kind::disk_full,
               fault_kind::late_join,   fault_kind::cut_frames,   fault_kind::set_parameter};
    if (kinds.empty()) return;
    std::uint64_t latest = std::uint64_t{10} << below(9);
    bool stops = false;
    for (auto n = drawn(1, 6); n > 0; --n) {
      fault f{kinds[below(kinds.size())], below(latest)};
      // A run that is stopped says little: few are.
      if (f.kind == fault_kind::stop && (stops || (how_.variant == "all" && below(3) > 0))) continue;
      f.duration = draw_duration();
      switch (f.kind) {
      case fault_kind::kill_worker:
        f.target = any(places_of(place::works));
        if (places_[f.target].name != "work0" && below(3) == 0) f.duration = -1;
        break;
      case fault_kind::kill_ingester:
        f.target = any(places_of(place::ingests));
        break;
      case fault_kind::kill_controller:
        break;
      case fault_kind::kill_reducer:
      case fault_kind::disk_full:
        f.target = places_of(place::reduces).front();
        break;
      case fault_kind::cut_frames:
        f.target = any(places_of(place::ingests));
        f.other = any(places_of(place::works));
        break;
      case fault_kind::cut:
        do {
          f.target = below(places_.size());
          f.other = below(places_.size());
        } while (f.target == f.other || !talk(places_[f.target], places_[f.other]));
        break;
      case fault_kind::freeze:
        f.target = below(places_.size());
        break;
      case fault_kind::late_join:
        for (std::size_t p = 0; p < places_.size(); ++p)
          if (places_[p].late) f.target = p;
        break;
      case fault_kind::stop:
        stops = true;
        break;
      case fault_kind::set_parameter:
        break;
      }
      faults_.push_back(f);
    }
    std::stable_sort(faults_.begin(), faults_.end(), [](auto& a, auto& b) { return a.step < b.step; });
  }

  static bool talk(const place& a, const place& b) {
    auto one_way = [](const place& x, const place& y) {
      return x.role == place::controls || (x.role == place::ingests && y.role != place::reduces) ||
             (x.role == place::works && y.role == place::reduces);
    };
    return one_way(a, b) || one_way(b, a);
  }

  void describe_plan() {
    auto& text = result_.plan;
    text = fmt::format("{} events, answers {}, {} processes, budgets {}..{} frames, fsync {} ms, {}, frames "
                       "beside messages from {} bytes on\n",
                       model_.size(), static_cast<int>(mode_), places_.size() - 1, budget_least_,
                       budget_most_, fsync_ / 1'000'000,
                       cluster_.mood.bounces ? "requests fail with their link" : "requests time out",
                       bulk_from_);
    for (auto& f : faults_) {
      text += fmt::format("  step {}: {}", f.step, fault_names[static_cast<int>(f.kind)]);
      if (f.kind != fault_kind::stop && f.kind != fault_kind::set_parameter)
        text += " " + places_[f.target].name;
      if (f.kind == fault_kind::cut || f.kind == fault_kind::cut_frames)
        text += " - " + places_[f.other].name;
      text += f.duration < 0 ? ", for good\n" : fmt::format(", {} ms\n", f.duration / 1'000'000);
    }
  }

  // -- the cluster --------------------------------------------------------------------------------------

  void watch() {
    cluster_.log = how_.log;
    cluster_.on_send = [this](const body&, const body&, const caf::message& m) {
      if (m.match_elements<dispatches>()) return note_dispatches(m.get_as<dispatches>(0));
      if (m.match_elements<keep_ledger>()) kept_ledger_ = m.get_as<keep_ledger>(0).text;
      return true;
    };
    cluster_.may_deliver = [this](const body&, const caf::message& m) {
      return !hold_finish_ || !m.match_elements<finish_scan>();
    };
  }

  /// Which slots there are. False: an injected bug loses the message.
  bool note_dispatches(const dispatches& m) {
    bool moves = false;
    for (auto& run : m.runs)
      for (std::uint32_t i = 0; i < run.events.count; ++i)
        for (std::uint16_t s = 0; s < run.slots; ++s) {
          slot_id slot{run.events.at(i).value, static_cast<std::uint16_t>(run.first_slot.value + s)};
          moves |= !slots_.insert(slot).second;
          given_to_[slot] += fmt::format(" {}:{}", m.dispatch.value, run.worker.value);
        }
    if (how_.bug != "forget_redispatch" || !moves || forgotten_) return true;
    forgotten_ = true;
    return false;
  }

  void build() {
    for (auto p : places_of(place::reduces)) start(places_[p]);
    for (auto& p : places_)
      if (!p.late && p.role != place::reduces) start(p);
    if (how_.bug == "commit_before_journal")
      for (auto& p : places_) p.journals->pretends = true;
  }

  void start(place& p) {
    auto life_of = [](body& b) { return b.info.life; };
    p.now = &cluster_.start(p.name, [&](body& b) {
      auto& system = cluster_.system();
      auto around = cluster_.around();
      switch (p.role) {
      case place::controls: {
        controller_options o;
        o.life = life_of(b);
        o.around = around;
        o.analysis = DTRANSPOSE_SIMULATION_PLUGIN;
        o.parameters = {{"mode", std::to_string(static_cast<int>(mode_))}};
        o.arm_timeout = 2s;
        o.stop_timeout = stop_timeout;
        o.return_timeout = 30s;
        // Killed at random, some events take several workers with them.
        o.max_attempts = blames_events() ? 3 : 1000;
        o.journals = p.journals;
        b.controller = spawn_controller(system, o);
        return;
      }
      case place::reduces: {
        reducer_options o;
        o.life = life_of(b);
        o.around = around;
        o.journals = p.journals;
        o.fsync = std::chrono::nanoseconds(fsync_);
        if (how_.bug == "no_dedup") forget_folds(o);
        b.info.reducer = spawn_reducer(system, o);
        return;
      }
      case place::ingests:
        for (auto s : p.streams) b.info.ingesters.push_back({names[s], start_ingester(p, s, b)});
        return;
      case place::works: {
        std::vector<caf::actor> handles;
        for (auto& tags : p.workers) {
          auto name = fmt::format("{}-{}", p.name, handles.size());
          handles.push_back(spawn_worker(system, {.name = name, .life = life_of(b), .around = around}));
          b.info.workers.push_back({name, tags, handles.back()});
        }
        b.info.frames.url = b.name;
        b.info.assembler =
            spawn_assembler(system, {.life = life_of(b), .memory = 1 << 20, .workers = std::move(handles)});
        return;
      }
      }
    });
  }

  caf::actor start_ingester(place& p, std::size_t s, body& b) {
    auto script_of = std::make_shared<script>();
    script_of->all_sent = &all_sent_[s];
    p.scripts[s] = script_of;
    ingester_options o;
    o.stream = names[s];
    o.protocol = "stins";
    if (!budgets_.contains(s))
      budgets_[s] = {frame_cost * drawn(budget_least_, budget_most_),
                     frame_cost * drawn(budget_least_, budget_most_)};
    o.budget = budgets_[s];
    o.late_window = 8;
    o.rearm_timeout = 2s;
    o.stall_timeout = 10s;
    o.life = b.info.life;
    o.around = cluster_.around();
    if (bulk_from_ > 0) o.outlets = cluster_.outlets_of(b);
    o.bulk_from = bulk_from_;
    o.make_source = [script_of] { return std::make_unique<scripted_source>(script_of); };
    return spawn_ingester(cluster_.system(), o);
  }

  // -- faults -------------------------------------------------------------------------------------------

  void later(std::int64_t in, std::function<void()> what) {
    appointments_.push_back({cluster_.now + in, std::move(what)});
    quiet_since_ = std::max(quiet_since_, cluster_.now + in);
  }

  void keep_appointments() {
    for (std::size_t i = 0; i < appointments_.size();) {
      if (appointments_[i].at > cluster_.now) {
        ++i;
        continue;
      }
      auto what = std::move(appointments_[i].what);
      appointments_.erase(appointments_.begin() + static_cast<std::ptrdiff_t>(i));
      what();
    }
  }

  void apply_faults() {
    while (next_fault_ < faults_.size() && faults_[next_fault_].step <= progress_steps_) {
      apply(faults_[next_fault_++]);
      ++result_.faults;
    }
  }

  void apply(const fault& f) {
    auto& target = places_[f.target];
    if (how_.log) how_.log(fmt::format("=== {} {}", fault_names[static_cast<int>(f.kind)], target.name));
    quiet_since_ = cluster_.now;
    switch (f.kind) {
    case fault_kind::kill_worker:
    case fault_kind::kill_ingester:
    case fault_kind::kill_reducer:
    case fault_kind::kill_controller:
      kill(target, f.duration);
      return;
    case fault_kind::cut:
      if (target.now && places_[f.other].now)
        cluster_.cut(*target.now, *places_[f.other].now, std::chrono::nanoseconds(f.duration));
      return;
    case fault_kind::cut_frames:
      if (target.now && places_[f.other].now) cluster_.cut_frames(*target.now, *places_[f.other].now);
      return;
    case fault_kind::freeze:
      freeze(target, f.duration);
      return;
    case fault_kind::disk_full:
      target.journals->full = true;
      later(f.duration, [&target] { target.journals->full = false; });
      return;
    case fault_kind::late_join:
      if (!target.late) return;
      target.late = false;
      start(target);
      return;
    case fault_kind::set_parameter:
      if (places_[0].now)
        caf::anon_send(places_[0].now->controller,
                       dtranspose::set_parameter{"tone", std::to_string(++tone_), false});
      return;
    case fault_kind::stop:
      stopped_ = true;
      stopped_at_ = cluster_.now;
      if (places_[0].now) caf::anon_send(places_[0].now->controller, stop_atom::value);
      return;
    }
  }

  void kill(place& p, std::int64_t duration) {
    if (!p.now) return;
    if (p.role == place::ingests) any_ingester_died_ = true;
    cluster_.kill(*p.now);
    p.now = nullptr;
    p.scripts.clear();
    p.journals->crash();
    if (duration >= 0)
      later(duration, [this, &p] {
        if (!p.now) start(p);
      });
  }

  /// Others give a process up that says nothing for a second.
  void freeze(place& p, std::int64_t duration) {
    if (!p.now || p.now->frozen) return;
    auto b = p.now;
    cluster_.set_frozen(*b, true);
    constexpr std::int64_t timeout = 1'000'000'000;
    if (duration > timeout)
      later(timeout, [this, b, duration] {
        if (!b->alive) return;
        for (auto& other : places_)
          if (other.now && other.now != b)
            cluster_.cut(*b, *other.now, std::chrono::nanoseconds(duration - timeout));
      });
    later(duration, [this, b] { cluster_.set_frozen(*b, false); });
  }

  // -- playing ------------------------------------------------------------------------------------------

  bool can_ask(const place& p) const { return p.now && !p.now->frozen; }

  void play() {
    settle();
    auto answer = std::make_shared<std::optional<caf::message>>();
    cluster_.ask_later(places_[0].now->controller,
                       caf::make_message(set_sequence{plain::request(map_), true}),
                       [answer](caf::message m) { *answer = std::move(m); });
    while (!*answer) advance_if_idle();
    if ((*answer)->match_elements<caf::error>()) {
      auto text = text_of((*answer)->get_as<caf::error>(0));
      if (text.find("available, but") == text.npos) throw violation("the scan does not start: " + text);
      result_.refused = true;
      return;
    }
    scan_ = (*answer)->get_as<std::string>(0);
    quiet_since_ = cluster_.now;
    while (!over()) one_step();
  }

  /// Until everybody knows each other.
  void settle() {
    for (int i = 0; i < 3000; ++i)
      if (!cluster_.step()) cluster_.advance(std::chrono::nanoseconds(cluster_.next_time() - cluster_.now));
  }

  void advance_if_idle() {
    if (++steps_ > 200'000) throw violation("the scan does not start");
    if (!cluster_.step()) advance();
  }

  void advance() {
    auto next = cluster_.next_time();
    for (auto& a : appointments_)
      if (a.at > cluster_.now) next = std::min(next, a.at);
    cluster_.advance(std::chrono::nanoseconds(next - cluster_.now));
  }

  void one_step() {
    if (++steps_ > 3'000'000) throw violation("it does not come to an end" + describe());
    ++progress_steps_;
    apply_faults();
    keep_appointments();
    if (below(3) == 0 && push()) return;
    if (below(40) == 0) cluster_.advance(std::chrono::nanoseconds(below(2'000'000)));
    if (cluster_.step() || push()) return;
    idle_ = true;
    check_budgets();
    if (hold_finish_ && look_what_is_left()) return;
    progress_steps_ += 20;
    advance();
    if (cluster_.now - quiet_since_ > 200'000'000'000) throw violation("it hangs" + describe());
  }

  /// Everybody is idle: is the scan over?
  bool over() {
    if (!std::exchange(idle_, false) || !can_ask(places_[0])) return false;
    auto p = cluster_.ask<progress>(places_[0].now->controller, progress_atom::value);
    if (!p) return false;
    if (p->finished) {
      last_ = *p;
      return true;
    }
    // The controller was started again when all was done: there is nothing in hand any more.
    if (p->scan.empty() && kept_ledger_ && places_[0].journals->files.empty()) return true;
    if (p->scan.empty() && places_[0].journals->files.empty())
      throw violation("the controller has forgotten its scan");
    return false;
  }

  /// A random stream hands over what it may of a random number of packets.
  bool push() {
    auto s = below(stream_count);
    for (std::size_t i = 0; i < stream_count; ++i, s = (s + 1) % stream_count)
      if (push(s)) return true;
    return false;
  }

  bool push(std::size_t s) {
    for (auto& p : places_) {
      auto found = p.scripts.find(s);
      if (!p.now || p.now->frozen || found == p.scripts.end() || !found->second->sink) continue;
      auto& from = *found->second;
      auto batch = std::make_shared<packet_batch>();
      for (auto n = drawn(1, 5); n > 0 && pushed_[s] < packets_[s].size(); --n) {
        auto cost = budgeted_bytes(packets_[s][pushed_[s]].data.bytes());
        auto fits = (batch->packets.empty() && from.handed_over < from.beyond) ||
                    from.handed_over + batch->bytes + cost <= from.allowed;
        if (!fits) break;
        batch->bytes += cost;
        handed_to_[s][pushed_[s]] = p.now;
        batch->packets.push_back(packets_[s][pushed_[s]++]);
      }
      if (batch->packets.empty()) continue;
      all_sent_[s] = pushed_[s] == packets_[s].size();
      if (how_.log) how_.log(fmt::format("{} gets packets up to {}", names[s], pushed_[s]));
      from.handed_over += batch->bytes;
      from.sink(std::move(batch));
      return true;
    }
    return false;
  }

  // -- what must hold on the way ------------------------------------------------------------------------

  std::uint64_t number(const value& v, std::string_view key) {
    auto found = v.find(key);
    auto n = found ? found->as_number() : std::nullopt;
    return n ? static_cast<std::uint64_t>(*n) : 0;
  }

  void check_budgets() {
    if (++budget_looks_ % 8 != 0) return;
    for (auto& p : places_) {
      if (!can_ask(p)) continue;
      for (auto& i : p.now->info.ingesters) {
        auto report = cluster_.ask<value>(i.handle, status_atom::value);
        if (!report) continue;
        auto s = static_cast<std::size_t>(std::find(names, names + stream_count, i.stream) - names);
        // One packet passes beyond a budget, and so many as it takes to tell that a frame is missing.
        auto beyond = any_ingester_died_ ? 9 : 1;
        if (number(*report, "held_bytes") >
            budgets_[s].retain + static_cast<std::uint64_t>(beyond) * frame_cost)
          throw violation(fmt::format("{} holds {} bytes of {}", i.stream, number(*report, "held_bytes"),
                                      budgets_[s].retain));
      }
    }
  }

  /// Every event has ended and the reducer has not closed its files: nobody keeps anything. True: look on.
  bool look_what_is_left() {
    if (!can_ask(places_[0])) return false;
    auto p = cluster_.ask<progress>(places_[0].now->controller, progress_atom::value);
    if (!p || p->state != "draining") {
      draining_since_ = 0;
      return false;
    }
    if (draining_since_ == 0) draining_since_ = cluster_.now;
    // Who was cut off is told what it missed when it has been introduced.
    if (!appointments_.empty() || !everybody_is_connected()) {
      connected_since_ = 0;
      return false;
    }
    if (connected_since_ == 0) connected_since_ = cluster_.now;
    constexpr std::int64_t second = 1'000'000'000;
    if (cluster_.now - draining_since_ < second || cluster_.now - connected_since_ < second) return false;
    hold_finish_ = false;
    check_nothing_left(*p);
    return true;
  }

  bool everybody_is_connected() const {
    for (auto& a : places_)
      for (auto& b : places_)
        if (&a < &b && a.now && b.now && talk(a, b) && !cluster_.connected(*a.now, *b.now)) return false;
    return true;
  }

  bool faults_of_ingesters_are_none() const {
    return how_.variant == "none" || how_.variant == "kill_worker" || how_.variant == "kill_reducer" ||
           how_.variant == "late_join" || how_.variant == "disk_full";
  }

  void check_nothing_left(const progress& now) {
    bool gave_up =
        stopped_ && draining_since_ >= stopped_at_ + std::chrono::nanoseconds(stop_timeout).count();
    for (auto& p : places_) {
      if (!can_ask(p)) continue;
      auto look = [&](const caf::actor& actor, const std::string& who,
                      std::initializer_list<const char*> keys) {
        auto report = actor ? cluster_.ask<value>(actor, status_atom::value) : std::nullopt;
        for (auto key : keys)
          if (report && number(*report, key) != 0)
            throw violation(
                fmt::format("all events have ended, and {} still has {} {}", who, number(*report, key), key) +
                describe());
      };
      // What was given up as a stop took too long is kept until everybody is disarmed.
      if (!gave_up) look(p.now->info.assembler, p.name, {"open_events", "open_bytes"});
      // After a stop that took too long the reducer folds nothing more, and accepts nothing.
      if (now.trouble.empty()) look(p.now->info.assembler, p.name, {"unaccepted_closes"});
      for (auto& w : p.now->info.workers) {
        look(w.handle, w.name, {"deferred"});
        check_version(w.handle, w.name, now);
        if (now.trouble.empty()) look(w.handle, w.name, {"unaccepted_results"});
      }
      // Who was away when events ended may not have been told yet.
      if (now.trouble.empty() && faults_of_ingesters_are_none())
        for (auto& i : p.now->info.ingesters) look(i.handle, i.stream, {"held_bytes"});
    }
  }

  /// Everybody has the parameters that were set last.
  void check_version(const caf::actor& actor, const std::string& who, const progress& now) {
    auto ledger = cluster_.ask<value>(places_[0].now->controller, ledger_atom::value);
    auto report = cluster_.ask<value>(actor, status_atom::value);
    auto armed = report ? report->find("armed") : nullptr;
    if (!ledger || !armed || *armed != value(true) || !now.trouble.empty()) return;
    auto changes = ledger->find("parameters")->as_list();
    if (changes->empty()) return;
    auto last = number(changes->back(), "version");
    if (number(*report, "parameters_version") != last)
      throw violation(fmt::format("{} has version {} of the parameters, the last is {}", who,
                                  number(*report, "parameters_version"), last) +
                      describe());
  }

  /// For people: who waits for what.
  std::string describe() {
    std::string text;
    if (can_ask(places_[0]))
      if (auto p = cluster_.ask<progress>(places_[0].now->controller, progress_atom::value))
        text += fmt::format("\n  {}: {} of {} events ended, {} assigned; {}", p->state, p->completed_events,
                            p->total_events, p->last_assigned, p->trouble);
    for (std::size_t s = 0; s < stream_count; ++s)
      text += fmt::format("\n  {}: {} of {} packets", names[s], pushed_[s], packets_[s].size());
    text += "\n  slots that have not ended, and who they were given to (dispatch:worker):";
    auto f = fold_journal();
    for (auto& slot : slots_)
      if (!f.ends.contains(slot))
        text += fmt::format(" ({}, {}){}", slot.first, slot.second, given_to_[slot]);
    for (auto& p : places_) {
      if (!p.now) {
        text += "\n  " + p.name + " is not there";
        continue;
      }
      for (auto& actor : p.now->actors) {
        if (actor == p.now->controller || !can_ask(p)) continue;
        if (auto v = cluster_.ask<value>(actor, status_atom::value))
          text += fmt::format("\n  {}: {}", cluster_.name_of(caf::actor_cast<caf::strong_actor_ptr>(actor)),
                              to_json(*v));
      }
    }
    return text;
  }

  // -- what must have come of it ------------------------------------------------------------------------

  using slot_id = std::pair<std::uint64_t, std::uint16_t>; ///< event, slot

  /// How slots ended, as a plain loop over the reducer's journal says.
  struct fold {
    std::map<slot_id, fate> ends;
    std::vector<std::uint64_t> results; ///< their numbers, in order
    std::map<std::uint64_t, std::vector<std::uint64_t>> contents;
    std::map<std::uint64_t, std::vector<slot_id>> covered;
  };

  static std::vector<slot_id> slots_of(const slot_run& run) {
    std::vector<slot_id> list;
    for (std::uint32_t i = 0; i < run.events.count; ++i)
      for (std::uint16_t s = 0; s < run.slots; ++s)
        list.emplace_back(run.events.at(i).value, static_cast<std::uint16_t>(run.first_slot.value + s));
    return list;
  }

  template <class T>
  T read(const journal_record& record) {
    T x;
    caf::binary_deserializer source(cluster_.system(), reinterpret_cast<const char*>(record.content.data()),
                                    record.content.size());
    if (source(x)) throw violation("the reducer's journal has a record that cannot be read");
    return x;
  }

  fold fold_journal() {
    auto& store = *places_[places_of(place::reduces).front()].journals;
    auto name = "reducer-" + scan_;
    auto file = store.files.contains(name) ? store.files.at(name) : store.removed[name];
    fold f;
    if (!file) return f;
    std::set<worker_index> fenced;
    std::map<parameters_version, std::string> tones;
    auto note_tone = [&](const auto& m) {
      auto tone = m.parameters.find("tone");
      tones[m.version] = tone == m.parameters.end() ? "0" : tone->second;
    };
    auto end = [&](const slot_run& run, fate how) {
      for (auto& s : slots_of(run)) f.ends.emplace(s, how);
    };
    for (auto& record : file->records) switch (record.kind) {
      case 1:
        note_tone(read<arm>(record));
        break;
      case 7:
        note_tone(read<change_parameters>(record));
        break;
      case 2: {
        auto m = read<results>(record);
        if (!tones.contains(m.version))
          throw violation(
              fmt::format("results of version {} of the parameters, which is not known", m.version.value));
        for (auto& r : m.mapped.mapped) {
          auto made_with = std::to_string(r.content.as_array()->elements<std::uint64_t>()[1]);
          if (made_with != tones[m.version])
            throw violation(fmt::format("a result made with tone {} says version {}, which is tone {}",
                                        made_with, m.version.value, tones[m.version]));
          fold_result(f, r);
        }
        for (auto& run : m.mapped.empty) end(run, fate::empty);
        for (auto& failure : m.mapped.failed) end(failure.slots, fate::failed);
        break;
      }
      case 3:
        for (auto& slots : read<closes>(record).slots)
          if (!fenced.contains(slots.worker)) end(slots.slots, slots.how);
        break;
      case 4:
        for (auto w : read<fence>(record).workers) fenced.insert(w);
        break;
      case 6:
        for (auto& slots : read<give_up>(record).slots) end(slots.slots, slots.how);
        break;
      default:
        break;
      }
    return f;
  }

  static void fold_result(fold& f, const mapped_batch::result& r) {
    auto all = slots_of(r.slots);
    for (auto& run : r.more)
      for (auto& s : slots_of(run)) all.push_back(s);
    if (std::any_of(all.begin(), all.end(), [&](auto& s) { return f.ends.contains(s); })) return;
    auto numbers = r.content.as_array()->elements<std::uint64_t>();
    for (auto& s : all) f.ends.emplace(s, fate::folded);
    f.results.push_back(numbers[0]);
    f.contents[numbers[0]] = {numbers.begin() + 2, numbers.end()};
    f.covered[numbers[0]] = all;
  }

  void check() {
    auto ledger = read_ledger();
    auto state = ledger.at("state").get<std::string>();
    stopped_ = stopped_ || (state == "stopped" && stall_is_excused());
    if (state != "finished" && !(stopped_ && state == "stopped"))
      throw violation("it ended as " + state + ": " + ledger.at("cause").get<std::string>() + describe());
    auto listed = fates_listed(ledger);
    auto f = fold_journal();
    check_folds(f);
    if (witness().mixed_up > 0)
      throw violation(fmt::format("{} results with parameters of others", witness().mixed_up));
    check_contents(f);
    check_fates(ledger, listed, f, state);
    check_losses(listed);
  }

  /// Nobody knows that a stream is at its end when who was told so is dead.
  bool stall_is_excused() const {
    return std::any_of(std::begin(handed_to_), std::end(handed_to_),
                       [](auto& list) { return list.back() && !list.back()->alive; });
  }

  nlohmann::json read_ledger() {
    if (last_)
      if (auto v = cluster_.ask<value>(places_[0].now->controller, ledger_atom::value))
        return nlohmann::json::parse(to_json(*v));
    if (!kept_ledger_) throw violation("there is no ledger");
    return nlohmann::json::parse(*kept_ledger_);
  }

  /// By event, those that are listed as troubles.
  std::map<std::uint64_t, std::pair<std::string, std::string>> fates_listed(const nlohmann::json& ledger) {
    std::map<std::uint64_t, std::pair<std::string, std::string>> list;
    for (auto& t : ledger.at("troubles"))
      for (auto e = t.at("first").get<std::uint64_t>(); e <= t.at("last").get<std::uint64_t>(); ++e)
        if (!list.emplace(e,
                          std::make_pair(t.at("fate").get<std::string>(), t.at("cause").get<std::string>()))
                 .second)
          throw violation(fmt::format("the ledger lists event {} twice", e));
    return list;
  }

  void check_folds(const fold& f) {
    auto& folds = witness().folds;
    static const std::vector<std::uint64_t> nothing;
    auto& folded = folds.empty() ? nothing : folds.back();
    if (folded == f.results) return;
    std::set<std::uint64_t> once;
    for (auto r : folded)
      if (!once.insert(r).second) throw violation(fmt::format("result {} was folded twice", r));
    throw violation(fmt::format("the reducer folded {} results, its journal has {}: [{}] and [{}]",
                                folded.size(), f.results.size(), fmt::join(folded, " "),
                                fmt::join(f.results, " ")));
  }

  /// Every event that a result covers was seen with the data that the instrument gave it.
  void check_contents(const fold& f) {
    for (auto& [result, numbers] : f.contents) {
      std::set<std::uint64_t> said, covered;
      for (std::size_t i = 0; i < numbers.size();) {
        auto event = numbers[i++];
        said.insert(event);
        for (auto n = numbers[i++]; n > 0; --n, i += 2) {
          auto s = numbers[i];
          seen_.emplace(event, s);
          if (hash_in_event(stream_at(s), event) != numbers[i + 1])
            throw violation(
                fmt::format("event {} was mapped with data of another event of stream {}", event, s));
        }
      }
      for (auto& [event, slot] : f.covered.at(result)) covered.insert(event);
      if (said != covered)
        throw violation(fmt::format("result {} covers the events [{}], and was made of [{}]", result,
                                    fmt::join(covered, " "), fmt::join(said, " ")));
    }
  }

  /// The scan's streams are in the order in which the map names them.
  std::size_t stream_at(std::uint64_t index) const { return static_cast<std::size_t>(index); }

  std::uint64_t hash_in_event(std::size_t s, std::uint64_t event) const {
    auto& list = events_of_[s];
    auto found = std::lower_bound(list.begin(), list.end(), event);
    if (found == list.end() || *found != event) return 0;
    return hash_of(packets_[s][static_cast<std::size_t>(found - list.begin())].data);
  }

  void check_fates(const nlohmann::json& ledger,
                   const std::map<std::uint64_t, std::pair<std::string, std::string>>& listed, const fold& f,
                   const std::string& state) {
    std::map<std::string, std::uint64_t> counts;
    auto is_stopped = state == "stopped";
    for (std::uint64_t e = 0; e < model_.size(); ++e) {
      fate worst = fate::discarded;
      bool all = true;
      for (auto i = slots_.lower_bound({e, 0}); i != slots_.end() && i->first == e; ++i) {
        auto end = f.ends.find(*i);
        all = all && end != f.ends.end();
        if (end != f.ends.end()) worst = std::max(worst, end->second);
      }
      auto in_list = listed.find(e);
      auto how = in_list == listed.end() ? std::string() : in_list->second.first;
      if (is_stopped && how == "lost") {
        ++counts["lost"];
        continue;
      }
      if (!all) throw violation(fmt::format("event {} has a slot that the reducer never ended", e));
      ++counts[dtranspose::name_of(worst)];
      if ((worst >= fate::failed ? dtranspose::name_of(worst) : std::string()) != how)
        throw violation(fmt::format("event {} is '{}' in the ledger, and '{}' by the reducer's journal", e,
                                    how, dtranspose::name_of(worst)));
      bool ought_to_be_discarded = true;
      for (auto& [stream, slot] : model_[e].slots)
        ought_to_be_discarded = ought_to_be_discarded && slot.empty();
      if (ought_to_be_discarded != (worst == fate::discarded))
        throw violation(fmt::format("event {} is {}", e, dtranspose::name_of(worst)));
      if (how.empty()) check_streams_seen(e);
    }
    std::uint64_t sum = 0;
    for (auto& [name, count] : ledger.at("fates").items()) {
      sum += count.get<std::uint64_t>();
      if (counts[name] != count.get<std::uint64_t>())
        throw violation(fmt::format("the ledger counts {} events as {}: there are {}",
                                    count.get<std::uint64_t>(), name, counts[name]));
    }
    if (sum != model_.size() || ledger.at("ended").get<std::uint64_t>() != model_.size())
      throw violation(fmt::format("fates of {} events, of {} there are", sum, model_.size()));
  }

  /// A stream that goes to a constraint was seen by somebody who gave a result.
  void check_streams_seen(std::uint64_t e) {
    if (mode_ == answers::mixed && gives_nothing(e)) return;
    for (auto& [stream, slot] : model_[e].slots) {
      auto bound = std::any_of(slot.begin(), slot.end(), [](auto& w) { return w.constraint.has_value(); });
      auto s = static_cast<std::size_t>(std::find(names, names + stream_count, stream) - names);
      if (bound && !seen_.contains({e, s}))
        throw violation(fmt::format("event {} is folded without {}", e, stream));
    }
  }

  /// Only what an ingester had that was killed may be lost, or what a stop cut off.
  void check_losses(const std::map<std::uint64_t, std::pair<std::string, std::string>>& listed) {
    for (auto& [event, how] : listed) {
      if (stopped_ && how.first == "lost") continue;
      bool excused = blames_events() && how.second.starts_with("it ended ");
      // All workers with its tags were away for longer than return_timeout.
      excused = excused || how.second.starts_with("its worker is gone, and none with the tags");
      for (std::size_t s = 0; s < stream_count; ++s) {
        auto& list = events_of_[s];
        auto found = std::lower_bound(list.begin(), list.end(), event);
        if (found == list.end() || *found != event) continue;
        auto had = handed_to_[s][static_cast<std::size_t>(found - list.begin())];
        excused = excused || (had && !had->alive);
      }
      if (!excused) throw violation(fmt::format("event {} is {}: {}", event, how.first, how.second));
    }
  }

  std::uint64_t seed_;
  std::uint64_t tone_ = 0; ///< as it was set last
  const settings& how_;
  std::mt19937_64 random_;
  outcome result_;
  std::vector<place> places_;
  std::vector<fault> faults_;
  std::size_t next_fault_ = 0;
  std::vector<appointment> appointments_;
  plain::map map_;
  std::vector<plain::event> model_;
  std::vector<std::uint64_t> events_of_[stream_count]; ///< of the entries of each stream
  std::vector<stream_packet> packets_[stream_count];
  std::vector<const body*> handed_to_[stream_count];
  std::size_t pushed_[stream_count] = {};
  bool all_sent_[stream_count] = {};
  std::map<std::size_t, stream_queue::budget> budgets_;
  answers mode_ = answers::each;
  std::uint64_t budget_least_ = 1, budget_most_ = 1;
  std::int64_t fsync_ = 0;
  std::uint64_t bulk_from_ = 0; ///< bytes from which on frames travel beside messages; 0: never
  std::string scan_;
  std::uint64_t steps_ = 0, progress_steps_ = 0, budget_looks_ = 0;
  std::int64_t quiet_since_ = 0, draining_since_ = 0, connected_since_ = 0, stopped_at_ = 0;
  bool idle_ = false, hold_finish_ = true, stopped_ = false, forgotten_ = false, any_ingester_died_ = false;
  std::optional<progress> last_;
  std::optional<std::string> kept_ledger_;
  std::set<slot_id> slots_;
  std::map<slot_id, std::string> given_to_;                ///< for people
  std::set<std::pair<std::uint64_t, std::uint64_t>> seen_; ///< event, stream
  cluster cluster_;
};

} // namespace

outcome run_seed(std::uint64_t seed, const settings& how) { return run(seed, how).go(); }

const std::vector<std::string>& variants() {
  static const std::vector<std::string> list = {
      "none",       "kill_worker",   "kill_ingester", "kill_reducer", "kill_controller",
      "cut",        "freeze",        "disk_full",     "late_join",    "stop",
      "cut_frames", "set_parameter", "kill_any",      "lossless",     "all"};
  return list;
}

const std::vector<std::string>& bugs() {
  static const std::vector<std::string> list = {"no_dedup", "forget_redispatch", "commit_before_journal"};
  return list;
}

} // namespace dtranspose::simulation
