#include "runtime/node.hpp"

#include <caf/actor_system.hpp>
#include <caf/actor_system_config.hpp>
#include <caf/io/middleman.hpp>
#include <caf/scoped_actor.hpp>
#include <caf/send.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "actors/assembler.hpp"
#include "actors/controller.hpp"
#include "actors/frugal_scheduler.hpp"
#include "actors/ingester.hpp"
#include "actors/member.hpp"
#include "actors/messages.hpp"
#include "actors/reducer.hpp"
#include "actors/worker.hpp"
#include "analysis/analysis_names.hpp"
#include "cluster/bulk_carrier.hpp"
#include "cluster/tls_tunnel.hpp"
#include "model/error.hpp"
#include "output/decision_publisher.hpp"
#include "output/file_journals.hpp"
#include "python/python_code.hpp"
#include "recording/wire_tape.hpp"
#include "runtime/last_words.hpp"
#include "runtime/version.hpp"
#include "source/http_source.hpp"
#include "source/tcp_source.hpp"
#include "source/zmq_source.hpp"

namespace dtranspose {

namespace {

/// What stops waiting for analysis code, so that a process ends within two seconds.
constexpr auto stop_timeout = std::chrono::milliseconds(1500);

class system_config : public caf::actor_system_config {
 public:
  system_config(const cluster_settings& cluster, bool networked) {
    add_message_types<caf::id_block::dtranspose>();
    if (networked) load<caf::io::middleman>();
    use_frugal_scheduler(*this);
    set("scheduler.max-throughput", std::size_t{64});
    set("middleman.app-identifiers", std::vector<std::string>{"dtranspose"});
    set("middleman.heartbeat-interval", caf::timespan(cluster.heartbeat));
    set("middleman.connection-timeout", caf::timespan(cluster.timeout));
  }
};

std::string process_name(const role_set& roles) {
  std::string name;
  auto add = [&](bool has, const char* role) {
    if (has) name += (name.empty() ? "" : "+") + std::string(role);
  };
  if (roles.all())
    name = "all";
  else {
    add(roles.controller, "controller");
    add(roles.ingester, "ingester");
    add(roles.worker, "worker");
    add(roles.reducer, "reducer");
  }
  char host[256] = "";
  gethostname(host, sizeof host - 1);
  return fmt::format("{}@{}-{}", name, host, getpid());
}

std::vector<std::string> stream_names_of(const configuration& settings) {
  std::vector<std::string> names;
  for (auto& stream : settings.streams) names.push_back(stream.name);
  return names;
}

} // namespace

role_set role_set::parse(const std::string& text) {
  role_set roles;
  std::istringstream parts(text);
  for (std::string part; std::getline(parts, part, ',');) {
    if (part == "all")
      roles = {true, true, true, true};
    else if (part == "controller")
      roles.controller = true;
    else if (part == "ingester")
      roles.ingester = true;
    else if (part == "worker")
      roles.worker = true;
    else if (part == "reducer")
      roles.reducer = true;
    else
      throw std::runtime_error(fmt::format("--role: there is no role '{}' (all, controller, ingester, "
                                           "worker, reducer; several joined by commas)",
                                           part));
  }
  return roles;
}

struct node::state {
  explicit state(node_options o)
      : options(std::move(o)), config(options.settings.cluster, options.networked), system(config),
        life(make_life()) {
    try {
      build();
    } catch (...) {
      end_all();
      throw;
    }
  }

  incarnation make_life() const {
    incarnation life;
    while (life.value == 0) life = incarnation(options.around.random());
    return life;
  }

  void build() {
    self.life = life;
    self.name = process_name(options.roles);
    self.results = options.results_url;
    auto& settings = options.settings;
    if (options.roles.controller) build_controller();
    if (options.roles.ingester)
      for (auto& stream : settings.streams) build_ingester(stream);
    if (options.roles.worker) build_workers();
    build_inlet();
    if (options.roles.reducer) build_reducer();
    build_member();
  }

