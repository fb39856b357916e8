/// `bare_sender`, started: the instrument of a benchmark, in a process of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "child_process.hpp"

namespace dtranspose::benchmarks {

struct sender_options {
  std::size_t size = 0;     ///< bytes of a frame
  std::uint64_t frames = 0; ///< of each stream
  std::size_t streams = 1;  ///< they take turns
  double rate = 0;          ///< in Hz, each header with its time then; 0: as fast as it can
};

class sender {
 public:
  /// It listens when this returns, and sends when it is told to.
  explicit sender(const sender_options& o)
      : process_({"bare_sender", "--url", "tcp://127.0.0.1:*", "--size", std::to_string(o.size), "--frames",
                  std::to_string(o.frames), "--streams", std::to_string(o.streams), "--rate",
                  std::to_string(o.rate), "--wait"}),
        urls_(urls_in(process_.read_line())) {}

  /// One for each stream.
  const std::vector<std::string>& urls() const { return urls_; }
  void go() { process_.write_line("go"); }
  void wait() {
    if (process_.wait() != 0) throw std::runtime_error("the sender has failed");
  }

  /// What a program says that listens: `ready URL ...`.
  static std::vector<std::string> urls_in(const std::string& line) {
    std::istringstream words(line);
    std::string ready;
    words >> ready;
    std::vector<std::string> urls(std::istream_iterator<std::string>(words), {});
    if (ready != "ready" || urls.empty()) throw std::runtime_error("nobody listens: '" + line + "'");
    return urls;
  }

 private:
  child_process process_;
  std::vector<std::string> urls_;
};

} // namespace dtranspose::benchmarks
