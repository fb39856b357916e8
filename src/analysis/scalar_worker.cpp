#include "analysis/scalar_worker.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>

namespace dtranspose {

scalar_worker::scalar_worker(list wanted, const parameters& settings, step then)
    : wanted_(std::move(wanted)), then_(std::move(then)) {
  use(settings);
}

void scalar_worker::use(const parameters& settings) {
  names_ = wanted_(settings);
  std::erase_if(names_, [](auto& name) { return name.scalar.empty(); });
  std::vector<std::string> scalars;
  for (auto& name : names_) scalars.push_back(name.scalar);
  reader_.emplace(std::move(scalars));
  settings_ = settings;
}

answer scalar_worker::process_event(const event& e, const parameters& settings, bool) {
  if (settings.all() != settings_.all()) use(settings);
  auto& readings = reader_->read(e);
  auto count = [&](scalar::state what) {
    return std::count_if(readings.begin(), readings.end(), [what](auto& r) { return r.what == what; });
  };
  if (count(scalar::state::message) > 0 || count(scalar::state::number) == 0) return answer::nothing();
  value_map numbers;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    if (readings[i].what == scalar::state::absent)
      throw std::runtime_error(fmt::format(
          "the event has no {}: the trigger map sends no data of that stream along", names_[i].scalar));
    numbers.set(names_[i].result, readings[i].number);
  }
  if (then_) then_(numbers, settings);
  return answer::result(std::move(numbers));
}

double number_in(const value& content, std::string_view name) {
  auto found = content.find(name);
  auto number = found ? found->as_number() : std::nullopt;
  if (!number) throw std::runtime_error(fmt::format("a result without the number '{}'", name));
  return *number;
}

std::string scalar_parameter(const parameters& settings, std::string_view name, bool may_be_empty) {
  auto scalar = settings.text(name);
  check_scalar_name(name, scalar, may_be_empty);
  return scalar;
}

} // namespace dtranspose
