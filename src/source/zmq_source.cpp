#include "source/zmq_source.hpp"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <mutex>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <spdlog/spdlog.h>
#include <zmq.hpp>

#include "source/file_descriptor.hpp"

namespace dtranspose {

namespace {

using clock = std::chrono::steady_clock;

/// How long arming may take to empty a socket that is filled as fast as it is emptied.
constexpr auto emptying_limit = std::chrono::milliseconds(500);
constexpr auto reopen_interval = std::chrono::seconds(1);
/// A silent connection is probed after this, and given up after so many probes without an answer.
constexpr int keep_alive_idle_s = 10, keep_alive_interval_s = 5, keep_alive_probes = 3;
/// How long a peer may take to prove who it is.
constexpr auto proof_limit = std::chrono::seconds(5);
/// How often a line about peers that failed to do so is logged, at most.
constexpr auto failure_log_interval = std::chrono::seconds(5);

/// False: nothing is waiting. A signal is no reason to lose the messages received so far.
bool receive_part(zmq::socket_t& socket, zmq::message_t& part, int flags = 0) {
  while (zmq_msg_recv(part.handle(), socket.handle(), flags) < 0) {
    if (errno == EAGAIN) return false;
    if (errno != EINTR) throw zmq::error_t();
  }
  return true;
}

/// The parts of one ZeroMQ message, where ZeroMQ put them. The usual number of parts takes one
/// allocation. Bytes of short parts lie within the ZeroMQ message itself, so nothing moves once the
/// views are made.
class zmq_frames final : public frame_owner {
 public:
  /// Receives one message, without waiting. False: nothing is waiting, and this is as it was.
  bool receive(zmq::socket_t& socket) {
    if (!receive_part(socket, first_[0], ZMQ_DONTWAIT)) return false;
    auto* last = &first_[0];
    payload_ = last->size();
    for (count_ = 1; last->more(); ++count_) {
      last = &place(count_);
      // The parts of a message arrive together.
      receive_part(socket, *last);
      payload_ += last->size();
    }
    return true;
  }

  bool too_many() const { return count_ > zmq_part_limit; }
  std::size_t payload() const { return payload_; }

  /// Called once, after `receive`.
  void seal() {
    std::span<frame> views = first_views_;
    if (count_ > inline_parts) {
      more_views_.resize(count_);
      views = more_views_;
    }
    for (std::size_t i = 0; i < count_; ++i) {
      auto& part = i < inline_parts ? first_[i] : more_[i - inline_parts];
      views[i] = frame(part.data(), part.size());
    }
    set_frames(views.first(count_));
  }

 private:
  /// Where part `i` goes: beyond the limit always to the same place, as it is thrown away.
  zmq::message_t& place(std::size_t i) {
    if (i < inline_parts) return first_[i];
    if (i < zmq_part_limit) return more_.emplace_back();
    return excess_ ? *excess_ : excess_.emplace();
  }

  static constexpr std::size_t inline_parts = 4;
  std::array<zmq::message_t, inline_parts> first_;
  std::array<frame, inline_parts> first_views_;
  std::vector<zmq::message_t> more_;
  std::vector<frame> more_views_;
  std::optional<zmq::message_t> excess_;
  std::size_t count_ = 0, payload_ = 0;
};

/// Why a peer was not taken, of the value of the event.
std::string text_of_failure(int kind, std::uint32_t value, bool listens) {
  auto them = listens ? "the instrument that connects" : "the instrument";
  if (kind == ZMQ_EVENT_HANDSHAKE_FAILED_AUTH)
    return listens ? "the key of the instrument that connects is not among `clients`"
                   : "the instrument refuses our key";
  if (value == ZMQ_PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)
    return fmt::format("{} does not use CURVE, or not as the other end", them);
  if (value == ZMQ_PROTOCOL_ERROR_ZMTP_CRYPTOGRAPHIC)
    return listens ? "the instrument that connects has another key for us than ours"
                   : "the instrument does not have the key that `server_public` says";
  if (kind == ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL)
    return fmt::format("{} ended the CURVE handshake{}", them,
                       listens ? "" : ": is `server_public` its key, and is ours known to it?");
  return fmt::format("{} broke the rules of the CURVE handshake", them);
}

/// Knows the peers of a socket from the events of its monitor.
class peer_watch {
 public:
  /// `proves`: only who has proved who it is counts as a peer.
  peer_watch(zmq::context_t& context, zmq::socket_t& watched, bool proves, bool listens)
      : watched_(watched), events_(context, zmq::socket_type::pair), proves_(proves), listens_(listens) {
    static std::atomic<unsigned> sockets = 0;
    auto address = "inproc://dtranspose-monitor-" + std::to_string(++sockets);
    int kinds = ZMQ_EVENT_CONNECTED | ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED |
                ZMQ_EVENT_CONNECT_DELAYED | ZMQ_EVENT_CONNECT_RETRIED;
    if (proves) kinds |= ZMQ_EVENT_HANDSHAKE_SUCCEEDED | failure_kinds;
    if (zmq_socket_monitor(watched.handle(), address.c_str(), kinds) != 0) throw zmq::error_t();
    events_.connect(address);
  }

