#include "python/python_analysis.hpp"

#include "python/python_code.hpp"
#include "python/python_reducer.hpp"
#include "python/python_worker.hpp"

namespace dtranspose {

namespace {

class python_analysis final : public analysis {
 public:
  explicit python_analysis(const python_settings& settings)
      : code_(python_code_of(settings)), reading_(settings.reloads) {}

  std::string_view name() const override { return "python"; }
  std::string_view description() const override { return "classes in Python, in processes of their own"; }

  std::vector<parameter_description> describe_parameters() const override {
    return code_->describe_parameters(reading_);
  }
  std::vector<result_description> describe_results(const parameters& settings) const override {
    return code_->describe_results(reading_, settings);
  }

  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return make_worker_for({}, settings);
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters& settings) const override {
    return make_reducer_for({}, settings);
  }
  std::unique_ptr<worker_part> make_worker_for(const scan_facts& facts,
                                               const parameters& settings) const override {
    return std::make_unique<python_worker>(code_, reading_, facts, settings);
  }
  std::unique_ptr<reducer_part> make_reducer_for(const scan_facts& facts,
                                                 const parameters& settings) const override {
    if (!code_->has_reducer()) return std::make_unique<reducer_part>();
    return std::make_unique<python_reducer>(code_, reading_, facts, settings);
  }

 private:
  std::shared_ptr<python_code> code_;
  std::uint32_t reading_; ///< of the files
};

} // namespace

std::shared_ptr<const analysis> make_python_analysis(const std::string& entry) {
  return std::make_shared<python_analysis>(parse_python_entry(entry));
}

} // namespace dtranspose
