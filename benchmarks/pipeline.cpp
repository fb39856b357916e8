#include "pipeline.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>
#include <httplib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <stdexcept>
#include <thread>

#include "actors/messages.hpp"
#include "analysis/analysis_names.hpp"
#include "child_process.hpp"
#include "instrument/fitting_map.hpp"
#include "runtime/inquiry.hpp"
#include "runtime/node.hpp"
#include "temporary_folder.hpp"

namespace dtranspose::benchmarks {

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

constexpr auto patience = std::chrono::seconds(20);

std::string stream_name(std::size_t place) { return "det" + std::to_string(place); }

std::string map_of(const pipeline_settings& settings, std::uint64_t frames) {
  std::vector<simulated_stream> streams;
  for (std::size_t i = 0; i < settings.urls.size(); ++i) streams.push_back({stream_name(i), frames, 1});
  return fitting_map(streams);
}

class local_pipeline final : public pipeline {
 public:
  explicit local_pipeline(const pipeline_settings& settings)
      : settings_(settings),
        node_({.settings = of_node(settings), .roles = {true, true, true, true}, .networked = false}) {}

  void start(std::uint64_t frames) override {
    start_scan(node_.system(), node_.controller(), map_of(settings_, frames), true);
  }
  progress ask() override { return ask_progress(node_.system(), node_.controller()); }
  std::vector<role_process> processes() const override { return {{"all", getpid()}}; }

 private:
  configuration of_node(const pipeline_settings& settings) {
    configuration c;
    for (std::size_t i = 0; i < settings.urls.size(); ++i)
      c.streams.push_back({.name = stream_name(i), .protocol = "stins", .url = settings.urls[i]});
    c.worker.count = settings.workers;
    c.analysis.use = {settings.analysis};
    c.analysis.parameters[analysis_name_of(settings.analysis)] = settings.parameters;
    if (settings.journal) c.reducer.journal = c.controller.journal = folder_.path() / "journal";
    return c;
  }