  zmq::socket_t& events() { return events_; }

  ~peer_watch() { zmq_socket_monitor(watched_.handle(), nullptr, 0); }
  peer_watch(const peer_watch&) = delete;
  peer_watch& operator=(const peer_watch&) = delete;

  /// Reads what the monitor has told since.
  void update() {
    zmq::message_t event, address;
    while (receive_part(events_, event, ZMQ_DONTWAIT)) {
      receive_part(events_, address);
      take(event);
    }
  }

  bool any() const { return proves_ ? proved_ > 0 : !peers_.empty(); }

  /// Was a connection lost since this was asked last?
  bool interrupted() { return std::exchange(interrupted_, false); }

  /// Was a connection lost, and none tried since?
  bool lost() const { return last_ == ZMQ_EVENT_DISCONNECTED && peers_.empty(); }

  /// How peers failed to prove who they are, since this was asked last.
  struct failures {
    std::size_t count = 0;
    std::string last;
  };
  failures failed() { return std::exchange(failures_, {}); }

 private:
  static constexpr int failure_kinds = ZMQ_EVENT_HANDSHAKE_FAILED_NO_DETAIL |
                                       ZMQ_EVENT_HANDSHAKE_FAILED_PROTOCOL | ZMQ_EVENT_HANDSHAKE_FAILED_AUTH;

  // An event is its kind, 2 bytes, and a value, 4 bytes, in the byte order of the machine. The
  // value is the file descriptor of the connection, where there is one.
  void take(const zmq::message_t& event) {
    std::uint16_t kind = 0;
    std::uint32_t value = 0;
    if (event.size() != sizeof kind + sizeof value) return;
    std::memcpy(&kind, event.data(), sizeof kind);
    std::memcpy(&value, static_cast<const char*>(event.data()) + sizeof kind, sizeof value);
    if (kind == ZMQ_EVENT_CONNECTED || kind == ZMQ_EVENT_ACCEPTED) peers_.insert(value);
    if (kind == ZMQ_EVENT_HANDSHAKE_SUCCEEDED) ++proved_;
    if ((kind & failure_kinds) != 0) {
      ++failures_.count;
      ++failed_;
      failures_.last = text_of_failure(kind, value, listens_);
    }
    if (kind == ZMQ_EVENT_DISCONNECTED) lose(value);
    last_ = kind;
  }

  // Events of handshakes don't tell of which connection they are. One that failed usually ends at once; where
  // it can't be known which of them ended, data may be missing.
  void lose(std::uint32_t fd) {
    peers_.erase(fd);
    interrupted_ |= !proves_ || (proved_ > 0 && (last_ & failure_kinds) == 0);
    if (failed_ > 0)
      --failed_;
    else if (proved_ > 0)
      --proved_;
    proved_ = std::min(proved_, peers_.size());
    failed_ = std::min(failed_, peers_.size() - proved_);
  }

  zmq::socket_t& watched_; ///< outlives this
  zmq::socket_t events_;
  bool proves_, listens_;
  std::set<std::uint32_t> peers_;
  std::size_t proved_ = 0, failed_ = 0; ///< of `peers_`
  failures failures_;
  std::uint16_t last_ = 0; ///< kind of the last event
  bool interrupted_ = false;
};

/// Decides which clients a socket takes, by ZeroMQ's protocol for that (RFC 27). It must be there before the
/// socket listens, and its context must be that socket's alone.
class client_filter {
 public:
  client_filter(zmq::context_t& context, const std::vector<std::string>& keys)
      : keys_(keys.begin(), keys.end()), questions_(context, zmq::socket_type::rep) {
    questions_.set(zmq::sockopt::linger, 0);
    questions_.bind(address);
  }
  // Closing alone would keep the address for a while.
  ~client_filter() { zmq_unbind(questions_.handle(), address); }
  client_filter(const client_filter&) = delete;
  client_filter& operator=(const client_filter&) = delete;

