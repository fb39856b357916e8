#include "output/value_tree.hpp"

#include <algorithm>
#include <limits>
#include <utility>
#include <vector>

namespace dtranspose {

namespace {

/// Deeper than any tree that people look at, far below where recursion hurts.
constexpr int most_depth = 64;
/// HDF5 keeps attributes in a header that holds less than 64 KiB.
constexpr std::size_t most_attribute_bytes = 60000;

constexpr std::string_view attributes_suffix = "_attrs";

bool is_number(const value& x) { return x.as_number() || x.as_bool(); }

bool all_text(const value_list& list) {
  return std::all_of(list.begin(), list.end(), [](auto& x) { return x.as_text() != nullptr; });
}

template <class T>
array array_as(const value_list& list) {
  std::vector<T> elements;
  elements.reserve(list.size());
  for (auto& x : list)
    elements.push_back(std::visit(
        []<class X>(const X& n) {
          if constexpr (std::is_arithmetic_v<X>)
            return static_cast<T>(n);
          else
            return T{};
        },
        x.content()));
  return array::of(elements);
}

/// What HDF5 writes of one value: its type, its shape and its bytes.
struct content {
  hdf5::handle type;
  std::vector<std::size_t> shape = {};
  const void* data = nullptr; ///< of the value, or of one of these:
  std::vector<const char*> texts = {};
  array elements = {};
  std::int8_t truth = 0;

