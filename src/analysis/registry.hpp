/// Finds analyses: built in by name, or in a shared object by path.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "plugin.hpp"

namespace dtranspose {

/// The built-in analysis of that name, or that of the shared object at that path (anything with a `/` or
/// ending in `.so`), or that in Python of a `python_entry`; of several (see `joined_analyses`) the chain of
/// them. Throws std::runtime_error that says what is there or why the object cannot be used.
std::shared_ptr<const analysis> load_analysis(const std::string& names);

/// The names of analyses for people; paths of plug-ins as they are.
std::string shown_analysis(const std::string& names);

/// The analyses that ship with dtranspose.
std::vector<std::shared_ptr<const analysis>> built_in_analyses();

/// `set` over the defaults that the analysis describes. Throws std::runtime_error for a name that it does
/// not describe, or a text that is no value of its type.
parameters complete_parameters(const analysis& what, const std::map<std::string, std::string>& set);

} // namespace dtranspose
