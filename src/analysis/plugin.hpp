/// The contract between dtranspose and analysis code: the one header that a plug-in includes
/// (`#include <dtranspose/analysis/plugin.hpp>`). It needs neither CAF nor ZeroMQ to compile.
///
/// An analysis has a worker part, of which every worker has one of its own, and a reducer part, of
/// which a scan has one. Both are made anew for each scan. `docs/analysis.md` has a complete example.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../model/event.hpp"
#include "../model/parameters.hpp"
#include "../model/value.hpp"

namespace dtranspose {

/// What a worker says of one event.
class answer {
 public:
  enum class kind : std::uint8_t {
    nothing,  ///< nothing to fold; the event ends *empty*
    result,   ///< a value to fold
    deferred, ///< held back in the worker's own state until a later result covers it
    failed,   ///< the event ends *failed*; an exception says the same
  };

  static answer nothing() { return answer(kind::nothing); }
  static answer result(value content) { return answer(kind::result, std::move(content)); }
  static answer deferred() { return answer(kind::deferred); }
  /// `cause`: one line for people.
  static answer failed(std::string cause) { return answer(kind::failed, std::move(cause)); }

  kind what() const { return what_; }
  /// The result, or the cause of a failure; null otherwise.
  const value& content() const { return content_; }
  value& content() { return content_; }

 private:
  explicit answer(kind what) : what_(what) {}
  answer(kind what, value content) : what_(what), content_(std::move(content)) {}

  kind what_;
  value content_;
};

/// Does a result have a value for each event, or one for the whole scan?
enum class result_extent : std::uint8_t { per_event, per_scan };

/// What output files declare before the first event. A per-event result is the entry `name` of the map
/// that a worker returned; a per-scan result the entry `name` of the tree that the reducer publishes.
struct result_description {
  std::string name;
  dtype type = dtype::float64;
  std::vector<std::size_t> shape = {}; ///< of one event or of the scan; empty: a scalar
  result_extent extent = result_extent::per_event;
  std::string unit = {};              ///< e.g. `counts`; empty: none
  std::vector<std::string> axes = {}; ///< names, one per dimension of `shape`; empty: none
};

/// What is known of a scan when the parts of an analysis are made for it.
struct scan_facts {
  std::string id;                   ///< of the scan; empty where a part is made for no scan, to try it
  stream_names streams;             ///< by `stream_index`
  std::uint64_t events = 0;         ///< of the whole scan
  std::string worker;               ///< name of the worker; empty for a reducer
  std::vector<std::string> tags;    ///< of the worker
  std::vector<std::string> workers; ///< for a reducer: their names by `worker_index`, as far as known
  parameters_version version = {};  ///< of the parameters that the part is made with
  std::uint32_t generation = 1;     ///< counts how often the analysis of the scan was replaced
};

/// The part of an analysis that maps events. Each worker has its own and calls it from one thread.
class worker_part {
 public:
  virtual ~worker_part() = default;

  /// Maps a batch of events, in rising order, and appends one answer for each to `answers`. The default
  /// calls `process_event` for each; an exception from there ends that event alone as *failed*.
  /// An implementation of its own may stop early by an exception: the event that has no answer yet
  /// fails, and it is called again for the rest.
  /// `tick` is true for one event about once a second, over all workers of a scan.
  virtual void process_batch(std::span<const event> events, const parameters& settings, bool tick,
                             std::vector<answer>& answers) {
    for (auto& e : events) {
      answers.push_back(process_event(e, settings, tick));
      tick = false;
    }
  }

  virtual answer process_event(const event& e, const parameters& settings, bool tick) = 0;

  /// Does it see to it by itself that no event takes longer than it may? Nobody else watches it then.
  virtual bool watches_itself() const { return false; }

  /// Is it time to ask for the result that covers what is deferred? Asked after each call; for parts that
  /// hold something scarce until then.
  virtual bool wants_flush() const { return false; }

  /// A result that covers every event deferred so far: called from time to time, before a parameter
  /// changes and at the end. Null covers them too, as *empty*.
  virtual value flush() { return {}; }

  /// Parameters are these from the next event on; what was deferred has been flushed with those of before.
  /// False, the default: it cannot go on with them, and a new worker part, made with them, takes its place;
  /// what this one gives to `finish`, which is called with the parameters of before, is folded.
  virtual bool change_parameters(const parameters&) { return false; }

  /// Called once when all events of the scan are done. A value other than null is folded; it covers no
  /// event.
  virtual value finish(const parameters&) { return {}; }

