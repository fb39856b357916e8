/// An analysis that testifies: every worker writes down what it was given, one JSON object per line
/// in a file of its own, so that a test can compare it with what was sent and what the map says.
///
///   {"event":3,"streams":{"det":{"type":"STINS","sizes":[93,64],"hash":"85944171f73967e8"}}}
///
/// `hash` is FNV-1a, 64 bits, over the bytes of all frames of the stream, one after the other.
#include <dtranspose/analysis/plugin.hpp>

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <fstream>
#include <stdexcept>
#include <thread>

namespace {

using namespace dtranspose;

std::string hash_of(const stream_data& data) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (auto& part : data.frames())
    for (auto byte : part.bytes()) hash = (hash ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3;
  char digits[17];
  std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
  return digits;
}

std::string sizes_of(const stream_data& data) {
  std::string list;
  for (auto& part : data.frames()) list += (list.empty() ? "" : ",") + std::to_string(part.size());
  return list;
}

std::string testimony(const event& e) {
  std::string streams;
  for (auto& entry : e.streams()) {
    if (!streams.empty()) streams += ',';
    streams += '"' + std::string(e.name_of(entry)) + "\":{\"type\":\"" + std::string(entry.data.type()) +
               "\",\"sizes\":[" + sizes_of(entry.data) + "],\"hash\":\"" + hash_of(entry.data) + "\"}";
  }
  return "{\"event\":" + std::to_string(e.number().value) + ",\"streams\":{" + streams + "}}\n";
}

/// `worker-<process>-<n>.jsonl`, n counting the workers that this process made.
std::string journal_name(const std::string& directory) {
  static std::atomic<unsigned> made = 0;
  return directory + "/worker-" + std::to_string(getpid()) + "-" + std::to_string(made++) + ".jsonl";
}

class witness_worker final : public worker_part {
 public:
  explicit witness_worker(const parameters& settings)
      : journal_(journal_name(settings.text("directory"))), pause_(settings.integer("pause_us")) {
    if (!journal_) throw std::runtime_error("parameter 'directory' is no place to write to");
  }

  answer process_event(const event& e, const parameters&, bool) override {
    journal_ << testimony(e) << std::flush;
    if (pause_.count() > 0) std::this_thread::sleep_for(pause_);
    return answer::result(value_map{{"streams", static_cast<std::uint64_t>(e.streams().size())}});
  }

 private:
  std::ofstream journal_;
  std::chrono::microseconds pause_;
};

class witness final : public analysis {
 public:
  std::string_view name() const override { return "witness_plugin"; }
  std::string_view description() const override { return "writes down what every worker sees"; }

  std::vector<parameter_description> describe_parameters() const override {
    return {
        {"directory", parameter_type::text, ".", "where the journals of the workers go"},
        {"pause_us", parameter_type::integer, "0", "time that every event takes longer, in us"},
    };
  }

  std::vector<result_description> describe_results(const parameters&) const override {
    return {{"streams", dtype::uint64, {}}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<witness_worker>(settings);
  }
};

} // namespace

DTRANSPOSE_ANALYSIS(witness)
