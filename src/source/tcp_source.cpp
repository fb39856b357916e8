#include "source/tcp_source.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "source/file_descriptor.hpp"
#include "source/tcp_address.hpp"

namespace dtranspose {

namespace {

using clock = std::chrono::steady_clock;

/// How long arming may take to empty a socket that is filled as fast as it is emptied.
constexpr auto emptying_limit = std::chrono::milliseconds(500);
/// From one attempt to connect to the next.
constexpr auto attempt_interval = std::chrono::seconds(1);
/// An address that has not answered by then is given up: the next may.
constexpr auto connect_limit = std::chrono::seconds(5);
/// A silent connection is probed after this, and given up after so many probes without an answer.
constexpr int keep_alive_idle_s = 10, keep_alive_interval_s = 5, keep_alive_probes = 3;

void set_option(int socket, int level, int option, int value) {
  (void)setsockopt(socket, level, option, &value, sizeof value);
}

/// A piece as it was received, in memory of its size.
class piece_frames final : public frame_owner {
 public:
  piece_frames(std::unique_ptr<std::byte[]> memory, std::size_t size)
      : memory_(std::move(memory)), view_(memory_.get(), size) {
    set_frames({&view_, 1});
  }

 private:
  std::unique_ptr<std::byte[]> memory_;
  frame view_;
};

/// What an instrument said before it hung up, on one line and readable.
std::string readable(std::string_view said) {
  auto line = said.substr(0, said.find('\n'));
  std::string text;
  for (char c : line) text += c < ' ' || c > '~' ? '?' : c;
  return text;
}

class tcp_source final : public source {
 public:
  explicit tcp_source(tcp_source_options options) : options_(std::move(options)) {
    status_.address = options_.url;
    if (auto endpoint = parse_tcp_url(options_.url))
      endpoint_ = *endpoint;
    else
      fail("this is no address of the form tcp://HOST:PORT");
    show_reading();
    thread_ = std::thread([this] { run(); });
  }

  ~tcp_source() override {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    alert();
    thread_.join();
  }

  void arm(packet_sink sink) override { replace_sink(std::move(sink)); }
  void disarm() override { replace_sink({}); }

  void allow(std::uint64_t bytes, std::uint64_t beyond) override {
    {
      std::lock_guard lock(mutex_);
      new_allowance_ = {bytes, beyond};
    }
    alert();
  }

  source_status status() const override {
    std::lock_guard lock(mutex_);
    auto status = status_;
    status.discarded = discarded_.load(std::memory_order_relaxed);
    return status;
  }

 private:
  struct allowance {
    std::uint64_t bytes = 0;
    std::uint64_t beyond = 0; ///< a piece passes as long as less than this was counted
  };

  enum class phase : std::uint8_t { waiting, looking_up, connecting, connected };

  // --- called from other threads --------------------------------------------------------------------------

  /// Returns once the thread of the source works with it.
  void replace_sink(packet_sink sink) {
    std::unique_lock lock(mutex_);
    new_sink_ = std::move(sink);
    new_allowance_.reset();
    auto change = ++changes_wanted_;
    alert();
    changed_.wait(lock, [&] { return changes_made_ >= change; });
  }

  /// Whatever was written under the lock before this is seen by the thread: it clears the bell first.
  void alert() {
    alerted_.store(true, std::memory_order_release);
    bell_.ring();
  }

  // --- the thread of the source ---------------------------------------------------------------------------

  void run() {
    while (take_commands()) step();
  }

  /// False: stop.
  bool take_commands() {
    if (!alerted_.exchange(false, std::memory_order_acquire)) return true;
    bell_.clear();
    std::unique_lock lock(mutex_);
    if (stop_) return false;
    if (auto change = changes_wanted_; changes_made_ != change) {
      auto old_sink = std::exchange(sink_, std::move(new_sink_));
      lock.unlock();
      old_sink = {};
      prepare_for_scan();
      lock.lock();
      changes_made_ = change;
      changed_.notify_all();
    }
    allowance_ = std::exchange(new_allowance_, std::nullopt).value_or(allowance_);
    return true;
  }

  void prepare_for_scan() {
    counted_ = 0;
    allowance_ = {};
    if (sink_) empty_socket();
    lost_in_scan_ = false;
    options_.format->reset();
  }

  void empty_socket() {
    auto until = clock::now() + emptying_limit;
    while (phase_ == phase::connected && drop_some() && clock::now() < until) {
    }
  }

  void step() {
    show_reading();
    switch (phase_) {
    case phase::waiting:
      return wait_for_next_attempt();
    case phase::looking_up:
      return take_addresses();
    case phase::connecting:
      return finish_connecting();
    case phase::connected:
      return receive();
    }
  }

  bool may_read() const { return !sink_ || counted_ < allowed(); }
  std::uint64_t allowed() const { return std::max(allowance_.bytes, allowance_.beyond); }

  // --- receiving ------------------------------------------------------------------------------------------

  void receive() {
    bool busy = !sink_ ? drop_some() : may_read() && receive_batch();
    if (phase_ != phase::connected) return;
    forgive();
    if (busy) return;
    wait(may_read() ? socket_.get() : -1, POLLIN, unforgiven_ ? connected_at_ + attempt_interval : never);
  }

