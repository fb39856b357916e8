#include "cluster/bulk_carrier.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <zmq.hpp>

#include <array>
#include <atomic>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>

#include "source/curve_keys.hpp"
#include "source/file_descriptor.hpp"
#include "source/tcp_address.hpp"

namespace dtranspose {

namespace {

/// The first part of a message, in the byte order of the machine: processes of one system run the same
/// program.
struct piece_head {
  static constexpr std::uint32_t magic = 0x42'54'44'01; ///< its lowest byte counts versions
  std::uint32_t what = magic;
  std::uint32_t frames = 0;
  std::uint64_t scan_high = 0, scan_low = 0;
  std::uint64_t ticket = 0, sequence = 0;
};
static_assert(sizeof(piece_head) == 40 && std::is_trivially_copyable_v<piece_head>);

constexpr std::size_t most_frames = 1 << 16;
/// Larger than any detector's image: who announces more is no peer of ours.
constexpr std::int64_t largest_frame = std::int64_t{1} << 32;

void set_common(zmq::socket_t& socket, const bulk_limits& limits) {
  auto ms = [](auto d) { return static_cast<int>(d / std::chrono::milliseconds(1)); };
  // What is under way is bounded by the credit of the workers.
  socket.set(zmq::sockopt::sndhwm, 0);
  socket.set(zmq::sockopt::rcvhwm, 0);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::maxmsgsize, largest_frame);
  socket.set(zmq::sockopt::heartbeat_ivl, ms(limits.heartbeat));
  socket.set(zmq::sockopt::heartbeat_timeout, ms(limits.timeout));
  socket.set(zmq::sockopt::handshake_ivl, ms(limits.timeout));
  socket.set(zmq::sockopt::connect_timeout, ms(limits.timeout));
  socket.set(zmq::sockopt::ipv6, 1);
}

class zmq_outlet final : public bulk_outlet {
 public:
  zmq_outlet(std::shared_ptr<zmq::context_t> context, const bulk_address& to, const bulk_limits& limits)
      : context_(std::move(context)), socket_(*context_, zmq::socket_type::push),
        events_(*context_, zmq::socket_type::pair) {
    set_common(socket_, limits);
    // A connection that was lost has lost frames: nothing may go on over another one unnoticed.
    socket_.set(zmq::sockopt::reconnect_ivl, -1);
    if (!to.key.empty()) prove(to.key);
    static std::atomic<unsigned> outlets = 0;
    auto watch = fmt::format("inproc://dtranspose-outlet-{}", ++outlets);
    if (zmq_socket_monitor(socket_.handle(), watch.c_str(), ZMQ_EVENT_ALL) != 0) throw zmq::error_t();
    events_.connect(watch);
    socket_.connect(to.url);
  }
  ~zmq_outlet() override { zmq_socket_monitor(socket_.handle(), nullptr, 0); }
  zmq_outlet(const zmq_outlet&) = delete;
  zmq_outlet& operator=(const zmq_outlet&) = delete;

  void send(const scan_id& scan, std::uint64_t ticket, std::uint64_t sequence,
            std::vector<stream_data> entries) override {
    piece_head head{.scan_high = scan.high, .scan_low = scan.low, .ticket = ticket, .sequence = sequence};
    for (auto& entry : entries) head.frames += static_cast<std::uint32_t>(entry.frames().size());
    send_part(zmq::message_t(&head, sizeof head), head.frames > 0);
    std::uint32_t sent = 0;
    for (auto& entry : entries)
      for (auto& f : entry.frames()) send_part(shared(f, entry), ++sent < head.frames);
  }

  condition look() override {
    zmq::message_t event, address;
    while (events_.recv(event, zmq::recv_flags::dontwait)) {
      (void)events_.recv(address);
      std::uint16_t kind = 0;
      std::memcpy(&kind, event.data(), sizeof kind);
      note(kind);
    }
    return condition_;
  }

 private:
  void prove(const std::string& key) {
    auto own = make_curve_pair();
    socket_.set(zmq::sockopt::curve_serverkey, key);
    socket_.set(zmq::sockopt::curve_publickey, own.public_key);
    socket_.set(zmq::sockopt::curve_secretkey, own.secret_key);
  }

  void note(std::uint16_t kind) {
    constexpr int ends = ZMQ_EVENT_DISCONNECTED | ZMQ_EVENT_CLOSED | ZMQ_EVENT_CLOSE_FAILED |
                         ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL | ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL |
                         ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;
    if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED && condition_ == condition::connecting)
      condition_ = condition::connected;
    if ((kind & ends) != 0 && condition_ != condition::unreachable)
      condition_ = condition_ == condition::connecting ? condition::unreachable : condition::lost;
  }

  /// The bytes stay where they are; the message holds on to them.
  static zmq::message_t shared(const frame& f, const stream_data& owner) {
    // Short ones lie within ZeroMQ's message, which is cheaper than to hold on to anything.
    constexpr std::size_t short_frame = 512;
    if (f.size() <= short_frame) return {f.data(), f.size()};
    auto keep = std::make_unique<stream_data>(owner);
    zmq::message_t part(
        const_cast<std::byte*>(f.data()), f.size(),
        [](void*, void* hint) { delete static_cast<stream_data*>(hint); }, keep.get());
    (void)keep.release();
    return part;
  }

