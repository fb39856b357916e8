#include "analysis/none.hpp"

namespace dtranspose {

namespace {

class none_worker final : public worker_part {
 public:
  void process_batch(std::span<const event> events, const parameters&, bool,
                     std::vector<answer>& answers) override {
    answers.insert(answers.end(), events.size(), nothing_);
  }

  answer process_event(const event&, const parameters&, bool) override { return nothing_; }

 private:
  const answer nothing_ = answer::nothing();
};

class none_analysis final : public analysis {
 public:
  std::string_view name() const override { return "none"; }
  std::string_view description() const override { return "takes every event and gives nothing"; }
  std::unique_ptr<worker_part> make_worker(const parameters&) const override {
    return std::make_unique<none_worker>();
  }
};

} // namespace

std::unique_ptr<analysis> make_none_analysis() { return std::make_unique<none_analysis>(); }

} // namespace dtranspose
