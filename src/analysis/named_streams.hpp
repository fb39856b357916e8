/// Which streams the parameters of an analysis name.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"

namespace dtranspose {

/// A stream that a parameter names.
struct named_stream {
  std::string parameter;
  std::string stream;
};

/// Those of a built-in analysis with the parameters `written`: its `stream`, and what stands before the colon
/// of `STREAM:FIELD`. None of a plug-in: only that knows what its parameters mean.
std::vector<named_stream> streams_named(const analysis& what,
                                        const std::map<std::string, std::string>& written);

/// Why one of these parameters names none of `streams`, for people; empty where all do, or where no streams
/// are known. `only`: that parameter alone; empty: all.
std::string unknown_stream(const analysis& what, const std::map<std::string, std::string>& written,
                           const std::vector<std::string>& streams, const std::string& only = {});

} // namespace dtranspose
