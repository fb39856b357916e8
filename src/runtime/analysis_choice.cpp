#include <fmt/format.h>

#include <stdexcept>

#include "runtime/commands.hpp"

namespace dtranspose {

void apply(const analysis_choice& choice, configuration& settings) {
  if (!choice.analysis.empty()) settings.analysis.use = {choice.analysis};
  auto& parameters = settings.analysis.parameters[analysis_name_of(settings.analysis.use.front())];
  for (auto& param : choice.params) {
    auto equals = param.find('=');
    if (equals == std::string::npos || equals == 0)
      throw std::runtime_error(fmt::format("--param {}: expected NAME=VALUE", param));
    parameters[param.substr(0, equals)] = param.substr(equals + 1);
  }
  if (choice.output.empty()) return;
  settings.output.file = choice.output;
  settings.output.overwrite = true;
}

} // namespace dtranspose
