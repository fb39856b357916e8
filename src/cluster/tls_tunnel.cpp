#include "cluster/tls_tunnel.hpp"

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <future>
#include <map>
#include <set>
#include <stdexcept>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include "cluster/tls_link.hpp"
#include "source/tcp_address.hpp"

namespace dtranspose {

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using boost::system::error_code;
using clock = std::chrono::steady_clock;

/// A handshake younger than this does not have to give way to a new one.
constexpr auto least_handshake = std::chrono::milliseconds(250);
/// Until a connect is tried to be taken again after the system could not give us one.
constexpr auto pause_after_error = std::chrono::milliseconds(100);
/// Complaints of the same kind are counted for so long, and so many kinds told apart.
constexpr auto complaint_interval = std::chrono::minutes(1);
constexpr std::size_t complaint_kinds = 20;
/// Addresses whose connects are counted apart.
constexpr std::size_t counted_addresses = 4096;

std::string to_text(const tcp::endpoint& endpoint) {
  auto address = endpoint.address().to_string();
  return endpoint.address().is_v6() ? fmt::format("[{}]:{}", address, endpoint.port())
                                    : fmt::format("{}:{}", address, endpoint.port());
}

// --- who connects to a door
// ----------------------------------------------------------------------------------

/// As the kernel's tables of sockets write an address of IPv4.
std::string table_entry(const tcp::endpoint& endpoint) {
  auto bytes = endpoint.address().to_v4().to_bytes();
  std::uint32_t raw = 0;
  std::memcpy(&raw, bytes.data(), sizeof raw);
  return fmt::format("{:08X}:{:04X}", raw, endpoint.port());
}

enum class search { found, not_found, no_table };

/// The user of the socket at `own`, connected to `other`, from lines "N: OWN OTHER STATE TX:RX TR:WHEN RETRY
/// USER".
search find_user(const char* table, const std::string& own, const std::string& other, uid_t& user) {
  std::ifstream lines(table);
  if (!lines) return search::no_table;
  for (std::string line; std::getline(lines, line);) {
    char line_own[64], line_other[64];
    unsigned line_user = 0;
    if (std::sscanf(line.c_str(), " %*[^:]: %63s %63s %*s %*s %*s %*s %u", line_own, line_other,
                    &line_user) != 3)
      continue;
    if (own != line_own || other != line_other) continue;
    user = line_user;
    return search::found;
  }
  return search::not_found;
}

/// Does the socket at the other end of a connection on loopback belong to our own user? Yes if the kernel
/// does not tell.
bool is_of_our_user(const tcp::endpoint& peer, const tcp::endpoint& door) {
  auto own = table_entry(peer), other = table_entry(door);
  // A socket of IPv6 may be connected to an address of IPv4.
  const std::string mapped = "0000000000000000FFFF0000";
  bool told = false;
  // A table that changes while it is read may lack a line.
  for (int attempt = 0; attempt < 3; ++attempt) {
    uid_t user = 0;
    auto result = find_user("/proc/net/tcp", own, other, user);
    if (result == search::not_found) result = find_user("/proc/net/tcp6", mapped + own, mapped + other, user);
    if (result == search::found) return user == geteuid();
    told = told || result == search::not_found;
  }
  return !told;
}

// --- what is refused
// -----------------------------------------------------------------------------------------

/// Logs each kind of complaint once in a while, so that nobody can fill the disk.
class complaints {
 public:
  /// `kind` tells which are alike; `text` is the line.
  void note(const std::string& kind, const std::string& text) {
    if (auto known = seen_.find(kind); known != seen_.end())
      ++known->second;
    else if (seen_.size() < complaint_kinds) {
      seen_.emplace(kind, 0);
      spdlog::warn("{}", text);
    } else
      ++others_;
  }

  bool empty() const { return seen_.empty(); }

  /// Says what was only counted, and begins anew.
  void sum_up() {
    auto more = others_;
    for (auto& [kind, count] : seen_) more += count;
    if (more > 0) spdlog::warn("TLS: {} more connections like those failed or were refused", more);
    seen_.clear();
    others_ = 0;
  }

