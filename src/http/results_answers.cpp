#include "http/results_answers.hpp"

#include <charconv>

#include <fmt/format.h>

#include "http/control_server.hpp"
#include "http/hdf_rest.hpp"
#include "http/results_routes.hpp"

namespace dtranspose {

namespace {

constexpr std::string_view api = "/api/v1/";
/// The description is where clients look for it, too.
constexpr std::string_view description = "openapi.json", description_path = "/openapi.json";

snapshot_store::handle chosen(const snapshot_store& store, const std::string& scan,
                              const std::string* number) {
  auto latest = scan.empty() ? store.latest() : store.latest(scan);
  if (!latest && scan.empty() && !number) return nullptr;
  if (!latest)
    throw results_error(404, scan.empty() ? "no scan yet" : fmt::format("scan '{}' is not kept", scan));
  if (!number) return latest;
  if (auto found = store.find(latest->scan, whole_number("snapshot", *number))) return found;
  throw results_error(404, fmt::format("snapshot {} of scan {} is not kept", *number, latest->scan));
}

/// By `/SCAN` or `/SCAN/NUMBER`.
snapshot_store::handle chosen_by_domain(const snapshot_store& store, std::string_view domain) {
  while (domain.starts_with('/')) domain.remove_prefix(1);
  while (domain.ends_with('/')) domain.remove_suffix(1);
  auto slash = domain.find('/');
  std::string scan(domain.substr(0, slash));
  if (slash == domain.npos) return chosen(store, scan, nullptr);
  std::string number(domain.substr(slash + 1));
  return chosen(store, scan, &number);
}

} // namespace

const std::string* results_request::find(const std::string& name) const {
  auto [first, last] = query.equal_range(name);
  return first == last ? nullptr : &std::prev(last)->second;
}

std::uint64_t whole_number(std::string_view name, std::string_view text) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc() && end == text.data() + text.size() && !text.empty()) return number;
  throw results_error(400, fmt::format("{}: '{}' is no whole number", name, text));
}

std::string percent_decoded(std::string_view text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    unsigned code = 0;
    auto digits = text.substr(i).substr(0, 3);
    auto [end, error] = std::from_chars(digits.data() + std::min<std::size_t>(1, digits.size()),
                                        digits.data() + digits.size(), code, 16);
    bool encoded = digits.size() == 3 && digits[0] == '%' && error == std::errc() && end == digits.end();
    plain += encoded ? static_cast<char>(code) : text[i];
    if (encoded) i += 2;
  }
  return plain;
}

snapshot_store::handle chosen_snapshot(const snapshot_store& store, const results_request& request) {
  auto scan = request.find("scan"), number = request.find("snapshot");
  if (scan || number) return chosen(store, scan ? *scan : std::string(), number);
  if (auto domain = request.find("domain")) return chosen_by_domain(store, *domain);
  if (auto host = request.find("host")) return chosen_by_domain(store, *host);
  return chosen_by_domain(store, request.domain);
}

std::string_view results_methods(std::string_view path) {
  if (path == description_path) return results_route_methods(description);
  return path.starts_with(api) ? results_route_methods(path.substr(api.size())) : hdf_methods(path);
}

results_answer answer_results(const snapshot_store& store, const results_request& request) {
  try {
    std::string_view path = request.path;
    auto methods = results_methods(path);
    if (methods.empty()) throw results_error(404, "Not Found");
    if (methods.find(request.method) == methods.npos) {
      results_answer no{405, "application/json", error_body("Method Not Allowed")};
      no.headers.emplace_back("Allow", methods);
      return no;
    }
    if (path == description_path) return answer_route(store, description, request);
    if (path.starts_with(api)) return answer_route(store, path.substr(api.size()), request);
    return answer_hdf(store, request);
  } catch (const results_error& e) {
    return {e.status(), "application/json", error_body(e.what())};
  } catch (const std::invalid_argument& e) {
    return {400, "application/json", error_body(e.what())};
  } catch (const std::exception& e) {
    return {500, "application/json", error_body(e.what())};
  }
}

} // namespace dtranspose
