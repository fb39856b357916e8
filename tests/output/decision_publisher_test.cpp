#include "output/decision_publisher.hpp"

#include <gmock/gmock.h>
#include <zmq.hpp>

namespace dtranspose {
namespace {

using testing::HasSubstr;

std::string received(zmq::socket_t& socket) {
  zmq::message_t part;
  if (!socket.recv(part)) return "nothing";
  return part.to_string();
}

TEST(decision_publisher, tells_who_has_subscribed_to_the_name) {
  decision_publisher publisher("tcp://127.0.0.1:*");
  zmq::context_t context;
  zmq::socket_t listener(context, zmq::socket_type::sub);
  listener.set(zmq::sockopt::subscribe, "beam");
  listener.set(zmq::sockopt::rcvtimeo, 100);
  listener.connect(publisher.endpoint());
  std::string name = "nothing";
  // A subscription takes its time to arrive.
  for (int i = 0; i < 100 && name == "nothing"; ++i) {
    publisher.publish("other", "{}");
    publisher.publish("beam_position", R"({"number":1})");
    name = received(listener);
  }
  EXPECT_EQ(name, "beam_position");
  EXPECT_EQ(received(listener), R"({"number":1})");
}

TEST(decision_publisher, waits_for_nobody) {
  decision_publisher publisher("tcp://127.0.0.1:*");
  for (int i = 0; i < 100'000; ++i) publisher.publish("a", "{}");
}

TEST(decision_publisher, says_where_it_cannot_listen) {
  decision_publisher first("tcp://127.0.0.1:*");
  try {
    decision_publisher second(first.endpoint());
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_THAT(e.what(), HasSubstr("[feedback] publish: " + first.endpoint()));
  }
}

} // namespace
} // namespace dtranspose
