/// An analysis that reads streams with the decoders of the installed headers: one number of each event, which
/// a test can tell from the recording by itself.
#include <dtranspose/analysis/plugin.hpp>

#include "protocol/contrast.hpp"
#include "protocol/lecroy.hpp"
#include "protocol/pcap.hpp"
#include "protocol/xspress3.hpp"

namespace {

using namespace dtranspose;

/// Counts of all channels and bins.
double total_of(const array_view& spectra) {
  double sum = 0;
  for (std::size_t i = 0; i < spectra.size(); ++i) sum += spectra.at<std::uint32_t>(i);
  return sum;
}

/// Mean of the first channel, V.
double mean_of(const lecroy_sequence& sequence) {
  auto& samples = sequence.traces.front().samples;
  double sum = 0;
  for (std::size_t i = 0; i < samples.size(); ++i) sum += samples.at<double>(i);
  return sum / static_cast<double>(samples.size());
}

std::optional<double> number_of(const stream_data& data) {
  if (data.type() == xspress3_type_tag) {
    if (auto image = parse_xspress3_image(data)) return total_of(image->spectra);
  } else if (data.type() == contrast_type_tag) {
    if (auto point = parse_contrast_point(data)) return point->number("sx");
  } else if (data.type() == pcap_type_tag) {
    if (auto row = parse_pcap_row(data)) return row->column("INENC3.VAL.Mean");
  } else if (data.type() == lecroy_type_tag) {
    if (auto sequence = parse_lecroy_sequence(data)) return mean_of(*sequence);
  }
  return std::nullopt;
}

class decoding_worker final : public worker_part {
 public:
  answer process_event(const event& e, const parameters&, bool) override {
    for (auto& entry : e.streams())
      if (auto number = number_of(entry.data)) return answer::result(value_map{{"number", *number}});
    return answer::nothing();
  }
};

class decoding final : public analysis {
 public:
  std::string_view name() const override { return "decoder_plugin"; }
  std::vector<result_description> describe_results(const parameters&) const override {
    return {{"number", dtype::float64, {}}};
  }
  std::unique_ptr<worker_part> make_worker(const parameters&) const override {
    return std::make_unique<decoding_worker>();
  }
};

} // namespace

DTRANSPOSE_ANALYSIS(decoding)
