/// Analyses whose classes are in Python.
#pragma once

#include <memory>
#include <string>

#include "analysis/plugin.hpp"

namespace dtranspose {

/// That of an entry `python:{...}`. Its classes are loaded when somebody asks for something. Throws
/// std::runtime_error where the entry is none.
std::shared_ptr<const analysis> make_python_analysis(const std::string& entry);

} // namespace dtranspose