  void build_controller() {
    auto& analysis = options.settings.analysis;
    controller = spawn_controller(
        system, {.life = life,
                 .around = options.around,
                 .version = std::string(version()),
                 .analysis = analysis_entry_of(options.settings),
                 .parameters = parameters_in_use(analysis),
                 .arm_timeout = options.settings.scan.arm_timeout,
                 .stop_timeout = options.settings.scan.stop_timeout,
                 .return_timeout = options.settings.cluster.return_timeout,
                 .rejoin_timeout = options.settings.cluster.timeout + std::chrono::seconds(2),
                 .max_attempts = options.settings.scan.max_attempts,
                 .publish = publisher_of_decisions(),
                 .stops_when_decided = options.settings.feedback.stop,
                 .recording_prefix = recording_prefix(),
                 .streams = stream_names_of(options.settings),
                 .records = !options.settings.recording.directory.empty(),
                 .journals = journals_in(options.settings.controller.journal)});
  }

  std::function<void(const std::string&, const std::string&)> publisher_of_decisions() const {
    auto& url = options.settings.feedback.publish;
    if (url.empty()) return {};
    auto publisher = std::make_shared<decision_publisher>(url);
    return [publisher](auto& name, auto& json) { publisher->publish(name, json); };
  }

  std::string recording_prefix() const {
    auto& recording = options.settings.recording;
    if (recording.as != recording_form::dump || recording.directory.empty()) return {};
    return (std::filesystem::path(recording.directory) / "").string();
  }

  static std::shared_ptr<journal_store> journals_in(const std::string& folder) {
    return folder.empty() ? nullptr : make_file_journals(folder);
  }

  void build_ingester(const stream_settings& stream) {
    auto format = make_protocol(stream.protocol, stream.options);
    ingester_options o;
    o.stream = stream.name;
    o.protocol = stream.protocol;
    o.numbered = !format || format->numbered();
    o.startless = format && !format->has_start();
    if (stream.software_triggered) o.leader = stream.leader;
    o.followers = stream.followers;
    o.budget = {stream.retain, stream.read_ahead};
    o.late_window = stream.late_window;
    o.rearm_timeout = stream.rearm_timeout;
    o.stall_timeout = options.settings.scan.stall_timeout;
    o.life = life;
    o.around = options.around;
    if (!options.make_source) o.recording.wire = wire_tape_of(stream);
    o.make_source = source_maker(stream, o.recording.wire);
    if (options.networked && options.settings.cluster.bulk) o.outlets = outlets();
    o.bulk_from = options.settings.cluster.bulk_from;
    auto& recording = options.settings.recording;
    if (recording.as == recording_form::dump) o.recording.folder = recording.directory;
    o.recording.packed = recording.packed;
    o.recording.budget = recording.budget;
    o.recording.leave_gaps = recording.behind == recorder_behind::gap;
    o.lend = [this](const std::function<void()>& send) { lend_thread(system, send); };
    self.ingesters.push_back({stream.name, spawn_ingester(system, std::move(o))});
  }

  bulk_limits limits() const {
    auto& cluster = options.settings.cluster;
    auto ms = [](auto d) { return std::chrono::ceil<std::chrono::milliseconds>(d); };
    return {ms(cluster.heartbeat), ms(cluster.timeout)};
  }

  bulk_outlet_factory outlets() {
    // With a thread of its own: that of the sources is busy enough with receiving.
    if (!outlet_context) outlet_context = make_zmq_context();
    return zmq_bulk_outlets(outlet_context, limits());
  }

  /// Where ingesters of other processes send large frames.
  void build_inlet() {
    auto& cluster = options.settings.cluster;
    if (!options.networked || !cluster.bulk || !self.assembler) return;
    bulk_inlet::options o;
    o.host = cluster.listen.host;
    o.port = cluster.bulk_port;
    o.encrypted = !cluster.tls.certificate.empty();
    o.limits = limits();
    o.sink = [this, to = self.assembler](auto piece) {
      lend_thread(system, [&] { caf::anon_send(to, carried{std::move(piece)}); });
    };
    inlet = std::make_unique<bulk_inlet>(std::move(o));
    self.frames = inlet->address();
  }

  std::function<std::unique_ptr<source>()> source_maker(const stream_settings& stream,
                                                        const std::shared_ptr<wire_tape>& tape) {
    if (options.make_source) return [make = options.make_source, stream] { return make(stream); };
    if (!context) context = make_zmq_context();
    return [context = context, stream, tape] { return source_of(stream, tape, context); };
  }

