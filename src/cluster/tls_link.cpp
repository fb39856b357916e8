#include "cluster/tls_link.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include <boost/asio/buffer.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/tcp.h>
#include <poll.h>

namespace dtranspose {

namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;

/// How long a refused peer may take to read why.
constexpr auto farewell = std::chrono::milliseconds(500);
/// How long the last bytes of a closed connection may take when the tunnel ends.
constexpr auto last_moment = std::chrono::seconds(1);
/// What a refused peer may go on to say, unheard.
constexpr std::size_t most_heard_out = std::size_t{64} << 10;
/// A silent connection is probed after this, and given up after so many probes without an answer.
constexpr int keep_alive_idle_s = 10, keep_alive_interval_s = 5, keep_alive_probes = 3;

template <int level, int name>
using number_option = asio::detail::socket_option::integer<level, name>;

std::string to_text(const std::string& host, std::uint16_t port) {
  bool bare = host.find(':') == std::string::npos;
  return bare ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
}

/// Asio's sockets are inherited by programs that are started, which would keep them open.
void keep_private(int fd) { (void)fcntl(fd, F_SETFD, FD_CLOEXEC); }

/// No time limit for unacknowledged bytes: it would also end connections whose reader is merely slow.
void prepare(tcp::socket& socket) {
  boost::system::error_code ignored;
  keep_private(socket.native_handle());
  socket.set_option(tcp::no_delay(true), ignored);
  socket.set_option(asio::socket_base::keep_alive(true), ignored);
  socket.set_option(number_option<IPPROTO_TCP, TCP_KEEPIDLE>(keep_alive_idle_s), ignored);
  socket.set_option(number_option<IPPROTO_TCP, TCP_KEEPINTVL>(keep_alive_interval_s), ignored);
  socket.set_option(number_option<IPPROTO_TCP, TCP_KEEPCNT>(keep_alive_probes), ignored);
}

/// The other side sees a reset, not an end in peace.
void reset(tcp::socket& socket) {
  boost::system::error_code ignored;
  socket.set_option(asio::socket_base::linger(true, 0), ignored);
  socket.close(ignored);
}

asio::const_buffer buffer_of(std::span<const std::byte> bytes) { return {bytes.data(), bytes.size()}; }
asio::mutable_buffer buffer_of(std::span<std::byte> bytes) { return {bytes.data(), bytes.size()}; }

/// Has the other side ended or broken it, even if there is more to read?
bool was_closed(tcp::socket& socket) {
  pollfd state = {socket.native_handle(), POLLRDHUP, 0};
  return poll(&state, 1, 0) == 1;
}

} // namespace

tcp::endpoint endpoint_of(const socket_address& address) {
  tcp::endpoint endpoint;
  endpoint.resize(address.size);
  std::copy_n(reinterpret_cast<const std::byte*>(address.get()), address.size,
              reinterpret_cast<std::byte*>(endpoint.data()));
  return endpoint;
}

tls_link::tls_link(tls_link_owner& owner, ssl_ctx_st& context, caller from)
    : owner_(owner), context_(context), dials_(false), peer_(std::move(from.address)), port_(from.local_port),
      wire_(std::move(from.wire)), plain_(wire_.get_executor()), timer_(wire_.get_executor()),
      looked_up_(wire_.get_executor()) {}

tls_link::tls_link(tls_link_owner& owner, ssl_ctx_st& context, call to)
    : owner_(owner), context_(context), dials_(true), peer_(to_text(to.host, to.port)),
      host_(std::move(to.host)), port_(to.port), wire_(to.plain.get_executor()), plain_(std::move(to.plain)),
      timer_(wire_.get_executor()), looked_up_(wire_.get_executor()) {}

void tls_link::start(std::chrono::milliseconds limit) {
  limit_ = limit;
  give_up_at_ = clock::now() + limit;
  limit_time(limit);
  if (dials_)
    look_up_peer();
  else
    begin_handshake();
}

