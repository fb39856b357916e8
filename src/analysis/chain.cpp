#include "analysis/chain.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "analysis/reducer_versions.hpp"

namespace dtranspose {

namespace {

/// What a flushed result, or one of `finish`, of a chain holds.
constexpr std::string_view rows_key = "rows"; ///< a list of events, and what not deferring steps gave to each
constexpr std::string_view steps_key = "steps"; ///< by step: its own content, and what it covers

/// The parameters of one step, under their own names.
parameters parameters_of(const parameters& all, const std::string& step) {
  parameters own;
  auto prefix = step + ".";
  for (auto i = all.all().lower_bound(prefix); i != all.all().end() && i->first.starts_with(prefix); ++i)
    own.set(i->first.substr(prefix.size()), i->second);
  return own;
}

/// Adds a step's result: its entries as `STEP.NAME`, or all of it as `STEP` where it is no map.
void add(value_map& to, const std::string& step, const value& content) {
  auto map = content.as_map();
  if (!map) return void(to.set(step, content));
  for (auto& [name, x] : *map) to.set(fmt::format("{}.{}", step, name), x);
}

/// The step's own result out of that of the chain; nothing where it gave none.
std::optional<value> content_of(const value_map& all, const std::string& step) {
  if (auto whole = all.find(step)) return *whole;
  auto prefix = step + ".";
  value_map own;
  for (auto& [name, x] : all)
    if (name.starts_with(prefix)) own.set(std::string_view(name).substr(prefix.size()), x);
  if (own.empty()) return std::nullopt;
  return own;
}

/// Texts of JSON: numbers of a result, `null` for what is none or infinite.
void write_number(std::string& json, std::string_view name, double number) {
  if (json.size() > 1) json += ',';
  json += '"';
  for (auto c : name) {
    if (c == '"' || c == '\\') json += '\\';
    json += c;
  }
  json += "\":";
  json += std::isfinite(number) ? fmt::format("{}", number) : "null";
}

/// A stream with the numbers of a step's result, for the steps behind it.
stream_data stream_of(const value& content) {
  std::string json = "{";
  if (auto number = content.as_number()) write_number(json, "value", *number);
  if (auto map = content.as_map())
    for (auto& [name, x] : *map)
      if (auto number = x.as_number()) write_number(json, name, *number);
  json += '}';
  return memory_frames::of(step_result_type_tag, {json});
}

/// An event as the steps see it, with what steps have added.
class changing_event {
 public:
  /// `names`: of the streams of the scan and, behind them, of the steps.
  changing_event(const event& e, const stream_names& names) : seen_(e), original_(e), names_(names) {}
  changing_event(const changing_event&) = delete;
  changing_event& operator=(const changing_event&) = delete;

  const event& seen() const { return seen_; }

  void replace(std::vector<stream_entry> streams) {
    std::erase_if(streams, [this](auto& entry) { return entry.stream.value >= streams_of_scan(); });
    streams.insert(streams.end(), results_.begin(), results_.end());
    show(std::move(streams));
  }

  void add(std::size_t step, const value& result) {
    auto place = static_cast<std::uint16_t>(streams_of_scan() + step);
    results_.push_back({stream_index(place), stream_of(result)});
    std::vector<stream_entry> streams(seen_.streams().begin(), seen_.streams().end());
    streams.push_back(results_.back());
    show(std::move(streams));
  }

 private:
  std::size_t streams_of_scan() const { return original_.names().size(); }

  void show(std::vector<stream_entry> streams) {
    streams_ = std::move(streams);
    seen_ = event(original_.number(), streams_, names_, original_.missing_streams());
  }

  event seen_;
  const event& original_;
  const stream_names& names_;
  std::vector<stream_entry> streams_, results_;
};

class chain_worker final : public worker_part {
 public:
  chain_worker(const std::vector<chain_step>& steps, scan_facts facts, const parameters& settings) {
    // Behind the streams of the scan come those with results of steps.
    for (auto& step : steps) facts.streams.push_back(step.name);
    for (auto& step : steps) {
      auto own = parameters_of(settings, step.name);
      auto part = step.code->make_worker_for(facts, own);
      steps_.push_back({step.name, std::move(part), std::move(own)});
    }
  }

