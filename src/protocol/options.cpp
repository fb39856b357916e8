#include "protocol/options.hpp"

#include <algorithm>
#include <charconv>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace dtranspose {

std::string option_reader::choice(std::string_view name, std::initializer_list<std::string_view> choices) {
  auto found = take(name);
  if (!found) return std::string(*choices.begin());
  if (std::find(choices.begin(), choices.end(), *found) == choices.end())
    throw std::runtime_error(
        fmt::format("option {}: '{}' is none of {}", name, *found, fmt::join(choices, ", ")));
  return *found;
}

std::uint64_t option_reader::whole(std::string_view name, std::uint64_t otherwise, std::uint64_t least,
                                   std::uint64_t most) {
  auto found = take(name);
  if (!found) return otherwise;
  std::uint64_t number = 0;
  auto end = found->data() + found->size();
  auto [stop, error] = std::from_chars(found->data(), end, number);
  if (error != std::errc() || stop != end || number < least || number > most)
    throw std::runtime_error(
        fmt::format("option {}: '{}' is no whole number from {} to {}", name, *found, least, most));
  return number;
}

double option_reader::number(std::string_view name, double otherwise, double least, double most) {
  auto found = take(name);
  if (!found) return otherwise;
  double number = 0;
  auto end = found->data() + found->size();
  auto [stop, error] = std::from_chars(found->data(), end, number);
  // The comparisons are false for what is no number at all.
  if (error != std::errc() || stop != end || !(number >= least && number <= most))
    throw std::runtime_error(
        fmt::format("option {}: '{}' is no number from {} to {}", name, *found, least, most));
  return number;
}

bool option_reader::flag(std::string_view name, bool otherwise) {
  auto found = take(name);
  if (!found) return otherwise;
  if (*found == "true" || *found == "True") return true;
  if (*found == "false" || *found == "False") return false;
  throw std::runtime_error(fmt::format("option {}: '{}' is neither true nor false", name, *found));
}

void option_reader::finish() const {
  for (auto& [name, content] : options_)
    if (std::find(known_.begin(), known_.end(), name) == known_.end())
      throw std::runtime_error(
          known_.empty() ? fmt::format("option {}: this protocol takes no options", name)
                         : fmt::format("option {}: is unknown; known are {}", name, fmt::join(known_, ", ")));
}

} // namespace dtranspose