  std::size_t size() const {
    auto n = H5Tget_size(type.get());
    for (auto length : shape) n *= length;
    return n;
  }
};

hdf5::handle copy_of(hid_t type, const std::string& where) {
  return hdf5::handle(H5Tcopy(type), H5Tclose, where, "a type cannot be made");
}

hdf5::handle text_type(std::size_t size, const std::string& where) {
  auto type = copy_of(H5T_C_S1, where);
  hdf5::check(H5Tset_size(type.get(), size), where, "a text cannot be described");
  hdf5::check(H5Tset_cset(type.get(), H5T_CSET_UTF8), where, "a text cannot be described");
  if (size != H5T_VARIABLE) H5Tset_strpad(type.get(), H5T_STR_NULLPAD);
  return type;
}

/// h5py's bool.
hdf5::handle bool_type(const std::string& where) {
  hdf5::handle type(H5Tenum_create(H5T_STD_I8LE), H5Tclose, where, "a bool cannot be described");
  const std::int8_t no = 0, yes = 1;
  hdf5::check(H5Tenum_insert(type.get(), "FALSE", &no), where, "a bool cannot be described");
  hdf5::check(H5Tenum_insert(type.get(), "TRUE", &yes), where, "a bool cannot be described");
  return type;
}

content content_of_text(const std::string& text, const std::string& where) {
  // A text of variable length ends at its first zero byte.
  if (text.find('\0') != text.npos) return {.type = text_type(text.size(), where), .data = text.data()};
  return {.type = text_type(H5T_VARIABLE, where), .texts = {text.c_str()}};
}

std::optional<content> content_of_array(const array& elements, const std::string& where) {
  if (elements.shape().size() > H5S_MAX_RANK ||
      elements.bytes().size() != elements.size() * size_of(elements.type()))
    return std::nullopt;
  return content{.type = copy_of(hdf5::type_of(elements.type()), where),
                 .shape = elements.shape(),
                 .elements = elements};
}

std::optional<content> content_of_list(const value_list& list, const std::string& where) {
  if (auto numbers = array_of_numbers(list)) return content_of_array(*numbers, where);
  if (!all_text(list)) return std::nullopt;
  content texts{.type = text_type(H5T_VARIABLE, where), .shape = {list.size()}};
  for (auto& x : list) texts.texts.push_back(x.as_text()->c_str());
  return texts;
}

/// Nothing for what has no form as one data set: maps, mixed lists, null. Valid as long as `x` is.
std::optional<content> content_of(const value& x, const std::string& where) {
  if (auto truth = x.as_bool()) return content{.type = bool_type(where), .truth = *truth};
  if (auto text = x.as_text()) return content_of_text(*text, where);
  if (auto list = x.as_list()) return content_of_list(*list, where);
  if (auto elements = x.as_array()) return content_of_array(*elements, where);
  if (auto bytes = x.as_bytes())
    return content{.type = copy_of(H5T_STD_U8LE, where), .shape = {bytes->size()}, .data = bytes->data()};
  auto type = std::holds_alternative<double>(x.content())         ? H5T_IEEE_F64LE
              : std::holds_alternative<std::int64_t>(x.content()) ? H5T_STD_I64LE
                                                                  : H5T_STD_U64LE;
  if (!x.as_number()) return std::nullopt;
  auto data = std::visit([](auto& n) -> const void* { return &n; }, x.content());
  return content{.type = copy_of(type, where), .data = data};
}

/// Where the bytes are, once `from` has found its place; never null, as the library wants.
const void* data_of(const content& from) {
  if (!from.texts.empty()) return from.texts.data();
  if (!from.elements.bytes().empty()) return from.elements.bytes().data();
  return from.data ? from.data : &from.truth;
}

bool is_name(std::string_view name) {
  return !name.empty() && name != "." && name.find('/') == name.npos && name.find('\0') == name.npos;
}

/// The part of `x_attrs` before the ending; nothing for any other key.
std::optional<std::string> owner_of_attributes(const std::string& key) {
  if (!key.ends_with(attributes_suffix)) return std::nullopt;
  return key.substr(0, key.size() - attributes_suffix.size());
}

} // namespace

std::optional<array> array_of_numbers(const value_list& list) {
  if (!std::all_of(list.begin(), list.end(), is_number)) return std::nullopt;
  bool real = list.empty(), negative = false, large = false;
  for (auto& x : list) {
    auto i = std::get_if<std::int64_t>(&x.content());
    auto u = std::get_if<std::uint64_t>(&x.content());
    real = real || std::holds_alternative<double>(x.content());
    negative = negative || (i && *i < 0);
    large = large || (u && *u > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  }
  if (real || (negative && large)) return array_as<double>(list);
  return large ? array_as<std::uint64_t>(list) : array_as<std::int64_t>(list);
}

std::string value_tree::place(const std::string& path) const {
  return path.empty() ? where_ : where_ + ": " + path;
}

void value_tree::write_entries(hid_t group, const value_map& map, const std::string& path) {
  for (auto& [name, content] : map)
    if (!owner_of_attributes(name)) write_entry(group, name, content, path + "/" + name);
  for (auto& [name, content] : map) // now that what they belong to is there
    if (auto owner = owner_of_attributes(name)) write_attributes(group, *owner, content, path + "/" + name);
}

void value_tree::write_entry(hid_t group, const std::string& name, const value& content,
                             const std::string& path) {
  if (content.is_null()) return;
  if (!is_name(name)) return complaints_.add(path, "no name that HDF5 takes");
  if (hdf5::check(H5Lexists(group, name.c_str(), H5P_DEFAULT), where_, "cannot be searched") > 0)
    return complaints_.add(path, "there is one of that name already");
  auto map = content.as_map();
  auto list = content.as_list();
  if (!map && !(list && !array_of_numbers(*list) && !all_text(*list)))
    return write_dataset(group, name, content, path);
  auto child = hdf5::make_group(group, name, place(path));
  if (depth_ == most_depth) return complaints_.add(path, "too deep a tree, left empty from here on");
  ++depth_;
  if (map) write_entries(child.get(), *map, path);
  for (std::size_t i = 0; list && i < list->size(); ++i)
    write_entry(child.get(), std::to_string(i), (*list)[i], path + "/" + std::to_string(i));
  --depth_;
}

void value_tree::write_dataset(hid_t group, const std::string& name, const value& x,
                               const std::string& path) {
  auto where = place(path);
  auto content = content_of(x, where);
  if (!content) return complaints_.add(path, "an array without data, or of too many dimensions");
  auto space = hdf5::make_space(content->shape, where);
  auto dataset = hdf5::make_dataset(group, name, content->type.get(), space.get(), H5P_DEFAULT, where);
  hdf5::check(H5Dwrite(dataset.get(), content->type.get(), H5S_ALL, H5S_ALL, H5P_DEFAULT, data_of(*content)),
              where, "cannot be written");
}

void value_tree::write_attributes(hid_t group, const std::string& name, const value& content,
                                  const std::string& path) {
  auto map = content.as_map();
  if (!map) return complaints_.add(path, "attributes that are no map");
  bool found = name.empty() || (is_name(name) && H5Lexists(group, name.c_str(), H5P_DEFAULT) > 0);
  if (!found) return complaints_.add(path, "attributes of what is not there");
  hdf5::handle object(H5Oopen(group, name.empty() ? "." : name.c_str(), H5P_DEFAULT), H5Oclose, place(path),
                      "cannot be opened");
  for (auto& [key, x] : *map) write_attribute(object.get(), key, x, path + "/" + key);
}

void value_tree::write_attribute(hid_t object, const std::string& name, const value& x,
                                 const std::string& path) {
  if (x.is_null()) return;
  auto where = place(path);
  auto content = content_of(x, where);
  if (!content || name.empty()) return complaints_.add(path, "no value that an attribute can have");
  if (content->size() > most_attribute_bytes) return complaints_.add(path, "too large for an attribute");
  if (hdf5::check(H5Aexists(object, name.c_str()), where, "cannot be searched") > 0)
    hdf5::remove_attribute(object, name, where);
  auto space = hdf5::make_space(content->shape, where);
  auto attribute = hdf5::make_attribute(object, name, content->type.get(), space.get(), where);
  hdf5::check(H5Awrite(attribute.get(), content->type.get(), data_of(*content)), where,
              "attribute cannot be written");
}

} // namespace dtranspose
