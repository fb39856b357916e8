/// The HDF5 file of a scan's results: per-event results as they come, the published tree at the
/// end.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"

namespace dtranspose {

struct result_file_options {
  std::filesystem::path path;
  bool overwrite = false;   ///< of a file that is there already
  std::uint64_t events = 0; ///< length of the scan
  std::vector<result_description> results = {};
  /// Asked for start and end of the scan.
  std::function<std::chrono::system_clock::time_point()> clock = std::chrono::system_clock::now;
};

/// A file that bears its name only once it is complete: until then it is `path` with `.partial`
/// added. An older partial file is overwritten: it is what a scan left that did not end.
///
///     /entry/start_time, /entry/end_time     ISO 8601, UTC
///     /entry/result/<name>                   per-event results [events, shape...], and the
///     published tree
///
/// Rows that no event gave hold NaN; in integers their `_FillValue`: the lowest of a signed, the
/// highest of an unsigned type. Memory is bounded, whatever the number of events and the order of
/// rows. Used from one thread. What a result brings that does not fit its description is left out
/// and complained about; where the disk or the library fails, std::runtime_error names the file.
class result_file {
 public:
  /// Declares all described per-event results. Throws std::runtime_error, naming `path`, when its
  /// directory is missing or not writable, when the file is there already and `overwrite` is not
  /// set, or when a description cannot be used.
  explicit result_file(result_file_options options);
  result_file(const result_file&) = delete;
  result_file& operator=(const result_file&) = delete;
  /// Abandons what was not finished.
  ~result_file();

  /// Writes what the event gave to the described per-event results: entries of a map by name
  /// (others are ignored), a bare number or array to the only one there is. A later row of an event
  /// replaces entries of an earlier one.
  void write_row(event_number event, const value& content);

  /// Writes the published tree (a map, or null) and gives the file its name. If it throws the
  /// partial file is left as it is.
  void finish(const value& published);

  /// Closes the partial file with what it has. Nothing may be written afterwards.
  void abandon();

  /// What was left out and why, a line per name; may be asked at any time.
  std::vector<std::string> complaints() const;

  const std::filesystem::path& path() const;
  const std::filesystem::path& partial_path() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace dtranspose
