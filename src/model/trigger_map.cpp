#include "trigger_map.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <unordered_map>
#include <utility>

#include "error.hpp"

namespace dtranspose {

namespace ondemand = simdjson::ondemand;

bool fits(const tag_set& wanted, const tag_set& worker) {
  return std::includes(worker.begin(), worker.end(), wanted.begin(), wanted.end());
}

/// Builds a map from JSON. Throws `fault` inside; `trigger_map::parse` turns it into an error.
class trigger_map_reader {
 public:
  struct fault {
    std::string text;
  };

  std::shared_ptr<const trigger_map> read(std::string_view json, bool wrap) {
    simdjson::padded_string padded(json);
    ondemand::parser parser;
    try {
      ondemand::document document = parser.iterate(padded);
      read_body(document.get_object());
    } catch (const simdjson::simdjson_error& e) {
      throw fault{fmt::format("{}: {}", place(), describe(e.error()))};
    }
    // On-demand reading looks at what it is asked for only; what is behind or between went unseen.
    if (!nlohmann::json::accept(json)) throw fault{"body: this is not valid JSON"};
    if (wrap && !map_.streams_.empty()) add_wrap();
    count();
    return std::make_shared<const trigger_map>(std::move(map_));
  }

 private:
  /// Where in the request the reader is, for messages.
  std::string place() const {
    if (part_name_.empty()) return "body";
    if (stream_name_.empty()) return fmt::format("part '{}'", part_name_);
    return fmt::format("part '{}', stream '{}', event {}", part_name_, stream_name_, event_);
  }

  static std::string describe(simdjson::error_code code) {
    switch (code) {
    case simdjson::INCORRECT_TYPE:
      return "the value is of the wrong type";
    case simdjson::NO_SUCH_FIELD:
      return "a required key is missing";
    default:
      return simdjson::error_message(code);
    }
  }

  void read_body(ondemand::object body) {
    bool has_parts = false, has_sequence = false;
    std::vector<std::string> names;
    for (auto field : body) {
      std::string_view key = field.unescaped_key();
      auto seen = key == "parts" ? &has_parts : key == "sequence" ? &has_sequence : nullptr;
      if (!seen) continue;
      if (std::exchange(*seen, true)) throw fault{fmt::format("body: '{}' is given twice", key)};
      if (seen == &has_parts)
        read_parts(field.value());
      else
        names = read_names(field.value());
    }
    if (!has_parts) throw fault{"body: 'parts', an object of parts, is missing"};
    if (!has_sequence) throw fault{"body: 'sequence', a list of names of parts, is missing"};
    take_sequence(names);
  }

  void read_parts(ondemand::value content) {
    ondemand::object parts;
    if (content.get_object().get(parts)) throw fault{"body: 'parts' must be an object of parts"};
    for (auto field : parts) {
      part_name_ = std::string(std::string_view(field.unescaped_key()));
      if (part_name_ == trigger_map::wrap_part)
        throw fault{fmt::format("part '{}': this name is reserved for start and end", part_name_)};
      if (part_index_.contains(part_name_)) throw fault{place() + ": given twice"};
      part_index_.emplace(part_name_, static_cast<std::uint32_t>(map_.parts_.size()));
      read_part(field.value().get_object());
      part_name_.clear();
    }
  }

  void read_part(ondemand::object rows) {
    map_part part;
    part.name = part_name_;
    numbers_.clear();
    for (auto field : rows) {
      stream_name_ = std::string(std::string_view(field.unescaped_key()));
      event_ = 0;
      map_part::row row{stream_of(stream_name_), {}};
      for (auto& other : part.rows)
        if (other.stream == row.stream)
          throw fault{fmt::format("part '{}', stream '{}': given twice", part.name, stream_name_)};
      for (auto slot : field.value().get_array()) {
        row.slots.push_back(read_slot(part, slot.value()));
        ++event_;
      }
      part.rows.push_back(std::move(row));
    }
    check_lengths(part);
    stream_name_.clear();
    note_first_uses_and_min_workers(part);
    map_.parts_.push_back(std::move(part));
  }

