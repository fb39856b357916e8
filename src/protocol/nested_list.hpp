/// Nested lists of numbers as arrays: how formats without arrays, such as JSON, write them.
#pragma once

#include <optional>

#include "model/value.hpp"

namespace dtranspose {

/// The array that `list` stands for, the outermost list as its slowest axis. Nothing if it is empty, not
/// rectangular, has more than `dimension_limit` levels, or has anything but numbers in it. Elements are int64
/// if all are whole numbers that fit, else uint64 if that holds them, else float64.
std::optional<array> array_of(const value_list& list);

/// `content`, or the array that it stands for if it is a list of that kind.
value with_array(value content);

/// All of `content`, each entry as `with_array` gives it.
value_map with_arrays(const value_map& content);

} // namespace dtranspose
