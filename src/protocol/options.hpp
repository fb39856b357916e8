/// Options of one format, as a configuration gives them: texts by name.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

/// `[stream.options]` and `[simulate.options]`: numbers and flags in their written form (`True`, `False`).
using protocol_options = std::map<std::string, std::string>;

/// Takes options one by one, each under its name; `finish` complains about those that nobody took. All
/// throw std::runtime_error that names the option and what it may be.
class option_reader {
 public:
  explicit option_reader(const protocol_options& options) : options_(options) {}

  std::string text(std::string_view name, std::string_view otherwise = {}) {
    auto found = take(name);
    return found ? *found : std::string(otherwise);
  }

  /// One of `choices`; the first of them if it is not given.
  std::string choice(std::string_view name, std::initializer_list<std::string_view> choices);

  std::uint64_t whole(std::string_view name, std::uint64_t otherwise, std::uint64_t least,
                      std::uint64_t most);

  /// Any number, with or without a fraction.
  double number(std::string_view name, double otherwise, double least, double most);

  bool flag(std::string_view name, bool otherwise);

  void finish() const;

 private:
  const std::string* take(std::string_view name) {
    known_.emplace_back(name);
    auto i = options_.find(std::string(name));
    return i == options_.end() ? nullptr : &i->second;
  }

  const protocol_options& options_;
  std::vector<std::string> known_;
};

} // namespace dtranspose
