/// Type tags that come from files or from the wire, made to outlive every handle.
#pragma once

#include <string_view>

namespace dtranspose {

/// A text equal to `tag` that lives as long as the process: the same for equal tags. Distinct tags
/// are bounded in number and length, as they may come from outside; what is beyond becomes `other`.
/// May be called from any thread.
std::string_view intern_type(std::string_view tag);

} // namespace dtranspose