  void send_part(zmq::message_t part, bool more) {
    auto flags = more ? ZMQ_SNDMORE | ZMQ_DONTWAIT : ZMQ_DONTWAIT;
    while (zmq_msg_send(part.handle(), socket_.handle(), flags) < 0) {
      if (errno == EINTR) continue;
      // There is nobody: what was connected is gone, which its events will tell.
      if (errno == EAGAIN) return;
      throw zmq::error_t();
    }
  }

  std::shared_ptr<zmq::context_t> context_;
  zmq::socket_t socket_, events_;
  condition condition_ = condition::connecting;
};

} // namespace

bulk_outlet_factory zmq_bulk_outlets(const std::shared_ptr<zmq::context_t>& context, bulk_limits limits) {
  return [=](const bulk_address& to) -> std::unique_ptr<bulk_outlet> {
    try {
      return std::make_unique<zmq_outlet>(context, to, limits);
    } catch (const zmq::error_t& e) {
      throw std::runtime_error(fmt::format("{}: {}", to.url, e.what()));
    }
  };
}

// -- the inlet ------------------------------------------------------------------------------------------

class bulk_inlet::receiving {
 public:
  explicit receiving(options o) : options_(std::move(o)), socket_(context_, zmq::socket_type::pull) {
    set_common(socket_, options_.limits);
    if (options_.encrypted) {
      auto own = make_curve_pair();
      socket_.set(zmq::sockopt::curve_server, true);
      socket_.set(zmq::sockopt::curve_secretkey, own.secret_key);
      address_.key = own.public_key;
    }
    listen();
    thread_ = std::thread([this] { run(); });
  }

  ~receiving() {
    stopping_ = true;
    bell_.ring();
    thread_.join();
  }
  receiving(const receiving&) = delete;
  receiving& operator=(const receiving&) = delete;

  const bulk_address& address() const { return address_; }

 private:
  /// Everything that `shared_ptr` keeps for the frames of a piece.
  using parts = std::vector<zmq::message_t>;

  void listen() {
    auto port = options_.port == 0 ? std::string("*") : std::to_string(options_.port);
    auto found = look_up({options_.host, port}, true);
    if (found.addresses.empty()) fail(found.error);
    auto url = url_of(found.addresses.front());
    if (options_.port == 0) url = url.substr(0, url.rfind(':')) + ":*";
    try {
      socket_.bind(url);
    } catch (const zmq::error_t& e) {
      fail(e.what());
    }
    // Peers know us by the name that they were given, not by what it means here.
    auto bound = socket_.get(zmq::sockopt::last_endpoint);
    auto v6 = options_.host.find(':') != std::string::npos;
    address_.url = fmt::format("tcp://{}{}{}{}", v6 ? "[" : "", options_.host, v6 ? "]" : "",
                               bound.substr(bound.rfind(':')));
  }

  [[noreturn]] void fail(const std::string& why) const {
    throw std::runtime_error(fmt::format("cannot take frames of other processes at {}:{}: {} (see [cluster] "
                                         "listen, bulk_port)",
                                         options_.host, options_.port, why));
  }

  void run() {
    while (!stopping_) {
      try {
        while (!stopping_ && receive()) {
        }
        wait();
      } catch (const zmq::error_t& e) {
        if (e.num() != EINTR) spdlog::error("frames of other processes: {}", e.what());
      }
    }
    socket_.close();
  }

  void wait() {
    std::array<zmq_pollitem_t, 2> items = {
        {{nullptr, bell_.fd(), ZMQ_POLLIN, 0}, {socket_.handle(), 0, ZMQ_POLLIN, 0}}};
    if (zmq_poll(items.data(), items.size(), -1) < 0 && errno != EINTR) throw zmq::error_t();
  }

  /// One piece; false: none is there.
  bool receive() {
    zmq::message_t first;
    if (!socket_.recv(first, zmq::recv_flags::dontwait)) return false;
    auto list = std::make_shared<parts>();
    piece_head head;
    bool good = first.size() == sizeof head;
    if (good) std::memcpy(&head, first.data(), sizeof head);
    good = good && head.what == piece_head::magic && head.frames <= most_frames;
    if (good) list->reserve(head.frames);
    for (bool more = first.more(); more;) {
      zmq::message_t part;
      (void)socket_.recv(part);
      more = part.more();
      if (good && list->size() < head.frames)
        list->push_back(std::move(part));
      else
        good = false;
    }
    if (!good || list->size() != head.frames) {
      spdlog::warn("frames of other processes: something that is none of ours came to {}", address_.url);
      return true;
    }
    auto piece = std::make_shared<bulk_piece>();
    piece->scan = {head.scan_high, head.scan_low};
    piece->ticket = head.ticket;
    piece->sequence = head.sequence;
    piece->frames.reserve(list->size());
    for (auto& part : *list) piece->frames.emplace_back(part.data(), part.size());
    piece->keep = std::move(list);
    options_.sink(std::move(piece));
    return true;
  }

  options options_;
  zmq::context_t context_;
  zmq::socket_t socket_;
  bulk_address address_;
  bell bell_;
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

bulk_inlet::bulk_inlet(options o) : receiving_(std::make_unique<receiving>(std::move(o))) {}
bulk_inlet::~bulk_inlet() = default;
const bulk_address& bulk_inlet::address() const { return receiving_->address(); }

} // namespace dtranspose