void tls_link::limit_time(std::chrono::milliseconds limit) {
  timer_.expires_after(limit);
  timer_.async_wait([self = shared_from_this()](error_code error) {
    // A timer that was set anew may have run out already.
    if (!error && self->timer_.expiry() <= clock::now()) self->time_is_up();
  });
}

void tls_link::time_is_up() {
  switch (phase_) {
  case phase::connecting:
    if (clock::now() < give_up_at_ && next_address_ < addresses_.size()) return connect_to_next("");
    return cut(tls_ending::timed_out, look_up_
                                          ? "the name service does not answer"
                                          : fmt::format("it does not answer within {} ms", limit_.count()));
  case phase::shaking_hands:
    return cut(tls_ending::timed_out, fmt::format("no TLS handshake within {} ms", limit_.count()));
  case phase::joining:
    return cut(tls_ending::timed_out, "nobody of this process takes its connection");
  case phase::passing:
    return cut(tls_ending::closed, "");
  case phase::refusing:
    return end(tls_ending::failed, engine_->reason());
  case phase::ended:
    return;
  }
}

// --- connecting -------------------------------------------------------------------------------------------

void tls_link::look_up_peer() {
  try {
    look_up_.emplace(tcp_endpoint{host_, std::to_string(port_)});
  } catch (const std::system_error& error) {
    return cut(tls_ending::failed, error.what());
  }
  auto fd = fcntl(look_up_->fd(), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) return cut(tls_ending::failed, std::strerror(errno));
  looked_up_.assign(fd);
  looked_up_.async_wait(looked_up_.wait_read, [self = shared_from_this()](error_code error) {
    if (!error && self->phase_ == phase::connecting) self->take_addresses();
  });
}

void tls_link::take_addresses() {
  auto found = look_up_->result();
  look_up_.reset();
  looked_up_.close();
  if (!found || found->addresses.empty())
    return cut(tls_ending::failed, found ? found->error : std::string("the name service failed"));
  addresses_ = std::move(found->addresses);
  connect_to_next("");
}

/// Each address has its share of the time: one that swallows everything must not hide the next.
void tls_link::connect_to_next(const std::string& why) {
  if (next_address_ == addresses_.size()) return cut(tls_ending::failed, why);
  auto left = std::chrono::ceil<std::chrono::milliseconds>(give_up_at_ - clock::now());
  limit_time(left / (addresses_.size() - next_address_));
  auto& address = addresses_[next_address_++];
  error_code ignored;
  wire_.close(ignored);
  wire_.async_connect(endpoint_of(address), [self = shared_from_this(), attempt = next_address_](auto error) {
    if (self->phase_ != phase::connecting || self->next_address_ != attempt) return;
    if (error) return self->connect_to_next(error.message());
    self->limit_time(std::chrono::ceil<std::chrono::milliseconds>(self->give_up_at_ - clock::now()));
    self->begin_handshake();
  });
}

void tls_link::begin_handshake() {
  phase_ = phase::shaking_hands;
  prepare(wire_);
  if (dials_)
    engine_.emplace(context_, host_);
  else
    engine_.emplace(context_);
  step();
}

void tls_link::shake_hands() {
  switch (engine_->shake_hands()) {
  case tls_engine::outcome::done:
    wants_input_ = false;
    owner_.established(*this);
    return dials_ ? begin_passing() : join_plain();
  case tls_engine::outcome::wants_input:
    wants_input_ = true;
    return;
  case tls_engine::outcome::failed:
    return refuse();
  default:
    return;
  }
}

/// Only now: nobody who has not proved who he is reaches the port.
void tls_link::join_plain() {
  phase_ = phase::joining;
  tcp::endpoint local(asio::ip::address_v4::loopback(), port_);
  plain_.async_connect(local, [self = shared_from_this()](error_code error) {
    if (self->phase_ != phase::joining) return;
    if (error)
      return self->cut(tls_ending::failed,
                       fmt::format("nobody of this process takes its connection: {}", error.message()));
    self->begin_passing();
    self->step();
  });
}

