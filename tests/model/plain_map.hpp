/// Trigger maps as plain lists, and random ones: what tests hold the compact ones against.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "model/trigger_map.hpp"

namespace dtranspose::plain {

struct worker {
  tag_set tags{"generic"};
  std::optional<std::int64_t> constraint;
};

/// Nothing: null.
using slot = std::optional<std::vector<worker>>;

struct row {
  std::string stream;
  std::vector<slot> slots;
};

struct part {
  std::string name;
  std::vector<row> rows;
  std::size_t length() const { return rows.empty() ? 0 : rows.front().slots.size(); }
};

struct map {
  std::vector<part> parts;
  std::vector<std::string> sequence;
};

/// One event of the scan: its slots that are not null, in the order of the rows.
struct event {
  std::size_t instance = 0; ///< place of its part in the sequence
  std::vector<std::pair<std::string, std::vector<worker>>> slots;
};

inline nlohmann::ordered_json to_json(const slot& s) {
  if (!s) return nullptr;
  auto list = nlohmann::ordered_json::array();
  for (auto& w : *s) {
    nlohmann::ordered_json item{{"tags", w.tags}, {"constraint", nullptr}};
    if (w.constraint) item["constraint"] = *w.constraint;
    list.push_back(item);
  }
  return list;
}

inline nlohmann::ordered_json to_json(const part& p) {
  auto rows = nlohmann::ordered_json::object();
  for (auto& r : p.rows) {
    auto& slots = rows[r.stream] = nlohmann::ordered_json::array();
    for (auto& s : r.slots) slots.push_back(to_json(s));
  }
  return rows;
}

/// As the body of a request.
inline std::string request(const map& m) {
  auto parts = nlohmann::ordered_json::object();
  for (auto& p : m.parts) parts[p.name] = to_json(p);
  return nlohmann::ordered_json{{"parts", parts}, {"sequence", m.sequence}}.dump();
}

inline std::vector<std::string> streams(const map& m) {
  std::vector<std::string> names;
  for (auto& p : m.parts)
    for (auto& r : p.rows)
      if (std::find(names.begin(), names.end(), r.stream) == names.end()) names.push_back(r.stream);
  return names;
}

/// The start and end messages of a wrapped map.
inline event wrap_event(const map& m, std::size_t instance) {
  std::set<std::string> tags;
  for (auto& p : m.parts)
    for (auto& r : p.rows)
      for (auto& s : r.slots)
        for (auto& w : s.value_or(std::vector<worker>{})) tags.insert(w.tags.begin(), w.tags.end());
  std::vector<worker> everyone;
  for (auto& tag : tags) everyone.push_back({{tag}, {}});
  event e{instance, {}};
  for (auto& name : streams(m)) e.slots.emplace_back(name, everyone);
  return e;
}

/// Every event of the scan, one by one.
inline std::vector<event> expand(const map& m, bool wrap) {
  std::vector<event> events;
  std::size_t instance = 0;
  if (wrap) events.push_back(wrap_event(m, instance++));
  for (auto& name : m.sequence) {
    auto p = std::find_if(m.parts.begin(), m.parts.end(), [&](auto& x) { return x.name == name; });
    for (std::size_t e = 0; e < p->length(); ++e) {
      event next{instance, {}};
      for (auto& r : p->rows)
        if (r.slots[e]) next.slots.emplace_back(r.stream, *r.slots[e]);
      events.push_back(next);
    }
    ++instance;
  }
  if (wrap) events.push_back(wrap_event(m, instance));
  return events;
}

/// A number below `n`.
inline std::size_t below(std::mt19937_64& random, std::size_t n) { return random() % n; }

inline tag_set random_tags(std::mt19937_64& random) {
  constexpr std::size_t kinds = 5;
  static const tag_set sets[kinds] = {{"generic"}, {"generic"}, {"gpu"}, {"generic", "gpu"}, {}};
  return sets[below(random, kinds)];
}

inline slot random_slot(std::mt19937_64& random, std::int64_t constraints) {
  if (below(random, 4) == 0) return std::nullopt;
  slot s(std::in_place);
  for (auto n = below(random, 4); n > 0; --n) {
    worker w{random_tags(random), {}};
    if (below(random, 3) > 0)
      w.constraint = static_cast<std::int64_t>(below(random, static_cast<std::size_t>(constraints))) - 1;
    s->push_back(w);
  }
  return s;
}

/// Some parts of a few events and streams, used several times or not at all.
inline map random_map(std::mt19937_64& random) {
  map m;
  for (auto p = 1 + below(random, 3); p > 0; --p) {
    part next{"part" + std::to_string(p), {}};
    auto length = below(random, 7);
    auto constraints = static_cast<std::int64_t>(1 + below(random, 4));
    for (auto s = 1 + below(random, 3); s > 0; --s) {
      row r{"stream" + std::to_string(s), {}};
      for (std::size_t e = 0; e < length; ++e) r.slots.push_back(random_slot(random, constraints));
      next.rows.push_back(r);
    }
    m.parts.push_back(next);
  }
  for (auto n = below(random, 5); n > 0; --n)
    m.sequence.push_back(m.parts[below(random, m.parts.size())].name);
  return m;
}

} // namespace dtranspose::plain
