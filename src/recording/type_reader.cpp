#include "recording/type_reader.hpp"

#include <algorithm>
#include <stdexcept>

namespace dtranspose {

std::unique_ptr<protocol> reader_of_type(std::string_view type) {
  auto all = protocols();
  auto found = std::find_if(all.begin(), all.end(), [&](auto& p) { return p.type_tag == type; });
  if (found == all.end() || found->type_tag.empty()) return nullptr;
  try {
    return make_protocol(found->name);
  } catch (const std::runtime_error&) {
    return nullptr;
  }
}

} // namespace dtranspose
