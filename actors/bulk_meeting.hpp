/// Brings messages together with the frames that travelled beside them, whichever comes first.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "actors/messages.hpp"

namespace dtranspose {

class bulk_meeting {
 public:
  /// The message that is whole now. One without a ticket is whole by itself, and none for here.
  std::optional<partial_events> take(const partial_events& m);
  std::optional<partial_events> take(const std::shared_ptr<const bulk_piece>& piece);

  /// What travels with that ticket is not waited for any more, and not kept when it comes.
  void retire(std::uint64_t ticket);

  /// A message whose frames are lost: later ones have come, or others than it says. Asked for after `take`.
  std::optional<partial_events> take_lacking();

  /// Bytes of frames that came beside messages.
  std::uint64_t bytes() const { return bytes_; }
  /// Messages that wait for their frames, and frames that wait for their message.
  std::size_t waiting() const { return messages_.size() + pieces_.size(); }

 private:
  /// Ticket and number of the message.
  using key = std::pair<std::uint64_t, std::uint64_t>;

  std::optional<partial_events> join(partial_events m, const bulk_piece& piece);

  std::map<key, partial_events> messages_;
  std::map<key, std::shared_ptr<const bulk_piece>> pieces_;
  std::set<std::uint64_t> retired_;
  std::optional<partial_events> lacking_;
  std::uint64_t bytes_ = 0;
};

} // namespace dtranspose
