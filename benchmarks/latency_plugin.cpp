/// An analysis that measures: how long it took each frame from the sender's clock to the fold. The times of
/// the first stream, in ns and in the order of folding, are written to a file, one a line, when the scan
/// ends.
#include "analysis/plugin.hpp"

#include <cstdio>
#include <stdexcept>

#include "instrument/sent_ns.hpp"
#include "stamp.hpp"

namespace {

using namespace dtranspose;

class latency_worker final : public worker_part {
 public:
  answer process_event(const event& e, const parameters&, bool) override {
    if (e.streams().empty()) return answer::nothing();
    auto stamp = benchmarks::stamp_in(e.streams().front().data.frames().front().text());
    return stamp ? answer::result(value_map{{"sent_ns", *stamp}}) : answer::nothing();
  }
};

class latency_reducer final : public reducer_part {
 public:
  void process_result(const folded_result& result, const parameters&) override {
    auto stamp = result.content.find("sent_ns");
    if (auto ns = stamp ? std::get_if<std::int64_t>(&stamp->content()) : nullptr)
      times_.push_back(realtime_ns() - *ns);
  }

  void finish(const parameters& settings) override {
    auto part = settings.text("file") + ".part";
    auto file = std::fopen(part.c_str(), "w");
    if (!file) throw std::runtime_error("parameter 'file': " + part + " cannot be written");
    for (auto time : times_) std::fprintf(file, "%lld\n", static_cast<long long>(time));
    std::fclose(file);
    std::rename(part.c_str(), settings.text("file").c_str());
  }

 private:
  std::vector<std::int64_t> times_;
};

class latency final : public analysis {
 public:
  std::string_view name() const override { return "latency_plugin"; }
  std::string_view description() const override { return "time from the sender's clock to the fold"; }

  std::vector<parameter_description> describe_parameters() const override {
    return {{"file", parameter_type::text, "latency.txt", "where the times go"}};
  }

  std::unique_ptr<worker_part> make_worker(const parameters&) const override {
    return std::make_unique<latency_worker>();
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters&) const override {
    return std::make_unique<latency_reducer>();
  }
};

} // namespace

DTRANSPOSE_ANALYSIS(latency)
