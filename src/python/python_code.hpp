/// Processes with the classes of one configuration, kept over scans.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "python/python_host.hpp"

namespace dtranspose {

class python_code {
 public:
  explicit python_code(python_settings settings) : settings_(std::move(settings)) {}
  python_code(const python_code&) = delete;
  python_code& operator=(const python_code&) = delete;
  ~python_code();

  const python_settings& settings() const { return settings_; }
  bool has_reducer() const { return !settings_.reducer.empty(); }

  // `reading` says how often the classes were read anew from their files.

  /// What both classes describe. Throws std::runtime_error where they cannot be loaded.
  std::vector<parameter_description> describe_parameters(std::uint32_t reading);
  /// Throws std::invalid_argument for parameters that they refuse.
  std::vector<result_description> describe_results(std::uint32_t reading, const parameters& settings);

  /// A process with the class of that role loaded: one that is idle, or a new one. Throws std::runtime_error.
  std::unique_ptr<python_host> take(python_role role, std::uint32_t reading);
  /// It may be used again, if it is still good.
  void give_back(std::unique_ptr<python_host> host);
  /// Is it time for a tick again, over all workers of the scan in this process? That it was given is noted.
  bool take_tick(const std::string& scan, std::chrono::duration<double> interval);
  /// Ends those that are idle.
  void close();

 private:
  struct descriptions {
    std::vector<parameter_description> all, of_worker, of_reducer;
  };

  descriptions known(std::uint32_t reading);
  void close_idle(const std::function<bool(const python_host&)>& chosen);
  std::unique_ptr<python_host> take_idle(python_role role, std::optional<std::uint32_t> reading);
  void describe_results(python_role role, std::uint32_t reading, const parameters& settings,
                        std::vector<result_description>& list);

  const python_settings settings_;
  std::mutex loading_; ///< held while it is found out what the classes describe
  std::mutex mutex_;
  std::map<std::uint32_t, descriptions> known_; ///< by reading, the latest few
  std::vector<std::unique_ptr<python_host>> idle_;
  std::string ticking_scan_;
  std::chrono::steady_clock::time_point last_tick_;
};

/// That of these settings, for all readings the same as long as anybody has it or no other is asked for.
std::shared_ptr<python_code> python_code_of(python_settings settings);

/// Ends processes that are idle in good order: before the program ends.
void close_python_hosts();

} // namespace dtranspose
