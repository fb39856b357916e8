/// What is kept beside the recordings of a scan's streams.
#pragma once

#include <map>
#include <string>

namespace dtranspose {

/// Why nothing can be recorded under that prefix, for people; empty: it can, or it is empty. Nothing is made.
std::string why_not_recorded(const std::string& prefix);

/// Writes `<prefix>mapping-<scan>.json`, which is `map` in the shape of the REST interface, and
/// `<prefix>parameters-<scan>.json`, a list of names and texts; where one of these is no text it is
/// `parameters-<scan>.cbor`, with byte strings. Folders are made. Throws std::runtime_error, naming the file.
void write_scan_files(const std::string& prefix, const std::string& scan, const std::string& map,
                      const std::map<std::string, std::string>& parameters);

} // namespace dtranspose
