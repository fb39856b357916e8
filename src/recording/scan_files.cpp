#include "recording/scan_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include <nlohmann/json.hpp>
#include <simdjson.h>
#include <unistd.h>

#include "output/text_file.hpp"

namespace dtranspose {

namespace {

using nlohmann::json;

bool is_text(const std::string& bytes) {
  return bytes.find('\0') == std::string::npos && simdjson::validate_utf8(bytes.data(), bytes.size());
}

std::string packed(const std::map<std::string, std::string>& parameters) {
  json list = json::array();
  for (auto& [name, written] : parameters)
    list.push_back({{"name", name}, {"data", json::binary({written.begin(), written.end()})}});
  auto bytes = json::to_cbor(list);
  return {bytes.begin(), bytes.end()};
}

std::string text(const std::map<std::string, std::string>& parameters) {
  json list = json::array();
  for (auto& [name, written] : parameters) list.push_back({{"name", name}, {"data", written}});
  return list.dump();
}

} // namespace

std::string why_not_recorded(const std::string& prefix) {
  if (prefix.empty()) return {};
  std::error_code none;
  auto folder = std::filesystem::absolute(prefix + "x", none).parent_path();
  // What is missing is made.
  auto there = folder;
  while (!std::filesystem::exists(there, none) && there != there.parent_path()) there = there.parent_path();
  if (!std::filesystem::is_directory(there, none))
    return "'" + prefix + "': nothing can be recorded there, as " + there.string() + " is no folder";
  if (::access(there.c_str(), W_OK | X_OK) != 0)
    return "'" + prefix + "': nothing can be recorded there: " + there.string() + ": " + std::strerror(errno);
  return {};
}

void write_scan_files(const std::string& prefix, const std::string& scan, const std::string& map,
                      const std::map<std::string, std::string>& parameters) {
  auto folder = std::filesystem::path(prefix + "mapping").parent_path();
  std::error_code none;
  if (!folder.empty()) std::filesystem::create_directories(folder, none);
  write_text_file(prefix + "mapping-" + scan + ".json", map);
  bool plain = std::all_of(parameters.begin(), parameters.end(), [](auto& p) { return is_text(p.second); });
  auto path = prefix + "parameters-" + scan;
  plain ? write_text_file(path + ".json", text(parameters))
        : write_text_file(path + ".cbor", packed(parameters));
}

} // namespace dtranspose
