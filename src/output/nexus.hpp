/// What a file of results says of its scan, as groups of NeXus: values that `value_tree` writes.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/ids.hpp"
#include "model/parameters.hpp"
#include "model/value.hpp"

namespace dtranspose::nexus {

/// A text for programs: NXnote.
value_map json_note(std::string text);

/// NXprocess: which program with which configuration made the results, since when.
value_map process(std::string_view analysis, std::string_view version, const std::string& date,
                  std::string configuration);

/// Parameters of one version, and what was made with them.
struct used_parameters {
  parameters_version version;
  std::string since; ///< ISO 8601; empty: not known
  value_map values = {};
  std::uint64_t results = 0;
  std::uint64_t first_event = 0, last_event = 0; ///< with a result, where there is one
};

/// The values as the analysis reads them; what it does not describe as it was written.
value_map typed_parameters(const std::vector<parameter_description>& described,
                           const std::map<std::string, std::string>& written);

/// NXcollection with a group for each version. `not_listed`: versions that there were beside these.
value_map parameter_versions(const std::vector<used_parameters>& versions, std::uint64_t not_listed);

/// NXnote of the ledger, and its counts of fates as numbers. A ledger of more than 16 MiB is without its list
/// of troubles.
value_map ledger(const value& ledger);

/// A file that a stream announced.
struct raw_source {
  std::string stream;
  std::string file;
  std::string path; ///< of its data set; empty: not known
};

/// What the streams of a ledger announced; `paths` by stream, in which `{stream}` and `{filename}` (without
/// folder and ending) are filled in.
std::vector<raw_source> raw_sources(const value& ledger, const std::map<std::string, std::string>& paths);

/// NXinstrument with a group for each of them.
value_map instrument(const std::vector<raw_source>& sources);

/// The name of a file without folder and ending, with nothing in it that could lead elsewhere; empty where
/// nothing is left.
std::string stem_of(std::string_view file);

/// What the streams of a scan say of whether it is to be saved.
struct announcement {
  std::string stem;             ///< of the first name that a stream announced
  bool not_to_be_saved = false; ///< one announced an empty name, and none another
};
announcement announced(const value& ledger);

} // namespace dtranspose::nexus
