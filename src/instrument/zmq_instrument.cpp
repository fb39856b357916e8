#include "instrument/zmq_instrument.hpp"

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <stdexcept>
#include <utility>

#include <zmq.hpp>

#include "instrument/pace.hpp"

namespace dtranspose {

namespace {

/// How long the last bytes may take from ZeroMQ's buffer to the operating system once all messages
/// were taken out of its queue.
constexpr int linger_ms = 1000;
/// How often a socket that waits for its peer looks whether it is to stop. (Polling it instead
/// would not do: an XPUB socket always claims to be ready.)
constexpr int stop_check_ms = 20;

/// Counts messages that ZeroMQ has not sent yet.
class in_flight {
 public:
  void add() {
    std::lock_guard lock(mutex_);
    ++count_;
  }
  void remove() {
    std::lock_guard lock(mutex_);
    if (--count_ == 0) changed_.notify_all();
  }
  /// False: stopped before.
  bool wait_for_none(const std::stop_token& stop) {
    std::unique_lock lock(mutex_);
    return changed_.wait(lock, stop, [&] { return count_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::size_t count_ = 0;
};

/// What ZeroMQ gives back when it is done with a part.
struct loan {
  stream_data message;
  std::shared_ptr<in_flight> flights; ///< on the last part only
};

void give_back(void*, void* hint) {
  std::unique_ptr<loan> ended(static_cast<loan*>(hint));
  auto flights = std::move(ended->flights);
  ended.reset();
  if (flights) flights->remove();
}

zmq::message_t lend(const stream_data& message, const frame& part,
                    const std::shared_ptr<in_flight>& flights) {
  auto hint = std::make_unique<loan>(loan{message, flights});
  if (flights) flights->add();
  auto* data = const_cast<std::byte*>(part.data()); // ZeroMQ only reads it
  return zmq::message_t(data, part.size(), give_back, hint.release());
}

/// The socket, in a context of its own: closing that waits for the tail of this instrument alone.
class outlet {
 public:
  explicit outlet(const zmq_instrument_options& options)
      : socket_(context_,
                options.kind == instrument_socket::push ? zmq::socket_type::push : zmq::socket_type::xpub) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::sndhwm, options.send_high_water_mark);
    socket_.set(zmq::sockopt::sndtimeo, stop_check_ms);
    socket_.set(zmq::sockopt::rcvtimeo, stop_check_ms);
    if (options.kind == instrument_socket::pub) {
      socket_.set(zmq::sockopt::xpub_nodrop, true);
      awaits_subscriber_ = true;
    }
    if (options.bind) {
      socket_.bind(options.url);
    } else {
      socket_.set(zmq::sockopt::immediate, true); // nothing is queued for a reader that isn't there
      socket_.connect(options.url);
    }
  }

  std::string address() const { return socket_.get(zmq::sockopt::last_endpoint); }

  /// Waits for the first reader, where messages would be dropped without. False: stopped.
  bool await_reader(const std::stop_token& stop) {
    zmq::message_t subscription;
    while (awaits_subscriber_ && !stop.stop_requested())
      if (zmq_msg_recv(subscription.handle(), socket_.handle(), 0) > 0)
        awaits_subscriber_ = *subscription.data<char>() != 1; // 1: subscribes, 0: unsubscribes
    return !awaits_subscriber_;
  }

  /// False: stopped.
  bool send(const stream_data& message, const std::stop_token& stop) {
    auto parts = message.frames();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      bool last = i + 1 == parts.size();
      auto flights = last ? flights_ : nullptr;
      auto part = last || parts[i].size() >= instrument_copy_limit
                      ? lend(message, parts[i], flights)
                      : zmq::message_t(parts[i].data(), parts[i].size());
      if (!send(part, last ? 0 : ZMQ_SNDMORE, stop)) return false;
    }
    return true;
  }

  /// Waits until everything was handed to the operating system. False: stopped before.
  bool finish(const std::stop_token& stop) {
    if (!flights_->wait_for_none(stop)) return false;
    socket_.set(zmq::sockopt::linger, linger_ms);
    socket_.close();
    context_.close();
    return true;
  }

 private:
  bool send(zmq::message_t& part, int flags, const std::stop_token& stop) {
    while (zmq_msg_send(part.handle(), socket_.handle(), flags) < 0) {
      if (errno != EAGAIN && errno != EINTR) throw zmq::error_t();
      if (stop.stop_requested()) return false;
    }
    return true;
  }

  zmq::context_t context_;
  zmq::socket_t socket_;
  bool awaits_subscriber_ = false;
  std::shared_ptr<in_flight> flights_ = std::make_shared<in_flight>();
};

class zmq_instrument final : public instrument {
 public:
  zmq_instrument(zmq_instrument_options options, message_supply supply)
      : options_(std::move(options)), supply_(std::move(supply)) {
    try {
      outlet_ = std::make_unique<outlet>(options_);
      address_ = outlet_->address();
    } catch (const zmq::error_t& error) {
      throw std::runtime_error("cannot send on " + options_.url + ": " + error.what());
    }
  }

  const std::string& address() const override { return address_; }

  outcome run(const std::stop_token& stop) override {
    try {
      if (!outlet_->await_reader(stop)) return outcome::stopped;
      pace due(options_.rate);
      for (std::uint64_t n = 0; due.wait(n, stop); ++n) {
        auto message = supply_();
        if (!message) return outlet_->finish(stop) ? outcome::complete : outcome::stopped;
        if (!outlet_->send(*message, stop)) break;
        count(message->bytes());
      }
    } catch (const zmq::error_t&) {
      // Only a context that is being closed makes a socket fail here: nothing is left to be sent.
    }
    return outcome::stopped;
  }

 private:
  zmq_instrument_options options_;
  message_supply supply_;
  std::unique_ptr<outlet> outlet_;
  std::string address_;
};

} // namespace

std::unique_ptr<instrument> make_zmq_instrument(zmq_instrument_options options, message_supply supply) {
  return std::make_unique<zmq_instrument>(std::move(options), std::move(supply));
}

} // namespace dtranspose
