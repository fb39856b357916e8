#include "protocol/protocol.hpp"

#include "protocol/stins.hpp"

namespace dtranspose {

namespace {

struct format {
  std::string_view name;
  std::unique_ptr<protocol> (*make)();
};

constexpr format formats[] = {
    {"stins", make_stins},
};

} // namespace

std::string_view name_of(packet_fault fault) {
  constexpr std::string_view names[packet_fault_count] = {"truncated", "oversized", "not_json", "unknown"};
  return names[static_cast<std::size_t>(fault)];
}

std::unique_ptr<protocol> make_protocol(std::string_view name) {
  for (auto& f : formats)
    if (f.name == name) return f.make();
  return nullptr;
}

std::vector<std::string_view> protocol_names() {
  std::vector<std::string_view> names;
  for (auto& f : formats) names.push_back(f.name);
  return names;
}

} // namespace dtranspose
