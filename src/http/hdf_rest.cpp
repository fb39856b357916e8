#include "http/hdf_rest.hpp"

#include <algorithm>
#include <cstring>
#include <optional>
#include <span>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model/value_json.hpp"
#include "output/selection.hpp"

namespace dtranspose {

namespace {

using std::string_view;

/// Of a number of its own.
constexpr std::size_t scalar_bytes = 8;
/// As text they take up to 25 bytes each.
constexpr std::size_t most_json_elements = std::size_t{1} << 24;

/// A path in its parts: /COLLECTION/ID/PART/NAME; what is missing is empty.
struct hdf_path {
  string_view collection, id, part;
  std::string name;
  bool has_name = false;
};

std::optional<hdf_path> parsed(string_view path) {
  if (!path.starts_with('/')) return std::nullopt;
  path.remove_prefix(1);
  auto next = [&path] {
    auto slash = path.find('/');
    auto part = path.substr(0, slash);
    path = slash == path.npos ? string_view() : path.substr(slash + 1);
    return part;
  };
  hdf_path p;
  p.collection = next();
  p.id = next();
  p.part = next();
  p.has_name = !path.empty();
  p.name = percent_decoded(path);
  return p;
}

/// What there is of an object, behind its id.
struct object_route {
  string_view collection, part;
  bool named;
  string_view methods;
};

constexpr object_route object_routes[] = {
    {"groups", "", false, "GET"},
    {"groups", "links", false, "GET"},
    {"groups", "links", true, "GET"},
    {"groups", "attributes", false, "GET"},
    {"groups", "attributes", true, "GET"},
    {"datasets", "", false, "GET"},
    {"datasets", "shape", false, "GET"},
    {"datasets", "type", false, "GET"},
    {"datasets", "value", false, "GET, POST"},
    {"datasets", "attributes", false, "GET"},
    {"datasets", "attributes", true, "GET"},
};

/// What there is of the file.
constexpr string_view file_routes[] = {"/", "/about"};

// --- the objects as JSON -------------------------------------------------------------------------

value_map type_of(dtype type) {
  auto bits = size_of(type) * 8;
  if (type >= dtype::float32) return {{"class", "H5T_FLOAT"}, {"base", fmt::format("H5T_IEEE_F{}LE", bits)}};
  auto sign = name_of(type).front() == 'u' ? 'U' : 'I';
  return {{"class", "H5T_INTEGER"}, {"base", fmt::format("H5T_STD_{}{}LE", sign, bits)}};
}

value type_of(const result_data& data) {
  switch (data.kind) {
  case result_kind::boolean:
    return value_map{{"class", "H5T_ENUM"},
                     {"base", type_of(dtype::int8)},
                     {"mapping", value_map{{"FALSE", 0}, {"TRUE", 1}}}};
  case result_kind::text:
  case result_kind::texts:
    return value_map{{"class", "H5T_STRING"},
                     {"length", "H5T_VARIABLE"},
                     {"charSet", "H5T_CSET_UTF8"},
                     {"strPad", "H5T_STR_NULLTERM"}};
  default:
    return type_of(*dtype_of(data.type_name()));
  }
}

bool is_scalar(const result_data& data) {
  return data.kind != result_kind::texts && !data.content.as_array();
}

value shape_json(const result_data& data) {
  auto dims = data.shape();
  if (is_scalar(data) || dims.empty()) return value_map{{"class", "H5S_SCALAR"}};
  return value_map{{"class", "H5S_SIMPLE"}, {"dims", value_list(dims.begin(), dims.end())}};
}

/// Answers about one snapshot.
class hdf_file {
 public:
  explicit hdf_file(const snapshot& from) : from_(from), tree_(from.objects()) {}

  value_map root() const {
    value_map m{{"root", group_id(tree_.root())}, {"owner", "dtranspose"}, {"class", "domain"}};
    return dated(std::move(m));
  }

  /// An object of that collection; 404 without.
  const result_object& find(const hdf_path& p) const {
    auto groups = p.collection == "groups";
    auto prefix = groups ? "g-" : "d-";
    auto object = p.id.starts_with(prefix) ? tree_.find_id(p.id.substr(2)) : nullptr;
    if (object && object->is_group() == groups) return *object;
    throw results_error(404, groups ? "Group not found" : "Dataset not found");
  }

