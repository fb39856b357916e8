#include "runtime/quantities.hpp"

#include <charconv>
#include <cmath>
#include <limits>
#include <span>

namespace dtranspose {
namespace {

struct unit {
  std::string_view name;
  double factor;
};

constexpr unit time_units[] = {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"min", 60e9}, {"h", 3600e9}};

constexpr unit size_units[] = {
    {"", 1},      {"B", 1},         {"kB", 1e3},      {"MB", 1e6},      {"GB", 1e9},
    {"TB", 1e12}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 0x1p40},
};

constexpr unit rate_units[] = {{"Hz", 1}, {"kHz", 1e3}, {"MHz", 1e6}};

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// A finite number from 0 with one of the units, as a multiple of the unit whose factor is 1.
std::optional<double> quantity_of(std::string_view text, std::span<const unit> units) {
  text = trimmed(text);
  double number = 0;
  auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || !std::isfinite(number) || std::signbit(number)) return std::nullopt;
  auto name = trimmed(text.substr(static_cast<std::size_t>(rest - text.data())));
  if (name.empty() && number == 0) return 0.0;
  for (auto& known : units)
    if (known.name == name) return number * known.factor;
  return std::nullopt;
}

} // namespace

std::optional<std::chrono::nanoseconds> duration_of(std::string_view text) {
  auto nanoseconds = quantity_of(text, time_units);
  if (!nanoseconds || *nanoseconds >= 0x1p63) return std::nullopt;
  return std::chrono::nanoseconds(std::llround(*nanoseconds));
}

std::optional<std::uint64_t> size_in_bytes(std::string_view text) {
  auto bytes = quantity_of(text, size_units);
  if (!bytes || *bytes >= 0x1p63) return std::nullopt;
  return static_cast<std::uint64_t>(*bytes);
}

std::optional<double> rate_in_hertz(std::string_view text) {
  auto hertz = quantity_of(text, rate_units);
  return hertz && std::isfinite(*hertz) ? hertz : std::nullopt;
}

std::optional<host_and_port> host_and_port_of(std::string_view text) {
  text = trimmed(text);
  auto colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  auto host = text.substr(0, colon), port = text.substr(colon + 1);
  bool bracketed = host.starts_with('[') && host.ends_with(']');
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (host.empty() || host.find_first_of("[]/ \t") != std::string_view::npos) return std::nullopt;
  if (!bracketed && host.find(':') != std::string_view::npos) return std::nullopt;

  host_and_port address{std::string(host), 0};
  auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc() || end != port.data() + port.size()) return std::nullopt;
  return address;
}

bool is_loopback(const std::string& host) {
  return host == "localhost" || host == "::1" || host.starts_with("127.");
}

std::string to_string(const host_and_port& address) {
  bool bracketed = address.host.find(':') != std::string::npos;
  return (bracketed ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

} // namespace dtranspose
