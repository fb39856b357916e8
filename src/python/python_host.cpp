#include "python/python_host.hpp"

#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

namespace dtranspose {

namespace {

using namespace std::chrono_literals;
using steady = std::chrono::steady_clock;

/// Importing NumPy over a busy network takes its time.
constexpr auto longest_start = 60s;
constexpr auto longest_close = 2s;
/// How long the supervisor may take to notice an end.
constexpr auto burial = 2s;
constexpr auto look_interval = 100ms;
/// Of frames that wait for one process or are held by its code.
constexpr std::size_t segment_budget = std::size_t{256} << 20;
constexpr std::size_t longest_tail = 2000;

std::string_view name_of(python_role role) { return role == python_role::worker ? "worker" : "reducer"; }

host_command command_of(const python_settings& settings, python_role role) {
  if (find_program(settings.interpreter).empty())
    throw std::runtime_error(fmt::format(
        "there is no program '{}' to run Python: see [analysis.python] interpreter", settings.interpreter));
  return {settings.interpreter,
          {"-m", "dtranspose.host", "--fd", "{fd}"},
          settings.environment,
          fmt::format("python {}", name_of(role))};
}

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return std::string(text.substr(text.rfind('\n') + 1));
}

value described(const parameters& settings) {
  value_map values;
  for (auto& [name, written] : settings.all()) {
    auto bytes = std::as_bytes(std::span(written));
    values.set(name, value_bytes(bytes.begin(), bytes.end()));
  }
  return values;
}

value texts(const std::vector<std::string>& list) {
  value_list all;
  for (auto& text : list) all.emplace_back(text);
  return all;
}

std::vector<std::byte> bytes_of(const value& content) {
  byte_writer out;
  out.put(content);
  return std::move(out.content());
}

spdlog::level::level_enum level_of(const std::string& name) {
  if (name == "debug") return spdlog::level::debug;
  if (name == "warning") return spdlog::level::warn;
  if (name == "error") return spdlog::level::err;
  if (name == "critical") return spdlog::level::critical;
  return spdlog::level::info;
}

/// The traceback, or one line.
std::string failure_in(const host_message& message) {
  try {
    auto said = value_in(message.body);
    auto trace = text_in(said, "traceback");
    return trace.empty() ? text_in(said, "error") : trace;
  } catch (const bad_message&) {
    return "it failed, and why cannot be read";
  }
}

double seconds_of(std::chrono::nanoseconds time) { return std::chrono::duration<double>(time).count(); }

} // namespace

python_host::python_host(const python_settings& settings, python_role role)
    : settings_(settings), role_(role), label_(fmt::format("python {}", name_of(role))),
      process_(command_of(settings, role)), link_(process_.take_socket()), progress_(16, false),
      segments_(segment_budget) {
  greet();
}

void python_host::greet() {
  try {
    auto hello = next(steady::now() + longest_start);
    auto said = hello.type == host_message_type::hello ? value_in(hello.body) : value();
    auto protocol = said.find("protocol");
    if (!protocol || protocol->as_number() != host_protocol_version)
      fail(fmt::format("its package dtranspose is of another version ({}): install the one that came with "
                       "this program",
                       text_in(said, "dtranspose")));
    label_ = fmt::format("python {} {}", name_of(role_), process_.pid());
    send(host_message_type::welcome,
         bytes_of(value_map{{"protocol", host_protocol_version}, {"role", name_of(role_)}}));
    send(host_message_type::segment, bytes_of(value_map{{"progress", true}}), progress_.take_descriptor());
  } catch (const host_lost&) {
    auto why = last_line(process_.last_words());
    auto end = process_.wait(burial);
    if (why.empty())
      why = lost_cause_;
    else if (end)
      why.append(fmt::format(" ({})", end->text()));
    throw std::runtime_error(fmt::format(
        "the interpreter '{}' does not run the package dtranspose: {}. Install the package for it "
        "(pip install .../dtranspose/python), or name another one ([analysis.python] interpreter)",
        settings_.interpreter, why));
  }
}

