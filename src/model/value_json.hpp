/// Values as JSON text: what the REST interfaces answer and summaries print.
#pragma once

#include <string>

#include "model/value.hpp"

namespace dtranspose {

/// One line of JSON. Numbers are the shortest text that reads back as the same number of their
/// type; bytes become base64 text; an array nested lists in C order, one of no dimension its
/// element, one without elements `[]`; what is not UTF-8 in a text becomes U+FFFD. NaN and
/// infinities are null when `strict`, otherwise the bare tokens `NaN`, `Infinity`, `-Infinity` that
/// Python and HDF REST clients read.
std::string to_json(const value& content, bool strict = true);

} // namespace dtranspose
