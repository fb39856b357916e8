// The hop between two others of the throughput benchmark: receives with PULL, sends on with PUSH, and looks
// at nothing. `bare_forwarder --from URL --messages N` prints `ready URL`, where its own reader connects.
#include <zmq.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <stdexcept>

#include "runtime/allocator.hpp"

namespace {

void check(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + zmq_strerror(zmq_errno()));
}

std::string address_of(void* socket) {
  char text[256];
  std::size_t size = sizeof text;
  check(zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, text, &size), "address");
  return text;
}

/// Sends one message on, all its parts as they are.
void forward_message(void* in, void* out, zmq_msg_t& part) {
  bool more = true;
  while (more) {
    check(zmq_msg_recv(&part, in, 0), "receive");
    more = zmq_msg_more(&part);
    check(zmq_msg_send(&part, out, more ? ZMQ_SNDMORE : 0), "send");
  }
}

void forward(const std::string& from, std::uint64_t messages) {
  auto context = zmq_ctx_new();
  auto in = zmq_socket(context, ZMQ_PULL), out = zmq_socket(context, ZMQ_PUSH);
  check(zmq_bind(out, "tcp://127.0.0.1:*"), "listen");
  check(zmq_connect(in, from.c_str()), from.c_str());
  std::cout << "ready " << address_of(out) << std::endl;
  zmq_msg_t part;
  zmq_msg_init(&part);
  for (std::uint64_t i = 0; i < messages; ++i) forward_message(in, out, part);
  zmq_msg_close(&part);
  zmq_close(in);
  zmq_close(out);
  zmq_ctx_term(context);
}

} // namespace

int main(int argc, char** argv) {
  CLI::App app{"receives messages and sends them on"};
  std::string from;
  std::uint64_t messages = 0;
  app.add_option("--from", from, "URL of the sender")->required();
  app.add_option("--messages", messages, "ends after so many")->required();
  CLI11_PARSE(app, argc, argv);
  dtranspose::keep_freed_memory(); // as its neighbours do
  try {
    forward(from, messages);
    return 0;
  } catch (const std::exception& e) {
    std::cerr << "bare_forwarder: " << e.what() << "\n";
    return 1;
  }
}