  zmq::socket_t& questions() { return questions_; }

  void answer_all() {
    for (zmq::message_t part; receive_part(questions_, part, ZMQ_DONTWAIT);) {
      std::vector<std::string> parts{part.to_string()};
      while (part.more()) {
        receive_part(questions_, part);
        parts.push_back(part.to_string());
      }
      answer(parts);
    }
  }

 private:
  // Version, request, domain, address, identity, mechanism, key. libzmq asks, nobody else can.
  void answer(const std::vector<std::string>& question) {
    constexpr std::size_t parts = 7, key_bytes = 32;
    std::string key(40, '\0');
    bool known = question.size() == parts && question[5] == "CURVE" && question[6].size() == key_bytes &&
                 zmq_z85_encode(key.data(), reinterpret_cast<const std::uint8_t*>(question[6].data()),
                                key_bytes) != nullptr &&
                 keys_.contains(key);
    if (!known && question.size() == parts && clock::now() >= next_line_) {
      spdlog::warn("refused an instrument at {}: its public key {} is not among `clients`", question[3], key);
      next_line_ = clock::now() + failure_log_interval;
    }
    for (auto& part : {std::string("1.0"), question.size() > 1 ? question[1] : "",
                       std::string(known ? "200" : "400"), std::string(known ? "OK" : "unknown key"), key})
      questions_.send(zmq::buffer(part), zmq::send_flags::sndmore);
    questions_.send(zmq::message_t(), zmq::send_flags::none);
  }

  static constexpr auto address = "inproc://zeromq.zap.01";
  std::set<std::string> keys_;
  zmq::socket_t questions_;
  clock::time_point next_line_;
};

/// An open socket with its monitor. Used from one thread at a time.
class receiver {
 public:
  receiver(const zmq_source_options& options, zmq::context_t& context)
      : socket_(context,
                options.kind == zmq_socket_kind::pull ? zmq::socket_type::pull : zmq::socket_type::sub),
        peers_(context, socket_, options.curve.has_value(), options.bind), listens_(options.bind),
        adapts_(!options.bind && !options.receive_high_water_mark),
        high_water_mark_(options.receive_high_water_mark.value_or(options.bind ? zmq_listening_messages
                                                                               : default_high_water_mark)) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::maxmsgsize, zmq_part_bytes_limit);
    // An instrument that lost its power says no goodbye; this finds out, and ZeroMQ connects again.
    socket_.set(zmq::sockopt::tcp_keepalive, 1);
    socket_.set(zmq::sockopt::tcp_keepalive_idle, keep_alive_idle_s);
    socket_.set(zmq::sockopt::tcp_keepalive_intvl, keep_alive_interval_s);
    socket_.set(zmq::sockopt::tcp_keepalive_cnt, keep_alive_probes);
    socket_.set(zmq::sockopt::rcvhwm, high_water_mark_);
    if (options.kind == zmq_socket_kind::sub) socket_.set(zmq::sockopt::subscribe, "");
    if (options.curve) set_keys(*options.curve, context);
    if (options.bind)
      socket_.bind(options.url);
    else
      socket_.connect(options.url);
  }

  zmq::socket_t& socket() { return socket_; }
  zmq::socket_t& monitor() { return peers_.events(); }
  /// Null: nobody is asked whom the socket takes.
  zmq::socket_t* questions() { return filter_ ? &filter_->questions() : nullptr; }

  /// Looks after who came and went; returns whether there is a peer.
  bool update_peers() {
    if (filter_) filter_->answer_all();
    peers_.update();
    return peers_.any();
  }
  peer_watch::failures failed() { return peers_.failed(); }
  /// Was a connection lost since this was asked last?
  bool interrupted() { return peers_.interrupted(); }
  /// libzmq never connects again to a peer that broke the protocol: only a new socket does.
  bool given_up() const { return !listens_ && peers_.lost(); }

  std::string address() const { return socket_.get(zmq::sockopt::last_endpoint); }

