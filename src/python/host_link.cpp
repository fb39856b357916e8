#include "python/host_link.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

namespace dtranspose {

namespace {

constexpr std::size_t least_read = std::size_t{64} << 10, most_read = std::size_t{4} << 20;

std::vector<std::byte> with_header(host_message_type type, std::uint32_t id,
                                   std::span<const std::byte> body) {
  byte_writer whole;
  whole.content().reserve(host_header_size + body.size());
  whole.number(type);
  whole.number(id);
  whole.number(std::uint64_t{body.size()});
  whole.bytes(body);
  return std::move(whole.content());
}

[[noreturn]] void fail(const char* what) {
  throw link_closed(std::string(what).append(": ").append(std::strerror(errno)));
}

} // namespace

host_link::host_link(file_descriptor socket) : socket_(std::move(socket)) {
  auto flags = fcntl(socket_.get(), F_GETFL);
  if (flags < 0 || fcntl(socket_.get(), F_SETFL, flags | O_NONBLOCK) < 0) fail("the socket cannot be used");
}

void host_link::send(host_message_type type, std::uint32_t id, std::vector<std::byte> body,
                     file_descriptor fd) {
  if (body.size() > longest_host_message) throw std::length_error("a message of more than 4 GiB");
  out_.push_back({with_header(type, id, body), 0, std::move(fd)});
  write_some();
}

void host_link::write_some() {
  while (!out_.empty() && write_first()) out_.pop_front();
}

/// False: the socket takes no more for now.
bool host_link::write_first() {
  auto& first = out_.front();
  while (first.sent < first.bytes.size()) {
    iovec part{first.bytes.data() + first.sent, first.bytes.size() - first.sent};
    msghdr message = {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    if (first.fd) {
      message.msg_control = control;
      message.msg_controllen = sizeof control;
      auto head = CMSG_FIRSTHDR(&message);
      head->cmsg_level = SOL_SOCKET;
      head->cmsg_type = SCM_RIGHTS;
      head->cmsg_len = CMSG_LEN(sizeof(int));
      auto fd = first.fd.get();
      std::memcpy(CMSG_DATA(head), &fd, sizeof fd);
    }
    auto n = sendmsg(socket_.get(), &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return false;
    if (n < 0) fail("the process does not read any more");
    first.fd.close();
    first.sent += static_cast<std::size_t>(n);
  }
  return true;
}

std::optional<host_message> host_link::receive(std::chrono::steady_clock::time_point until) {
  for (;;) {
    if (auto message = take()) return message;
    write_some();
    auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd ready{socket_.get(), static_cast<short>(POLLIN | (out_.empty() ? 0 : POLLOUT)), 0};
    auto n = poll(&ready, 1, static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 3'600'000)));
    if (n < 0 && errno != EINTR) fail("the socket cannot be waited for");
    if (n > 0 && (ready.revents & (POLLIN | POLLHUP | POLLERR)) != 0) {
      read_some();
      continue;
    }
    if (n == 0 && left.count() <= 0) return std::nullopt;
  }
}

void host_link::read_some() {
  std::size_t wanted = least_read;
  if (end_ - begin_ >= host_header_size) {
    std::uint64_t size;
    std::memcpy(&size, in_.data() + begin_ + 8, sizeof size);
    // Memory is taken as bytes come, not as they are announced.
    wanted = std::clamp<std::size_t>(host_header_size + size - (end_ - begin_), least_read, most_read);
  }
  if (begin_ == end_) begin_ = end_ = 0;
  if (in_.size() - end_ < wanted) {
    if (begin_ > 0) std::memmove(in_.data(), in_.data() + begin_, end_ - begin_);
    end_ -= std::exchange(begin_, 0);
    if (in_.size() - end_ < wanted) in_.resize(std::max(end_ + wanted, in_.size() + in_.size() / 2));
  }
  auto n = recv(socket_.get(), in_.data() + end_, in_.size() - end_, MSG_DONTWAIT);
  if (n == 0) throw link_closed("its process has closed the connection");
  if (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) fail("its process is gone");
  if (n > 0) end_ += static_cast<std::size_t>(n);
}

std::optional<host_message> host_link::take() {
  if (end_ - begin_ < host_header_size) return std::nullopt;
  byte_reader head{std::span<const std::byte>(in_).subspan(begin_, host_header_size)};
  auto type = head.number<host_message_type>();
  auto id = head.number<std::uint32_t>();
  auto size = head.number<std::uint64_t>();
  if (size > longest_host_message)
    throw link_closed("its process has sent something that is no message of the protocol");
  if (end_ - begin_ - host_header_size < size) return std::nullopt;
  auto body = std::span(in_).subspan(begin_ + host_header_size, size);
  host_message message{type, id, {body.begin(), body.end()}};
  begin_ += host_header_size + size;
  // What a large message took is not held for good.
  if (begin_ == end_ && in_.size() > most_read) {
    in_ = {};
    begin_ = end_ = 0;
  }
  return message;
}

} // namespace dtranspose
