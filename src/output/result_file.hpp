/// The HDF5 file of a scan's results, in the form of NeXus: per-event results as they come, which readers may
/// follow, and all that is only known at the end.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"
#include "output/nexus.hpp"
#include "output/row_layout.hpp"

namespace dtranspose {

struct result_file_options {
  /// May hold `{raw}`, which becomes the name that the streams announced, at the end.
  std::filesystem::path path;
  bool overwrite = false;   ///< of a file that is there already
  std::uint64_t events = 0; ///< length of the scan
  std::vector<result_description> results = {};
  /// Asked for start and end of the scan.
  std::function<std::chrono::system_clock::time_point()> clock = std::chrono::system_clock::now;
  std::string scan = {};          ///< its id
  std::string analysis = {};      ///< that makes the results; empty: nothing is said of it
  std::string version = {};       ///< of this program
  std::string configuration = {}; ///< JSON
  row_layout layout = {};
  bool follow =
      false; ///< readers may follow the file in the making (SWMR); which no network file system can do
  bool again = false; ///< the scan was begun before: what it left, or had finished, makes room
};

/// What is known of a scan when it is over.
struct scan_ending {
  value_map entry = {};                                ///< more of /entry
  std::vector<nexus::used_parameters> parameters = {}; ///< `results` and events are filled in
  std::uint64_t parameters_not_listed = 0;
  std::vector<nexus::raw_source> raw = {};
  std::string raw_stem = {}; ///< for `{raw}`; empty: the scan's id takes its place
};

/// A file that bears its name only once it is complete: until then it is `path` with `.part` added. A part
/// that an earlier scan left is replaced where files may be overwritten, else it keeps its content under a
/// number
/// (`.part.1`).
///
///     /entry/start_time, /entry/end_time     ISO 8601, UTC
///     /entry/entry_identifier                the scan's id
///     /entry/result/<name>                   per-event results [events, shape...], and the published tree
///     /entry/process                         what made them; `parameters_version` [events] has the version
///                                            of each result, 0 where there is none
///     /entry/instrument/<stream>             files that streams announced
///
/// `docs/files.md` describes it for readers. As long as the file is written, data sets end behind the highest
/// event that has a row.
///
/// Rows that no event gave hold NaN; in integers their `_FillValue`: the lowest of a signed, the
/// highest of an unsigned type. Memory is bounded, whatever the number of events and the order of
/// rows. Used from one thread. What a result brings that does not fit its description is left out
/// and complained about; where the disk or the library fails, std::runtime_error names the file.
class result_file {
 public:
  /// Declares all described per-event results. Throws std::runtime_error, naming `path`, when its
  /// directory is missing or not writable, when the file is there already and `overwrite` is not
  /// set, when another process is writing it, or when a description cannot be used.
  explicit result_file(result_file_options options);
  result_file(const result_file&) = delete;
  result_file& operator=(const result_file&) = delete;
  /// Abandons what was not finished.
  ~result_file();

  /// Writes what the event gave to the described per-event results: entries of a map by name
  /// (others are ignored), a bare number or array to the only one there is. A later row of an event
  /// replaces entries of an earlier one. `version`: of the parameters that it was made with.
  void write_row(event_number event, const value& content, parameters_version version = {});

  /// Every row so far can be seen by who follows the file, and outlives this process.
  void flush();

  /// Writes the published tree (a map, or null) and gives the file its name. A file that has come to be there
  /// meanwhile is not overwritten: this one then gets a name with a number, and that is complained about. If
  /// it throws the part is left as it is.
  void finish(const value& published, const scan_ending& ending = {});

  /// Closes the part with what it has. Nothing may be written afterwards.
  void abandon();

  /// Removes the part.
  void discard();

  /// What was left out and why, a line per name; may be asked at any time.
  std::vector<std::string> complaints() const;

  /// As asked for; once finished, the file that was written.
  const std::filesystem::path& path() const;
  const std::filesystem::path& partial_path() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace dtranspose
