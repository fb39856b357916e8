/// The worker part of an analysis in Python: events go to a process, which is replaced when it is lost. No
/// event is lost with it: what the process held is mapped again.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"
#include "python/event_sender.hpp"
#include "python/python_code.hpp"

namespace dtranspose {

class python_worker final : public worker_part {
 public:
  /// Throws std::runtime_error where the class cannot be made.
  python_worker(std::shared_ptr<python_code> code, std::uint32_t reading, scan_facts facts,
                parameters settings);
  ~python_worker() override;

  void process_batch(std::span<const event> events, const parameters& settings, bool tick,
                     std::vector<answer>& answers) override;
  answer process_event(const event& e, const parameters& settings, bool tick) override;
  bool watches_itself() const override { return true; }
  bool wants_flush() const override;
  value flush() override;
  bool change_parameters(const parameters& settings) override;
  value finish(const parameters& settings) override;

 private:
  /// An event that outlives the call that brought it.
  struct kept_event {
    event_number number;
    std::vector<stream_entry> entries;
    std::uint64_t missing = 0;
    std::size_t bytes = 0;
  };

  void begin();
  bool tick_is_due(bool granted);
  bool ensure_host();
  bool ensure_host_after_a_pause();
  bool rebuild();
  void feed_again();
  void feed(const std::vector<kept_event>& list, const event_sender::answer_sink& take);
  void note_loss_in_feeding(const std::string& cause);
  void run(std::span<const event> events, bool tick);
  void note_loss(std::span<const event> open, const std::string& cause);
  void charge(event_number event, bool alone, const std::string& cause);
  void take(const event& e, host_answer a);
  void keep_for_later(const event& e, bool deferred);
  kept_event kept(const event& e) const;
  std::string take_lost();
  void forget_deferred();
  value one_answer(host_message_type request, std::chrono::nanoseconds patience);
  std::uint32_t version() const { return version_; }

  std::shared_ptr<python_code> code_;
  std::uint32_t reading_;
  scan_facts facts_;
  parameters settings_;
  std::uint32_t version_ = 1;
  std::unique_ptr<python_host> host_; ///< null or lost: another one is made when there is something to do
  event_sender sender_;
  std::optional<double> tick_interval_; ///< s, as the class said when it was made; nothing: it wants none
  /// Answers that have not been asked for yet, with their events.
  std::deque<std::pair<event_number, host_answer>> ready_;

  /// The first event of each stream: what a new process has to have seen.
  std::vector<kept_event> starts_;
  std::uint64_t started_streams_ = 0;
  /// Those that the process holds in its state.
  std::vector<kept_event> deferred_;
  std::size_t deferred_bytes_ = 0;
  std::string lost_; ///< why what is deferred cannot be had any more; empty: it can

  std::map<event_number, std::uint32_t> deaths_;
  std::map<event_number, std::string> doomed_; ///< events that ended too many processes, with the cause
  std::uint32_t unexplained_ = 0;              ///< losses in a row that no event explains
  std::string start_trouble_;                  ///< why there is no process
  std::chrono::steady_clock::time_point tried_to_start_;
};

} // namespace dtranspose