  /// In a chain: the streams that the analyses behind this one see of an event, which it has just answered
  /// like this, in place of its own; nothing: the same.
  virtual std::optional<std::vector<stream_entry>> passed_on(const event&, const answer&) {
    return std::nullopt;
  }
};

/// A result on its way into the fold.
struct folded_result {
  /// The first event that it covers; nothing for the value of `worker_part::finish`.
  std::optional<event_number> event;
  /// How many events it covers: 1 except for flushed results.
  std::size_t events = 1;
  worker_index worker;
  const value& content;
  /// Of the parameters with which it was made: those that come with it.
  parameters_version version = {};
  /// Came of `worker_part::flush`.
  bool flushed = false;
};

/// What an analysis has found out that somebody may want to act on while the scan runs.
struct decision {
  std::string name;   ///< what it is about, the same each time: `beam_position`
  value content = {}; ///< whatever it says
  /// The last event that it is based on.
  std::optional<event_number> event = {};
  /// For so long it is of use; 0: until the next one of its name.
  std::chrono::nanoseconds lasts{0};
  /// The scan need not go on: it is stopped, where the configuration allows it.
  bool stop = false;
};

/// The part of an analysis that folds results, each exactly once and in any order. One per scan, called
/// from one thread. The default folds nothing: per-event results go to the output file by themselves.
class reducer_part {
 public:
  virtual ~reducer_part() = default;

  /// The parameters are those that the result was made with. After a change, results of before may still
  /// come; those of one worker come in their order.
  virtual void process_result(const folded_result&, const parameters&) {}

  /// Is `process_results` called, rather than `process_result` for each?
  virtual bool takes_many() const { return false; }
  /// The same for results that one worker made with the same parameters. `troubles` has an empty text for
  /// each: why one was not folded goes there.
  virtual void process_results(std::span<const folded_result>, const parameters&,
                               std::span<std::string> troubles) {
    for (auto& t : troubles) t = "the analysis does not take many results at once";
  }

  /// Parameters have been changed; results made with those of before may still come. False, the default: it
  /// cannot take what is made with them, and a new reducer part, made with them, takes its place. This one
  /// still gets what was made with those of before, and what it publishes is kept as `earlier`. Throws
  /// std::exception where nothing can be made of them: results made with them fail then.
  virtual bool change_parameters(const parameters&) { return false; }
  /// The same, for who must know which version that is: this one is called.
  virtual bool change_parameters(const parameters& settings, parameters_version) {
    return change_parameters(settings);
  }

  using row_taker = std::function<void(event_number, const value&)>;
  /// Rows of the output file that a flushed result holds, as if each had been the result of that event.
  virtual void rows_in(const folded_result&, const row_taker&) const {}

  /// What it has decided since the last call. Called after each message of results, each timer and `finish`.
  virtual std::vector<decision> take_decisions() { return {}; }

  /// Called every so often while a scan runs; returns the time until the next call, nothing to be left
  /// alone from now on.
  virtual std::optional<std::chrono::nanoseconds> timer(const parameters&) { return std::nullopt; }

  virtual void finish(const parameters&) {}

  /// The tree that viewers read and the output file holds: a map, or null.
  virtual value published() const { return {}; }
};

/// Thrown by a reducer part that has lost what it folded, as when that was in a process which is gone: the
/// fold begins anew where results were kept for that, else the scan fails.
class fold_lost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// An analysis: what it is called, what it takes and gives, and its two parts.
class analysis {
 public:
  virtual ~analysis() = default;

  virtual std::string_view name() const = 0;
  /// One line for people.
  virtual std::string_view description() const { return {}; }
  virtual std::vector<parameter_description> describe_parameters() const { return {}; }
  /// What it gives under these parameters. Throws std::invalid_argument, naming the parameter, when one
  /// of them cannot be used: the scan is then refused.
  virtual std::vector<result_description> describe_results(const parameters&) const { return {}; }
  virtual std::unique_ptr<worker_part> make_worker(const parameters&) const = 0;
  virtual std::unique_ptr<reducer_part> make_reducer(const parameters&) const {
    return std::make_unique<reducer_part>();
  }

  /// The same for analyses that want to know more of the scan: these are called for one.
  virtual std::unique_ptr<worker_part> make_worker_for(const scan_facts&, const parameters& settings) const {
    return make_worker(settings);
  }
  virtual std::unique_ptr<reducer_part> make_reducer_for(const scan_facts&,
                                                         const parameters& settings) const {
    return make_reducer(settings);
  }
};

/// Changes with every change of this header that old plug-ins cannot live with.
inline constexpr std::uint32_t plugin_contract_version = 3;

/// What a shared object exports.
struct plugin_entry {
  std::uint32_t contract_version;
  analysis* (*make)();
};

} // namespace dtranspose

/// Makes `analysis_class` the analysis of a shared object.
#define DTRANSPOSE_ANALYSIS(analysis_class)                                                                  \
  extern "C" __attribute__((visibility("default"))) dtranspose::plugin_entry dtranspose_plugin();            \
  extern "C" dtranspose::plugin_entry dtranspose_plugin() {                                                  \
    return {dtranspose::plugin_contract_version,                                                             \
            []() -> dtranspose::analysis* { return new analysis_class(); }};                                 \
  }
