/// `pileup`: all images of a scan as one, what was bad in them, and some of them as they were.
#pragma once

#include <memory>

#include "plugin.hpp"

namespace dtranspose {

/// docs/analyses/pileup.md tells parameters and results.
std::unique_ptr<analysis> make_pileup_analysis();

} // namespace dtranspose
