#include "runtime/quantities.hpp"

#include <gtest/gtest.h>

namespace dtranspose {
namespace {

using namespace std::chrono_literals;

TEST(quantities, durations) {
  EXPECT_EQ(duration_of("100ms"), 100ms);
  EXPECT_EQ(duration_of("1s"), 1s);
  EXPECT_EQ(duration_of("5min"), 5min);
  EXPECT_EQ(duration_of("2h"), 2h);
  EXPECT_EQ(duration_of("7us"), 7us);
  EXPECT_EQ(duration_of("3ns"), 3ns);
  EXPECT_EQ(duration_of(" 1.5 s "), 1500ms);
  EXPECT_EQ(duration_of("0.1s"), 100ms);
  EXPECT_EQ(duration_of("0"), 0ns);
  EXPECT_EQ(duration_of("0s"), 0ns);
}

TEST(quantities, what_is_no_duration) {
  for (auto text : {"", " ", "1", "s", "-1s", "-0s", "1 year", "1S", "1s2", "nans", "infs", "1e300h",
                    "300000h0", "9e18s", "0x1s"})
    EXPECT_EQ(duration_of(text), std::nullopt) << text;
}

TEST(quantities, sizes) {
  EXPECT_EQ(size_in_bytes("123"), 123u);
  EXPECT_EQ(size_in_bytes("0"), 0u);
  EXPECT_EQ(size_in_bytes("64kB"), 64000u);
  EXPECT_EQ(size_in_bytes("4MiB"), 4u << 20);
  EXPECT_EQ(size_in_bytes("2GiB"), 2ull << 30);
  EXPECT_EQ(size_in_bytes("1.5 KiB"), 1536u);
  EXPECT_EQ(size_in_bytes("1TiB"), 1ull << 40);
  EXPECT_EQ(size_in_bytes("7B"), 7u);
}

TEST(quantities, what_is_no_size) {
  for (auto text : {"", "GiB", "-1", "2gib", "2 G", "1e30", "99999999TiB", "nan", "1,5GB"})
    EXPECT_EQ(size_in_bytes(text), std::nullopt) << text;
}

TEST(quantities, rates) {
  EXPECT_EQ(rate_in_hertz("100Hz"), 100.0);
  EXPECT_EQ(rate_in_hertz("2kHz"), 2000.0);
  EXPECT_EQ(rate_in_hertz("0.5 Hz"), 0.5);
  EXPECT_EQ(rate_in_hertz("1MHz"), 1e6);
  EXPECT_EQ(rate_in_hertz("0"), 0.0);
}

TEST(quantities, what_is_no_rate) {
  for (auto text : {"", "100", "Hz", "-5Hz", "100hz", "infHz", "1e308MHz"})
    EXPECT_EQ(rate_in_hertz(text), std::nullopt) << text;
}

TEST(quantities, addresses) {
  EXPECT_EQ(host_and_port_of("127.0.0.1:4242"), (host_and_port{"127.0.0.1", 4242}));
  EXPECT_EQ(host_and_port_of("[::1]:5000"), (host_and_port{"::1", 5000}));
  EXPECT_EQ(host_and_port_of("daq-01.site:0"), (host_and_port{"daq-01.site", 0}));
  for (auto text : {"127.0.0.1:4242", "[::1]:5000"})
    EXPECT_EQ(to_string(host_and_port_of(text).value()), text);
}

TEST(quantities, what_is_no_address) {
  for (auto text : {"", ":", "host", "host:", ":4242", "host:65536", "host:-1", "host:12x", "::1:5000",
                    "[::1]", "[]:1", "http://host:1", "a b:1"})
    EXPECT_EQ(host_and_port_of(text), std::nullopt) << text;
}

} // namespace
} // namespace dtranspose