  /// Null: what the stream receives is not recorded as it is.
  std::shared_ptr<wire_tape> wire_tape_of(const stream_settings& stream) const {
    auto& recording = options.settings.recording;
    if (recording.as != recording_form::wire || recording.directory.empty()) return nullptr;
    wire_tape_options o;
    o.folder = recording.directory;
    o.what = {stream.name, stream.protocol, stream.options};
    o.way = find_protocol(stream.protocol)->usual;
    o.packed = recording.packed;
    o.budget = recording.budget;
    // What follows another stream is always read.
    o.leave_gaps = recording.behind == recorder_behind::gap || stream.software_triggered;
    o.clock = options.around.wall;
    return std::make_shared<wire_tape>(std::move(o));
  }

  static std::unique_ptr<source> source_of(const stream_settings& stream,
                                           const std::shared_ptr<wire_tape>& tape,
                                           const std::shared_ptr<zmq::context_t>& context) {
    auto format = make_protocol(stream.protocol, stream.options);
    if (tape) format = make_recorded_protocol(std::move(format), tape);
    switch (find_protocol(stream.protocol)->usual) {
    case transport::tcp:
      return make_tcp_source({.url = stream.url, .format = std::move(format)});
    case transport::http:
      return make_http_source({.url = stream.url, .format = std::move(format)});
    default:
      break;
    }
    zmq_source_options o;
    o.url = stream.url;
    o.kind = stream.socket == socket_kind::pull ? zmq_socket_kind::pull : zmq_socket_kind::sub;
    o.bind = !stream.connect;
    if (!stream.curve.empty()) o.curve = read_curve_keys(stream.curve, o.bind);
    o.format = std::move(format);
    return make_zmq_source(std::move(o), context);
  }

  void build_workers() {
    auto& settings = options.settings.worker;
    auto tags = settings.tags;
    std::sort(tags.begin(), tags.end());
    tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
    std::vector<caf::actor> handles;
    for (std::uint32_t i = 0; i < settings.count; ++i) {
      auto name = fmt::format("w{}.{}", i, self.name);
      handles.push_back(spawn_worker(system, {.name = name,
                                              .tags = tags,
                                              .life = life,
                                              .around = options.around,
                                              .event_timeout = options.settings.scan.event_timeout,
                                              .watched = watcher(),
                                              .prepare_thread = last_words::prepare_thread}));
      self.workers.push_back({name, tags, handles.back()});
    }
    if (handles.empty()) return;
    self.assembler = spawn_assembler(
        system, {.life = life,
                 .memory = settings.memory,
                 .deliver_incomplete = options.settings.scan.incomplete == incomplete_events::deliver,
                 .workers = std::move(handles)});
  }

  /// Says which event ended the process. Not in a replay, which is one process anyway and may be a test's.
  std::function<void(std::shared_ptr<const execution_watch>, const message_head&, worker_index)> watcher() {
    if (!options.networked) return {};
    if (!words) {
      auto others = options.roles.controller || options.roles.ingester || options.roles.reducer;
      words = std::make_unique<last_words>(
          last_words::options{options.settings.scan.event_timeout, !others, options.around.steady,
                              [this](const obituary& m) { caf::anon_send(self.assembler, m); }});
    }
    return [this](auto watch, auto& head, auto worker) { words->watch(std::move(watch), head, worker); };
  }

  void build_reducer() {
    self.reducer =
        spawn_reducer(system, {.life = life,
                               .around = options.around,
                               .output = options.settings.output.file,
                               .overwrite = options.settings.output.overwrite,
                               .journals = journals_in(options.settings.reducer.journal),
                               .fsync = options.settings.reducer.fsync,
                               .pause_when_full = options.settings.reducer.pause_when_full,
                               .snapshots = options.snapshots,
                               .snapshots_per_second = options.settings.reducer.snapshots_per_second,
                               .saving = saving()});
  }

  saving_options saving() const {
    auto& output = options.settings.output;
    return {.always = output.always,
            .follow = output.swmr,
            .layout = {.chunk = output.chunk, .deflate = output.deflate},
            .flush = output.flush,
            .raw_path = output.raw_path,
            .version = std::string(version())};
  }

