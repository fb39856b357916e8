#include "output/result_file.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <map>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "model/utc_time.hpp"
#include "output/event_rows.hpp"
#include "output/file_claim.hpp"
#include "output/file_mending.hpp"
#include "output/value_tree.hpp"

namespace dtranspose {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& path, const std::string& why) {
  throw std::runtime_error(path.string() + ": " + why);
}

constexpr std::string_view place_of_raw = "{raw}";

bool waits_for_its_name(const std::filesystem::path& path) {
  return path.string().find(place_of_raw) != std::string::npos;
}

/// In the name alone: a stream may not choose the folder.
std::filesystem::path named(const std::filesystem::path& path, const std::string& raw) {
  auto text = path.filename().string();
  for (auto at = text.find(place_of_raw); at != text.npos; at = text.find(place_of_raw, at + raw.size()))
    text.replace(at, place_of_raw.size(), raw);
  return path.parent_path() / text;
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
  if (!options.overwrite && !options.again && !waits_for_its_name(path) &&
      std::filesystem::exists(path, error))
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

/// As the other one, with a number before its ending.
std::filesystem::path numbered(const std::filesystem::path& path, int number) {
  auto name = path.stem().string();
  name.append("-").append(std::to_string(number)).append(path.extension().string());
  return path.parent_path() / name;
}

/// Of the scan whose results a file holds; empty where it says none.
std::string scan_of(const std::filesystem::path& path) {
  auto where = path.string();
  try {
    auto access = hdf5::file_access(where);
    hdf5::handle file(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access.get()), H5Fclose, where,
                      "cannot be opened");
    hdf5::handle set(H5Dopen2(file.get(), "/entry/entry_identifier", H5P_DEFAULT), H5Dclose, where,
                     "says none");
    hdf5::handle type(H5Tcopy(H5T_C_S1), H5Tclose, where, "says none");
    H5Tset_size(type.get(), H5T_VARIABLE);
    H5Tset_cset(type.get(), H5T_CSET_UTF8);
    char* text = nullptr;
    hdf5::check(H5Dread(set.get(), type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, &text), where, "says none");
    std::string scan = text ? text : "";
    H5free_memory(text);
    return scan;
  } catch (const std::runtime_error&) {
    return {};
  }
}

std::string version_of_library() {
  unsigned major = 0, minor = 0, release = 0;
  H5get_libversion(&major, &minor, &release);
  std::string text = std::to_string(major);
  return text.append(".").append(std::to_string(minor)).append(".").append(std::to_string(release));
}

/// A part that is there is nobody's, or it is refused; its content is kept unless files may be overwritten.
void make_room(const std::filesystem::path& part, const result_file_options& options) {
  std::error_code error;
  if (!std::filesystem::exists(part, error)) return;
  if (!file_claim::take(part)) refuse(part, "is being written by another process");
  if (options.overwrite || options.again) {
    std::filesystem::remove(part, error); // who still reads it goes on with what it had
    return;
  }
  mend_file(part);
  for (int number = 1;; ++number) {
    auto aside = with_ending(part, ("." + std::to_string(number)).c_str());
    if (auto failed = rename_file(part, aside, false); failed == 0)
      return;
    else if (failed != EEXIST)
      refuse(part, std::string("cannot be put aside: ") + std::strerror(failed));
  }
}

/// What was made with the parameters of one version.
struct use_of_version {
  std::uint64_t results = 0, first_event = 0, last_event = 0;

  void count(std::uint64_t event) {
    first_event = results == 0 ? event : std::min(first_event, event);
    last_event = std::max(last_event, event);
    ++results;
  }
};

} // namespace

struct result_file::state {
  explicit state(result_file_options given)
      : options(std::move(given)), path(options.path),
        partial(with_ending(named(path, options.scan.empty() ? "scan" : options.scan), part_ending)),
        where(partial.string()) {}

  void open();
  void declare();
  void declare_process();
  void declare_plot(value_tree& tree);
  void make_rows(hid_t group, const std::string& in, const result_description& description,
                 row_layout layout);
  hdf5::handle group(hid_t parent, const char* name) { return hdf5::make_group(parent, name, where); }
  hdf5::handle object(const std::string& name);
  event_rows* rows_of(const std::string& name);
  void count(std::uint64_t event, parameters_version version);
  void flush();
  void end_rows();
  void open_again();
  void write_tree(const value& published);
  void write_descriptions();
  void write_ending(const scan_ending& ending);
  void complete_plot(const value& published);
  std::vector<std::string> axes_of(hid_t group, const result_description& signal);
  void close();
  void take_name(const std::string& raw_stem);