  /// Receives one message and forgets it. False: none is waiting.
  bool drop() {
    zmq::message_t part;
    if (!receive_part(socket_, part, ZMQ_DONTWAIT)) return false;
    while (part.more()) receive_part(socket_, part);
    return true;
  }

  /// One message, or null when none is waiting.
  std::unique_ptr<zmq_frames> receive() {
    auto message = spare_ ? std::move(spare_) : std::make_unique<zmq_frames>();
    if (!message->receive(socket_)) {
      spare_ = std::move(message);
      return nullptr;
    }
    if (adapts_ && message->payload() > largest_) adapt_high_water_mark(message->payload());
    return message;
  }

 private:
  // ZeroMQ counts messages, we mean bytes. libzmq 4.3.4 applies a changed mark to its connections,
  // but crashes if one of them is just ending. A connecting socket has one, and one that a message
  // was read from this moment hasn't ended; a listening socket has many, so its mark stays.
  void adapt_high_water_mark(std::size_t payload) {
    largest_ = payload;
    auto wanted = std::max(static_cast<int>(zmq_waiting_bytes / payload), zmq_waiting_messages);
    if (wanted >= high_water_mark_) return;
    high_water_mark_ = wanted;
    socket_.set(zmq::sockopt::rcvhwm, wanted);
  }

  void set_keys(const curve_keys& keys, zmq::context_t& context) {
    socket_.set(zmq::sockopt::curve_publickey, keys.ours.public_key);
    socket_.set(zmq::sockopt::curve_secretkey, keys.ours.secret_key);
    socket_.set(zmq::sockopt::handshake_ivl, static_cast<int>(proof_limit / std::chrono::milliseconds(1)));
    if (!listens_) return socket_.set(zmq::sockopt::curve_serverkey, keys.server_public);
    socket_.set(zmq::sockopt::curve_server, true);
    if (keys.clients) filter_.emplace(context, *keys.clients);
  }

  std::optional<client_filter> filter_; ///< outlives the socket that it is asked about
  zmq::socket_t socket_;
  peer_watch peers_;
  bool listens_, adapts_;
  std::size_t largest_ = 0;
  static constexpr int default_high_water_mark = 1000;
  int high_water_mark_;
  std::unique_ptr<zmq_frames> spare_;
};

/// What the thread of a source does, and how others talk to it.
class zmq_reading {
 public:
  zmq_reading(zmq_source_options options, std::shared_ptr<zmq::context_t> context)
      : options_(std::move(options)), context_(std::move(context)) {
    status_.address = options_.url;
    status_.reading = true;
    open();
  }

  /// For the thread of the source; until it is stopped.
  void run() {
    thread_ = std::this_thread::get_id();
    while (take_commands()) guarded([this] { step(); });
    receiver_.reset();
  }

  // --- called from any thread
  // -------------------------------------------------------------------