  void build_member() {
    auto& cluster = options.settings.cluster;
    member = spawn_member(system, {.self = self,
                                   .system = cluster.name,
                                   .version = std::string(version()),
                                   .controller = controller,
                                   .join_host = cluster.controller.host,
                                   .join_port = cluster.controller.port,
                                   .random = options.around.random,
                                   .heartbeat = cluster.heartbeat,
                                   .steady = options.around.steady,
                                   .timeout = cluster.timeout,
                                   .route = route(),
                                   .refused = [this](const std::string& text) { note_refusal(text); },
                                   .warnings = options.warnings,
                                   .warned = options.warned});
    if (options.networked) publish(cluster.listen);
    // Once it has answered, whatever asks the controller finds this process there.
    caf::scoped_actor waiter{system};
    waiter->request(member, caf::infinite, dial_atom::value, address)
        .receive([] {}, [](const caf::error& e) { throw std::runtime_error(text_of(e)); });
  }

  void publish(const host_and_port& listen) {
    if (tunnel) {
      // What comes from other nodes goes through TLS before it gets to the middleman.
      auto inside = publish_at({"127.0.0.1", 0});
      address = to_string(host_and_port{listen.host, tunnel->listen(listen.host, listen.port, inside)});
    } else {
      address = to_string(host_and_port{listen.host, publish_at(listen)});
    }
  }

  std::uint16_t publish_at(const host_and_port& listen) {
    auto port = system.middleman().publish(member, listen.port, listen.host.c_str(), true);
    if (port) return *port;
    throw std::runtime_error(
        fmt::format("cannot take connections at {}: is the port in use? (see [cluster] listen, --listen)",
                    to_string(listen)));
  }

  /// Where the middleman connects to reach an address: with TLS, a door to it.
  std::function<host_and_port(const std::string&, std::uint16_t)> route() {
    auto& files = options.settings.cluster.tls;
    if (!options.networked || files.certificate.empty()) return {};
    tunnel = std::make_unique<tls_tunnel>(tls_files{files.certificate, files.key, files.authority});
    return [this](const std::string& host, std::uint16_t port) {
      return host_and_port{"127.0.0.1", tunnel->door_to(host, port)};
    };
  }

  void note_refusal(const std::string& text) {
    std::lock_guard guard(mutex);
    refusal = text;
  }

  std::vector<caf::actor> all() const {
    std::vector<caf::actor> list{member, controller, self.assembler, self.reducer};
    for (auto& i : self.ingesters) list.push_back(i.handle);
    for (auto& w : self.workers) list.push_back(w.handle);
    std::erase_if(list, [](auto& a) { return !a; });
    return list;
  }

  bool end_all() {
    if (ended) return true;
    inlet.reset();
    caf::scoped_actor waiter{system};
    auto actors = all();
    for (auto& a : actors) {
      waiter->monitor(a);
      waiter->send_exit(a, caf::exit_reason::user_shutdown);
    }
    auto deadline = std::chrono::steady_clock::now() + stop_timeout;
    auto open = actors.size();
    while (open > 0 && std::chrono::steady_clock::now() < deadline)
      waiter->receive([&](const caf::down_msg&) { --open; },
                      caf::after(std::chrono::milliseconds(100)) >> [] {});
    ended = open == 0;
    close_python_hosts();
    if (!ended) return false;
    member = controller = nullptr;
    self = {};
    return true;
  }

  node_options options;
  std::unique_ptr<tls_tunnel> tunnel; ///< null: nothing goes through TLS
  std::unique_ptr<last_words> words;  ///< outlives the workers
  system_config config;
  std::shared_ptr<zmq::context_t> context;        ///< of the sources
  std::shared_ptr<zmq::context_t> outlet_context; ///< of the ways for frames to other processes
  caf::actor_system system;
  incarnation life;
  member_info self;
  std::unique_ptr<bulk_inlet> inlet; ///< null: large frames come in messages
  caf::actor controller, member;
  std::string address;
  std::mutex mutex;
  std::string refusal;
  bool ended = false;
};

node::node(node_options options) : state_(std::make_unique<state>(std::move(options))) {}
node::~node() { state_->end_all(); }
caf::actor_system& node::system() { return state_->system; }
const caf::actor& node::controller() const { return state_->controller; }
const std::string& node::address() const { return state_->address; }
bool node::stop() { return state_->end_all(); }

std::string node::refusal() const {
  std::lock_guard guard(state_->mutex);
  return state_->refusal;
}

} // namespace dtranspose
