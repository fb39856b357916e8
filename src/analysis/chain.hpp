/// Several analyses of the same events, one behind the other.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"

namespace dtranspose {

struct chain_step {
  std::string name; ///< of its parameters and results
  std::shared_ptr<const analysis> code;
};

/// The type tag of the stream that stands for the results of a step.
inline constexpr std::string_view step_result_type_tag = "dtranspose_result";

/// Every step sees every event that no step before it failed on, with
///
/// - what a step before it passes on in place of a stream (`crop` its cropped image), and
/// - for each step before it that gave a result a stream of that step's name, whose fields are the numbers in
///   it: `cog:row`.
///
/// Parameters, per-event results and published trees are those of the steps, as `STEP.NAME` and groups
/// `STEP`. An event that a step fails on fails; steps that defer, and have seen it, keep it in their sums:
/// they belong at the end. Throws std::invalid_argument where two steps have the same name, or one has a dot
/// in it.
std::shared_ptr<const analysis> make_chain(std::vector<chain_step> steps);

} // namespace dtranspose
