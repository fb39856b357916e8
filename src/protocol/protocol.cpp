#include "protocol/protocol.hpp"

#include <algorithm>
#include <array>

#include "protocol/albaem.hpp"
#include "protocol/bluesky.hpp"
#include "protocol/contrast.hpp"
#include "protocol/dectris_v2.hpp"
#include "protocol/eiger_v1.hpp"
#include "protocol/lecroy.hpp"
#include "protocol/panda_tcp.hpp"
#include "protocol/pcap.hpp"
#include "protocol/raw.hpp"
#include "protocol/sardana.hpp"
#include "protocol/stins.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {

namespace {

struct format {
  protocol_info info;
  std::unique_ptr<protocol> (*make)(const protocol_options&);
};

constexpr format formats[] = {
    {{"stins", stins_type_tag, transport::zmq_pull}, make_stins},
    {{"eiger_v1", eiger_v1_type_tag, transport::zmq_pull}, make_eiger_v1},
    {{"dectris_v2", dectris_v2_type_tag, transport::zmq_pull}, make_dectris_v2},
    {{"xspress3", xspress3_type_tag, transport::zmq_sub}, make_xspress3},
    {{"pcap", pcap_type_tag, transport::zmq_sub}, make_pcap},
    {{"panda_tcp", panda_tcp_type_tag, transport::tcp}, make_panda_tcp},
    {{"albaem", albaem_type_tag, transport::zmq_sub}, make_albaem},
    {{"contrast", contrast_type_tag, transport::zmq_sub}, make_contrast},
    {{"lecroy", lecroy_type_tag, transport::zmq_sub}, make_lecroy},
    {{"sardana", sardana_type_tag, transport::http}, make_sardana},
    {{"bluesky", bluesky_type_tag, transport::zmq_sub}, make_bluesky},
    {{"raw", raw_type_tag, transport::zmq_pull}, make_raw},
};

constexpr auto infos = [] {
  std::array<protocol_info, std::size(formats)> all;
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = formats[i].info;
  return all;
}();

} // namespace

std::string_view name_of(packet_fault fault) {
  constexpr std::string_view names[packet_fault_count] = {"truncated", "oversized", "not_json",
                                                          "unknown",   "corrupt",   "interrupted"};
  return names[static_cast<std::size_t>(fault)];
}

std::span<const protocol_info> protocols() { return infos; }

const protocol_info* find_protocol(std::string_view name) {
  auto i = std::find_if(infos.begin(), infos.end(), [&](auto& info) { return info.name == name; });
  return i == infos.end() ? nullptr : &*i;
}

std::unique_ptr<protocol> make_protocol(std::string_view name, const protocol_options& options) {
  for (auto& f : formats)
    if (f.info.name == name) return f.make(options);
  return nullptr;
}

std::vector<std::string_view> protocol_names() {
  std::vector<std::string_view> names;
  for (auto& f : formats) names.push_back(f.info.name);
  return names;
}

} // namespace dtranspose
