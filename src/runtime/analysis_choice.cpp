#include <fmt/format.h>

#include <stdexcept>

#include "analysis/analysis_names.hpp"
#include "runtime/commands.hpp"

namespace dtranspose {

namespace {

std::string class_of(const std::string& text, const char* option) {
  auto name = text.starts_with("python:") ? text.substr(7) : text;
  auto colon = name.find(':');
  if (!name.empty() && (colon == std::string::npos || colon == 0 || colon + 1 == name.size()))
    throw std::runtime_error(
        fmt::format("{} {}: is no class in Python; an example is python:src.roi:Worker", option, text));
  return name;
}

void choose_python(const analysis_choice& choice, analysis_settings& settings) {
  if (choice.python_worker.empty() && choice.python_reducer.empty() && choice.interpreter.empty()) return;
  if (choice.python_worker.empty())
    throw std::runtime_error("a worker class is missing, as in --worker python:src.roi:Worker");
  if (!choice.analysis.empty()) throw std::runtime_error("--analysis and --worker: give one or the other");
  settings.use = {"python"};
  settings.python.worker = class_of(choice.python_worker, "--worker");
  settings.python.reducer = class_of(choice.python_reducer, "--reducer");
  if (!choice.interpreter.empty()) settings.python.interpreter = choice.interpreter;
  settings.python.directory = std::filesystem::current_path().string();
}

} // namespace

void apply(const analysis_choice& choice, configuration& settings) {
  choose_python(choice, settings.analysis);
  if (!choice.analysis.empty()) settings.analysis.use = split_analyses(choice.analysis);
  for (auto& param : choice.params) {
    auto equals = param.find('=');
    if (equals == std::string::npos || equals == 0)
      throw std::runtime_error(fmt::format("--param {}: expected NAME=VALUE", param));
    set_parameter_in_use(settings.analysis, param.substr(0, equals), param.substr(equals + 1));
  }
  if (choice.output.empty()) return;
  settings.output.file = choice.output;
  settings.output.overwrite = true;
  settings.output.always = true;
}

} // namespace dtranspose
