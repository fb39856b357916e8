#include <fmt/format.h>

#include <stdexcept>

#include "analysis/analysis_names.hpp"
#include "runtime/commands.hpp"

namespace dtranspose {

void apply(const analysis_choice& choice, configuration& settings) {
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
}

} // namespace dtranspose