value python_host::load(const std::vector<parameter_description>& others, std::uint32_t reading) {
  reading_.reset();
  auto& name = role_ == python_role::worker ? settings_.worker : settings_.reducer;
  value_list list;
  for (auto& p : others) {
    auto bytes = std::as_bytes(std::span(p.initial));
    list.push_back(value_map{{"name", p.name},
                             {"type", dtranspose::name_of(p.type)},
                             {"default", value_bytes(bytes.begin(), bytes.end())}});
  }
  value_map body{{"class", name},
                 {"directory", settings_.directory},
                 {"path", texts(settings_.path)},
                 {"parameters", std::move(list)},
                 {"pickles", settings_.pickles}};
  try {
    auto said = ask(host_message_type::load, std::move(body), longest_start);
    of_dtranspose_ = text_in(said, "kind") == "dtranspose";
    reading_ = reading;
    return said;
  } catch (const host_failed& e) {
    std::string_view trace(e.what());
    spdlog::error("{}: {}", label_, trace);
    throw std::runtime_error(fmt::format("the {} class '{}' cannot be loaded from '{}': {}", name_of(role_),
                                         name, settings_.directory.empty() ? "." : settings_.directory,
                                         last_line(trace)));
  }
}

value python_host::describe(const parameters& settings) {
  return ask(host_message_type::describe, value_map{{"parameters", described(settings)}},
             std::max<std::chrono::nanoseconds>(settings_.event_timeout, longest_start));
}

value python_host::begin(const scan_facts& facts, const parameters& settings, std::uint32_t version) {
  value_map body{{"scan", facts.id},
                 {"generation", facts.generation},
                 {"streams", texts(facts.streams)},
                 {"events", facts.events},
                 {"worker", facts.worker.empty() ? std::string(name_of(role_)) : facts.worker},
                 {"tags", texts(facts.tags)},
                 {"facts", value_map()},
                 {"parameters", value_map{{"version", version}, {"values", described(settings)}}}};
  if (!facts.workers.empty())
    send(host_message_type::names,
         bytes_of(value_map{{"kind", "worker"}, {"first", 0}, {"names", texts(facts.workers)}}));
  return ask(host_message_type::begin, std::move(body),
             std::max<std::chrono::nanoseconds>(settings_.event_timeout, longest_start));
}

void python_host::set_parameters(const parameters& settings, std::uint32_t version) {
  ask(host_message_type::set_parameters,
      value_map{{"parameters", value_map{{"version", version}, {"values", described(settings)}}}},
      settings_.event_timeout);
}

value python_host::ask(host_message_type type, const value& body, std::chrono::nanoseconds patience) {
  auto answer = ask(type, bytes_of(body), patience);
  try {
    return value_in(answer.body);
  } catch (const bad_message& e) {
    fail(fmt::format("its process has sent what cannot be read: {}", e.what()));
  }
}

host_message python_host::ask(host_message_type type, std::vector<std::byte> body,
                              std::chrono::nanoseconds patience, host_message_type answer) {
  auto message = answer_to(send(type, std::move(body)), patience);
  if (message.type != answer) fail("its process has sent another answer than there is");
  return message;
}

std::uint32_t python_host::send(host_message_type type, std::vector<std::byte> body, file_descriptor fd) {
  if (lost_) throw host_lost(lost_cause_);
  auto id = ++last_id_;
  bool answered = type != host_message_type::welcome && type != host_message_type::segment &&
                  type != host_message_type::drop_segment && type != host_message_type::names;
  try {
    link_.send(type, id, std::move(body), std::move(fd));
  } catch (const link_closed&) {
    fail_gone();
  }
  if (answered) ++unanswered_;
  return id;
}

host_message python_host::answer_to(std::uint32_t id, std::chrono::nanoseconds patience, bool batch) {
  auto seen = at();
  auto since = steady::now();
  for (;;) {
    auto limit = since + patience;
    auto until = std::min<steady::time_point>(limit, steady::now() + look_interval);
    auto message = next(until);
    if (message.id == id && message.type != host_message_type{}) {
      --unanswered_;
      if (message.type != host_message_type::failed) return message;
      throw host_failed(failure_in(message));
    }
    if (message.type == host_message_type::failed)
      spdlog::error("{}: {}", label_, failure_in(message));
    else if (message.type != host_message_type{})
      fail("its process has answered something that it was not asked");
    auto now = at();
    if (batch && (now.batch != seen.batch || now.event != seen.event)) {
      seen = now;
      since = steady::now();
    } else if (steady::now() >= limit) {
      fail_late(patience);
    }
  }
}

