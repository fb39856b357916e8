/// A published tree as groups, data sets and attributes, as `value_tree` writes them to files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

enum class result_kind : std::uint8_t {
  group,
  number, ///< int64, uint64 or float64
  text,
  boolean,
  array,
  texts, ///< a list of them
  bytes, ///< as an array of uint8
};

/// A value in the form that data sets and attributes have.
struct result_data {
  result_kind kind = result_kind::group;
  /// A number, a bool, a text, an array (also of bytes and of lists of numbers), or a list of texts.
  value content = {};

  /// Empty: a scalar.
  std::vector<std::size_t> shape() const;
  /// `float64`, `bool`, `text`, ...
  std::string_view type_name() const;
};

/// Nothing for what is no data set: null, maps, other lists, arrays without data.
std::optional<result_data> data_of(const value& x);

struct result_object {
  std::string path; ///< `/` of the root
  std::string name; ///< empty of the root
  std::string id;   ///< of the path alone: 36 characters, digits, a to f and `-`
  result_data data = {};
  std::vector<std::pair<std::string, result_data>> attributes = {};
  std::vector<std::size_t> children = {}; ///< places in `result_tree::objects`

  bool is_group() const { return data.kind == result_kind::group; }
  /// Null without one of that name.
  const result_data* attribute(std::string_view name) const;
};

/// Does not change, so any number of threads may read it.
class result_tree {
 public:
  /// What cannot be written is left out: null, arrays without data or of too many dimensions, names that HDF5
  /// does not take, what lies too deep.
  explicit result_tree(const value& published);
  result_tree(const result_tree&) = delete;
  result_tree& operator=(const result_tree&) = delete;

  /// In the order in which they were set, parents before their children; the root first.
  const std::vector<result_object>& objects() const { return objects_; }
  const result_object& root() const { return objects_.front(); }
  /// Null if there is none. A slash at the beginning may be left out.
  const result_object* find(std::string_view path) const;
  const result_object* find_id(std::string_view id) const;

 private:
  void add_entries(std::size_t parent, const value_map& map, int depth);
  void add_list(std::size_t parent, const value_list& list, int depth);
  void add(std::size_t parent, const std::string& name, const value& content, const value* attributes,
           int depth);

  std::vector<result_object> objects_;
  std::unordered_map<std::string_view, std::size_t> by_path_, by_id_;
};

/// The id of the object at a path, the same in every tree.
std::string result_id(std::string_view path);

} // namespace dtranspose
