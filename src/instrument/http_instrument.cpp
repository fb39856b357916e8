#include "instrument/http_instrument.hpp"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <httplib.h>

#include "instrument/pace.hpp"
#include "source/http_source.hpp"

namespace dtranspose {

namespace {

/// How soon it is tried again where nobody listens, or where too much is waiting.
constexpr auto retry_interval = std::chrono::milliseconds(50);
/// How long an answer may take: longer than any server of ours lets it wait.
constexpr auto answer_limit = std::chrono::seconds(60);

class http_instrument final : public instrument {
 public:
  http_instrument(http_instrument_options options, message_supply supply)
      : address_(std::move(options.url)), rate_(options.rate), supply_(std::move(supply)),
        server_(parse_http_address(address_)), client_(server_.host, server_.port) {
    if (server_.port == 0) throw std::runtime_error(address_ + ": nobody listens on port 0");
    client_.set_keep_alive(true);
    client_.set_tcp_nodelay(true);
    client_.set_read_timeout(answer_limit);
    client_.set_write_timeout(answer_limit);
  }

  const std::string& address() const override { return address_; }

  outcome run(const std::stop_token& stop) override {
    std::stop_callback cut(stop, [this] { client_.stop(); });
    pace due(rate_);
    for (std::uint64_t n = 0; due.wait(n, stop); ++n) {
      auto message = supply_();
      if (!message) return outcome::complete;
      if (!post(*message, stop)) break;
      count(message->bytes());
    }
    return outcome::stopped;
  }

 private:
  /// False: stopped.
  bool post(const stream_data& message, const std::stop_token& stop) {
    auto parts = message.frames();
    if (parts.size() != 2) throw std::runtime_error("a message to be posted has two parts: path and body");
    std::string path(parts[0].text()), body(parts[1].text());
    while (!stop.stop_requested()) {
      auto answer = client_.Post(path, body, "application/json");
      if (answer && answer->status != 503) {
        check(path, answer->status);
        return true;
      }
      wait_a_little(stop);
    }
    return false;
  }

  void check(const std::string& path, int status) const {
    if (status == 200 || status == 413 || status == 422) return;
    throw std::runtime_error(address_ + path + " answers " + std::to_string(status));
  }

  static void wait_a_little(const std::stop_token& stop) {
    std::mutex mutex;
    std::condition_variable_any wakes;
    std::unique_lock lock(mutex);
    wakes.wait_for(lock, stop, retry_interval, [] { return false; });
  }

  std::string address_;
  double rate_;
  message_supply supply_;
  http_address server_;
  httplib::Client client_;
};

} // namespace

std::unique_ptr<instrument> make_http_instrument(http_instrument_options options, message_supply supply) {
  return std::make_unique<http_instrument>(std::move(options), std::move(supply));
}

} // namespace dtranspose