 private:
  std::map<std::string, std::uint64_t> seen_;
  std::uint64_t others_ = 0;
};

/// Counts connects by address, from one second to the next.
class connect_rate {
 public:
  explicit connect_rate(std::size_t limit) : limit_(limit) {}

  bool allows(const asio::ip::address& address) {
    auto now = clock::now();
    if (now >= until_ || counts_.size() >= counted_addresses) {
      counts_.clear();
      until_ = now + std::chrono::seconds(1);
    }
    return ++counts_[key_of(address)] <= limit_;
  }

 private:
  /// A host may have 2^64 addresses of IPv6.
  static std::uint64_t key_of(const asio::ip::address& address) {
    if (address.is_v4()) return address.to_v4().to_uint();
    std::uint64_t key = 0;
    std::memcpy(&key, address.to_v6().to_bytes().data(), sizeof key);
    return key;
  }

  const std::size_t limit_;
  clock::time_point until_;
  std::map<std::uint64_t, std::size_t> counts_;
};

// --- where connections are taken
// -----------------------------------------------------------------------------

tcp::acceptor open_acceptor(asio::io_context& io, const tcp::endpoint& at, bool reuse) {
  tcp::acceptor acceptor(io, at.protocol());
  (void)fcntl(acceptor.native_handle(), F_SETFD, FD_CLOEXEC);
  acceptor.set_option(asio::socket_base::reuse_address(reuse));
  acceptor.bind(at);
  acceptor.listen();
  return acceptor;
}

struct gate {
  tcp::acceptor acceptor;
  asio::steady_timer pause;
  std::uint16_t local_port;
};

struct door {
  tcp::acceptor acceptor;
  asio::steady_timer timer;
  std::string host;
  std::uint16_t port;
};

} // namespace

/// All but the constructor, `run` and `status` is of the thread of the tunnel.
class tls_tunnel::inside final : public tls_link_owner {
 public:
  inside(std::shared_ptr<ssl_ctx_st> context, tls_limits limits)
      : context_(std::move(context)), limits_(limits), rate_(limits.connects_per_second), summary_(io_) {
    thread_ = std::thread([this] { run(); });
  }

  ~inside() {
    asio::post(io_, [this] { close_all(); });
    thread_.join();
  }

  asio::io_context& io() { return io_; }
  const ssl_ctx_st& context() const { return *context_; }

  /// Does something in the thread of the tunnel and returns what that returns.
  template <class Action>
  auto in_thread(Action action) {
    std::packaged_task<decltype(action())()> task(std::move(action));
    auto result = task.get_future();
    asio::post(io_, [&task] { task(); });
    return result.get();
  }

  void add_gate(tcp::acceptor acceptor, std::uint16_t local_port) {
    auto added = std::make_shared<gate>(gate{std::move(acceptor), asio::steady_timer(io_), local_port});
    gates_.push_back(added);
    take_next(added);
  }

  /// False: there are too many.
  bool add_door(tcp::acceptor acceptor, const std::string& host, std::uint16_t port) {
    if (is_full()) return false;
    auto added = std::make_shared<door>(door{std::move(acceptor), asio::steady_timer(io_), host, port});
    doors_.insert(added);
    added->timer.expires_after(limits_.door);
    added->timer.async_wait([this, added](error_code error) {
      if (!error && close(added)) ++unused_doors_;
    });
    take_next(added);
    return true;
  }

  counts status() const {
    return {open_, accepted_, dialled_, refused_, failed_handshakes_, timed_out_, unused_doors_};
  }

