/// Numbers as elements of arrays of another type.
#pragma once

#include <cstddef>
#include <span>

#include "model/value.hpp"

namespace dtranspose {

/// Fills `to` with what stands for no value: NaN, the lowest of a signed and the highest of an unsigned type.
void fill_missing(dtype type, std::span<std::byte> to);

/// One of those, as an array of shape [1].
array missing_element(dtype type);

/// Converts all elements; fractions are cut off where `type` is an integer. False where one does not fit: it
/// is missing then.
bool convert(const array& from, dtype type, std::byte* to);

/// The same for a bool or a number; false for anything else.
bool convert(const value& from, dtype type, std::byte* to);

} // namespace dtranspose
