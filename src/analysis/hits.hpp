/// `hits`: which images have something in them, how many of all, and the best of them.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// docs/analyses/hits.md tells parameters and results.
std::unique_ptr<analysis> make_hits_analysis();

} // namespace dtranspose
