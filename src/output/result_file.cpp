#include "output/result_file.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <unordered_map>
#include <utility>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "model/utc_time.hpp"
#include "output/event_rows.hpp"
#include "output/value_tree.hpp"

namespace dtranspose {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw std::runtime_error(path.string() + ": " + why);
}

void check_destination(const result_file_options& options) {
  auto& path = options.path;
  auto directory = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  if (!path.has_filename()) refuse(path, "no name of a file");
  if (!std::filesystem::is_directory(directory, error))
    refuse(path, "there is no directory " + directory.string());
  if (::access(directory.c_str(), W_OK | X_OK) != 0)
    refuse(path, "the directory " + directory.string() + " is not writable");
  if (std::filesystem::is_directory(path, error)) refuse(path, "is a directory");
  if (!options.overwrite && std::filesystem::exists(path, error))
    refuse(path, "is there already and is not to be overwritten");
}

void check_results(const result_file_options& options) {
  std::unordered_map<std::string_view, int> seen;
  for (auto& result : options.results) {
    std::string_view name = result.name;
    if (name.empty() || name == "." || name.find('/') != name.npos || name.ends_with("_attrs"))
      refuse(options.path, "no name of a result that HDF5 takes: '" + result.name + "'");
    if (seen[name]++) refuse(options.path, "two results are described that are called " + result.name);
  }
}

std::filesystem::path with_ending(std::filesystem::path path, const char* ending) {
  path += ending;
  return path;
}

/// Gives a file its final name; if that is not to be overwritten, not even when it appeared just
/// now.
int rename_file(const std::filesystem::path& from, const std::filesystem::path& to, bool overwrite) {
  if (!overwrite) {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return 0;
    if (errno != EINVAL && errno != ENOSYS) return errno;
    // Some network file systems cannot do that in one step.
    std::error_code error;
    if (std::filesystem::exists(to, error)) return EEXIST;
  }
  return ::rename(from.c_str(), to.c_str()) == 0 ? 0 : errno;
}

} // namespace

struct result_file::state {
  explicit state(result_file_options given)
      : options(std::move(given)), partial(with_ending(options.path, ".partial")), where(partial.string()) {}

  void open();
  void declare();
  event_rows* rows_of(const std::string& name);
  void write_tree(const value& published);
  void write_descriptions();
  void close();

  result_file_options options;
  std::filesystem::path partial;
  std::string where; ///< in errors
  complaint_list complaints;
  hdf5::handle file, entry, result;
  std::vector<event_rows> rows;
  std::unordered_map<std::string_view, std::size_t> places; ///< by name, in `rows`
  std::size_t expected = 0; ///< where the next entry of a map most likely belongs
};

void result_file::state::open() {
  check_destination(options);
  check_results(options);
  hdf5::be_quiet();
  hdf5::handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, where, "cannot be described");
  // Closing the file closes whatever is still open in it.
  hdf5::check(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), where, "cannot be described");
  file = hdf5::handle(H5Fcreate(partial.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose, where,
                      "cannot be made");
}

