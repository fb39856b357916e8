#include "python/python_analysis.hpp"

#include "python/python_code.hpp"
#include "python/python_reducer.hpp"
#include "python/python_worker.hpp"

namespace dtranspose {

namespace {

class python_analysis final : public analysis {
 public:
  explicit python_analysis(std::shared_ptr<python_code> code) : code_(std::move(code)) {}

  std::string_view name() const override { return "python"; }
  std::string_view description() const override { return "classes in Python, in processes of their own"; }

  std::vector<parameter_description> describe_parameters() const override {
    return code_->describe_parameters();
  }
  std::vector<result_description> describe_results(const parameters& settings) const override {
    return code_->describe_results(settings);
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return make_worker_for({}, settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return make_reducer_for({}, settings);
  }
  std::unique_ptr<worker_part> make_worker_for(const scan_facts& facts,
                                               const parameters& settings) const override {
    return std::make_unique<python_worker>(code_, facts, settings);
  }
  std::unique_ptr<reducer_part> make_reducer_for(const scan_facts& facts,
                                                 const parameters& settings) const override {
    if (!code_->has_reducer()) return std::make_unique<reducer_part>();
    return std::make_unique<python_reducer>(code_, facts, settings);
  }

 private:
  std::shared_ptr<python_code> code_;
};

} // namespace

std::shared_ptr<const analysis> make_python_analysis(const std::string& entry) {
  return std::make_shared<python_analysis>(python_code_of(entry));
}

} // namespace dtranspose
