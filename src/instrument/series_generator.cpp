#include "instrument/series_generator.hpp"

#include <stdexcept>

#include <fmt/format.h>

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

/// What instruments of a protocol can see.
enum class sight : std::uint8_t { nothing, images, spectra, readings };

struct generator {
  std::string_view protocol;
  std::unique_ptr<series_generator> (*make)(const series_settings&);
  sight sees = sight::nothing;
};

constexpr generator generators[] = {
    {"stins", make_stins_series, sight::images},
    {"eiger_v1", make_eiger_v1_series},
    {"dectris_v2", make_dectris_v2_series},
    {"xspress3", make_xspress3_series, sight::spectra},
    {"pcap", make_pcap_series},
    {"panda_tcp", make_panda_tcp_series, sight::readings},
    {"albaem", make_albaem_series, sight::readings},
    {"contrast", make_contrast_series, sight::readings},
    {"lecroy", make_lecroy_series},
    {"sardana", make_sardana_series, sight::readings},
    {"bluesky", make_bluesky_series},
    {"raw", make_raw_series},
};

void check(const generator& g, const instrument_view& view) {
  if (view.camera && g.sees != sight::images)
    throw std::runtime_error(fmt::format("{} sends no images", g.protocol));
  if (view.spectrometer && g.sees != sight::spectra)
    throw std::runtime_error(fmt::format("{} sends no spectra", g.protocol));
  if (view.readings && g.sees != sight::readings)
    throw std::runtime_error(fmt::format("{} sends no readings of motors or monitors", g.protocol));
}

} // namespace

std::unique_ptr<series_generator> make_series(std::string_view protocol, const series_settings& settings) {
  for (auto& g : generators)
    if (g.protocol == protocol) {
      check(g, settings.view);
      return g.make(settings);
    }
  return nullptr;
}

} // namespace dtranspose
