/// `dtranspose plan`: reads a plan, answers it, prints the answer.
#pragma once

#include <string>

#include <nlohmann/json.hpp>

#include "forecast.hpp"
#include "queue_simulation.hpp"

namespace dtranspose {

struct plan_request {
  std::string config;  ///< file with the section [plan]
  double stall = 2;    ///< seconds that are to be covered; 0: not asked
  double simulate = 0; ///< seconds to simulate; 0: not at all
  double headroom = 0; ///< highest use that is planned for, above 0 to 1; 0: as the file says
  bool json = false;   ///< one JSON object instead of the table
};

/// Prints to standard output. Returns 0 when the question was answered, whatever the answer is; throws
/// std::runtime_error with a text that names what can be changed.
int run_plan(const plan_request& request);

/// The answer as one object: rates in events and bytes per second, uses as shares, times in seconds.
nlohmann::ordered_json answer_of(const plan_setup& setup, const plan_request& request);

/// The answer for people, of the same object.
std::string text_of_answer(const nlohmann::ordered_json& answer);

} // namespace dtranspose