 private:
  void run() {
    while (true) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {
        // Of the link that wanted it, nothing goes on; what has a time limit is ended by that.
        spdlog::error("a TLS connection: {}", error.what());
      }
    }
  }

  bool is_full() const { return links_.size() + doors_.size() >= limits_.connections; }

  // --- peers that connect to us ----------------------------------------------------------------------------

  void take_next(const std::shared_ptr<gate>& at) {
    if (closing_) return;
    if (auto wait = until_there_is_room(); wait > clock::duration::zero()) return take_later(at, wait);
    at->acceptor.async_accept([this, at](error_code error, tcp::socket socket) {
      if (closing_) return;
      if (error) {
        complain("accept", fmt::format("cannot take TLS connections: {}", error.message()));
        return take_later(at, pause_after_error);
      }
      take(std::move(socket), at->local_port);
      take_next(at);
    });
  }

  void take_later(const std::shared_ptr<gate>& at, clock::duration wait) {
    at->pause.expires_after(wait);
    at->pause.async_wait([this, at](error_code error) {
      if (!error) take_next(at);
    });
  }

  void take(tcp::socket socket, std::uint16_t local_port) {
    error_code error;
    auto peer = socket.remote_endpoint(error);
    if (error) { // it has gone again
      ++failed_handshakes_;
      return;
    }
    if (is_full()) return refuse(peer, fmt::format("there are {} connections already", limits_.connections));
    if (!rate_.allows(peer.address()))
      return refuse(peer, fmt::format("more than {} connects in a second", limits_.connects_per_second));
    auto link = std::make_shared<tls_link>(*this, *context_,
                                           tls_link::caller{std::move(socket), to_text(peer), local_port});
    links_.insert(link);
    handshakes_.push_back(link.get());
    link->start(limits_.handshake);
  }

  void refuse(const tcp::endpoint& peer, const std::string& why) {
    ++refused_;
    complain(peer.address().to_string() + why,
             fmt::format("refused the connection from {}: {}", to_text(peer), why));
  }

  /// Silent peers must not keep others out: the oldest handshake gives way, unless it has only just begun.
  clock::duration until_there_is_room() {
    while (handshakes_.size() >= limits_.handshakes) {
      auto oldest = handshakes_.front();
      auto left = oldest->begun() + least_handshake - clock::now();
      if (left > clock::duration::zero()) return left;
      oldest->cut(tls_ending::timed_out, "no TLS handshake before too many others came");
    }
    return {};
  }

  // --- peers to whom we connect ----------------------------------------------------------------------------

  void take_next(const std::shared_ptr<door>& at) {
    at->acceptor.async_accept([this, at](error_code error, tcp::socket socket) {
      if (!doors_.contains(at)) return;
      if (error) {
        complain("door", fmt::format("cannot connect to {}:{}: {}", at->host, at->port, error.message()));
        close(at);
      } else if (!is_ours(socket)) {
        take_next(at);
      } else if (close(at)) {
        auto link = std::make_shared<tls_link>(*this, *context_,
                                               tls_link::call{std::move(socket), at->host, at->port});
        links_.insert(link);
        link->start(limits_.handshake);
      }
    });
  }

  bool is_ours(const tcp::socket& socket) {
    error_code error;
    auto peer = socket.remote_endpoint(error);
    if (error) return false;
    auto door = socket.local_endpoint(error);
    if (error) return false;
    if (is_of_our_user(peer, door)) return true;
    ++refused_;
    complain("door",
             fmt::format("refused the connection of another user of this machine, from {}", to_text(peer)));
    return false;
  }

  /// False: it was closed before. `at` is a copy: the set must not take it away in between.
  bool close(std::shared_ptr<door> at) { // NOLINT(performance-unnecessary-value-param)
    if (doors_.erase(at) == 0) return false;
    error_code ignored;
    at->acceptor.close(ignored);
    at->timer.cancel();
    return true;
  }

  // --- what becomes of them --------------------------------------------------------------------------------

  void established(tls_link& link) override {
    std::erase(handshakes_, &link);
    proven_.insert(&link);
    ++open_;
    ++(link.dials() ? dialled_ : accepted_);
    spdlog::debug("TLS with {}", link.peer());
  }

  void ended(tls_link& link, tls_ending how, const std::string& why) override {
    std::erase(handshakes_, &link);
    if (proven_.erase(&link) > 0) --open_;
    links_.erase(link.shared_from_this());
    if (how == tls_ending::failed) ++failed_handshakes_;
    if (how == tls_ending::timed_out) ++timed_out_;
    if (how == tls_ending::failed || how == tls_ending::timed_out) complain(link, why);
    if (how == tls_ending::broken) spdlog::debug("TLS with {} has ended: {}", link.peer(), why);
  }

  void complain(const tls_link& link, const std::string& why) {
    auto& peer = link.peer();
    if (link.dials())
      complain(peer + why, fmt::format("cannot connect to {}: {}", peer, why));
    else
      complain(peer.substr(0, peer.rfind(':')) + why,
               fmt::format("refused the connection from {}: {}", peer, why));
  }

  void complain(const std::string& kind, const std::string& text) {
    if (closing_) return;
    if (complaints_.empty()) {
      summary_.expires_after(complaint_interval);
      summary_.async_wait([this](error_code error) {
        if (!error) complaints_.sum_up();
      });
    }
    complaints_.note(kind, text);
  }

  void close_all() {
    closing_ = true;
    work_.reset();
    summary_.cancel();
    complaints_.sum_up();
    for (auto& at : gates_) {
      error_code ignored;
      at->acceptor.close(ignored);
      at->pause.cancel();
    }
    while (!doors_.empty()) close(*doors_.begin());
    auto links = links_;
    for (auto& link : links) link->wind_up();
  }

  std::shared_ptr<ssl_ctx_st> context_;
  const tls_limits limits_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};

  std::vector<std::shared_ptr<gate>> gates_;
  std::set<std::shared_ptr<door>> doors_;
  std::set<std::shared_ptr<tls_link>> links_;
  std::vector<tls_link*> handshakes_; ///< of peers that connected to us, the oldest first
  std::set<tls_link*> proven_;
  connect_rate rate_;
  complaints complaints_;
  asio::steady_timer summary_;
  bool closing_ = false;

  std::atomic<std::size_t> open_ = 0;
  std::atomic<std::uint64_t> accepted_ = 0, dialled_ = 0, refused_ = 0, failed_handshakes_ = 0,
                             timed_out_ = 0, unused_doors_ = 0;

  std::thread thread_;
};

