#include "http/results_routes.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "http/hdf_rest.hpp"
#include "http/openapi.hpp"
#include "http/route_table.hpp"
#include "model/value_json.hpp"
#include "output/picture.hpp"

namespace dtranspose {

namespace {

using std::string_view;

constexpr std::size_t usual_pixels = 1024, most_pixels = 4096;
constexpr std::size_t longest_text = 1024;
/// Elements of an attribute that is listed with its value.
constexpr std::size_t most_attribute_elements = 1024;
constexpr double usual_rate = 10, least_rate = 1, most_rate = 50;

results_answer json_answer(const value& content) { return {.body = to_json(content)}; }

value scan_of(const snapshot_store::handle& s) { return s ? value(s->scan) : value(); }

// --- snapshots and the tree ----------------------------------------------------------------------

results_answer list_snapshots(const snapshot_store& store, const results_request& request) {
  auto chosen = chosen_snapshot(store, request);
  value_list scans, snapshots;
  for (auto& s : store.scans())
    scans.push_back(value_map{{"scan", s->scan}, {"latest", s->number}, {"finished", s->finished}});
  auto all = chosen ? store.all(chosen->scan) : std::vector<snapshot_store::handle>();
  for (auto& s : all)
    snapshots.push_back(value_map{{"number", s->number}, {"seconds", s->seconds}, {"results", s->results}});
  auto latest = all.empty() ? chosen : all.back();
  return json_answer(value_map{{"scan", scan_of(chosen)},
                               {"scans", std::move(scans)},
                               {"latest", latest ? latest->number : 0},
                               {"finished", latest && latest->finished},
                               {"snapshots", std::move(snapshots)}});
}

string_view kind_of(const result_data& data) {
  switch (data.kind) {
  case result_kind::group:
    return "group";
  case result_kind::number:
    return "number";
  case result_kind::text:
    return "text";
  case result_kind::boolean:
    return "bool";
  case result_kind::bytes:
    return "bytes";
  default:
    return "array";
  }
}

bool is_short(const value& x) {
  if (auto text = x.as_text()) return text->size() <= longest_text;
  if (auto elements = x.as_array()) return elements->size() <= most_attribute_elements;
  if (auto list = x.as_list()) return list->size() <= most_attribute_elements;
  return true;
}

value item_of(const result_object& object) {
  value_map item{{"path", object.path}, {"kind", kind_of(object.data)}};
  value_map attributes;
  for (auto& [name, data] : object.attributes)
    if (is_short(data.content)) attributes.set(name, data.content);
  if (!object.is_group()) {
    auto shape = object.data.shape();
    item.set("dtype", object.data.type_name()).set("shape", value_list(shape.begin(), shape.end()));
  }
  item.set("attributes", std::move(attributes));
  auto& content = object.data.content;
  bool single = !object.is_group() && !content.as_array() && !content.as_list();
  if (single && is_short(content)) item.set("value", content);
  return item;
}

results_answer list_tree(const snapshot_store& store, const results_request& request) {
  auto chosen = chosen_snapshot(store, request);
  value_list items;
  if (chosen)
    for (auto& object : chosen->objects().objects())
      if (object.path != "/") items.push_back(item_of(object));
  return json_answer(value_map{{"scan", scan_of(chosen)},
                               {"snapshot", chosen ? chosen->number : 0},
                               {"results", chosen ? chosen->results : 0},
                               {"finished", chosen && chosen->finished},
                               {"items", std::move(items)}});
}

// --- parts of arrays -----------------------------------------------------------------------------

struct found_object {
  snapshot_store::handle in;
  const result_object& object;
};

found_object find_object(const snapshot_store& store, const results_request& request) {
  auto path = request.find("path");
  if (!path) throw results_error(400, "path: say of which result, as in ?path=/image");
  auto chosen = chosen_snapshot(store, request);
  if (!chosen) throw results_error(404, "no scan yet");
  auto object = chosen->objects().find(*path);
  if (!object) throw results_error(404, fmt::format("path: there is no '{}'", *path));
  return {chosen, *object};
}

/// Whole numbers between commas; none in an empty text.
std::vector<std::size_t> numbers_of(string_view name, string_view text) {
  std::vector<std::size_t> list;
  while (!text.empty()) {
    auto comma = text.find(',');
    list.push_back(whole_number(name, text.substr(0, comma)));
    if (comma == text.npos) break;
    text.remove_prefix(comma + 1);
    if (text.empty()) throw results_error(400, fmt::format("{}: ends with a comma", name));
  }
  return list;
}

void check_places(string_view name, const std::vector<std::size_t>& places,
                  const std::vector<std::size_t>& shape) {
  for (std::size_t i = 0; i < places.size(); ++i)
    if (places[i] >= shape[i])
      throw results_error(400, fmt::format("{}: there is no {} in dimension {}, whose extent is {}", name,
                                           places[i], i, shape[i]));
}

/// `a:b`, both of which may be left out; an end beyond the extent is the extent.
window window_of(const results_request& request, const char* name, std::size_t extent) {
  window all{0, extent};
  auto text = request.find(name);
  if (!text || text->empty()) return all;
  auto colon = text->find(':');
  if (colon == text->npos)
    throw results_error(400, fmt::format("{}: '{}' is not of the form 16:48", name, *text));
  auto first = text->substr(0, colon), last = text->substr(colon + 1);
  if (!first.empty()) all.begin = whole_number(name, first);
  if (!last.empty()) all.end = std::min<std::size_t>(extent, whole_number(name, last));
  if (all.begin < all.end) return all;
  throw results_error(400, fmt::format("{}: nothing is in '{}', the extent is {}", name, *text, extent));
}

std::size_t pixels_of(const results_request& request, const char* name) {
  auto text = request.find(name);
  if (!text || text->empty()) return usual_pixels;
  auto pixels = whole_number(name, *text);
  if (pixels >= 1 && pixels <= most_pixels) return pixels;
  throw results_error(400, fmt::format("{}: '{}' is not from 1 to {}", name, *text, most_pixels));
}

reduction reduction_of(const results_request& request) {
  auto text = request.find("reduce");
  if (!text || text->empty() || *text == "mean") return reduction::mean;
  if (*text == "max") return reduction::max;
  if (*text == "nearest") return reduction::nearest;
  throw results_error(400, fmt::format("reduce: '{}' is none of mean, max, nearest", *text));
}

std::vector<std::size_t> index_of(const results_request& request, const std::vector<std::size_t>& shape) {
  auto leading = shape.size() - 2;
  auto text = request.find("index");
  if (!text || text->empty()) return std::vector<std::size_t>(leading);
  auto index = numbers_of("index", *text);
  if (index.size() != leading)
    throw results_error(400,
                        fmt::format("index: {} numbers for {} leading dimensions", index.size(), leading));
  check_places("index", index, shape);
  return index;
}

std::string bytes_of(const std::vector<float>& pixels) {
  return {reinterpret_cast<const char*>(pixels.data()), pixels.size() * sizeof(float)};
}

results_answer answer_view(const snapshot_store& store, const results_request& request) {
  auto [in, object] = find_object(store, request);
  auto elements = object.data.content.as_array();
  if (!elements || elements->shape().empty())
    throw results_error(400, fmt::format("path: {} is no array of numbers", object.path));
  auto& shape = elements->shape();
  if (elements->size() == 0) throw results_error(400, fmt::format("path: {} is empty", object.path));
  auto width = pixels_of(request, "width"), height = pixels_of(request, "height");
  auto how = reduction_of(request);
  bool flat = shape.size() == 1;
  auto rows = window_of(request, "rows", flat ? 1 : shape[shape.size() - 2]);
  auto columns = window_of(request, "columns", shape.back());
  auto seen = flat ? curve_of(*elements, columns, width)
                   : picture_of(*elements, index_of(request, shape), rows, columns, height, width, how);
  results_answer a{.type = std::string(binary_type), .body = bytes_of(seen.pixels), .may_be_packed = false};
  auto say = [&](const char* name, std::string text) { a.headers.emplace_back(name, std::move(text)); };
  say("X-Scan", in->scan);
  say("X-Snapshot", std::to_string(in->number));
  say("X-Shape", fmt::format("{},{}", seen.height, seen.width));
  say("X-Full-Shape", fmt::format("{}", fmt::join(shape, ",")));
  say("X-Rows", fmt::format("{}:{}", rows.begin, rows.end));
  say("X-Columns", fmt::format("{}:{}", columns.begin, columns.end));
  say("X-Range", seen.range ? fmt::format("{},{}", seen.range->first, seen.range->second) : "nan,nan");
  return a;
}

results_answer answer_value(const snapshot_store& store, const results_request& request) {
  auto [in, object] = find_object(store, request);
  auto& data = object.data;
  if (object.is_group()) throw results_error(400, fmt::format("path: {} is a group", object.path));
  auto shape = data.shape();
  auto text = request.find("at");
  auto at = numbers_of("at", text ? *text : std::string());
  if (at.size() != shape.size())
    throw results_error(400, fmt::format("at: {} numbers for {} dimensions", at.size(), shape.size()));
  check_places("at", at, shape);
  std::size_t place = 0;
  for (std::size_t i = 0; i < at.size(); ++i) place = place * shape[i] + at[i];
  auto content = data.content;
  if (auto elements = data.content.as_array()) content = element_at(*elements, place);
  if (auto list = data.content.as_list()) content = (*list)[place];
  return json_answer(value_map{{"value", std::move(content)}, {"snapshot", in->number}});
}

results_answer describe(const snapshot_store&, const results_request&) {
  return {.body = std::string(results_description())};
}

struct route {
  string_view name;
  results_answer (*answer)(const snapshot_store&, const results_request&);
};

constexpr route routes[] = {
    {"status", [](auto&, auto&) { return results_answer{.body = "true"}; }},
    {"snapshots", list_snapshots},
    {"tree", list_tree},
    {"view", answer_view},
    {"value", answer_value},
    {"openapi.json", describe},
};

const route* find_route(string_view name) {
  auto found = std::ranges::find(routes, name, &route::name);
  return found == std::end(routes) ? nullptr : found;
}

} // namespace

std::vector<route_name> results_routes() {
  auto all = hdf_routes();
  for (auto& route : routes) all.push_back({"GET", fmt::format("/api/v1/{}", route.name), "view"});
  for (auto path : {"/api/v1/events", "/openapi.json"}) all.push_back({"GET", path, "view"});
  return all;
}

string_view results_route_methods(string_view route) {
  return find_route(route) || route == "events" ? "GET" : "";
}

results_answer answer_route(const snapshot_store& store, string_view route, const results_request& request) {
  if (auto found = find_route(route)) return found->answer(store, request);
  throw results_error(404, "Not Found");
}

std::string event_text(const snapshot& s) {
  auto data = to_json(
      value_map{{"scan", s.scan}, {"snapshot", s.number}, {"results", s.results}, {"finished", s.finished}});
  return "event: snapshot\ndata: " + data + "\n\n";
}

double event_rate(const results_request& request) {
  auto text = request.find("rate");
  if (!text || text->empty()) return usual_rate;
  auto rate = static_cast<double>(whole_number("rate", *text));
  if (rate >= least_rate && rate <= most_rate) return rate;
  throw results_error(
      400, fmt::format("rate: '{}' is not from {} to {} per second", *text, least_rate, most_rate));
}

} // namespace dtranspose
