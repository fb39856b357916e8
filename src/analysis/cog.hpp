/// `cog`: where the spot on a camera is, how wide and how bright, per event; how it drifts over the scan.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// docs/analyses/cog.md tells parameters, formulae and results.
std::unique_ptr<analysis> make_cog_analysis();

} // namespace dtranspose
