#include "source/tcp_address.hpp"

#include <poll.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace dtranspose {
namespace {

TEST(tcp_address, reads_urls) {
  struct {
    const char *url, *host, *port;
  } const cases[] = {{"tcp://panda-1.maxiv.lu.se:8889", "panda-1.maxiv.lu.se", "8889"},
                     {"tcp://10.0.0.1:1", "10.0.0.1", "1"},
                     {"tcp://[::1]:65535", "::1", "65535"},
                     {"tcp://[fe80::1%eth0]:8889", "fe80::1%eth0", "8889"}};
  for (auto& c : cases) {
    auto endpoint = parse_tcp_url(c.url);
    ASSERT_TRUE(endpoint) << c.url;
    EXPECT_EQ(endpoint->host, c.host);
    EXPECT_EQ(endpoint->port, c.port);
  }
}

TEST(tcp_address, refuses_what_is_no_url) {
  for (auto url : {"",
                   "tcp://",
                   "tcp://a",
                   "tcp://a:",
                   "tcp://:1",
                   "tcp://a:0",
                   "tcp://a:65536",
                   "tcp://a:1x",
                   "tcp://a:-1",
                   "tcp://a: 1",
                   "tcp://a b:1",
                   "tcp://::1:8889",
                   "tcp://[]:1",
                   "tcp://[::1]",
                   "tcp://[::1:1",
                   "tcp://a/b:1",
                   "ipc://a:1",
                   "a:1",
                   "tcp://*:1",
                   "tcp://a:*",
                   "tcp://a:99999999999999"})
    EXPECT_FALSE(parse_tcp_url(url)) << url;
}

TEST(tcp_address, knows_where_anything_goes) {
  EXPECT_EQ(parse_tcp_url("tcp://*:8889", true)->host, "*");
  EXPECT_EQ(parse_tcp_url("tcp://127.0.0.1:*", true)->port, "*");
  EXPECT_EQ(parse_tcp_url("tcp://127.0.0.1:0", true)->port, "*");
  EXPECT_FALSE(parse_tcp_url("tcp://**:8889", true));
}

TEST(tcp_address, looks_up) {
  auto found = look_up({"127.0.0.1", "8889"});
  ASSERT_EQ(found.addresses.size(), 1u);
  EXPECT_EQ(url_of(found.addresses[0]), "tcp://127.0.0.1:8889");
  found = look_up({"::1", "8889"});
  ASSERT_EQ(found.addresses.size(), 1u) << found.error;
  EXPECT_EQ(url_of(found.addresses[0]), "tcp://[::1]:8889");
  EXPECT_FALSE(look_up({"localhost", "1"}).addresses.empty());
  EXPECT_EQ(url_of(look_up({"*", "*"}, true).addresses.at(0)).back(), '0');
  found = look_up({"256.0.0.1.invalid", "1"});
  EXPECT_TRUE(found.addresses.empty());
  EXPECT_NE(found.error, "");
}

TEST(tcp_address, looks_up_in_the_background) {
  name_lookup pending({"127.0.0.1", "8889"});
  pollfd ready = {pending.fd(), POLLIN, 0};
  ASSERT_EQ(poll(&ready, 1, 30'000), 1);
  auto found = pending.result();
  ASSERT_TRUE(found);
  EXPECT_EQ(found->addresses.size(), 1u);
}

} // namespace
} // namespace dtranspose
