/// Parts of published trees that viewers open as plots by themselves: NeXus' NXdata.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

/// Attributes of a group NXdata. `axes`: names, one per dimension of the signal, slowest first, `.` for none;
/// `auxiliary`: further signals of the same shape.
inline value_map plot_attributes(std::string_view signal, const std::vector<std::string>& axes,
                                 const std::vector<std::string>& auxiliary = {}) {
  value_map attributes{{"NX_class", "NXdata"}, {"signal", signal}};
  attributes.set("axes", value_list(axes.begin(), axes.end()));
  if (!auxiliary.empty()) attributes.set("auxiliary_signals", value_list(auxiliary.begin(), auxiliary.end()));
  return attributes;
}

/// Attributes of a data set: what is not empty.
inline value_map data_attributes(std::string_view long_name, std::string_view units = {},
                                 std::string_view interpretation = {}) {
  value_map attributes;
  if (!long_name.empty()) attributes.set("long_name", long_name);
  if (!units.empty()) attributes.set("units", units);
  if (!interpretation.empty()) attributes.set("interpretation", interpretation);
  return attributes;
}

/// Adds a data set with its attributes.
inline void set_with_attributes(value_map& group, const std::string& name, value content,
                                value_map attributes) {
  group.set(name, std::move(content));
  if (!attributes.empty()) group.set(name + "_attrs", std::move(attributes));
}

} // namespace dtranspose