  void check_lengths(map_part& part) {
    if (part.rows.empty()) return;
    part.length = part.rows.front().slots.size();
    for (auto& row : part.rows)
      if (row.slots.size() != part.length)
        throw fault{fmt::format("part '{}': streams have unequal lengths: '{}' has {} events, '{}' has {}",
                                part.name, map_.streams_[part.rows.front().stream.value], part.length,
                                map_.streams_[row.stream.value], row.slots.size())};
  }

  map_slot read_slot(map_part& part, ondemand::value content) {
    if (content.is_null()) return {trigger_map::no_frame, 0};
    shape_.clear();
    slot_constraints_.clear();
    for (auto item : content.get_array()) read_virtual_worker(part, item.get_object());
    if (shape_.empty()) return {trigger_map::discard, 0};
    return {shape_index(), place_constraints(part)};
  }

  void read_virtual_worker(map_part& part, ondemand::object fields) {
    std::optional<std::int64_t> constraint;
    std::uint32_t tags = generic_tags();
    for (auto field : fields) {
      std::string_view key = field.unescaped_key();
      if (key == "constraint") {
        ondemand::value number = field.value();
        constraint.reset();
        if (!number.is_null()) constraint = number.get_int64();
      } else if (key == "tags") {
        tags = read_tags(field.value().get_array());
      } else {
        throw fault{fmt::format("{}: unknown key '{}' in a virtual worker (allowed: tags, constraint)",
                                place(), key)};
      }
    }
    shape_.push_back({tags, !constraint});
    if (constraint) slot_constraints_.push_back(number_of(part, *constraint));
  }

  std::uint32_t read_tags(ondemand::array items) {
    scratch_tags_.clear();
    for (auto item : items) scratch_tags_.emplace_back(std::string_view(item.get_string()));
    std::sort(scratch_tags_.begin(), scratch_tags_.end());
    scratch_tags_.erase(std::unique(scratch_tags_.begin(), scratch_tags_.end()), scratch_tags_.end());
    return tags_index(scratch_tags_);
  }

  std::uint32_t generic_tags() {
    if (!generic_) generic_ = tags_index({"generic"});
    return *generic_;
  }

  std::uint32_t tags_index(const tag_set& tags) {
    auto& all = map_.tag_sets_;
    auto i = std::find(all.begin(), all.end(), tags);
    if (i == all.end()) i = all.insert(all.end(), tags);
    return static_cast<std::uint32_t>(i - all.begin());
  }

  std::uint32_t shape_index() {
    auto& all = map_.shapes_;
    auto i = std::find(all.begin() + 2, all.end(), shape_);
    if (i == all.end()) i = all.insert(all.end(), shape_);
    return static_cast<std::uint32_t>(i - all.begin());
  }

  std::uint32_t number_of(map_part& part, std::int64_t constraint) {
    auto [i, is_new] = numbers_.try_emplace(constraint, static_cast<std::uint32_t>(part.constraints.size()));
    if (is_new) part.constraints.push_back(constraint);
    return i->second;
  }

  std::uint32_t place_constraints(map_part& part) {
    if (slot_constraints_.empty()) return 0;
    if (slot_constraints_.size() == 1) return slot_constraints_.front();
    auto place = static_cast<std::uint32_t>(part.more.size());
    part.more.insert(part.more.end(), slot_constraints_.begin(), slot_constraints_.end());
    return place;
  }

  stream_index stream_of(const std::string& name) {
    auto& all = map_.streams_;
    auto i = std::find(all.begin(), all.end(), name);
    if (i == all.end()) {
      if (all.size() == max_streams)
        throw fault{fmt::format("the map names more than {} streams", max_streams)};
      i = all.insert(all.end(), name);
    }
    return stream_index(static_cast<std::uint16_t>(i - all.begin()));
  }

