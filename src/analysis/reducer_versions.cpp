#include "analysis/reducer_versions.hpp"

#include <algorithm>
#include <exception>
#include <iterator>
#include <typeinfo>
#include <utility>

#include "model/parameter_book.hpp"

namespace dtranspose {

namespace {

/// Bytes of the trees of parts that are not kept any more: beyond it the oldest go.
constexpr std::size_t most_earlier_bytes = 256 << 20;

/// As far as it may be large.
std::size_t bytes_in(const value& content) {
  if (auto array = content.as_array()) return array->bytes().size();
  if (auto bytes = content.as_bytes()) return bytes->size();
  if (auto text = content.as_text()) return text->size();
  std::size_t sum = 0;
  if (auto list = content.as_list())
    for (auto& x : *list) sum += bytes_in(x);
  if (auto map = content.as_map())
    for (auto& [name, x] : *map) sum += name.size() + bytes_in(x);
  return sum;
}

/// The default folds nothing: it can take whatever parameters there are.
bool folds_nothing(const reducer_part& part) { return typeid(part) == typeid(reducer_part); }

} // namespace

reducer_versions::reducer_versions(std::unique_ptr<reducer_part> part, parameters settings,
                                   parameters_version number) {
  versions_.push_back({number, std::move(settings), {}, std::move(part), number});
  too_old_ = {{}, {}, "made with parameters that were never told", versions_.back().part, number};
}

void reducer_versions::change_parameters(parameters settings, parameters_version number,
                                         const part_maker& make) {
  if (number <= latest().number) return;
  version next{number, std::move(settings), {}, latest().part, latest().began};
  try {
    if (!folds_nothing(*next.part) && !next.part->change_parameters(next.settings, number)) {
      next.part = make(next.settings);
      next.began = number;
    }
  } catch (const std::exception& e) {
    next.trouble = e.what();
  } catch (...) {
    next.trouble = "unknown exception";
  }
  versions_.push_back(std::move(next));
  std::size_t bytes = 0;
  for (auto& v : versions_) bytes += bytes_of_parameters(v.settings.all());
  while (versions_.size() > 1 && are_too_many_versions(versions_.size(), bytes)) {
    bytes -= bytes_of_parameters(versions_.front().settings.all());
    forget_oldest();
  }
}

/// What its part gathered stays, as it is published.
void reducer_versions::forget_oldest() {
  auto oldest = std::move(versions_.front());
  versions_.erase(versions_.begin());
  too_old_.number = oldest.number;
  too_old_.part = versions_.front().part;
  too_old_.trouble = "made with parameters that are not kept any more: too many changes followed";
  if (oldest.part == versions_.front().part) {
    versions_.front().began = oldest.began;
    return;
  }
  try {
    oldest.part->finish(oldest.settings);
    std::ranges::move(oldest.part->take_decisions(), std::back_inserter(left_));
    auto tree = oldest.part->published();
    if (tree.is_null()) return;
    earlier_.set(std::to_string(oldest.began.value), std::move(tree));
    drop_oldest_trees();
  } catch (const std::exception&) {
    // It has nothing to show.
  }
}

void reducer_versions::drop_oldest_trees() {
  auto bytes = bytes_in(value(earlier_));
  if (bytes <= most_earlier_bytes) return;
  value_map kept;
  for (auto& [began, tree] : earlier_)
    if (bytes <= most_earlier_bytes)
      kept.set(began, tree);
    else
      bytes -= bytes_in(tree);
  earlier_ = std::move(kept);
}

const reducer_versions::version& reducer_versions::of(parameters_version number) const {
  auto later =
      std::find_if(versions_.rbegin(), versions_.rend(), [&](auto& v) { return v.number <= number; });
  return later == versions_.rend() ? too_old_ : *later;
}

void reducer_versions::fold_no_more(const std::string& cause) {
  for (auto& v : versions_) v.trouble = cause;
  too_old_.trouble = cause;
}

template <class F>
void reducer_versions::for_each_part(F f) const {
  for (std::size_t i = 0; i < versions_.size(); ++i)
    if (i + 1 == versions_.size() || versions_[i + 1].part != versions_[i].part) f(versions_[i]);
}

void reducer_versions::finish() {
  for_each_part([](auto& v) { v.part->finish(v.settings); });
}

std::vector<decision> reducer_versions::take_decisions() {
  auto all = std::exchange(left_, {});
  for_each_part([&](auto& v) { std::ranges::move(v.part->take_decisions(), std::back_inserter(all)); });
  return all;
}

value reducer_versions::published() const {
  auto latest_tree = latest().part->published();
  auto earlier = earlier_;
  for_each_part([&](auto& v) {
    if (v.part == latest().part) return;
    auto tree = v.part->published();
    if (!tree.is_null()) earlier.set(std::to_string(v.began.value), std::move(tree));
  });
  if (earlier.empty() || !(latest_tree.is_null() || latest_tree.as_map())) return latest_tree;
  auto tree = latest_tree.is_null() ? value_map() : *latest_tree.as_map();
  tree.set("earlier", std::move(earlier));
  return tree;
}

} // namespace dtranspose
