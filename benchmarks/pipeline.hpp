/// The product as a benchmark uses it: in this process, or as processes of its own.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <sys/types.h>
#include <vector>

namespace dtranspose {
struct progress;
}

namespace dtranspose::benchmarks {

struct pipeline_settings {
  std::vector<std::string> urls; ///< of the STINS streams; each is called det and its place: det0, det1 ...
  std::string analysis = "none"; ///< a name, or the path of a plug-in
  std::map<std::string, std::string> parameters = {};
  std::uint32_t workers = 2;
  bool journal = false; ///< results and assignments are kept on disk before they are committed
};

struct role_process {
  std::string role;
  pid_t pid = 0;
};

class pipeline {
 public:
  virtual ~pipeline() = default;

  /// Starts a scan of so many frames of every stream, one constraint for each event. Throws
  /// std::runtime_error when it is refused.
  virtual void start(std::uint64_t frames) = 0;
  virtual progress ask() = 0;
  virtual std::vector<role_process> processes() const = 0;
};

/// All roles in this process.
std::unique_ptr<pipeline> in_this_process(const pipeline_settings& settings);

/// A process for each of `roles`, which are options of `--role`. Ready when this returns.
std::unique_ptr<pipeline> in_processes(const pipeline_settings& settings,
                                       const std::vector<std::string>& roles = {"controller", "ingester",
                                                                                "worker", "reducer"});

/// Resident bytes of a process.
std::uint64_t resident_bytes(pid_t pid);

/// Throws std::runtime_error unless all of these frames of every stream ended as they should: *empty* under
/// an analysis that gives nothing, else *folded*.
void check_mapped(const progress& p, std::uint64_t frames, const pipeline_settings& settings);

} // namespace dtranspose::benchmarks