  answer process_event(const event& e, const parameters&, bool tick) override {
    changing_event changing(e, names_behind(e.names()));
    value_map results;
    std::vector<step*> deferring;
    for (std::size_t i = 0; i < steps_.size(); ++i) {
      auto answered = ask(steps_[i], changing.seen(), tick);
      if (answered.what() == answer::kind::failed)
        return answer::failed(fmt::format("{}: {}", steps_[i].name, *answered.content().as_text()));
      if (answered.what() == answer::kind::deferred) deferring.push_back(&steps_[i]);
      if (i + 1 < steps_.size())
        if (auto streams = steps_[i].part->passed_on(changing.seen(), answered))
          changing.replace(std::move(*streams));
      if (answered.what() != answer::kind::result) continue;
      add(results, steps_[i].name, answered.content());
      if (i + 1 < steps_.size()) changing.add(i, answered.content());
    }
    for (auto s : deferring) {
      if (s->deferred++ == 0) s->first = e.number();
    }
    if (!deferring.empty()) {
      if (!results.empty()) rows_.push_back(value_list{e.number().value, std::move(results)});
      return answer::deferred();
    }
    return results.empty() ? answer::nothing() : answer::result(std::move(results));
  }

  bool wants_flush() const override {
    return std::ranges::any_of(steps_, [](auto& s) { return s.part->wants_flush(); });
  }

  value flush() override {
    value_map contents;
    for (auto& s : steps_) {
      if (s.deferred == 0) continue;
      auto content = s.part->flush();
      auto events = std::exchange(s.deferred, 0);
      if (!content.is_null())
        contents.set(
            s.name, value_map{{"content", std::move(content)}, {"first", s.first.value}, {"events", events}});
    }
    if (contents.empty() && rows_.empty()) return {};
    return value_map{{std::string(rows_key), std::exchange(rows_, {})},
                     {std::string(steps_key), std::move(contents)}};
  }

  bool change_parameters(const parameters& settings) override {
    step* changed = nullptr;
    for (auto& s : steps_) {
      if (parameters_of(settings, s.name).all() == s.settings.all()) continue;
      // Where one of several cannot go on, the others would finish with what they are not to have yet.
      if (changed) return false;
      changed = &s;
    }
    if (!changed) return true;
    auto own = parameters_of(settings, changed->name);
    if (!changed->part->change_parameters(own)) return false;
    changed->settings = std::move(own);
    return true;
  }

  value finish(const parameters&) override {
    value_map contents;
    for (auto& s : steps_) {
      auto content = s.part->finish(s.settings);
      if (!content.is_null()) contents.set(s.name, value_map{{"content", std::move(content)}});
    }
    if (contents.empty()) return {};
    return value_map{{std::string(steps_key), std::move(contents)}};
  }

 private:
  struct step {
    std::string name;
    std::unique_ptr<worker_part> part;
    parameters settings;
    event_number first = {};    ///< that it has deferred
    std::uint64_t deferred = 0; ///< events, since it was flushed
  };

  answer ask(step& s, const event& e, bool tick) {
    answers_.clear();
    try {
      s.part->process_batch(std::span(&e, 1), s.settings, tick, answers_);
    } catch (const std::exception& error) {
      return answer::failed(error.what());
    } catch (...) {
      return answer::failed("unknown exception");
    }
    return answers_.empty() ? answer::failed("the analysis gave no answer") : std::move(answers_.front());
  }

  const stream_names& names_behind(const stream_names& streams) {
    auto known = names_.size() == streams.size() + steps_.size() &&
                 std::equal(streams.begin(), streams.end(), names_.begin());
    if (known) return names_;
    names_ = streams;
    for (auto& s : steps_) names_.push_back(s.name);
    return names_;
  }