void tls_link::begin_passing() {
  phase_ = phase::passing;
  timer_.expires_at(clock::time_point::max());
  prepare(plain_);
  from_plain_ = std::make_unique_for_overwrite<std::byte[]>(tls_block_bytes);
  to_plain_ = std::make_unique_for_overwrite<std::byte[]>(tls_block_bytes);
  watch(wire_);
  watch(plain_);
}

/// The peer is told why, and given a moment to read it: closing over unread bytes would take that away.
void tls_link::refuse() {
  phase_ = phase::refusing;
  reset(plain_);
  wants_input_ = true;
  to_plain_ = std::make_unique_for_overwrite<std::byte[]>(tls_block_bytes);
  limit_time(farewell);
}

void tls_link::hear_out() {
  if (sending_ || !engine_->output().empty() || told_wire_) return;
  told_wire_ = true;
  error_code ignored;
  wire_.shutdown(tcp::socket::shutdown_send, ignored);
}

// --- passing ----------------------------------------------------------------------------------------------

/// Whatever can be done now, in both directions; called whenever something has changed.
void tls_link::step() {
  if (phase_ == phase::shaking_hands) shake_hands();
  if (phase_ == phase::passing) {
    decrypt();
    encrypt();
    write_plain();
    read_plain();
    pass_on_ends();
  }
  if (phase_ == phase::ended) return;
  send();
  receive();
  if (phase_ == phase::refusing) hear_out();
  if (done()) end(tls_ending::closed, "");
}

void tls_link::decrypt() {
  if (!incoming_.empty() || wire_ended_ || phase_ != phase::passing) return;
  std::size_t size = 0;
  auto outcome = engine_->read({to_plain_.get(), tls_block_bytes}, size);
  incoming_ = {to_plain_.get(), size};
  wants_input_ = outcome == tls_engine::outcome::wants_input;
  wire_ended_ = outcome == tls_engine::outcome::ended;
  heard_ = heard_ || size > 0 || wire_ended_;
  if (outcome == tls_engine::outcome::failed) lose_wire(engine_->reason());
}

void tls_link::encrypt() {
  if (outgoing_.empty() || sending_ || phase_ != phase::passing || !engine_->output().empty()) return;
  std::size_t taken = 0;
  auto outcome = engine_->write(outgoing_, taken);
  outgoing_ = outgoing_.subspan(taken);
  if (outcome == tls_engine::outcome::failed) lose_wire(engine_->reason());
}

void tls_link::send() {
  if (sending_ || engine_->output().empty()) return;
  sending_ = true;
  wire_.async_write_some(buffer_of(engine_->output()),
                         [self = shared_from_this()](error_code error, std::size_t size) {
                           self->sending_ = false;
                           if (self->phase_ == phase::ended) return;
                           if (error) return self->lose_wire(error.message());
                           self->engine_->sent(size);
                           self->step();
                         });
}

void tls_link::receive() {
  if (receiving_ || !wants_input_ || wire_truncated_) return;
  receiving_ = true;
  auto room = phase_ == phase::refusing ? std::span(to_plain_.get(), tls_block_bytes) : engine_->input();
  wire_.async_read_some(buffer_of(room), [self = shared_from_this()](error_code error, std::size_t size) {
    self->receiving_ = false;
    if (self->phase_ != phase::ended) self->take_input(error, size);
  });
}

void tls_link::take_input(const error_code& error, std::size_t size) {
  if (phase_ == phase::refusing) {
    heard_out_bytes_ += size;
    if (error || heard_out_bytes_ > most_heard_out) return end(tls_ending::failed, engine_->reason());
  } else if (error == asio::error::eof && phase_ == phase::passing) {
    wire_truncated_ = true;
  } else if (error) {
    return lose_wire(error == asio::error::eof ? "it hung up" : error.message());
  } else {
    engine_->received(size);
    wants_input_ = false;
  }
  step();
}

