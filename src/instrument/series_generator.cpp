#include "instrument/series_generator.hpp"

#include "instrument/albaem_series.hpp"
#include "instrument/bluesky_series.hpp"
#include "instrument/contrast_series.hpp"
#include "instrument/dectris_v2_series.hpp"
#include "instrument/eiger_v1_series.hpp"
#include "instrument/lecroy_series.hpp"
#include "instrument/panda_tcp_series.hpp"
#include "instrument/pcap_series.hpp"
#include "instrument/raw_series.hpp"
#include "instrument/sardana_series.hpp"
#include "instrument/stins_series.hpp"
#include "instrument/xspress3_series.hpp"

namespace dtranspose {

namespace {

struct generator {
  std::string_view protocol;
  std::unique_ptr<series_generator> (*make)(const series_settings&);
};

constexpr generator generators[] = {
    {"stins", make_stins_series},
    {"eiger_v1", make_eiger_v1_series},
    {"dectris_v2", make_dectris_v2_series},
    {"xspress3", make_xspress3_series},
    {"pcap", make_pcap_series},
    {"panda_tcp", make_panda_tcp_series},
    {"albaem", make_albaem_series},
    {"contrast", make_contrast_series},
    {"lecroy", make_lecroy_series},
    {"sardana", make_sardana_series},
    {"bluesky", make_bluesky_series},
    {"raw", make_raw_series},
};

} // namespace

std::unique_ptr<series_generator> make_series(std::string_view protocol, const series_settings& settings) {
  for (auto& g : generators)
    if (g.protocol == protocol) return g.make(settings);
  return nullptr;
}

} // namespace dtranspose