  /// Drops a piece; false: nothing was waiting.
  bool drop_some() {
    std::array<std::byte, tcp_piece_bytes> piece;
    auto size = receive_into(piece.data(), piece.size());
    if (size == 0) return false;
    discarded_.fetch_add(1, std::memory_order_relaxed);
    return true;
  }

  /// Hands over what is waiting, up to a batch; false: nothing was.
  bool receive_batch() {
    auto batch = std::make_shared<packet_batch>();
    batch->packets.reserve(last_batch_packets_);
    std::size_t received = 0;
    while (received < tcp_batch_bytes && batch->packets.size() < tcp_batch_packets && may_read()) {
      auto size = receive_piece(*batch);
      if (size == 0) break;
      received += size;
    }
    if (received == 0) return false;
    last_batch_packets_ = batch->packets.size();
    sink_(std::move(batch));
    return true;
  }

  /// Its size; 0: nothing was waiting.
  std::size_t receive_piece(packet_batch& batch) {
    auto waiting = bytes_waiting();
    if (waiting == 0) return 0;
    auto room = std::clamp<std::uint64_t>(allowed() - counted_, tcp_least_piece_bytes, tcp_piece_bytes);
    auto limit = std::min<std::size_t>(waiting, room);
    auto memory = std::make_unique_for_overwrite<std::byte[]>(limit);
    auto size = receive_into(memory.get(), limit);
    if (size == 0) return 0;
    auto& format = *options_.format;
    auto first = batch.packets.size();
    format.read(stream_data(std::make_unique<piece_frames>(std::move(memory), size), format.type_tag()),
                batch.packets);
    count(size, first, batch);
    return size;
  }

  void count(std::size_t received, std::size_t first_packet, packet_batch& batch) {
    std::uint64_t made = 0;
    for (auto i = first_packet; i < batch.packets.size(); ++i)
      if (auto& data = batch.packets[i].data) made += budgeted_bytes(data.bytes());
    auto bytes = std::max(budgeted_bytes(received), made);
    batch.bytes += bytes;
    counted_ += bytes;
  }

  /// At least 1 if there is anything to find out, an end of the connection included.
  std::size_t bytes_waiting() {
    while (true) {
      int waiting = 0;
      if (ioctl(socket_.get(), FIONREAD, &waiting) != 0) return 1;
      if (waiting > 0) return static_cast<std::size_t>(waiting);
      std::byte first;
      auto size = recv(socket_.get(), &first, 1, MSG_PEEK | MSG_DONTWAIT);
      if (size > 0) continue; // it came just now
      return size == 0 || errno != EAGAIN ? 1 : 0;
    }
  }