  /// Goes over the events as binding will: event by event, streams and virtual workers in order.
  void note_first_uses_and_min_workers(map_part& part) {
    std::vector<std::uint64_t> last_event(part.constraints.size(), ~std::uint64_t{0});
    part.first_uses.resize(map_.tag_sets_.size());
    for (std::uint64_t e = 0; e < part.length; ++e) {
      std::uint32_t different = 0;
      for (auto& row : part.rows) {
        auto slot = row.slots[e];
        auto& shape = map_.shapes_[slot.shape];
        auto several = std::count_if(shape.begin(), shape.end(), [](auto& v) { return !v.everyone; }) > 1;
        std::uint32_t k = 0;
        for (auto& worker : shape) {
          if (worker.everyone) continue;
          auto number = several ? part.more[slot.constraints + k++] : slot.constraints;
          if (last_event[number] == ~std::uint64_t{0}) ++part.first_uses[worker.tags];
          if (last_event[number] != e) ++different;
          last_event[number] = e;
        }
      }
      part.min_workers = std::max(part.min_workers, different);
    }
  }

  static std::vector<std::string> read_names(ondemand::value content) {
    ondemand::array items;
    if (content.get_array().get(items)) throw fault{"body: 'sequence' must be a list of names of parts"};
    std::vector<std::string> names;
    for (auto item : items) names.emplace_back(std::string_view(item.get_string()));
    return names;
  }

  void take_sequence(const std::vector<std::string>& names) {
    for (auto& name : names) {
      auto i = part_index_.find(name);
      if (i == part_index_.end()) throw fault{fmt::format("sequence: there is no part '{}'", name)};
      map_.sequence_.push_back(i->second);
    }
  }

  void add_wrap() {
    std::vector<virtual_worker> shape;
    for (auto& tag : used_tags()) shape.push_back({tags_index({tag}), true});
    shape_ = shape;
    map_slot slot{shape.empty() ? trigger_map::discard : shape_index(), 0};
    map_part part;
    part.name = trigger_map::wrap_part;
    part.length = 1;
    for (std::size_t s = 0; s < map_.streams_.size(); ++s)
      part.rows.push_back({stream_index(static_cast<std::uint16_t>(s)), {slot}});
    auto index = static_cast<std::uint32_t>(map_.parts_.size());
    map_.parts_.push_back(std::move(part));
    map_.sequence_.insert(map_.sequence_.begin(), index);
    map_.sequence_.push_back(index);
  }

  std::vector<std::string> used_tags() const {
    std::vector<std::string> tags;
    for (auto& shape : map_.shapes_)
      for (auto& worker : shape)
        for (auto& tag : map_.tag_sets_[worker.tags]) tags.push_back(tag);
    std::sort(tags.begin(), tags.end());
    tags.erase(std::unique(tags.begin(), tags.end()), tags.end());
    return tags;
  }

  void count() {
    std::vector<std::uint64_t> uses(map_.parts_.size());
    for (auto part : map_.sequence_) ++uses[part];
    map_.entries_.assign(map_.streams_.size(), 0);
    for (std::size_t p = 0; p < map_.parts_.size(); ++p) {
      map_.events_ += uses[p] * map_.parts_[p].length;
      for (auto& row : map_.parts_[p].rows) {
        auto frames = std::count_if(row.slots.begin(), row.slots.end(),
                                    [](auto& slot) { return slot.shape != trigger_map::no_frame; });
        map_.entries_[row.stream.value] += uses[p] * static_cast<std::uint64_t>(frames);
      }
    }
  }