  void stop() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    alert();
  }

  /// Returns once the thread of the source works with it; from within the sink at once, as nothing more
  /// goes to that before.
  void replace_sink(packet_sink sink) {
    std::unique_lock lock(mutex_);
    new_sink_ = std::move(sink);
    auto change = ++changes_wanted_;
    alert();
    if (std::this_thread::get_id() == thread_.load()) return;
    changed_.wait(lock, [&] { return changes_made_ >= change; });
  }

  void allow(std::uint64_t bytes, std::uint64_t beyond) {
    allowed_bytes_.store(bytes);
    allowed_beyond_.store(beyond);
    // Only who waits for it has to be woken.
    if (starved_.exchange(false)) bell_.ring();
  }

  source_status status() const {
    std::lock_guard lock(mutex_);
    auto status = status_;
    status.discarded = discarded_.load(std::memory_order_relaxed);
    return status;
  }

 private:
  /// Whatever was written under the lock before this is seen by the thread: it clears the bell
  /// first.
  void alert() {
    alerted_.store(true, std::memory_order_release);
    bell_.ring();
  }

  // --- the thread of the source
  // --------------------------------------------------------------------

  template <class F>
  void guarded(F action) {
    try {
      action();
    } catch (const zmq::error_t& error) {
      if (error.num() != EINTR) fail(error.what());
    }
  }

  /// False: stop.
  bool take_commands() {
    if (!alerted_.exchange(false, std::memory_order_acquire)) return true;
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
    return true;
  }

  void prepare_for_scan() {
    counted_ = 0;
    allowed_bytes_ = allowed_beyond_ = 0;
    interrupted_ = false;
    options_.format->reset();
    if (sink_ && receiver_) guarded([this] { empty_socket(); });
  }

  void empty_socket() {
    auto until = clock::now() + emptying_limit;
    while (drop_batch() && clock::now() < until) {
    }
  }

  void step() {
    if (!receiver_) {
      wait(reopen_interval);
      if (clock::now() >= reopen_at_) open();
      return;
    }
    bool busy = !sink_ ? drop_batch() : may_read() && receive_batch();
    bool connected = receiver_->update_peers();
    show(connected, may_read());
    if (options_.curve) show_proofs(connected);
    interrupted_ |= receiver_->interrupted();
    // What came before the connection was lost still counts, as long as nothing newer can have come.
    if (interrupted_ && (connected || (!busy && may_read()))) note_interruption();
    if (busy) return;
    if (!receiver_->given_up() || !may_read())
      wait(std::chrono::milliseconds(-1));
    else if (!wait(reopen_interval) && receiver_->given_up())
      open();
  }

  /// What was lost with a connection only a format that counts nothing has to be told.
  void note_interruption() {
    interrupted_ = false;
    auto batch = std::make_shared<packet_batch>();
    options_.format->interrupted(batch->packets);
    if (sink_ && !batch->packets.empty()) sink_(std::move(batch));
  }

  bool may_read() const {
    return !sink_ || counted_ < allowed_bytes_.load() || counted_ < allowed_beyond_.load();
  }

  /// Returns when a command, the monitor or, if it may be read, the socket has something, or after
  /// `timeout`; negative: never. False: nothing has.
  bool wait(std::chrono::milliseconds timeout) {
    std::array<zmq_pollitem_t, 4> items = {{{nullptr, bell_.fd(), ZMQ_POLLIN, 0}}};
    int count = 1;
    if (receiver_) {
      items[count++] = {receiver_->monitor().handle(), 0, ZMQ_POLLIN, 0};
      if (auto questions = receiver_->questions()) items[count++] = {questions->handle(), 0, ZMQ_POLLIN, 0};
      starved_.store(!may_read());
      // It may have been allowed before that was seen.
      if (starved_.load() && may_read()) starved_.store(false);
      if (may_read()) items[count++] = {receiver_->socket().handle(), 0, ZMQ_POLLIN, 0};
    }
    auto ready = zmq_poll(items.data(), count, timeout.count());
    if (ready < 0) throw zmq::error_t();
    if (items[0].revents != 0) bell_.clear();
    return ready > 0;
  }

  /// Drops what is waiting, up to a batch; false: nothing was.
  bool drop_batch() {
    std::size_t messages = 0;
    while (messages < zmq_batch_packets && receiver_->drop()) ++messages;
    discarded_.fetch_add(messages, std::memory_order_relaxed);
    return messages > 0;
  }

  /// Hands over what is waiting, up to a batch; false: nothing was.
  bool receive_batch() {
    auto batch = std::make_shared<packet_batch>();
    batch->packets.reserve(last_batch_packets_);
    std::size_t messages = 0, payload = 0;
    while (messages < zmq_batch_packets && batch->packets.size() < zmq_batch_packets &&
           payload < zmq_batch_bytes && may_read()) {
      auto message = receiver_->receive();
      if (!message) break;
      ++messages;
      payload += message->payload();
      count(*message, *batch);
      read(std::move(message), *batch);
    }
    if (messages == 0) return false;
    last_batch_packets_ = batch->packets.size();
    sink_(std::move(batch));
    return true;
  }

  void count(const zmq_frames& message, packet_batch& batch) {
    auto bytes = budgeted_bytes(message.payload());
    batch.bytes += bytes;
    counted_ += bytes;
  }

  void read(std::unique_ptr<zmq_frames> message, packet_batch& batch) {
    if (message->too_many()) {
      batch.packets.push_back({.fault = packet_fault::oversized, .numbered = false});
      return;
    }
    message->seal();
    auto& format = *options_.format;
    format.read(stream_data(std::move(message), format.type_tag()), batch.packets);
  }

  // --- opening and status
  // --------------------------------------------------------------------------

  void open() {
    try {
      receiver_.reset();
      receiver_ = std::make_unique<receiver>(options_, *context_);
      std::lock_guard lock(mutex_);
      status_.address = receiver_->address();
      // A new socket alone has proved nothing.
      if (!shown_unproved_) status_.error.clear();
    } catch (const zmq::error_t& error) {
      fail(error.what());
    }
  }

  void fail(const char* why) {
    receiver_.reset();
    reopen_at_ = clock::now() + reopen_interval;
    show(false, false);
    shown_unproved_ = false;
    std::lock_guard lock(mutex_);
    status_.error = (options_.bind ? "cannot listen on " : "cannot read from ") + options_.url + ": " + why;
  }

  void show(bool connected, bool reading) {
    if (connected == shown_connected_ && reading == shown_reading_) return;
    std::lock_guard lock(mutex_);
    status_.connected = shown_connected_ = connected;
    status_.reading = shown_reading_ = reading;
  }

  void show_proofs(bool connected) {
    auto failed = receiver_->failed();
    if (failed.count > 0) log_failures(failed);
    if (failed.count > 0 && !connected)
      show_unproved("nothing is taken from " + options_.url + ": " + failed.last);
    if (connected && shown_unproved_) show_unproved({});
  }

  void show_unproved(const std::string& why) {
    shown_unproved_ = !why.empty();
    std::lock_guard lock(mutex_);
    status_.error = why;
  }

  void log_failures(const peer_watch::failures& failed) {
    failures_ += failed.count;
    if (clock::now() < next_failure_line_) return;
    auto often = failures_ > 1 ? fmt::format(" ({} times)", failures_) : "";
    spdlog::warn("{}: {}{}", options_.url, failed.last, often);
    failures_ = 0;
    next_failure_line_ = clock::now() + failure_log_interval;
  }

  zmq_source_options options_;
  std::shared_ptr<zmq::context_t> context_;

  // Under the mutex: what other threads want, and what they are shown.
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t changes_wanted_ = 0, changes_made_ = 0;
  packet_sink new_sink_;
  bool stop_ = false;
  source_status status_;

  std::atomic<bool> alerted_ = false;
  std::atomic<bool> starved_ = false; ///< waits to be allowed more
  std::atomic<std::uint64_t> allowed_bytes_ = 0;
  std::atomic<std::uint64_t> allowed_beyond_ = 0; ///< a message passes as long as less than this was counted
  std::atomic<std::uint64_t> discarded_ = 0;
  bell bell_;

  // Of the thread of the source alone, once that runs.
  std::unique_ptr<receiver> receiver_;
  packet_sink sink_;
  std::uint64_t counted_ = 0; ///< since arming
  bool interrupted_ = false;  ///< a connection was lost, which the format was not told yet
  std::size_t last_batch_packets_ = 0;
  bool shown_connected_ = false, shown_reading_ = true;
  bool shown_unproved_ = false; ///< does the status say that a peer did not prove who it is?
  std::size_t failures_ = 0;    ///< of peers to do so, not logged yet
  clock::time_point next_failure_line_;
  clock::time_point reopen_at_;

  std::atomic<std::thread::id> thread_ = std::thread::id();
};