  /// How much was received; 0: nothing is waiting, or the connection was lost.
  std::size_t receive_into(std::byte* to, std::size_t limit) {
    ssize_t size = 0;
    do size = recv(socket_.get(), to, limit, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return 0;
    if (size <= 0) {
      lose(size < 0 ? errno : 0);
      return 0;
    }
    remember({reinterpret_cast<const char*>(to), static_cast<std::size_t>(size)});
    return static_cast<std::size_t>(size);
  }

  /// Keeps the beginning of a connection, as long as it may be all of it.
  void remember(std::string_view received) {
    if (said_too_much_) return;
    said_too_much_ = said_.size() + received.size() > tcp_farewell_bytes;
    if (said_too_much_)
      said_.clear();
    else
      said_ += received;
  }

  // --- connecting -----------------------------------------------------------------------------------------

  void wait_for_next_attempt() {
    if (!endpoint_) return wait(-1, 0, never);
    if (clock::now() < next_attempt_) return wait(-1, 0, next_attempt_);
    next_attempt_ = clock::now() + attempt_interval;
    try {
      look_up_.emplace(*endpoint_);
      phase_ = phase::looking_up;
    } catch (const std::system_error& error) {
      fail(error.what());
    }
  }

  void take_addresses() {
    auto found = look_up_->result();
    if (!found) return wait(look_up_->fd(), POLLIN, never);
    look_up_.reset();
    if (found->addresses.empty()) return give_up_attempt(found->error);
    addresses_ = std::move(found->addresses);
    next_address_ = 0;
    connect_to_next("");
  }

  /// Begins to connect to the next address. `why`: what became of the one before.
  void connect_to_next(const std::string& why) {
    if (next_address_ == addresses_.size()) return give_up_attempt(why);
    auto& address = addresses_[next_address_++];
    socket_ = file_descriptor(socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    phase_ = phase::connecting;
    connect_by_ = clock::now() + connect_limit;
    if (!socket_ || (connect(socket_.get(), address.get(), address.size) != 0 && errno != EINPROGRESS))
      connect_to_next(std::strerror(errno));
  }

  void finish_connecting() {
    auto fd = socket_.get();
    pollfd ready = {fd, POLLOUT, 0};
    if (poll(&ready, 1, 0) <= 0) {
      if (clock::now() >= connect_by_) return connect_to_next(std::strerror(ETIMEDOUT));
      return wait(fd, POLLOUT, connect_by_);
    }
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    // A socket of this machine that connects where nobody listens may happen to connect to itself.
    if (error == 0 && url_of(local_address(fd)) == url_of(peer_address(fd))) error = ECONNREFUSED;
    if (error == 0) error = greet();
    if (error != 0) return connect_to_next(std::strerror(error));
    begin_reading();
  }

  /// An error number, or 0.
  int greet() {
    // An instrument that lost its power says no goodbye; this finds out.
    set_option(socket_.get(), SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(socket_.get(), IPPROTO_TCP, TCP_KEEPIDLE, keep_alive_idle_s);
    set_option(socket_.get(), IPPROTO_TCP, TCP_KEEPINTVL, keep_alive_interval_s);
    set_option(socket_.get(), IPPROTO_TCP, TCP_KEEPCNT, keep_alive_probes);
    auto greeting = options_.format->greeting();
    if (greeting.empty()) return 0;
    // A fresh connection takes some bytes at once.
    auto sent = send(socket_.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL);
    if (sent < 0) return errno;
    return static_cast<std::size_t>(sent) == greeting.size() ? 0 : ENOBUFS;
  }

  void begin_reading() {
    phase_ = phase::connected;
    connected_at_ = clock::now();
    said_.clear();
    said_too_much_ = false;
    show_connected(true);
    if (!unforgiven_) show_error("");
    if (!std::exchange(lost_in_scan_, false)) return;
    auto batch = std::make_shared<packet_batch>();
    options_.format->interrupted(batch->packets);
    if (!batch->packets.empty()) sink_(std::move(batch));
  }

  // --- losing and failing ---------------------------------------------------------------------------------

  void lose(int error) {
    socket_.close();
    phase_ = phase::waiting;
    lost_in_scan_ = lost_in_scan_ || sink_;
    show_connected(false);
    unforgiven_ = error == 0 && !said_too_much_ && !said_.empty();
    if (unforgiven_)
      show_error("it closed the connection, saying: " + readable(said_));
    else if (error != 0)
      show_error(std::strerror(error));
  }

  /// What an instrument said before it hung up is shown until it has not done so again for a while: it will
  /// refuse us as often as we try.
  void forgive() {
    if (!unforgiven_ || (clock::now() < connected_at_ + attempt_interval && !said_too_much_)) return;
    unforgiven_ = false;
    show_error("");
  }

  void give_up_attempt(const std::string& why) {
    socket_.close();
    unforgiven_ = false;
    fail(why);
  }

  void fail(const std::string& why) {
    phase_ = phase::waiting;
    show_error(why);
  }

  /// Returns when a command or the descriptor (negative: none) has something, or at `until`.
  void wait(int fd, short events, clock::time_point until) {
    std::array<pollfd, 2> items = {{{bell_.fd(), POLLIN, 0}, {fd, events, 0}}};
    int timeout = -1;
    if (until != never) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(until - clock::now());
      timeout = static_cast<int>(std::max<std::int64_t>(left.count(), 0));
    }
    (void)poll(items.data(), items.size(), timeout);
  }

  void show_connected(bool connected) {
    std::lock_guard lock(mutex_);
    status_.connected = connected;
  }

  void show_reading() {
    auto reading = may_read() && endpoint_;
    if (reading == shown_reading_) return;
    std::lock_guard lock(mutex_);
    status_.reading = shown_reading_ = reading;
  }

  void show_error(const std::string& why) {
    std::lock_guard lock(mutex_);
    status_.error = why.empty() ? "" : "cannot read from " + options_.url + ": " + why;
  }

  static constexpr auto never = clock::time_point::max();

  tcp_source_options options_;
  std::optional<tcp_endpoint> endpoint_; ///< nothing: the URL is none

  // Under the mutex: what other threads want, and what they are shown.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t changes_wanted_ = 0, changes_made_ = 0;
  packet_sink new_sink_;
  std::optional<allowance> new_allowance_;
  bool stop_ = false;
  source_status status_;

  std::atomic<bool> alerted_ = false;
  std::atomic<std::uint64_t> discarded_ = 0;
  bell bell_;

  // Of the thread of the source alone, once that runs.
  phase phase_ = phase::waiting;
  clock::time_point next_attempt_, connect_by_, connected_at_;
  std::optional<name_lookup> look_up_;
  std::vector<socket_address> addresses_;
  std::size_t next_address_ = 0;
  file_descriptor socket_;
  packet_sink sink_;
  allowance allowance_;
  std::uint64_t counted_ = 0;  ///< since arming
  bool lost_in_scan_ = false;  ///< and not there again
  std::string said_;           ///< all that this connection brought, if it is little
  bool said_too_much_ = false; ///< to be a reason for hanging up
  bool unforgiven_ = false;    ///< the error shown is what an instrument said
  std::size_t last_batch_packets_ = 0;
  bool shown_reading_ = false;

  std::thread thread_;
};

} // namespace

std::unique_ptr<source> make_tcp_source(tcp_source_options options) {
  return std::make_unique<tcp_source>(std::move(options));
}

} // namespace dtranspose
