#include "http/metrics.hpp"

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(metrics, are_lines_of_families) {
  auto text = metrics_text(R"({"total_events":10,"finished":true,"fates":{"folded":8,"lost":2}})",
                           R"({"streams":{"a\"b":{"packets":12,"fill":0.5,"connected":true,
                                "verdicts":{"ok":11,"gap":1},"recording":{"behind_bytes":7}},
                              "c":{"error":"does not answer"}},
                              "workers":{"w0":{"events":3}},
                              "processing_times":{"w0":{"9":{"custom_code":0.25,"no_events":3}}}})");
  EXPECT_THAT(text, HasSubstr("# TYPE dtranspose_scan_events gauge\ndtranspose_scan_events 10\n"));
  EXPECT_THAT(text, HasSubstr("dtranspose_scan_finished 1\n"));
  EXPECT_THAT(text, HasSubstr("dtranspose_scan_fates{fate=\"lost\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("# TYPE dtranspose_stream_packets_total counter\n"
                              "dtranspose_stream_packets_total{stream=\"a\\\"b\"} 12\n"));
  EXPECT_THAT(text, HasSubstr("dtranspose_stream_verdicts{stream=\"a\\\"b\",verdict=\"gap\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("dtranspose_recording_behind_bytes{stream=\"a\\\"b\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("dtranspose_worker_busy_seconds{worker=\"w0\"} 0.25\n"));
  EXPECT_THAT(text, Not(HasSubstr("stream=\"c\"")));
  EXPECT_THAT(text, Not(HasSubstr("reducer_folded"))) << "what is not there has no family";
}

TEST(metrics, have_histograms) {
  auto text =
      metrics_text("{}", R"({"streams":{"det":{"latency":{"up_to":[0.001,0.5],"counts":[3,0,2],"sum":4.5}},
                                    "odd":{"latency":{"up_to":[1],"counts":[]}}}})");
  EXPECT_THAT(text, HasSubstr("# TYPE dtranspose_stream_latency_seconds histogram\n"
                              "dtranspose_stream_latency_seconds_bucket{stream=\"det\",le=\"0.001\"} 3\n"
                              "dtranspose_stream_latency_seconds_bucket{stream=\"det\",le=\"0.5\"} 3\n"
                              "dtranspose_stream_latency_seconds_bucket{stream=\"det\",le=\"+Inf\"} 5\n"
                              "dtranspose_stream_latency_seconds_sum{stream=\"det\"} 4.5\n"
                              "dtranspose_stream_latency_seconds_count{stream=\"det\"} 5\n"));
  EXPECT_THAT(text, Not(HasSubstr("odd")));
}

TEST(metrics, of_nothing_are_none) { EXPECT_EQ(metrics_text("", "[]"), ""); }

} // namespace
} // namespace dtranspose
