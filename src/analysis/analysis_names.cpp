#include "analysis/analysis_names.hpp"

#include <filesystem>

#include <fmt/ranges.h>

#include "python/python_settings.hpp"

namespace dtranspose {

bool is_plugin_path(std::string_view entry) {
  return entry.find('/') != std::string_view::npos || entry.ends_with(".so");
}

std::string analysis_name_of(std::string_view entry) {
  if (is_python_entry(entry)) return "python";
  if (!is_plugin_path(entry)) return std::string(entry);
  auto stem = std::filesystem::path(entry).stem().string();
  return stem.starts_with("lib") ? stem.substr(3) : stem;
}

namespace {

std::vector<std::string> split(std::string_view text, char mark) {
  std::vector<std::string> parts;
  while (true) {
    auto end = text.find(mark);
    parts.emplace_back(text.substr(0, end));
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

} // namespace

std::vector<std::string> split_analyses(std::string_view text) {
  if (text.find('\n') != std::string_view::npos) return split(text, '\n');
  // What an analysis in Python is made of is text with commas in it.
  return is_python_entry(text) ? std::vector{std::string(text)} : split(text, ',');
}

std::string joined_analyses(const std::vector<std::string>& entries) {
  return fmt::format("{}", fmt::join(entries, "\n"));
}

} // namespace dtranspose
