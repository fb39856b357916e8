#include "http/control_bridge.hpp"

#include <caf/scoped_actor.hpp>
#include <caf/sec.hpp>

#include <nlohmann/json.hpp>

#include "actors/controller.hpp"
#include "actors/messages.hpp"
#include "http/metrics.hpp"
#include "http/scan_hook.hpp"
#include "model/error.hpp"
#include "model/value_json.hpp"

namespace dtranspose {

namespace {

constexpr auto short_patience = std::chrono::seconds(5);
/// Modules are imported meanwhile.
constexpr auto reload_patience = std::chrono::seconds(120);

/// 4xx for what the caller can change, as the incumbent has it.
int status_of(const caf::error& error) {
  if (error == caf::sec::request_timeout) return 504;
  switch (code_of(error).value_or(ec::none)) {
  case ec::malformed:
    return 422;
  case ec::unavailable:
  case ec::bad_analysis:
  case ec::refused:
    return 400;
  case ec::superseded:
    return 409;
  case ec::timed_out:
    return 504;
  case ec::not_found:
    return 404;
  default:
    return 500;
  }
}

std::string json_of(const value& v) { return to_json(v); }

} // namespace

template <class Answer, class... Question>
http_answer control_bridge::ask(std::chrono::nanoseconds patience,
                                std::function<std::string(const Answer&)> to_body, Question... question) {
  caf::scoped_actor self{system_};
  http_answer answer;
  self->request(controller_, patience, std::move(question)...)
      .receive([&](const Answer& a) { answer.body = to_body(a); },
               [&](const caf::error& e) {
                 answer = {status_of(e), error_body(text_of(e)), http_answer().content_type};
               });
  return answer;
}

http_answer control_bridge::set_sequence(std::string_view body, bool all_wrap) {
  // Reducer, workers, assemblers and ingesters are armed one after the other.
  return ask<std::string>(
      4 * arming_ + short_patience, [](auto& id) { return nlohmann::json(id).dump(); },
      dtranspose::set_sequence{std::string(body), all_wrap});
}

http_answer control_bridge::sequence() {
  return ask<std::string>(
      short_patience, [](auto& json) { return json; }, sequence_atom::value);
}

http_answer control_bridge::progress() {
  return ask<dtranspose::progress>(
      short_patience,
      [](auto& p) {
        nlohmann::ordered_json body{{"last_assigned", p.last_assigned},
                                    {"completed_events", p.completed_events},
                                    {"total_events", p.total_events},
                                    {"finished", p.finished},
                                    {"scan", p.scan},
                                    {"state", p.state},
                                    {"fates", p.fates},
                                    {"seconds", p.seconds},
                                    {"output", p.output},
                                    {"trouble", p.trouble}};
        return body.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
      },
      progress_atom::value);
}

http_answer control_bridge::config() { return ask<value>(short_patience, json_of, config_atom::value); }
http_answer control_bridge::status() { return ask<value>(short_patience, json_of, status_atom::value); }
http_answer control_bridge::ledger() { return ask<value>(short_patience, json_of, ledger_atom::value); }

http_answer control_bridge::decisions(std::uint64_t since) {
  return ask<value>(short_patience, json_of, decisions_atom::value, since);
}

http_answer control_bridge::stop() {
  return ask<bool>(
      short_patience, [](bool) { return std::string("null"); }, stop_atom::value);
}

http_answer control_bridge::streams() {
  return ask<value>(
      short_patience,
      [](auto& status) {
        auto streams = status.find("streams");
        return streams ? json_of(*streams) : std::string("{}");
      },
      status_atom::value);
}

http_answer control_bridge::health() {
  value_list missing;
  auto answer = ask<value>(
      short_patience,
      [&](auto& config) {
        auto none = [&](const char* key) {
          auto list = config.find(key) ? config.find(key)->as_list() : nullptr;
          if (!list || list->empty()) missing.push_back(key);
        };
        none("ingesters");
        none("workers");
        if (auto reducer = config.find("reducer"); !reducer || reducer->is_null())
          missing.push_back("reducer");
        bool ready = missing.empty();
        return json_of(value_map{{"alive", true}, {"ready", ready}, {"missing", missing}});
      },
      config_atom::value);
  if (answer.status == 200 && !missing.empty()) answer.status = 503;
  return answer;
}

http_answer control_bridge::metrics() {
  auto p = progress(), s = status();
  for (auto& part : {p, s})
    if (part.status != 200) return part;
  return {200, metrics_text(p.body, s.body), metrics_content_type};
}

http_answer control_bridge::logs(const std::string& level) {
  return {200, logs_.last ? logs_.last(level) : std::string("[]")};
}

std::vector<std::string> control_bridge::logs_since(std::uint64_t& position) {
  return logs_.since ? logs_.since(position) : std::vector<std::string>();
}

http_answer control_bridge::load(const std::vector<std::uint64_t>& intervals, bool scan) {
  value_list list(intervals.begin(), intervals.end());
  return ask<value>(short_patience, json_of, load_atom::value, value(std::move(list)), scan);
}

std::vector<std::string> control_bridge::streams_there() {
  std::vector<std::string> streams;
  ask<value>(
      short_patience,
      [&](auto& config) {
        auto ingesters = config.find("ingesters") ? config.find("ingesters")->as_list() : nullptr;
        for (auto& ingester : ingesters ? *ingesters : value_list())
          for (auto& stream : *ingester.find("streams")->as_list()) streams.push_back(*stream.as_text());
        return std::string();
      },
      config_atom::value);
  return streams;
}

http_answer control_bridge::sardana_hook(std::string_view body) {
  auto wanted = scan_hook::parse(body, streams_there());
  if (!wanted.fault.empty()) return {422, error_body(wanted.fault)};
  // Scan macros read the text, whatever the status.
  if (!wanted.refusal.empty()) return {200, nlohmann::json(wanted.refusal).dump()};
  return set_sequence(wanted.sequence, true);
}

http_answer control_bridge::reload_analysis() {
  return ask<value>(reload_patience, json_of, config_atom::value, true);
}

http_answer control_bridge::parameters() {
  return ask<value>(short_patience, json_of, parameters_atom::value);
}

http_answer control_bridge::parameter(const std::string& name) {
  auto answer = ask<std::string>(
      short_patience, [](auto& bytes) { return bytes; }, get_parameter{name});
  if (answer.status == 200) answer.content_type = "application/x.bytes";
  return answer;
}

http_answer control_bridge::set_parameter(const std::string& name, std::string_view written, bool lenient) {
  return ask<std::string>(
      short_patience, [](auto& hash) { return nlohmann::json(hash).dump(); },
      dtranspose::set_parameter{name, std::string(written), lenient});
}

} // namespace dtranspose
