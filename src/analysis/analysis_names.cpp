#include "analysis/analysis_names.hpp"

#include <filesystem>

#include <fmt/ranges.h>

namespace dtranspose {

bool is_plugin_path(std::string_view entry) {
  return entry.find('/') != std::string_view::npos || entry.ends_with(".so");
}

std::string analysis_name_of(std::string_view entry) {
  if (!is_plugin_path(entry)) return std::string(entry);
  auto stem = std::filesystem::path(entry).stem().string();
  return stem.starts_with("lib") ? stem.substr(3) : stem;
}

std::vector<std::string> split_analyses(std::string_view text) {
  std::vector<std::string> entries;
  while (true) {
    auto comma = text.find(',');
    entries.emplace_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return entries;
    text.remove_prefix(comma + 1);
  }
}

std::string joined_analyses(const std::vector<std::string>& entries) {
  return fmt::format("{}", fmt::join(entries, ","));
}

} // namespace dtranspose