  std::vector<step> steps_;
  stream_names names_;
  value_list rows_; ///< what not deferring steps gave to events that another one has deferred
  std::vector<answer> answers_;
};

class chain_reducer final : public reducer_part {
 public:
  chain_reducer(const std::vector<chain_step>& steps, scan_facts facts, const parameters& settings)
      : facts_(std::move(facts)) {
    for (auto& step : steps) {
      auto own = parameters_of(settings, step.name);
      auto part = step.code->make_reducer_for(facts_, own);
      steps_.push_back({step, reducer_versions(std::move(part), std::move(own), parameters_version())});
    }
  }

  void process_result(const folded_result& result, const parameters&) override {
    for (auto& s : steps_)
      if (auto& with = s.parts.of(result.version); !with.trouble.empty())
        throw std::runtime_error(fmt::format("{}: {}", s.what.name, with.trouble));
    if (result.flushed || !result.event) return fold_several(result);
    auto map = result.content.as_map();
    if (!map) throw std::runtime_error("the result is none of a chain");
    fold_row(result, *map);
  }

  void rows_in(const folded_result& result, const row_taker& take) const override {
    for_each_row(result.content, take);
  }

  bool change_parameters(const parameters&) override { return true; }
  bool change_parameters(const parameters& settings, parameters_version version) override {
    facts_.version = version;
    for (auto& s : steps_) {
      auto own = parameters_of(settings, s.what.name);
      if (own.all() == s.parts.latest().settings.all()) continue;
      auto make = [&](const parameters& p) { return s.what.code->make_reducer_for(facts_, p); };
      s.parts.change_parameters(std::move(own), version, make);
    }
    return true;
  }

  /// Each step is called when it is due; at first all of them.
  std::optional<std::chrono::nanoseconds> timer(const parameters&) override {
    auto now = std::chrono::steady_clock::now();
    std::optional<std::chrono::nanoseconds> soonest;
    for (auto& s : steps_) {
      if (s.due && *s.due <= now) {
        auto next = s.parts.timer();
        s.due = next ? std::optional(now + *next) : std::nullopt;
      }
      if (s.due) soonest = std::min<std::chrono::nanoseconds>(soonest.value_or(*s.due - now), *s.due - now);
    }
    return soonest;
  }

  void finish(const parameters&) override {
    for (auto& s : steps_) s.parts.finish();
  }

  std::vector<decision> take_decisions() override {
    std::vector<decision> all;
    for (auto& s : steps_)
      for (auto& d : s.parts.take_decisions()) {
        d.name = fmt::format("{}.{}", s.what.name, d.name);
        all.push_back(std::move(d));
      }
    return all;
  }

  value published() const override {
    value_map tree;
    std::string shown;
    for (auto& s : steps_) {
      auto own = s.parts.published();
      if (own.is_null()) continue;
      if (own.as_map()) shown = s.what.name;
      tree.set(s.what.name, std::move(own));
    }
    if (tree.empty()) return {};
    if (!shown.empty()) tree.set("_attrs", value_map{{"default", shown}});
    return tree;
  }

 private:
  struct step {
    chain_step what;
    reducer_versions parts;
    /// When its timer is to be called; nothing: never.
    std::optional<std::chrono::steady_clock::time_point> due = std::chrono::steady_clock::time_point{};
  };

  static void for_each_row(const value& content, const row_taker& take) {
    auto found = content.find(rows_key);
    auto rows = found ? found->as_list() : nullptr;
    if (!rows) return;
    for (auto& row : *rows) {
      auto pair = row.as_list();
      auto number = pair && pair->size() == 2 ? std::get_if<std::uint64_t>(&(*pair)[0].content()) : nullptr;
      if (!number) throw std::runtime_error("the result is none of a chain");
      take(event_number(*number), (*pair)[1]);
    }
  }

  static void fold(step& s, const folded_result& result) {
    auto& with = s.parts.of(result.version);
    try {
      with.part->process_result(result, with.settings);
    } catch (const fold_lost&) {
      throw;
    } catch (const std::exception& e) {
      throw std::runtime_error(fmt::format("{}: {}", s.what.name, e.what()));
    }
  }