  value_map group(const result_object& g, bool with_attributes, bool with_links) const {
    value_map m{{"id", group_id(g)},
                {"root", group_id(tree_.root())},
                {"linkCount", g.children.size()},
                {"attributeCount", g.attributes.size()},
                {"domain", domain()}};
    if (with_attributes) m.set("attributes", all_attributes(g));
    if (with_links) m.set("links", all_links(g));
    return dated(std::move(m));
  }

  value_map dataset(const result_object& d, bool with_attributes) const {
    value layout = value_map{{"class", "H5D_CONTIGUOUS"}};
    value_map m{{"id", "d-" + d.id},
                {"root", group_id(tree_.root())},
                {"shape", shape_json(d.data)},
                {"type", type_of(d.data)},
                {"attributeCount", d.attributes.size()},
                {"creationProperties", value_map{{"layout", layout}}},
                {"layout", layout},
                {"domain", domain()}};
    if (with_attributes) m.set("attributes", all_attributes(d));
    return dated(std::move(m));
  }

  value_map link(const result_object& to) const {
    value_map m{{"class", "H5L_TYPE_HARD"},
                {"id", to.is_group() ? group_id(to) : "d-" + to.id},
                {"collection", to.is_group() ? "groups" : "datasets"},
                {"title", to.name}};
    return dated(std::move(m));
  }

  value_map links(const result_object& g) const {
    value_list list;
    for (auto child : g.children) list.push_back(link(tree_.objects()[child]));
    return {{"links", std::move(list)}};
  }

  value_map named_link(const result_object& g, const std::string& name) const {
    for (auto child : g.children)
      if (auto& object = tree_.objects()[child]; object.name == name) return dated({{"link", link(object)}});
    throw results_error(404, "Link not found");
  }

  value_map attribute(const std::string& name, const result_data& data, bool with_value) const {
    value_map m{{"name", name}, {"shape", shape_json(data)}, {"type", type_of(data)}};
    if (with_value) m.set("value", data.content);
    return dated(std::move(m));
  }

  value_map attributes(const result_object& of, bool with_values) const {
    value_list list;
    for (auto& [name, data] : of.attributes) list.push_back(attribute(name, data, with_values));
    return {{"attributes", std::move(list)}};
  }

  value_map named_attribute(const result_object& of, const std::string& name) const {
    if (auto data = of.attribute(name)) return attribute(name, *data, true);
    throw results_error(404, "Attribute not found");
  }

 private:
  static std::string group_id(const result_object& g) { return "g-" + g.id; }

  std::string domain() const { return from_.scan.empty() ? "/" : "/" + from_.scan; }

  value_map dated(value_map m) const {
    m.set("created", from_.seconds).set("lastModified", from_.seconds);
    return m;
  }

  value_map all_attributes(const result_object& of) const {
    value_map all;
    for (auto& [name, data] : of.attributes) all.set(name, attribute(name, data, true));
    return all;
  }

  value_map all_links(const result_object& g) const {
    value_map all;
    for (auto child : g.children) {
      auto& object = tree_.objects()[child];
      all.set(object.name, link(object));
    }
    return all;
  }

