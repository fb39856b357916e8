/// One Python process with a class of the user's: requests and their answers, one after the other, each with
/// a limit of time.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"
#include "python/host_link.hpp"
#include "python/host_process.hpp"
#include "python/python_settings.hpp"
#include "python/shared_segments.hpp"

namespace dtranspose {

enum class python_role : std::uint8_t { worker, reducer };

/// The process is gone, or was ended as it took too long or too much memory. What it held is lost.
class host_lost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The code has raised an exception. The text is the traceback, or a line where there is none.
class host_failed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class python_host {
 public:
  /// Starts the process and waits until it speaks. Throws std::runtime_error that says what to change.
  python_host(const python_settings& settings, python_role role);

  /// Loads the class of its role; `others` are the parameters that the other part describes. What it says of
  /// the class. Throws std::runtime_error. Loaded once more, the class is read from its files anew; `reading`
  /// counts that.
  value load(const std::vector<parameter_description>& others, std::uint32_t reading = 0);
  value describe(const parameters& settings);
  /// What it says of the part that it made.
  value begin(const scan_facts& facts, const parameters& settings, std::uint32_t version);
  void set_parameters(const parameters& settings, std::uint32_t version);
  /// Asks and waits for `done`, or another answer. Throws host_lost, host_failed.
  host_message ask(host_message_type type, std::vector<std::byte> body, std::chrono::nanoseconds patience,
                   host_message_type answer = host_message_type::done);
  value ask(host_message_type type, const value& body, std::chrono::nanoseconds patience);

  /// Sends ahead; `answer_to` takes the answers in the order of the requests.
  std::uint32_t send(host_message_type type, std::vector<std::byte> body, file_descriptor fd = {});
  /// Throws host_failed where the answer is `failed`. With `batch` it may take longer than `patience` as long
  /// as the code goes on from one event to the next.
  host_message answer_to(std::uint32_t id, std::chrono::nanoseconds patience, bool batch = false);

  /// Where the process is in which batch; batch 0: in none.
  struct place {
    std::uint64_t batch = 0, event = 0;
  };
  place at() const;

  segment_store& segments() { return segments_; }
  void announce(std::vector<segment_store::announcement>& added, const std::vector<std::uint32_t>& dropped);
  std::uint16_t type_number(std::string_view type);
  std::uint64_t next_batch() { return ++batches_; }

  /// Is it there, with nothing under way?
  bool usable() const { return !lost_ && unanswered_ == 0; }
  bool lost() const { return lost_; }
  /// Is it there still? Takes what it has sent meanwhile.
  bool answers();
  python_role role() const { return role_; }
  /// Is the class one of ours, rather than a payload that was written for dranspose?
  bool is_of_dtranspose() const { return of_dtranspose_; }
  /// Of which reading of the files its class is; nothing where none could be loaded.
  std::optional<std::uint32_t> reading() const { return reading_; }
  pid_t pid() const { return process_.pid(); }
  /// Asks it to end; `close` waits for it, and ends it by force after a while.
  void begin_close();
  void close();
  /// Ends it by force. What is asked later throws host_lost with this cause.
  void give_up(const std::string& cause);

 private:
  void greet();
  host_message next(std::chrono::steady_clock::time_point until);
  void take_log(const value& record) const;
  void take_released(std::span<const std::byte> body);
  [[noreturn]] void fail(const std::string& why);
  [[noreturn]] void fail_gone();
  [[noreturn]] void fail_late(std::chrono::nanoseconds patience);
  std::string with_last_words(std::string cause) const;
  void look_at_memory();

  python_settings settings_;
  python_role role_;
  std::string label_;
  host_process process_;
  host_link link_;
  shared_segment progress_;
  segment_store segments_;
  std::map<std::string, std::uint16_t, std::less<>> types_;
  std::uint32_t last_id_ = 0;
  std::size_t unanswered_ = 0;
  std::uint64_t batches_ = 0;
  bool lost_ = false, closing_ = false, of_dtranspose_ = true;
  std::string lost_cause_;
  std::optional<std::uint32_t> reading_;
  std::chrono::steady_clock::time_point looked_at_memory_;
};

} // namespace dtranspose
