#include "output/decision_publisher.hpp"

#include <stdexcept>

#include <fmt/format.h>
#include <zmq.hpp>

namespace dtranspose {

struct decision_publisher::state {
  zmq::context_t context{1};
  zmq::socket_t socket{context, zmq::socket_type::pub};
};

decision_publisher::decision_publisher(const std::string& url) : state_(std::make_unique<state>()) {
  state_->socket.set(zmq::sockopt::linger, 0);
  try {
    state_->socket.bind(url);
  } catch (const zmq::error_t& e) {
    throw std::runtime_error(fmt::format("[feedback] publish: {}: {}", url, e.what()));
  }
}

decision_publisher::~decision_publisher() = default;

void decision_publisher::publish(std::string_view name, std::string_view json) {
  state_->socket.send(zmq::buffer(name), zmq::send_flags::sndmore | zmq::send_flags::dontwait);
  state_->socket.send(zmq::buffer(json), zmq::send_flags::dontwait);
}

std::string decision_publisher::endpoint() const { return state_->socket.get(zmq::sockopt::last_endpoint); }

} // namespace dtranspose