  void fold_row(const folded_result& result, const value_map& row) {
    for (auto& s : steps_)
      if (auto own = content_of(row, s.what.name))
        fold(s, {result.event, 1, result.worker, *own, result.version});
  }

  void fold_several(const folded_result& result) {
    for_each_row(result.content, [&](event_number number, const value& row) {
      if (auto map = row.as_map()) fold_row({number, 1, result.worker, row, result.version}, *map);
    });
    auto all = result.content.find(steps_key);
    if (!all || !all->as_map()) return;
    for (auto& s : steps_)
      if (auto own = all->find(s.what.name)) fold_whole(s, result, *own);
  }

  static void fold_whole(step& s, const folded_result& result, const value& own) {
    auto content = own.find("content");
    if (!content) throw std::runtime_error("the result is none of a chain");
    auto number = [&](std::string_view name) {
      auto found = own.find(name);
      return found ? std::get_if<std::uint64_t>(&found->content()) : nullptr;
    };
    folded_result whole{std::nullopt, 1, result.worker, *content, result.version, result.flushed};
    if (auto first = number("first")) whole.event = event_number(*first);
    if (auto events = number("events")) whole.events = *events;
    fold(s, whole);
  }

  scan_facts facts_;
  std::vector<step> steps_;
};

class chain_analysis final : public analysis {
 public:
  explicit chain_analysis(std::vector<chain_step> steps) : steps_(std::move(steps)) {
    for (auto& step : steps_) name_ += (name_.empty() ? "" : ",") + step.name;
  }

  std::string_view name() const override { return name_; }
  std::string_view description() const override { return "several analyses, one behind the other"; }

  std::vector<parameter_description> describe_parameters() const override {
    std::vector<parameter_description> all;
    for (auto& step : steps_)
      for (auto& p : step.code->describe_parameters()) {
        p.name = fmt::format("{}.{}", step.name, p.name);
        all.push_back(std::move(p));
      }
    return all;
  }

  /// Those of the whole scan lie in the groups of their steps.
  std::vector<result_description> describe_results(const parameters& settings) const override {
    std::vector<result_description> all;
    for (auto& step : steps_)
      for (auto& result : of_step(step, settings)) {
        if (result.extent != result_extent::per_event) continue;
        result.name = fmt::format("{}.{}", step.name, result.name);
        all.push_back(std::move(result));
      }
    return all;
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return make_worker_for({}, settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return make_reducer_for({}, settings);
  }
  std::unique_ptr<worker_part> make_worker_for(const scan_facts& facts,
                                               const parameters& settings) const override {
    return std::make_unique<chain_worker>(steps_, facts, settings);
  }
  std::unique_ptr<reducer_part> make_reducer_for(const scan_facts& facts,
                                                 const parameters& settings) const override {
    return std::make_unique<chain_reducer>(steps_, facts, settings);
  }

 private:
  static std::vector<result_description> of_step(const chain_step& step, const parameters& settings) {
    try {
      return step.code->describe_results(parameters_of(settings, step.name));
    } catch (const std::exception& e) {
      throw std::invalid_argument(fmt::format("{}: {}", step.name, e.what()));
    }
  }

  std::vector<chain_step> steps_;
  std::string name_;
};

} // namespace

std::shared_ptr<const analysis> make_chain(std::vector<chain_step> steps) {
  for (auto& step : steps) {
    if (step.name.find('.') != std::string::npos)
      throw std::invalid_argument(
          fmt::format("analysis '{}' has a dot in its name: it cannot be one of several", step.name));
    auto same = [&](auto& other) { return other.name == step.name; };
    if (std::count_if(steps.begin(), steps.end(), same) > 1)
      throw std::invalid_argument(fmt::format("analysis '{}' is there twice", step.name));
  }
  return std::make_shared<chain_analysis>(std::move(steps));
}

} // namespace dtranspose
