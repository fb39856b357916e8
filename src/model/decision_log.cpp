#include "model/decision_log.hpp"

#include <algorithm>
#include <functional>

#include "model/value_json.hpp"

namespace dtranspose {

namespace {

std::uint64_t number_of(const value& decision) {
  auto number = decision.find("number");
  auto whole = number ? std::get_if<std::uint64_t>(&number->content()) : nullptr;
  return whole ? *whole : 0;
}

/// What makes it another one than those before.
std::string identity_of(const value& decision) {
  std::string text;
  for (auto key : {"name", "event", "value"}) {
    auto part = decision.find(key);
    (text += to_json(part ? *part : value())) += '\n';
  }
  return std::to_string(std::hash<std::string>{}(text)); // of the size of a number, however large the value
}

} // namespace

bool decision_log::take(const value& decision) {
  if (known_.size() == most_known || !known_.insert(identity_of(decision)).second) return false;
  kept_.push_back(decision);
  next_ = std::max(next_, number_of(decision) + 1);
  if (kept_.size() > most_kept) kept_.pop_front();
  return true;
}

value_list decision_log::since(std::uint64_t number) const {
  value_list list;
  for (auto& decision : kept_)
    if (number_of(decision) >= number) list.push_back(decision);
  return list;
}

} // namespace dtranspose
