#include "output/result_tree.hpp"

#include <algorithm>
#include <array>
#include <unordered_set>

#include "output/value_tree.hpp"

namespace dtranspose {

namespace {

/// Those of the files.
constexpr int most_depth = 64;
constexpr std::size_t most_dimensions = 32;

constexpr std::string_view attributes_suffix = "_attrs";

bool is_name(std::string_view name) {
  return !name.empty() && name != "." && name.find('/') == name.npos && name.find('\0') == name.npos;
}

/// The part of `x_attrs` before the ending; nothing for any other key.
std::optional<std::string_view> owner_of_attributes(std::string_view key) {
  if (!key.ends_with(attributes_suffix)) return std::nullopt;
  return key.substr(0, key.size() - attributes_suffix.size());
}

void add_attributes(result_object& object, const value* attributes) {
  auto map = attributes ? attributes->as_map() : nullptr;
  if (!map) return;
  for (auto& [name, content] : *map)
    if (auto data = data_of(content); data && !name.empty() && !object.attribute(name))
      object.attributes.emplace_back(name, std::move(*data));
}

/// FNV-1a.
std::uint64_t hash_of(std::string_view text, std::uint64_t hash) {
  for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

/// An array that shares the bytes.
array array_of_bytes(const std::shared_ptr<const value_bytes>& bytes) {
  return {dtype::uint8, {bytes->size()}, std::shared_ptr<const std::byte[]>(bytes, bytes->data())};
}

} // namespace

std::vector<std::size_t> result_data::shape() const {
  if (auto elements = content.as_array()) return elements->shape();
  if (auto list = content.as_list()) return {list->size()};
  return {};
}

std::string_view result_data::type_name() const {
  switch (kind) {
  case result_kind::array:
  case result_kind::bytes:
    return name_of(content.as_array()->type());
  case result_kind::text:
  case result_kind::texts:
    return "text";
  case result_kind::boolean:
    return "bool";
  case result_kind::number:
    return std::holds_alternative<double>(content.content())         ? "float64"
           : std::holds_alternative<std::int64_t>(content.content()) ? "int64"
                                                                     : "uint64";
  case result_kind::group:
    break;
  }
  return "";
}

std::optional<result_data> data_of(const value& x) {
  if (x.as_bool()) return result_data{result_kind::boolean, x};
  if (x.as_number()) return result_data{result_kind::number, x};
  if (x.as_text()) return result_data{result_kind::text, x};
  if (auto bytes = std::get_if<std::shared_ptr<const value_bytes>>(&x.content()))
    return result_data{result_kind::bytes, array_of_bytes(*bytes)};
  if (auto elements = x.as_array()) {
    auto whole = elements->bytes().size() == elements->size() * size_of(elements->type());
    if (!whole || elements->shape().size() > most_dimensions) return std::nullopt;
    return result_data{result_kind::array, x};
  }
  auto list = x.as_list();
  if (!list) return std::nullopt;
  if (auto numbers = array_of_numbers(*list)) return result_data{result_kind::array, *numbers};
  if (!std::ranges::all_of(*list, [](auto& item) { return item.as_text() != nullptr; })) return std::nullopt;
  return result_data{result_kind::texts, x};
}

const result_data* result_object::attribute(std::string_view wanted) const {
  for (auto& [key, content] : attributes)
    if (key == wanted) return &content;
  return nullptr;
}

std::string result_id(std::string_view path) {
  constexpr char digits[] = "0123456789abcdef";
  std::array<std::uint64_t, 2> parts{hash_of(path, 0xcbf29ce484222325), hash_of(path, 0x84222325cbf29ce4)};
  std::string id;
  for (int i = 0; i < 32; ++i) {
    if (i == 8 || i == 12 || i == 16 || i == 20) id += '-';
    id += digits[parts[static_cast<std::size_t>(i / 16)] >> (60 - i % 16 * 4) & 15];
  }
  return id;
}

result_tree::result_tree(const value& published) {
  objects_.push_back({.path = "/", .name = {}, .id = result_id("/")});
  auto map = published.as_map();
  if (map) add_entries(0, *map, 0);
  for (std::size_t i = 0; i < objects_.size(); ++i) {
    by_path_.emplace(objects_[i].path, i);
    by_id_.emplace(objects_[i].id, i);
  }
}

void result_tree::add_entries(std::size_t parent, const value_map& map, int depth) {
  std::unordered_map<std::string_view, const value*> attributes;
  for (auto& [name, content] : map)
    if (auto owner = owner_of_attributes(name); owner && !attributes.contains(*owner))
      attributes.emplace(*owner, &content);
  auto of = [&](std::string_view name) {
    auto found = attributes.find(name);
    return found == attributes.end() ? nullptr : found->second;
  };
  add_attributes(objects_[parent], of(""));
  std::unordered_set<std::string_view> there;
  for (auto& [name, content] : map)
    if (!owner_of_attributes(name) && there.insert(name).second) add(parent, name, content, of(name), depth);
}

void result_tree::add_list(std::size_t parent, const value_list& list, int depth) {
  for (std::size_t i = 0; i < list.size(); ++i) add(parent, std::to_string(i), list[i], nullptr, depth);
}

void result_tree::add(std::size_t parent, const std::string& name, const value& content,
                      const value* attributes, int depth) {
  if (!is_name(name)) return;
  auto data = data_of(content);
  bool has_parts = content.as_map() || (content.as_list() && !data);
  if (!data && !has_parts) return;
  auto& above = objects_[parent].path;
  auto path = (above == "/" ? "" : above) + "/" + name;
  auto place = objects_.size();
  objects_[parent].children.push_back(place);
  auto id = result_id(path);
  objects_.push_back({std::move(path), name, std::move(id), data.value_or(result_data())});
  add_attributes(objects_.back(), attributes);
  if (!has_parts || depth == most_depth) return;
  if (auto map = content.as_map())
    add_entries(place, *map, depth + 1);
  else
    add_list(place, *content.as_list(), depth + 1);
}

const result_object* result_tree::find(std::string_view path) const {
  auto found = path.starts_with('/') ? by_path_.find(path) : by_path_.find("/" + std::string(path));
  return found == by_path_.end() ? nullptr : &objects_[found->second];
}

const result_object* result_tree::find_id(std::string_view id) const {
  auto found = by_id_.find(id);
  return found == by_id_.end() ? nullptr : &objects_[found->second];
}

} // namespace dtranspose
