/// The reducer part of an analysis in Python. What it folded is in its process: with that it is lost.
#pragma once

#include <memory>

#include "analysis/plugin.hpp"
#include "python/python_code.hpp"

namespace dtranspose {

class python_reducer final : public reducer_part {
 public:
  /// Throws std::runtime_error where the class cannot be made.
  python_reducer(std::shared_ptr<python_code> code, std::uint32_t reading, const scan_facts& facts,
                 parameters settings);
  ~python_reducer() override;

  void process_result(const folded_result& result, const parameters& settings) override;
  bool takes_many() const override { return true; }
  void process_results(std::span<const folded_result> results, const parameters& settings,
                       std::span<std::string> troubles) override;
  bool change_parameters(const parameters& settings) override;
  std::optional<std::chrono::nanoseconds> timer(const parameters& settings) override;
  void finish(const parameters& settings) override;
  value published() const override;

 private:
  void begin(const scan_facts& facts);
  void send(results_builder& message, std::span<std::string> troubles);
  void tell(std::uint32_t version, const parameters& settings);
  void tell_latest();

  std::shared_ptr<python_code> code_;
  std::uint32_t reading_;
  parameters settings_;             ///< the latest
  std::vector<std::uint32_t> told_; ///< versions that the process knows, as far as it remembers them
  bool latest_is_told_ = true;
  std::unique_ptr<python_host> host_;
  bool has_timer_ = false;
  std::uint32_t most_per_message_ = 1; ///< until it is known how long results take
  std::uint64_t messages_ = 0;
  mutable value tree_; ///< as it was published last
};

} // namespace dtranspose
