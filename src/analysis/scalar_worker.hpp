/// The worker part of analyses that look at single numbers.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"
#include "analysis/scalars.hpp"

namespace dtranspose {

/// A scalar, and what it is called in results. An empty scalar is left out.
struct named_scalar {
  std::string result;
  std::string scalar; ///< `STREAM:FIELD`
};

/// Answers with a map of numbers by the names of results, NaN for what is missing in the event. Nothing for
/// starts, ends and events that have none of the streams; an event that has some of them, and to which the
/// trigger map sends no others, fails.
class scalar_worker final : public worker_part {
 public:
  using list = std::function<std::vector<named_scalar>(const parameters&)>;
  using step = std::function<void(value_map& numbers, const parameters&)>;

  /// `wanted` throws std::invalid_argument, naming the parameter. `then` adds to the numbers.
  scalar_worker(list wanted, const parameters& settings, step then = {});

  answer process_event(const event& e, const parameters& settings, bool tick) override;

 private:
  void use(const parameters& settings);

  list wanted_;
  step then_;
  parameters settings_;
  std::vector<named_scalar> names_;
  std::optional<scalar_reader> reader_;
};

/// The number of that name in a result of `scalar_worker`. Throws std::runtime_error where there is none.
double number_in(const value& content, std::string_view name);

/// The scalar in that parameter. Throws std::invalid_argument, naming the parameter, for what is none.
std::string scalar_parameter(const parameters& settings, std::string_view name, bool may_be_empty = false);

} // namespace dtranspose
