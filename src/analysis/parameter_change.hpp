/// What differs between parameters before and after a change.
#pragma once

#include <algorithm>
#include <initializer_list>
#include <string_view>

#include "model/parameters.hpp"

namespace dtranspose {

/// Is everything equal but for the parameters of these names?
inline bool differ_only_in(std::initializer_list<std::string_view> names, const parameters& a,
                           const parameters& b) {
  auto same = [&](const parameters& one, const parameters& other) {
    return std::all_of(one.all().begin(), one.all().end(), [&](auto& entry) {
      auto found = other.find(entry.first);
      return (found && *found == entry.second) ||
             std::find(names.begin(), names.end(), entry.first) != names.end();
    });
  };
  return same(a, b) && same(b, a);
}

} // namespace dtranspose