  const snapshot& from_;
  const result_tree& tree_;
};

// --- values --------------------------------------------------------------------------------------

results_answer json_answer(const value& content) { return {.body = to_json(content, false)}; }

std::string scalar_as_bytes(const value& x) {
  if (auto truth = x.as_bool()) return std::string(1, *truth ? '\1' : '\0');
  std::string bytes(scalar_bytes, '\0');
  std::visit(
      [&]<class T>(const T& n) {
        if constexpr (std::is_arithmetic_v<T> && sizeof(T) == scalar_bytes)
          std::memcpy(bytes.data(), &n, sizeof n);
      },
      x.content());
  return bytes;
}

/// Text has no binary form that all clients agree on: it is always JSON.
bool wants_binary(const results_request& request, const result_data& data) {
  return request.accept == binary_type && data.kind != result_kind::text && data.kind != result_kind::texts;
}

results_answer answer_elements(const results_request& request, const result_data& data, array elements) {
  bool binary = wants_binary(request, data);
  if (!binary && elements.size() > most_json_elements)
    throw results_error(413, fmt::format("{} elements as JSON: ask for up to {}, or for {}", elements.size(),
                                         most_json_elements, binary_type));
  if (!binary) return json_answer(value_map{{"value", std::move(elements)}});
  return {.type = std::string(binary_type), .whole = std::move(elements)};
}

results_answer selected(const results_request& request, const result_data& data, const std::string* select) {
  if (is_scalar(data)) {
    if (!wants_binary(request, data)) return json_answer(value_map{{"value", data.content}});
    return {.type = std::string(binary_type), .body = scalar_as_bytes(data.content)};
  }
  auto shape = data.shape();
  auto some = select && !select->empty() ? selection(*select, shape) : selection(shape);
  if (auto list = data.content.as_list()) return json_answer(value_map{{"value", some.of(*list)}});
  return answer_elements(request, data, some.of(*data.content.as_array()));
}

/// A selection as JSON that is too long for a path, or single points.
results_answer posted(const results_request& request, const result_data& data) {
  if (request.content_type.starts_with(binary_type)) {
    auto elements = data.content.as_array();
    if (!elements) throw results_error(400, "points can be had of arrays of numbers only");
    return answer_elements(request, data, elements_at(*elements, std::as_bytes(std::span(request.body))));
  }
  auto body = nlohmann::json::parse(request.body, nullptr, false);
  if (!body.is_object()) throw results_error(400, "the body is neither JSON {\"select\": ...} nor points");
  auto found = body.find("select");
  if (found == body.end()) return selected(request, data, request.find("select"));
  if (!found->is_string()) throw results_error(400, "select: no text");
  auto text = found->get<std::string>();
  return selected(request, data, &text);
}

results_answer answer_value(const results_request& request, const result_data& data) {
  for (auto unknown : {"fields", "query"})
    if (request.find(unknown))
      throw results_error(400, fmt::format("{}: there are no data sets with fields here", unknown));
  if (request.method == "POST") return posted(request, data);
  return selected(request, data, request.find("select"));
}

// --- routes --------------------------------------------------------------------------------------

results_answer answer_object(const hdf_file& file, const hdf_path& p, const results_request& request) {
  auto asked = [&](const char* what) {
    auto text = request.find(what);
    return text && *text != "0" && *text != "F";
  };
  auto& object = file.find(p);
  if (p.part == "attributes" && p.has_name) return json_answer(file.named_attribute(object, p.name));
  if (p.part == "attributes") return json_answer(file.attributes(object, asked("IncludeData")));
  if (p.part == "links" && p.has_name) return json_answer(file.named_link(object, p.name));
  if (p.part == "links") return json_answer(file.links(object));
  if (p.part == "shape") return json_answer(value_map{{"shape", shape_json(object.data)}});
  if (p.part == "type") return json_answer(value_map{{"type", type_of(object.data)}});
  if (p.part == "value") return answer_value(request, object.data);
  if (object.is_group())
    return json_answer(file.group(object, asked("include_attrs"), asked("include_links")));
  return json_answer(file.dataset(object, asked("include_attrs")));
}

value_map about() {
  // The version is that of the interface: clients ask for it before they use what came with 0.9.
  return {{"name", "dtranspose"}, {"about", "live results"}, {"state", "READY"}, {"hsds_version", "0.9.0"}};
}

} // namespace

string_view hdf_methods(string_view path) {
  if (std::ranges::find(file_routes, path) != std::end(file_routes)) return "GET";
  auto p = parsed(path);
  if (!p || p->id.empty()) return {};
  for (auto& route : object_routes)
    if (route.collection == p->collection && route.part == p->part && route.named == p->has_name)
      return route.methods;
  return {};
}

std::vector<route_name> hdf_routes() {
  std::vector<route_name> all;
  for (auto path : file_routes) all.push_back({"GET", std::string(path), "view"});
  for (auto& route : object_routes)
    for (auto method : {"GET", "POST"}) {
      if (route.methods.find(method) == route.methods.npos) continue;
      auto path = fmt::format("/{}/{{id}}{}{}{}", route.collection, route.part.empty() ? "" : "/", route.part,
                              route.named ? "/{name}" : "");
      all.push_back({method, std::move(path), "view"});
    }
  return all;
}

results_answer answer_hdf(const snapshot_store& store, const results_request& request) {
  if (request.path == "/about") return json_answer(about());
  auto chosen = chosen_snapshot(store, request);
  if (!chosen) chosen = std::make_shared<const snapshot>(); // an empty file before the first scan
  hdf_file file(*chosen);
  if (request.path == "/") return json_answer(file.root());
  return answer_object(file, *parsed(request.path), request);
}

} // namespace dtranspose
