#include "runtime/parameter_file.hpp"

#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

#include <fmt/format.h>

namespace dtranspose {

namespace {

using nlohmann::json;

constexpr std::string_view not_of_an_analysis = "dump_prefix";

[[noreturn]] void fail(const std::filesystem::path& file, const std::string& what) {
  throw std::runtime_error(fmt::format("{}: {}", file.string(), what));
}

std::string content_of(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string content{std::istreambuf_iterator<char>(in), {}};
  if (!in) fail(file, "cannot be read");
  return content;
}

/// A CBOR array begins with a byte that no text in UTF-8 begins with.
bool is_cbor(const std::string& content) {
  return !content.empty() && (static_cast<unsigned char>(content[0]) & 0xe0) == 0x80;
}

std::string written_form(const json& data, const std::filesystem::path& file, const std::string& name) {
  if (data.is_string()) return data.get<std::string>();
  if (!data.is_binary()) fail(file, fmt::format("parameter '{}': its data are no text and no bytes", name));
  auto& bytes = data.get_binary();
  return {bytes.begin(), bytes.end()};
}

} // namespace

std::map<std::string, std::string> read_parameter_file(const std::filesystem::path& file) {
  auto content = content_of(file);
  auto list = is_cbor(content) ? json::from_cbor(content, true, false) : json::parse(content, nullptr, false);
  constexpr auto form = R"(expected a list such as [{"name": "threshold", "data": "5"}], in JSON or CBOR)";
  if (!list.is_array()) fail(file, form);
  std::map<std::string, std::string> parameters;
  for (auto& entry : list) {
    if (!entry.is_object() || !entry.contains("name") || !entry["name"].is_string() ||
        !entry.contains("data"))
      fail(file, form);
    auto name = entry["name"].get<std::string>();
    auto written = written_form(entry["data"], file, name);
    if (name == not_of_an_analysis) continue;
    if (!parameters.emplace(name, std::move(written)).second)
      fail(file, fmt::format("parameter '{}' is in it twice", name));
  }
  return parameters;
}

} // namespace dtranspose