  result_file_options options;
  std::filesystem::path path;
  std::filesystem::path partial;
  std::string where; ///< in errors
  complaint_list complaints;
  std::optional<file_claim> claim;
  hdf5::handle file;
  std::vector<event_rows> rows;
  std::unordered_map<std::string_view, std::size_t> places; ///< by name, in `rows`
  std::size_t expected = 0; ///< where the next entry of a map most likely belongs
  std::optional<event_rows> version_rows;
  std::map<parameters_version, use_of_version> versions;
  std::pair<parameters_version, use_of_version*> latest{}; ///< of them
};

void result_file::state::open() {
  check_destination(options);
  check_results(options);
  hdf5::be_quiet();
  make_room(partial, options);
  claim = file_claim::make(partial);
  if (!claim) refuse(partial, "is being written by another process");
  auto access = hdf5::file_access(where);
  file = hdf5::handle(H5Fcreate(partial.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose, where,
                      "cannot be made");
}

void result_file::state::declare() {
  {
    auto entry = group(file.get(), "entry");
    auto result = group(entry.get(), "result");
    auto began = utc_text(options.clock());
    value_tree tree(where, complaints);
    tree.write_entries(file.get(), {{"_attrs", value_map{{"NX_class", "NXroot"},
                                                         {"default", "entry"},
                                                         {"creator", "dtranspose"},
                                                         {"file_name", path.filename().string()},
                                                         {"file_time", began},
                                                         {"HDF5_Version", version_of_library()}}}});
    value_map about{{"_attrs", value_map{{"NX_class", "NXentry"}, {"default", "result"}}}};
    about.set("start_time", began);
    if (!options.scan.empty()) about.set("entry_identifier", options.scan);
    if (!options.analysis.empty()) {
      about.set("title", options.analysis);
      about.set("process", nexus::process(options.analysis, options.version, began, options.configuration));
    }
    tree.write_entries(entry.get(), about);
    rows.reserve(options.results.size()); // `places` refers to their names
    for (auto& description : options.results)
      if (description.extent == result_extent::per_event) {
        rows.emplace_back(result.get(), where + ": /entry/result", description, options.events,
                          options.layout);
        places.emplace(rows.back().name(), rows.size() - 1);
      }
    declare_plot(tree);
    declare_process();
  }
  if (options.follow) hdf5::begin_following(file.get(), where);
}

void result_file::state::declare_process() {
  if (options.analysis.empty()) return;
  auto process = object("/entry/process");
  auto layout = options.layout;
  layout.zero_is_missing = true;
  version_rows.emplace(process.get(), where + ": /entry/process",
                       result_description{"parameters_version", dtype::uint32}, options.events, layout);
}

/// The first per-event result is what viewers draw by themselves, until something better is published.
void result_file::state::declare_plot(value_tree& tree) {
  auto result = object("/entry/result");
  auto drawable = [](auto& r) {
    return r.extent == result_extent::per_event &&
           std::find(r.shape.begin(), r.shape.end(), 0u) == r.shape.end();
  };
  auto signal = std::find_if(options.results.begin(), options.results.end(), drawable);
  tree.write_attribute(result.get(), "NX_class", signal == options.results.end() ? "NXcollection" : "NXdata");
  if (signal == options.results.end()) return;
  tree.write_attribute(result.get(), "signal", signal->name);
  tree.write_attribute(result.get(), "axes", value_list(signal->shape.size() + 1, "."));
}

hdf5::handle result_file::state::object(const std::string& name) {
  return hdf5::handle(H5Oopen(file.get(), name.c_str(), H5P_DEFAULT), H5Oclose, where, "cannot be opened");
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

void result_file::state::count(std::uint64_t event, parameters_version version) {
  if (!version_rows || version.value == 0) return;
  version_rows->set(event, version.value, complaints);
  if (!latest.second || latest.first != version) latest = {version, &versions[version]};
  latest.second->count(event);
}

void result_file::state::flush() {
  for (auto& dataset : rows) dataset.flush();
  if (version_rows) version_rows->flush();
  hdf5::check(H5Fflush(file.get(), H5F_SCOPE_LOCAL), where, "cannot be written");
}

void result_file::state::end_rows() {
  for (auto& dataset : rows) dataset.complete();
  if (version_rows) version_rows->complete();
}

/// Things may be made in it again.
void result_file::state::open_again() {
  close();
  auto access = hdf5::file_access(where);
  file = hdf5::handle(H5Fopen(partial.c_str(), H5F_ACC_RDWR, access.get()), H5Fclose, where,
                      "cannot be opened again");
}

void result_file::state::write_tree(const value& published) {
  value_tree tree(where, complaints);
  auto result = object("/entry/result");
  if (auto map = published.as_map()) {
    auto attributes = map->find("_attrs");
    // What is said of another signal does not fit that of ours.
    if (attributes && attributes->as_map() && attributes->as_map()->find("signal") &&
        H5Aexists(result.get(), "axes") > 0)
      hdf5::remove_attribute(result.get(), "axes", where);
    tree.write_entries(result.get(), *map);
  } else if (!published.is_null()) {
    complaints.add("published tree", "no map");
  }
  write_descriptions();
  complete_plot(published);
}

void result_file::state::write_descriptions() {
  value_tree tree(where, complaints);
  auto result = object("/entry/result");
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

namespace {

/// The shape of a data set of numbers; nothing for anything else.
std::optional<std::vector<std::size_t>> shape_of_numbers(hid_t group, const std::string& name) {
  if (H5Lexists(group, name.c_str(), H5P_DEFAULT) <= 0) return std::nullopt;
  auto id = H5Dopen2(group, name.c_str(), H5P_DEFAULT);
  if (id < 0) return std::nullopt;
  hdf5::handle set(id, H5Dclose, name, "");
  hdf5::handle type(H5Dget_type(id), H5Tclose, name, "has no type"),
      space(H5Dget_space(id), H5Sclose, name, "has no space");
  auto kind = H5Tget_class(type.get());
  if (kind != H5T_INTEGER && kind != H5T_FLOAT) return std::nullopt;
  std::vector<hsize_t> shape(static_cast<std::size_t>(std::max(0, H5Sget_simple_extent_ndims(space.get()))));
  H5Sget_simple_extent_dims(space.get(), shape.data(), nullptr);
  return std::vector<std::size_t>(shape.begin(), shape.end());
}

} // namespace

/// Names of axes that are there and as long as their dimension, `.` for the others.
std::vector<std::string> result_file::state::axes_of(hid_t group, const result_description& signal) {
  auto shape = shape_of_numbers(group, signal.name);
  if (!shape) return {};
  std::vector<std::string> axes(shape->size(), ".");
  auto first = shape->size() - std::min(shape->size(), signal.axes.size());
  for (auto d = first; d < shape->size(); ++d) {
    auto& name = signal.axes[d - first];
    auto axis = name.find('/') == name.npos ? shape_of_numbers(group, name) : std::nullopt;
    if (axis && axis->size() == 1 && axis->front() == (*shape)[d] && name != signal.name) axes[d] = name;
  }
  return axes;
}

/// Now that all is there: axes with their names, and of a scan that has no rows a signal that was published.
void result_file::state::complete_plot(const value& published) {
  auto map = published.as_map();
  auto attributes = map ? map->find("_attrs") : nullptr;
  if (attributes && attributes->as_map() &&
      (attributes->as_map()->find("signal") || attributes->as_map()->find("default")))
    return; // the analysis knows better
  auto result = object("/entry/result");
  bool has_rows = H5Aexists(result.get(), "signal") > 0;
  value_tree tree(where, complaints);
  for (auto& description : options.results) {
    if (has_rows != (description.extent == result_extent::per_event)) continue;
    auto axes = axes_of(result.get(), description);
    auto shape = shape_of_numbers(result.get(), description.name);
    if (axes.empty() || std::find(shape->begin(), shape->end(), 0u) != shape->end()) continue;
    tree.write_attribute(result.get(), "NX_class", "NXdata");
    tree.write_attribute(result.get(), "signal", description.name);
    tree.write_attribute(result.get(), "axes", value_list(axes.begin(), axes.end()));
    return;
  }
}

void result_file::state::write_ending(const scan_ending& ending) {
  value_tree tree(where, complaints);
  auto entry = object("/entry");
  tree.write_entries(entry.get(), {{"end_time", utc_text(options.clock())}});
  tree.write_entries(entry.get(), ending.entry);
  if (!options.analysis.empty()) {
    auto used = ending.parameters;
    for (auto& version : used)
      if (auto use = versions.find(version.version); use != versions.end())
        std::tie(version.results, version.first_event, version.last_event) =
            std::tie(use->second.results, use->second.first_event, use->second.last_event);
    auto parameters = nexus::parameter_versions(used, ending.parameters_not_listed);
    tree.write_entries(object("/entry/process").get(), {{"parameters", std::move(parameters)}});
  }
  if (ending.raw.empty()) return;
  tree.write_entries(entry.get(), {{"instrument", nexus::instrument(ending.raw)}});
  for (auto& source : ending.raw) {
    auto group = "instrument/" + source.stream;
    if (source.path.empty() || H5Lexists(entry.get(), group.c_str(), H5P_DEFAULT) <= 0) continue;
    hdf5::make_external_link(entry.get(), group + "/data", source.file, source.path, where);
  }
}

void result_file::state::close() {
  rows.clear();
  version_rows.reset();
  places.clear();
  auto open = std::exchange(file, {}).release();
  if (open >= 0) hdf5::check(H5Fclose(open), where, "cannot be closed");
}

void result_file::state::take_name(const std::string& raw_stem) {
  auto wanted = waits_for_its_name(path) ? named(path, raw_stem.empty() ? options.scan : raw_stem) : path;
  bool replaces = options.overwrite;
  std::error_code none;
  if (!replaces && options.again && !options.scan.empty() && std::filesystem::exists(wanted, none))
    replaces = scan_of(wanted) == options.scan;
  path = wanted;
  for (int number = 2;; ++number) {
    auto error = rename_file(partial, path, replaces);
    if (error == 0) break;
    if (error != EEXIST) refuse(path, "the results stay in " + where + ": " + std::strerror(error));
    path = numbered(wanted, number);
  }
  if (path != wanted)
    complaints.add(wanted.string(), "was there already: the results are in " + path.string());
}

result_file::result_file(result_file_options options) : state_(std::make_unique<state>(std::move(options))) {
  state_->open();
  try {
    state_->declare();
  } catch (...) {
    discard();
    throw;
  }
}

result_file::~result_file() {
  try {
    abandon();
  } catch (const std::exception&) { // nobody is left to be told
  }
}

void result_file::write_row(event_number event, const value& content, parameters_version version) {
  if (!state_->file) refuse(state_->options.path, "is closed");
  hdf5::be_quiet();
  if (event.value >= state_->options.events)
    return state_->complaints.add("rows", "event " + std::to_string(event.value) + " is beyond the scan");
  state_->count(event.value, version);
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

void result_file::flush() {
  if (!state_->file) refuse(state_->options.path, "is closed");
  hdf5::be_quiet();
  state_->flush();
}

namespace {

/// A file, or a folder with the names in it; which not every file system can do with a folder.
void put_on_disk(const std::filesystem::path& path) {
  auto opened = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0) return;
  auto trouble = ::fsync(opened) == 0 || errno == EINVAL || errno == EROFS ? 0 : errno;
  ::close(opened);
  if (trouble != 0) refuse(path, std::string("cannot be put on the disk: ") + std::strerror(trouble));
}

} // namespace

void result_file::finish(const value& published, const scan_ending& ending) {
  if (!state_->file) refuse(state_->options.path, "is closed");
  hdf5::be_quiet();
  state_->end_rows();
  state_->open_again();
  state_->write_tree(published);
  state_->write_ending(ending);
  state_->close();
  // What else keeps the results is let go once the file has its name.
  put_on_disk(state_->partial);
  state_->take_name(ending.raw_stem);
  put_on_disk(std::filesystem::absolute(state_->options.path).parent_path());
  state_->claim.reset();
}

void result_file::abandon() {
  if (!state_ || !state_->file) return;
  hdf5::be_quiet();
  for (auto& rows : state_->rows) rows.flush();
  if (state_->version_rows) state_->version_rows->flush();
  state_->close();
  state_->claim.reset();
}

void result_file::discard() {
  hdf5::be_quiet();
  state_->close();
  std::error_code none;
  std::filesystem::remove(state_->partial, none);
  state_->claim.reset();
}

std::vector<std::string> result_file::complaints() const { return state_->complaints.lines(); }
const std::filesystem::path& result_file::path() const { return state_->path; }
const std::filesystem::path& result_file::partial_path() const { return state_->partial; }

} // namespace dtranspose