  pipeline_settings settings_;
  temporary_folder folder_;
  node node_;
};

/// A port of the loopback that nobody has, below those that connections are made from.
std::uint16_t free_port() {
  static std::mt19937 random(std::random_device{}());
  for (;;) {
    auto port = static_cast<std::uint16_t>(std::uniform_int_distribution<int>(15000, 32000)(random));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int probe = socket(AF_INET, SOCK_STREAM, 0);
    bool free = bind(probe, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    close(probe);
    if (free) return port;
  }
}

/// A text of TOML is one of JSON.
std::string toml_text(const std::string& text) { return json(text).dump(); }

class remote_pipeline final : public pipeline {
 public:
  remote_pipeline(const pipeline_settings& settings, const std::vector<std::string>& roles)
      : settings_(settings), http_port_(free_port()), client_("127.0.0.1", http_port_) {
    client_.set_keep_alive(true);
    client_.set_tcp_nodelay(true);
    client_.set_read_timeout(std::chrono::seconds(60));
    write_configuration();
    for (auto& role : roles) {
      children_.push_back(std::make_unique<child_process>(
          std::vector<std::string>{"../dtranspose", "--role", role, "--config", config().string()},
          log_of(role)));
      processes_.push_back({role, children_.back()->pid()});
    }
    wait_for_members();
  }

  void start(std::uint64_t frames) override {
    auto answer = client_.Post("/api/v1/sequence", map_of(settings_, frames), "application/json");
    if (!answer || answer->status != 200)
      throw std::runtime_error("the scan is refused: " + (answer ? answer->body : logs()));
  }

  progress ask() override {
    auto body = get("progress");
    if (!body.is_object()) throw std::runtime_error("the controller does not answer\n" + logs());
    progress p;
    p.state = body.value("state", "");
    p.completed_events = body.value("completed_events", std::uint64_t{0});
    p.total_events = body.value("total_events", std::uint64_t{0});
    p.finished = body.value("finished", false);
    p.fates = body.value("fates", p.fates);
    p.trouble = body.value("trouble", "");
    return p;
  }

  std::vector<role_process> processes() const override { return processes_; }

 private:
  fs::path config() const { return folder_.path() / "benchmark.toml"; }
  fs::path log_of(const std::string& role) const { return folder_.path() / (role + ".log"); }

  void write_configuration() {
    std::ofstream out(config());
    out << fmt::format("[cluster]\ncontroller = \"127.0.0.1:{}\"\n", free_port());
    out << fmt::format("[http]\ncontrol = \"127.0.0.1:{}\"\nresults = \"127.0.0.1:{}\"\n", http_port_,
                       free_port());
    for (std::size_t i = 0; i < settings_.urls.size(); ++i)
      out << fmt::format("[[stream]]\nname = \"{}\"\nprotocol = \"stins\"\nurl = {}\n", stream_name(i),
                         toml_text(settings_.urls[i]));
    out << fmt::format("[worker]\ncount = {}\n", settings_.workers);
    out << fmt::format("[analysis]\nuse = [{}]\n", toml_text(settings_.analysis));
    if (!settings_.parameters.empty()) out << fmt::format("[analysis.{}]\n", name_of_analysis());
    for (auto& [name, content] : settings_.parameters) out << name << " = " << toml_text(content) << "\n";
    if (settings_.journal)
      out << fmt::format("[reducer]\njournal = {}\n", toml_text((folder_.path() / "journal").string()));
  }

  std::string name_of_analysis() const { return std::string(analysis_name_of(settings_.analysis)); }

  json get(const std::string& what) {
    auto answer = client_.Get("/api/v1/" + what);
    return answer && answer->status == 200 ? json::parse(answer->body, nullptr, false) : json();
  }

  bool complete() {
    auto members = get("config");
    if (!members.is_object() || members.value("reducer", json()).empty()) return false;
    std::size_t streams = 0;
    for (auto& ingester : members["ingesters"]) streams += ingester["streams"].size();
    return streams == settings_.urls.size() && members["workers"].size() == settings_.workers;
  }

  void wait_for_members() {
    auto deadline = std::chrono::steady_clock::now() + patience;
    while (!complete()) {
      for (auto& child : children_)
        if (!child->runs()) throw std::runtime_error("a process has ended\n" + logs());
      if (std::chrono::steady_clock::now() >= deadline)
        throw std::runtime_error("the processes do not find each other\n" + logs());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }

  std::string logs() const {
    std::string text;
    for (auto& process : processes_) {
      std::ifstream in(log_of(process.role));
      text += process.role + ":\n";
      text.append(std::istreambuf_iterator<char>(in), {});
    }
    return text;
  }

  pipeline_settings settings_;
  temporary_folder folder_;
  std::uint16_t http_port_;
  httplib::Client client_;
  std::vector<std::unique_ptr<child_process>> children_;
  std::vector<role_process> processes_;
};

} // namespace

std::unique_ptr<pipeline> in_this_process(const pipeline_settings& settings) {
  return std::make_unique<local_pipeline>(settings);
}

std::unique_ptr<pipeline> in_processes(const pipeline_settings& settings,
                                       const std::vector<std::string>& roles) {
  return std::make_unique<remote_pipeline>(settings, roles);
}

std::uint64_t resident_bytes(pid_t pid) {
  std::ifstream in(fmt::format("/proc/{}/statm", pid));
  std::uint64_t size = 0, resident = 0;
  in >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void check_mapped(const progress& p, std::uint64_t frames, const pipeline_settings& settings) {
  auto found = p.fates.find(settings.analysis == "none" ? "empty" : "folded");
  if (found == p.fates.end() || found->second < frames)
    throw std::runtime_error("not all events were mapped: the figures would mean nothing");
}

} // namespace dtranspose::benchmarks
