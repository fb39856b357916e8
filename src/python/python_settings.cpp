#include "python/python_settings.hpp"

#include <stdexcept>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace dtranspose {

namespace {

constexpr std::string_view prefix = "python:{";

} // namespace

std::string python_entry(const python_settings& s) {
  nlohmann::ordered_json all{{"worker", s.worker},
                             {"reducer", s.reducer},
                             {"interpreter", s.interpreter},
                             {"directory", s.directory},
                             {"path", s.path},
                             {"environment", s.environment},
                             {"memory_limit", s.memory_limit},
                             {"pickles", s.pickles},
                             {"event_timeout_ns", s.event_timeout.count()},
                             {"max_attempts", s.max_attempts},
                             {"reloads", s.reloads}};
  return "python:" + all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

bool is_python_entry(std::string_view entry) { return entry.starts_with(prefix); }

std::string reloaded_python_entry(std::string_view entry) {
  auto settings = parse_python_entry(entry);
  ++settings.reloads;
  return python_entry(settings);
}

python_settings parse_python_entry(std::string_view entry) {
  try {
    auto all = nlohmann::json::parse(entry.substr(prefix.size() - 1));
    python_settings s;
    s.worker = all.at("worker");
    s.reducer = all.at("reducer");
    s.interpreter = all.at("interpreter");
    s.directory = all.at("directory");
    s.path = all.at("path").get<std::vector<std::string>>();
    s.environment = all.at("environment").get<std::map<std::string, std::string>>();
    s.memory_limit = all.at("memory_limit");
    s.pickles = all.at("pickles");
    s.event_timeout = std::chrono::nanoseconds(all.at("event_timeout_ns").get<std::int64_t>());
    s.max_attempts = all.at("max_attempts");
    s.reloads = all.at("reloads");
    return s;
  } catch (const nlohmann::json::exception& e) {
    throw std::runtime_error(fmt::format("analysis '{}': no analysis in Python: {}", entry, e.what()));
  }
}

} // namespace dtranspose
