/// A built-in analysis with both of its parts, driven by hand.
#pragma once

#include <cmath>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "analysis/registry.hpp"
#include "analysis/streams.hpp"

namespace dtranspose {

class driven_analysis {
 public:
  driven_analysis(const std::string& name, const std::map<std::string, std::string>& set)
      : analysis_(load_analysis(name)), settings_(complete_parameters(*analysis_, set)),
        worker_(analysis_->make_worker(settings_)), reducer_(analysis_->make_reducer(settings_)) {
    analysis_->describe_results(settings_);
  }

  answer process(const streams::made_event& e) { return worker_->process_event(e.view(), settings_, false); }

  void fold(const value& content, std::uint64_t number = 1) {
    reducer_->process_result({event_number(number), 1, worker_index(0), content}, settings_);
  }
  /// Maps and folds; false where the worker gave nothing.
  bool take(const streams::made_event& e) {
    auto a = process(e);
    if (a.what() != answer::kind::result) return false;
    fold(a.content(), e.view().number().value);
    return true;
  }
  void finish() { reducer_->finish(settings_); }
  std::vector<decision> decisions() { return reducer_->take_decisions(); }
  value tree() const { return reducer_->published(); }

  /// What stands there in the tree, the keys divided by slashes.
  value at(std::string_view path) const {
    auto found = tree();
    while (true) {
      auto slash = path.find('/');
      auto next = found.find(path.substr(0, slash));
      if (!next) throw std::runtime_error("the tree has no " + std::string(path));
      found = value(*next);
      if (slash == path.npos) return found;
      path.remove_prefix(slash + 1);
    }
  }
  double number(std::string_view path) const { return at(path).as_number().value(); }
  template <class T = double>
  std::vector<T> numbers(std::string_view path) const {
    auto found = at(path);
    auto elements = found.as_array()->elements<T>();
    return {elements.begin(), elements.end()};
  }

  /// Does the tree open as a plot whose signal has that shape, with an axis for each dimension?
  bool opens_as_plot(const std::vector<std::size_t>& shape) const {
    auto group = at(*at("_attrs/default").as_text());
    auto attributes = group.find("_attrs");
    auto signal = group.find(*attributes->find("signal")->as_text());
    auto axes = attributes->find("axes")->as_list();
    if (*attributes->find("NX_class")->as_text() != "NXdata" || signal->as_array()->shape() != shape)
      return false;
    for (std::size_t i = 0; i < axes->size(); ++i) {
      auto axis = group.find(*(*axes)[i].as_text());
      if (!axis || axis->as_array()->shape() != std::vector{shape[i]}) return false;
    }
    return axes->size() == shape.size();
  }

 private:
  std::shared_ptr<const analysis> analysis_;
  parameters settings_;
  std::unique_ptr<worker_part> worker_;
  std::unique_ptr<reducer_part> reducer_;
};

/// Why the analysis refuses these parameters; empty if it takes them.
inline std::string refusal(const std::string& name, const std::map<std::string, std::string>& set) {
  try {
    driven_analysis taken(name, set);
    return {};
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

/// An electrometer's event with the first two channels, at the places `x`, `y`.
inline streams::made_event reading(double first, double second, std::uint64_t number = 1, double x = 0,
                                   double y = 0) {
  return streams::made_event({{"alba", streams::alba({{1, first}, {2, second}})},
                              {"contrast", streams::contrast({{"sx", x}, {"sy", y}})}},
                             {}, number);
}

} // namespace dtranspose
