#include "recording/type_reader.hpp"

#include <algorithm>
#include <stdexcept>

#include "protocol/lecroy.hpp"
#include "protocol/panda_tcp.hpp"
#include "protocol/pcap.hpp"

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

bool entries_are_messages(std::string_view type) {
  return type != pcap_type_tag && type != panda_tcp_type_tag && type != lecroy_type_tag;
}

} // namespace dtranspose
