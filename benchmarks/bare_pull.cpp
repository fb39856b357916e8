#include "bare_pull.hpp"

#include <chrono>
#include <memory>
#include <stdexcept>

#include <zmq.h>

namespace dtranspose::benchmarks {

namespace {

void check(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + zmq_strerror(zmq_errno()));
}

struct close_socket {
  void operator()(void* socket) const { zmq_close(socket); }
};
struct end_context {
  void operator()(void* context) const { zmq_ctx_term(context); }
};

/// The parts received last: each is let go when its place is needed again.
class kept_parts {
 public:
  explicit kept_parts(std::size_t count) : parts_(count) {
    for (auto& part : parts_) zmq_msg_init(&part);
  }
  ~kept_parts() {
    for (auto& part : parts_) zmq_msg_close(&part);
  }
  kept_parts(const kept_parts&) = delete;
  kept_parts& operator=(const kept_parts&) = delete;
  zmq_msg_t& next() { return parts_[next_++ % parts_.size()]; }

 private:
  std::vector<zmq_msg_t> parts_;
  std::size_t next_ = 0;
};

/// Receives all parts of a message and returns their bytes.
std::uint64_t receive(void* socket, kept_parts& parts) {
  for (std::uint64_t bytes = 0;;) {
    auto& part = parts.next();
    check(zmq_msg_recv(&part, socket, 0), "receive");
    bytes += zmq_msg_size(&part);
    if (!zmq_msg_more(&part)) return bytes;
  }
}

} // namespace

pull_rate bare_pull(const std::vector<std::string>& urls, std::uint64_t messages, double warm_up,
                    std::size_t kept, int timeout_ms) {
  using clock = std::chrono::steady_clock;
  std::unique_ptr<void, end_context> context(zmq_ctx_new());
  std::unique_ptr<void, close_socket> socket(zmq_socket(context.get(), ZMQ_PULL));
  check(zmq_setsockopt(socket.get(), ZMQ_RCVTIMEO, &timeout_ms, sizeof timeout_ms), "time-out");
  for (auto& url : urls) check(zmq_connect(socket.get(), url.c_str()), url.c_str());
  kept_parts parts(kept + 1);
  auto warm = static_cast<std::uint64_t>(static_cast<double>(messages) * warm_up);
  for (std::uint64_t i = 0; i < warm; ++i) receive(socket.get(), parts);
  auto start = clock::now();
  std::uint64_t bytes = 0;
  for (auto i = warm; i < messages; ++i) bytes += receive(socket.get(), parts);
  std::chrono::duration<double> elapsed = clock::now() - start;
  return {static_cast<double>(messages - warm) / elapsed.count(),
          static_cast<double>(bytes) / elapsed.count()};
}

} // namespace dtranspose::benchmarks
