#include "analysis/named_streams.hpp"

#include <gmock/gmock.h>

#include "analysis/registry.hpp"

namespace dtranspose {
namespace {

using testing::IsEmpty;

std::string fault(const std::string& name, const std::map<std::string, std::string>& written,
                  const std::string& only = {}) {
  return unknown_stream(*load_analysis(name), written, {"det", "alba"}, only);
}

TEST(named_streams, are_looked_for_among_those_that_there_are) {
  EXPECT_THAT(fault("roi", {{"stream", "det"}, {"rows", "16:48"}}), IsEmpty());
  EXPECT_EQ(fault("roi", {{"stream", "dett"}}),
            "parameter 'stream': there is no stream 'dett'; there are det, alba");
  EXPECT_EQ(fault("xrf", {{"stream", "det"}, {"i0", "alb:channel1"}}),
            "parameter 'i0': there is no stream 'alb'; there are det, alba");
  EXPECT_THAT(fault("sort", {{"signal", "det:sum"}, {"x", "alba:channel1"}, {"x_grid", "0:39.5:80"}}),
              IsEmpty());
  EXPECT_THAT(fault("correlate", {{"a", "x:y"}, {"b", "det:sum"}}), testing::HasSubstr("'a'"));
  EXPECT_THAT(fault("correlate", {{"a", "x:y"}, {"b", "det:sum"}}, "b"), IsEmpty());
}

TEST(named_streams, that_are_left_open_or_unknown_to_us_are_not_refused) {
  EXPECT_THAT(fault("roi", {}), IsEmpty());
  EXPECT_THAT(fault("roi", {{"stream", ""}}), IsEmpty());
  EXPECT_THAT(unknown_stream(*load_analysis("roi"), {{"stream", "dett"}}, {}), IsEmpty());
}

/// Whoever adds an analysis with a scalar under another name is told here.
TEST(named_streams, are_known_for_every_scalar_of_the_built_in_analyses) {
  for (auto& one : built_in_analyses())
    for (auto& p : one->describe_parameters()) {
      // Such descriptions say e.g. `alba:channel1`.
      auto example = p.description.find("e.g. ");
      if (example == std::string::npos || p.type != parameter_type::text) continue;
      auto text = p.description.substr(example + 5);
      text = text.substr(0, text.find_first_of(" ;,"));
      auto colon = text.find(':');
      bool scalar = colon != std::string::npos && std::isalpha(static_cast<unsigned char>(text[0])) &&
                    std::isalpha(static_cast<unsigned char>(text[colon + 1])) &&
                    text.find('=') == std::string::npos;
      if (!scalar) continue;
      EXPECT_EQ(streams_named(*one, {{p.name, text}}).size(), 1u) << one->name() << " " << p.name;
    }
}

} // namespace
} // namespace dtranspose
