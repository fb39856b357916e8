#include "http/connection_pool.hpp"

#include <algorithm>
#include <exception>
#include <numeric>
#include <system_error>
#include <utility>

namespace dtranspose {

connection_pool::connection_pool(std::size_t max_threads, server serve)
    : serve_(std::move(serve)), max_threads_(max_threads),
      max_served_(std::max<std::size_t>(max_threads / 2, 1)) {}

bool connection_pool::add(file_descriptor socket, const std::string& group) {
  std::lock_guard lock(mutex_);
  auto found = shares_.find(group);
  bool too_many = waiting_.size() >= http_waiting_connections ||
                  (found != shares_.end() && found->second.waiting >= http_waiting_connections / 2);
  if (ended_ || too_many) return false;
  waiting_.push_back({std::move(socket), group});
  count(group, 0, 1);
  if (idle_ < waiting_.size() && threads_.size() < max_threads_) add_thread();
  changed_.notify_one();
  return true;
}

void connection_pool::add_thread() {
  try {
    threads_.emplace_back([this] { work(); });
    ++idle_;
  } catch (const std::system_error&) {
    // The connection waits for a thread that is there, or for the next attempt to make one.
  }
}

bool connection_pool::has_its_share(const std::string& group) const {
  return shares_.at(group).served >= max_served_;
}

connection_pool::clients::iterator connection_pool::next() {
  return std::ranges::find_if(waiting_, [this](auto& one) { return !has_its_share(one.group); });
}

void connection_pool::count(const std::string& group, int served, int waiting) {
  auto& share = shares_[group];
  share.served += static_cast<std::size_t>(served);
  share.waiting += static_cast<std::size_t>(waiting);
  if (share.served == 0 && share.waiting == 0) shares_.erase(group);
}

void connection_pool::work() {
  std::unique_lock lock(mutex_);
  for (;;) {
    clients::iterator found;
    changed_.wait(lock, [&] { return ended_ || (found = next()) != waiting_.end(); });
    if (ended_) return;
    auto one = std::move(*found);
    waiting_.erase(found);
    count(one.group, 1, -1);
    --idle_;
    lock.unlock();
    try {
      serve_(std::move(one.socket), one.group);
    } catch (const std::exception&) {
      // It cost this connection, whatever it was.
    }
    lock.lock();
    ++idle_;
    count(one.group, -1, 0);
  }
}

bool connection_pool::wants_room(const std::string& group) const {
  std::lock_guard lock(mutex_);
  std::size_t ready = 0;
  for (auto& one : waiting_)
    if (!has_its_share(one.group))
      ++ready;
    else if (one.group == group)
      return true;
  return ready > idle_;
}

std::size_t connection_pool::size() const {
  std::lock_guard lock(mutex_);
  auto served = [](std::size_t sum, auto& one) { return sum + one.second.served; };
  return std::accumulate(shares_.begin(), shares_.end(), waiting_.size(), served);
}

void connection_pool::shutdown() {
  clients closed;
  {
    std::lock_guard lock(mutex_);
    ended_ = true;
    closed.swap(waiting_);
    changed_.notify_all();
  }
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

} // namespace dtranspose
