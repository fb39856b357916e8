/// An analysis as somebody outside of dtranspose would write it: nothing but the installed header.
/// Counts the bytes that every stream gave, per event and in all.
#include <dtranspose/analysis/plugin.hpp>

#include <map>
#include <stdexcept>

namespace {

using namespace dtranspose;

/// Bytes and events of each stream.
struct stream_count {
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;
};
using stream_counts = std::map<std::string, stream_count, std::less<>>;

value tree_of(const stream_counts& counts) {
  value_map tree;
  for (auto& [name, count] : counts)
    tree.set(name, value_map{{"events", count.events}, {"bytes", count.bytes}});
  return tree;
}

class counting_worker final : public worker_part {
 public:
  answer process_event(const event& e, const parameters& settings, bool) override {
    auto least = static_cast<std::uint64_t>(settings.integer("least"));
    std::uint64_t bytes = 0;
    for (auto& entry : e.streams()) bytes += entry.data.bytes();
    if (bytes < least) return answer::nothing();
    if (settings.boolean("refuse_empty") && bytes == 0) throw std::runtime_error("the event has no bytes");
    if (!settings.boolean("per_event")) {
      for (auto& entry : e.streams()) count(held_, e, entry);
      return answer::deferred();
    }
    stream_counts counts;
    for (auto& entry : e.streams()) count(counts, e, entry);
    return answer::result(value_map{{"bytes", bytes}, {"streams", tree_of(counts)}});
  }

  value flush() override {
    auto counts = std::exchange(held_, {});
    return value_map{{"streams", tree_of(counts)}};
  }

 private:
  static void count(stream_counts& counts, const event& e, const stream_entry& entry) {
    auto& c = counts[std::string(e.name_of(entry))];
    ++c.events;
    c.bytes += entry.data.bytes();
  }

  stream_counts held_; ///< of the deferred events
};

class counting_reducer final : public reducer_part {
 public:
  void process_result(const folded_result& result, const parameters&) override {
    auto streams = result.content.find("streams");
    if (!streams || !streams->as_map()) throw std::runtime_error("a result without streams");
    events_ += result.events;
    for (auto& [name, counted] : *streams->as_map()) {
      auto& total = totals_[name];
      total.events += number(counted, "events");
      total.bytes += number(counted, "bytes");
    }
  }

  value published() const override { return value_map{{"events", events_}, {"streams", tree_of(totals_)}}; }

 private:
  static std::uint64_t number(const value& counted, std::string_view name) {
    auto found = counted.find(name);
    auto n = found ? std::get_if<std::uint64_t>(&found->content()) : nullptr;
    if (!n) throw std::runtime_error("a count is missing");
    return *n;
  }

  std::uint64_t events_ = 0;
  stream_counts totals_;
};

class counting final : public analysis {
 public:
  std::string_view name() const override { return "counting"; }
  std::string_view description() const override { return "bytes of every stream"; }

  std::vector<parameter_description> describe_parameters() const override {
    return {
        {"least", parameter_type::integer, "0", "events of fewer bytes give nothing"},
        {"refuse_empty", parameter_type::boolean, "True", "an event without bytes fails"},
        {"per_event", parameter_type::boolean, "True", "a result for each event, not for many"},
    };
  }

  std::vector<result_description> describe_results(const parameters& settings) const override {
    if (settings.integer("least") < 0)
      throw std::invalid_argument("parameter 'least' counts bytes: it cannot be below 0");
    std::vector<result_description> results;
    results.push_back({"events", dtype::uint64, {}, result_extent::per_scan});
    if (settings.boolean("per_event"))
      results.push_back({"bytes", dtype::uint64, {}, result_extent::per_event, "B"});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters&) const override {
    return std::make_unique<counting_worker>();
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters&) const override {
    return std::make_unique<counting_reducer>();
  }
};

} // namespace

DTRANSPOSE_ANALYSIS(counting)