void result_file::state::declare() {
  auto group = [&](hid_t parent, const char* name) {
    return hdf5::handle(H5Gcreate2(parent, name, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, where,
                        "a group cannot be made");
  };
  entry = group(file.get(), "entry");
  result = group(entry.get(), "result");
  value_tree tree(where, complaints);
  tree.write_attribute(file.get(), "NX_class", "NXroot");
  tree.write_attribute(file.get(), "default", "entry");
  tree.write_attribute(file.get(), "creator", "dtranspose");
  tree.write_attribute(entry.get(), "NX_class", "NXentry");
  tree.write_attribute(entry.get(), "default", "result");
  tree.write_attribute(result.get(), "NX_class", "NXcollection");
  tree.write_entries(entry.get(), {{"start_time", utc_text(options.clock())}});
  rows.reserve(options.results.size()); // `places` refers to their names
  for (auto& description : options.results)
    if (description.extent == result_extent::per_event) {
      rows.emplace_back(result.get(), where + ": /entry/result", description, options.events);
      places.emplace(rows.back().name(), rows.size() - 1);
    }
}

event_rows* result_file::state::rows_of(const std::string& name) {
  if (rows.empty()) return nullptr;
  if (rows[expected].name() != name) {
    auto place = places.find(name);
    if (place == places.end()) return nullptr;
    expected = place->second;
  }
  auto found = &rows[expected];
  expected = expected + 1 == rows.size() ? 0 : expected + 1;
  return found;
}

void result_file::state::write_tree(const value& published) {
  for (auto& dataset : rows) dataset.flush();
  value_tree tree(where, complaints);
  if (auto map = published.as_map())
    tree.write_entries(result.get(), *map);
  else if (!published.is_null())
    complaints.add("published tree", "no map");
  write_descriptions();
  tree.write_entries(entry.get(), {{"end_time", utc_text(options.clock())}});
}

void result_file::state::write_descriptions() {
  value_tree tree(where, complaints);
  for (auto& description : options.results) {
    if (description.extent != result_extent::per_scan) continue;
    auto& name = description.name;
    if (hdf5::check(H5Lexists(result.get(), name.c_str(), H5P_DEFAULT), where, "cannot be searched") == 0) {
      complaints.add("/" + name, "described, but not published");
      continue;
    }
    hdf5::handle object(H5Oopen(result.get(), name.c_str(), H5P_DEFAULT), H5Oclose, where,
                        "cannot be opened");
    if (!description.unit.empty() && H5Aexists(object.get(), "units") == 0)
      tree.write_attribute(object.get(), "units", description.unit);
    if (!description.axes.empty() && H5Aexists(object.get(), "axes") == 0)
      tree.write_attribute(object.get(), "axes",
                           value_list(description.axes.begin(), description.axes.end()));
  }
}

void result_file::state::close() {
  rows.clear();
  places.clear();
  result = {};
  entry = {};
  auto open = std::exchange(file, {}).release();
  if (open >= 0) hdf5::check(H5Fclose(open), where, "cannot be closed");
}

result_file::result_file(result_file_options options) : state_(std::make_unique<state>(std::move(options))) {
  state_->open();
  state_->declare();
}

result_file::~result_file() {
  try {
    abandon();
  } catch (const std::exception&) { // nobody is left to be told
  }
}

void result_file::write_row(event_number event, const value& content) {
  if (!state_->file) refuse(state_->options.path, "is closed");
  hdf5::be_quiet();
  if (event.value >= state_->options.events)
    return state_->complaints.add("rows", "event " + std::to_string(event.value) + " is beyond the scan");
  if (auto map = content.as_map()) {
    for (auto& [name, x] : *map)
      if (auto rows = state_->rows_of(name)) rows->set(event.value, x, state_->complaints);
  } else if (state_->rows.size() == 1) {
    state_->rows[0].set(event.value, content, state_->complaints);
  } else if (!content.is_null()) {
    state_->complaints.add("rows", "event " + std::to_string(event.value) +
                                       ": a result without names, where not just one is described");
  }
}

void result_file::finish(const value& published) {
  if (!state_->file) refuse(state_->options.path, "is closed");
  hdf5::be_quiet();
  state_->write_tree(published);
  state_->close();
  auto& [path, overwrite, events, results, clock] = state_->options;
  if (auto error = rename_file(state_->partial, path, overwrite))
    refuse(path, "the results stay in " + state_->where + ": " + std::strerror(error));
}

void result_file::abandon() {
  if (!state_ || !state_->file) return;
  hdf5::be_quiet();
  for (auto& rows : state_->rows) rows.flush();
  state_->close();
}

std::vector<std::string> result_file::complaints() const { return state_->complaints.lines(); }
const std::filesystem::path& result_file::path() const { return state_->options.path; }
const std::filesystem::path& result_file::partial_path() const { return state_->partial; }

} // namespace dtranspose