  trigger_map map_;
  std::map<std::string, std::uint32_t, std::less<>> part_index_;
  std::unordered_map<std::int64_t, std::uint32_t> numbers_; // of the part being read
  std::optional<std::uint32_t> generic_;
  std::vector<virtual_worker> shape_;
  std::vector<std::uint32_t> slot_constraints_;
  tag_set scratch_tags_;
  std::string part_name_, stream_name_;
  std::uint64_t event_ = 0;
};

caf::expected<std::shared_ptr<const trigger_map>> trigger_map::parse(std::string_view json, bool wrap) {
  try {
    return trigger_map_reader().read(json, wrap);
  } catch (const trigger_map_reader::fault& f) {
    return make_error(ec::malformed, f.text);
  }
}

std::uint32_t trigger_map::min_workers() const {
  std::uint32_t most = 0;
  for (auto part : sequence_) most = std::max(most, parts_[part].min_workers);
  return most;
}

/// Calls `f` with every event from `first` to `end` in which the stream has an entry.
template <class F>
void trigger_map::for_each_entry(stream_index stream, std::uint64_t first, std::uint64_t end, F&& f) const {
  std::uint64_t begin = 0;
  for (auto index : sequence_) {
    auto& part = parts_[index];
    if (begin >= end) return;
    if (begin + part.length > first)
      for (auto& row : part.rows) {
        if (row.stream != stream) continue;
        for (auto e = std::max(first, begin); e < std::min(end, begin + part.length); ++e)
          if (row.slots[e - begin].shape != no_frame) f(e);
      }
    begin += part.length;
  }
}

std::uint64_t trigger_map::entries_before(stream_index stream, event_number event) const {
  std::uint64_t sum = 0;
  for_each_entry(stream, 0, event.value, [&](auto) { ++sum; });
  return sum;
}

std::vector<event_run> trigger_map::events_of(stream_index stream, event_number first,
                                              event_number end) const {
  std::vector<event_run> runs;
  for_each_entry(stream, first.value, end.value, [&](auto e) {
    if (runs.empty() || !runs.back().extend(event_number(e))) runs.push_back({event_number(e), 1, 1});
  });
  return runs;
}

std::size_t trigger_map::memory() const {
  auto bytes = sequence_.capacity() * sizeof(std::uint32_t);
  for (auto& part : parts_) {
    bytes +=
        part.constraints.capacity() * sizeof(std::int64_t) + part.more.capacity() * sizeof(std::uint32_t);
    for (auto& row : part.rows) bytes += row.slots.capacity() * sizeof(map_slot);
  }
  return bytes;
}

namespace {

nlohmann::ordered_json slot_json(const trigger_map& map, const map_part& part, const map_slot& slot) {
  if (slot.shape == trigger_map::no_frame) return nullptr;
  auto list = nlohmann::ordered_json::array();
  auto& shape = map.shapes()[slot.shape];
  auto bound = std::count_if(shape.begin(), shape.end(), [](auto& v) { return !v.everyone; });
  std::uint32_t k = 0;
  for (auto& worker : shape) {
    nlohmann::ordered_json item{{"tags", map.tag_sets()[worker.tags]}, {"constraint", nullptr}};
    if (!worker.everyone)
      item["constraint"] = part.constraints[bound > 1 ? part.more[slot.constraints + k++] : slot.constraints];
    list.push_back(std::move(item));
  }
  return list;
}

} // namespace

std::string trigger_map::to_json() const {
  auto parts = nlohmann::ordered_json::object();
  for (auto& part : parts_) {
    auto mapping = nlohmann::ordered_json::object();
    for (auto& row : part.rows) {
      auto slots = nlohmann::ordered_json::array();
      for (auto& slot : row.slots) slots.push_back(slot_json(*this, part, slot));
      mapping[streams_[row.stream.value]] = std::move(slots);
    }
    parts[part.name] = {{"mapping", std::move(mapping)}};
  }
  auto names = nlohmann::ordered_json::array();
  for (auto part : sequence_) names.push_back(parts_[part].name);
  return nlohmann::ordered_json{{"parts", std::move(parts)}, {"sequence", std::move(names)}}.dump();
}

} // namespace dtranspose