/// The next message that somebody waits for; one without a type where none has come.
host_message python_host::next(steady::time_point until) {
  if (lost_) throw host_lost(lost_cause_);
  try {
    for (;;) {
      look_at_memory();
      auto message = link_.receive(until);
      if (!message) return {};
      if (message->type == host_message_type::log)
        take_log(value_in(message->body));
      else if (message->type == host_message_type::released)
        take_released(message->body);
      else
        return std::move(*message);
    }
  } catch (const link_closed&) {
    fail_gone();
  } catch (const bad_message& e) {
    fail(fmt::format("its process has sent what cannot be read: {}", e.what()));
  }
}

bool python_host::answers() {
  try {
    return usable() && next(steady::now()).type == host_message_type{};
  } catch (const host_lost&) {
    return false;
  }
}

void python_host::take_log(const value& record) const {
  spdlog::log(level_of(text_in(record, "level")), "{}: {}", label_, text_in(record, "text"));
}

void python_host::take_released(std::span<const std::byte> body) {
  byte_reader in(body);
  while (!in.rest().empty()) segments_.release(in.number<std::uint64_t>());
}

void python_host::look_at_memory() {
  if (settings_.memory_limit == 0 || steady::now() - looked_at_memory_ < look_interval) return;
  looked_at_memory_ = steady::now();
  auto used = process_.memory();
  if (used > settings_.memory_limit)
    fail(fmt::format("its process took {} MiB of memory, more than the {} MiB of memory_limit", used >> 20,
                     settings_.memory_limit >> 20));
}

void python_host::fail(const std::string& why) {
  give_up(why);
  throw host_lost(lost_cause_);
}

/// The connection is closed: the process has ended or will.
void python_host::fail_gone() {
  auto end = process_.wait(std::chrono::duration_cast<std::chrono::milliseconds>(burial));
  process_.kill();
  fail(with_last_words(end ? fmt::format("its process {}", end->text())
                           : std::string("its process closed its connection")));
}

/// It is asked where it is before it is ended.
void python_host::fail_late(std::chrono::nanoseconds patience) {
  process_.abort();
  process_.wait(std::chrono::duration_cast<std::chrono::milliseconds>(burial));
  process_.kill();
  auto key = patience == settings_.event_timeout ? " (event_timeout)" : "";
  fail(with_last_words(fmt::format("the code ran for more than {} s{}", seconds_of(patience), key)));
}

std::string python_host::with_last_words(std::string cause) const {
  auto words = process_.last_words();
  if (words.size() > longest_tail) words.erase(0, words.size() - longest_tail);
  while (!words.empty() && words.back() == '\n') words.pop_back();
  return words.empty() ? cause : cause.append("\n").append(words);
}

void python_host::give_up(const std::string& cause) {
  process_.kill();
  if (!lost_) lost_cause_ = cause;
  lost_ = true;
}

void python_host::begin_close() {
  if (lost_ || closing_) return;
  closing_ = true;
  try {
    send(host_message_type::close, bytes_of(value()));
  } catch (const host_lost&) {
    // That is what was asked for.
  }
}

void python_host::close() {
  begin_close();
  if (lost_) return;
  try {
    answer_to(last_id_, longest_close);
    process_.wait(std::chrono::duration_cast<std::chrono::milliseconds>(longest_close));
  } catch (const std::exception& e) {
    spdlog::debug("{}: {}", label_, e.what());
  }
  give_up("it was closed");
}

python_host::place python_host::at() const {
  auto words = reinterpret_cast<std::uint64_t*>(progress_.memory().data());
  return {std::atomic_ref(words[0]).load(), std::atomic_ref(words[1]).load()};
}

void python_host::announce(std::vector<segment_store::announcement>& added,
                           const std::vector<std::uint32_t>& dropped) {
  for (auto segment : dropped)
    send(host_message_type::drop_segment, bytes_of(value_map{{"segment", segment}}));
  for (auto& a : added)
    send(host_message_type::segment, bytes_of(value_map{{"segment", a.segment}, {"size", a.size}}),
         std::move(a.fd));
}

std::uint16_t python_host::type_number(std::string_view type) {
  if (auto known = types_.find(type); known != types_.end()) return known->second;
  auto number = static_cast<std::uint16_t>(types_.size());
  types_.emplace(type, number);
  send(host_message_type::names,
       bytes_of(value_map{{"kind", "type"}, {"first", number}, {"names", value_list{std::string(type)}}}));
  return number;
}

} // namespace dtranspose