tls_tunnel::tls_tunnel(const tls_files& files, tls_limits limits)
    : inside_(std::make_unique<inside>(make_tls_context(files), limits)) {}

tls_tunnel::~tls_tunnel() = default;

std::uint16_t tls_tunnel::listen(const std::string& host, std::uint16_t port, std::uint16_t local_port) {
  auto fail = [&](const std::string& why) {
    throw std::runtime_error(fmt::format("cannot take TLS connections at {}:{}: {}", host, port, why));
  };
  if (!bears_names(inside_->context()))
    fail("the certificate bears no name or address (subjectAltName), so no peer would trust it");
  auto found = look_up({host, std::to_string(port)}, true);
  if (found.addresses.empty()) fail(found.error);
  try {
    auto acceptor = open_acceptor(inside_->io(), endpoint_of(found.addresses.front()), true);
    auto taken = acceptor.local_endpoint().port();
    inside_->in_thread([&] { inside_->add_gate(std::move(acceptor), local_port); });
    return taken;
  } catch (const boost::system::system_error& error) {
    fail(error.code().message());
  }
  return 0;
}

std::uint16_t tls_tunnel::door_to(const std::string& host, std::uint16_t port) {
  auto fail = [&](const std::string& why) {
    throw std::runtime_error(fmt::format("cannot connect to {}:{}: {}", host, port, why));
  };
  try {
    // The port is not reused: as long as a connection that was made through it lives, no other door has it.
    auto acceptor = open_acceptor(inside_->io(), {asio::ip::address_v4::loopback(), 0}, false);
    auto taken = acceptor.local_endpoint().port();
    if (inside_->in_thread([&] { return inside_->add_door(std::move(acceptor), host, port); })) return taken;
    fail("there are too many connections already");
  } catch (const boost::system::system_error& error) {
    fail(error.code().message());
  }
  return 0;
}

tls_tunnel::counts tls_tunnel::status() const { return inside_->status(); }

} // namespace dtranspose