void tls_link::read_plain() {
  if (reading_plain_ || plain_ended_ || !outgoing_.empty() || phase_ != phase::passing) return;
  reading_plain_ = true;
  plain_.async_read_some(asio::buffer(from_plain_.get(), tls_block_bytes),
                         [self = shared_from_this()](error_code error, std::size_t size) {
                           self->reading_plain_ = false;
                           if (self->phase_ == phase::ended) return;
                           self->plain_ended_ = error == asio::error::eof;
                           if (error && !self->plain_ended_)
                             return self->cut(tls_ending::broken, error.message());
                           self->outgoing_ = {self->from_plain_.get(), size};
                           self->step();
                         });
}

void tls_link::write_plain() {
  if (writing_plain_ || incoming_.empty() || phase_ != phase::passing) return;
  writing_plain_ = true;
  plain_.async_write_some(buffer_of(incoming_),
                          [self = shared_from_this()](error_code error, std::size_t size) {
                            self->writing_plain_ = false;
                            if (self->phase_ == phase::ended) return;
                            if (error) return self->cut(tls_ending::broken, error.message());
                            self->incoming_ = self->incoming_.subspan(size);
                            self->step();
                          });
}

// --- ending -----------------------------------------------------------------------------------------------

/// An end that a side has told in peace is told to the other, once that has all that came before.
void tls_link::pass_on_ends() {
  if (phase_ != phase::passing) return;
  if (plain_ended_ && !told_wire_ && outgoing_.empty() && !sending_ && engine_->output().empty()) {
    engine_->end();
    told_wire_ = true;
  }
  if (wire_ended_ && !told_plain_ && incoming_.empty()) {
    error_code ignored;
    plain_.shutdown(tcp::socket::shutdown_send, ignored);
    told_plain_ = true;
  }
  // Anybody can end a TCP connection in another's name. Only TLS can say that nothing is missing.
  if (wire_truncated_ && wants_input_ && incoming_.empty()) lose_wire("it hung up");
}

/// Finds a reset while that side is not read, because the other does not take more.
void tls_link::watch(tcp::socket& socket) {
  socket.async_wait(tcp::socket::wait_error, [self = shared_from_this(), &socket](error_code error) {
    if (error || self->phase_ != phase::passing) return;
    // Who reads finds out after what came before the reset.
    if (&socket == &self->wire_ ? self->receiving_ : self->reading_plain_) return;
    number_option<SOL_SOCKET, SO_ERROR> state;
    socket.get_option(state, error);
    if (error || state.value() != 0) self->cut(tls_ending::broken, "the connection was reset");
  });
}

void tls_link::lose_wire(const std::string& why) {
  if (phase_ == phase::shaking_hands) return cut(tls_ending::failed, why + " during the handshake");
  // Who takes connections judges us after we think that the handshake is done.
  cut(dials_ && !heard_ ? tls_ending::failed : tls_ending::broken, why);
}

bool tls_link::done() const {
  if (phase_ != phase::passing || !told_wire_ || sending_ || !engine_->output().empty()) return false;
  return told_plain_ || winding_up_;
}

void tls_link::wind_up() {
  if (phase_ != phase::passing || !has_last_words()) return cut(tls_ending::closed, "");
  winding_up_ = true;
  limit_time(last_moment);
  step();
}

/// The end of a connection may still be behind what was written before.
bool tls_link::has_last_words() {
  error_code ignored;
  return plain_ended_ || sending_ || !outgoing_.empty() || plain_.available(ignored) > 0 ||
         was_closed(plain_);
}

void tls_link::cut(tls_ending how, const std::string& why) {
  if (phase_ == phase::refusing) return end(tls_ending::failed, engine_->reason());
  reset(wire_);
  reset(plain_);
  end(how, why);
}

void tls_link::end(tls_ending how, const std::string& why) {
  if (std::exchange(phase_, phase::ended) == phase::ended) return;
  error_code ignored;
  wire_.close(ignored);
  plain_.close(ignored);
  looked_up_.close(ignored);
  timer_.cancel();
  owner_.ended(*this, how, why);
}

} // namespace dtranspose
