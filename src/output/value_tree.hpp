/// Values as groups, data sets and attributes of HDF5 files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/value.hpp"
#include "output/complaints.hpp"
#include "output/hdf5.hpp"

namespace dtranspose {

/// A list of nothing but numbers and bools, as 1-D array of the narrowest of int64, uint64 and
/// float64; nothing for any other list.
std::optional<array> array_of_numbers(const value_list& list);

/// Writes values. Numbers become scalars, bools h5py's enumeration, texts UTF-8 of variable length,
/// bytes an array of uint8, lists of numbers or of texts 1-D arrays, maps groups, other lists
/// groups with the entries `0`, `1`, ...; null writes nothing. In a map, `name_attrs` holds the
/// attributes of `name`, and
/// `_attrs` those of the group itself.
///
/// What cannot be written is left out and complained about. Throws std::runtime_error where the
/// library fails, e.g. when the disk is full.
class value_tree {
 public:
  /// `where` names the file in errors; `complaints` outlives this.
  value_tree(std::string where, complaint_list& complaints)
      : where_(std::move(where)), complaints_(complaints) {}

  /// Adds the entries of `map` to a group, whose name is `path`. What is there already stays.
  void write_entries(hid_t group, const value_map& map, const std::string& path = "");

  /// Adds or replaces an attribute. `path` names the object in complaints.
  void write_attribute(hid_t object, const std::string& name, const value& content,
                       const std::string& path = "");

 private:
  void write_entry(hid_t group, const std::string& name, const value& content, const std::string& path);
  void write_dataset(hid_t group, const std::string& name, const value& content, const std::string& path);
  void write_attributes(hid_t group, const std::string& name, const value& content, const std::string& path);

  std::string place(const std::string& path) const;

  std::string where_;
  complaint_list& complaints_;
  int depth_ = 0;
};

} // namespace dtranspose