class zmq_source final : public source {
 public:
  zmq_source(zmq_source_options options, std::shared_ptr<zmq::context_t> context)
      : reading_(std::make_shared<zmq_reading>(std::move(options), std::move(context))),
        thread_([reading = reading_] { reading->run(); }) {}

  ~zmq_source() override {
    reading_->stop();
    // Its own thread may be lent to who ends it: it goes on to its end by itself.
    if (std::this_thread::get_id() == thread_.get_id())
      thread_.detach();
    else
      thread_.join();
  }

  void arm(packet_sink sink) override { reading_->replace_sink(std::move(sink)); }
  void disarm() override { reading_->replace_sink({}); }
  void allow(std::uint64_t bytes, std::uint64_t beyond) override { reading_->allow(bytes, beyond); }
  source_status status() const override { return reading_->status(); }
  bool reentrant() const override { return true; }

 private:
  std::shared_ptr<zmq_reading> reading_;
  std::thread thread_;
};

} // namespace

std::shared_ptr<zmq::context_t> make_zmq_context() { return std::make_shared<zmq::context_t>(); }

std::unique_ptr<source> make_zmq_source(zmq_source_options options, std::shared_ptr<zmq::context_t> context) {
  if (options.bind && options.curve) context = make_zmq_context();
  return std::make_unique<zmq_source>(std::move(options), std::move(context));
}

} // namespace dtranspose
