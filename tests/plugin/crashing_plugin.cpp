/// An analysis that ends badly where it is told to, and is exact everywhere else: a row of an event tells
/// which frames met in it, and the scan how often anything was folded.
#include <dtranspose/analysis/plugin.hpp>

#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <thread>

namespace {

using namespace dtranspose;

/// Every image of `dtranspose simulate` begins with its number.
std::uint64_t number_of(const stream_data& data) {
  std::uint64_t number = 0;
  auto pixels = data.frames()[1].bytes();
  std::memcpy(&number, pixels.data(), std::min(pixels.size(), sizeof number));
  return number;
}

/// Numbers of the frames, counted from 1, of each stream as many times as its place says.
std::uint64_t numbers_of(const event& e, bool& any) {
  std::uint64_t sum = 0, place = 0;
  for (auto& entry : e.streams()) {
    ++place;
    if (entry.data.frames().size() < 2) continue;
    any = true;
    sum += place * (number_of(entry.data) + 1);
  }
  return sum;
}

void end_badly(const std::string& how) {
  volatile int* nothing = nullptr;
  if (how == "null") *nothing = 1;
  if (how == "abort") std::abort();
  if (how == "throw") throw std::runtime_error("no beam in this event");
  if (how == "kill") kill(getpid(), SIGKILL);
  while (how == "hang" || how == "kill") pause();
}

class crashing_worker final : public worker_part {
 public:
  answer process_event(const event& e, const parameters& settings, bool) override {
    if (auto at = settings.integer("event"); at >= 0 && e.number().value == static_cast<std::uint64_t>(at))
      end_badly(settings.text("how"));
    if (auto pause = settings.integer("pause_us"); pause > 0)
      std::this_thread::sleep_for(std::chrono::microseconds(pause));
    bool any = false;
    auto numbers = numbers_of(e, any);
    if (!any) return answer::nothing();
    return answer::result(value_map{{"numbers", numbers}});
  }

  value finish(const parameters& settings) override {
    std::this_thread::sleep_for(std::chrono::milliseconds(settings.integer("linger_ms")));
    return {};
  }
};

class crashing_reducer final : public reducer_part {
 public:
  void process_result(const folded_result&, const parameters&) override { ++folds_; }
  value published() const override { return value_map{{"folds", folds_}}; }

 private:
  std::uint64_t folds_ = 0;
};

class crashing final : public analysis {
 public:
  std::string_view name() const override { return "crashing_plugin"; }
  std::string_view description() const override { return "ends badly at one event"; }

  std::vector<parameter_description> describe_parameters() const override {
    return {
        {"event", parameter_type::integer, "-1", "where it ends badly; -1: nowhere"},
        {"how", parameter_type::text, "", "null, abort, throw, kill or hang"},
        {"pause_us", parameter_type::integer, "0", "time that every event takes longer, in us"},
        {"linger_ms", parameter_type::integer, "0", "time that the end of a scan takes longer, in ms"},
    };
  }

  std::vector<result_description> describe_results(const parameters&) const override {
    std::vector<result_description> results;
    results.push_back({"numbers", dtype::uint64, {}});
    results.push_back({"folds", dtype::uint64, {}, result_extent::per_scan});
    return results;
  }

  std::unique_ptr<worker_part> make_worker(const parameters&) const override {
    return std::make_unique<crashing_worker>();
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters&) const override {
    return std::make_unique<crashing_reducer>();
  }
};

} // namespace

DTRANSPOSE_ANALYSIS(crashing)
