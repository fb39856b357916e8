/// Dumps read in the order of their events.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include "recording/dump.hpp"

namespace dtranspose {

/// A dump is written as frames come, and one that was late stands behind its successors. Items that are not
/// farther out of place than `window` items come in the order of their events; what is farther out of place
/// comes where it stands, but for gaps: those are left out there. Of two items of the same event and streams
/// that follow each other the later one counts. Used from one thread.
class ordered_dump_reader {
 public:
  static constexpr std::size_t window = 16384;

  /// As `dump_reader` does.
  explicit ordered_dump_reader(std::shared_ptr<const mapped_file> file) : reader_(std::move(file)) {}

  std::optional<dump_item> next();
  const std::string& cut_off() const { return ahead_.empty() ? reader_.cut_off() : nothing_; }
  const mapped_file& file() const { return reader_.file(); }

 private:
  dump_reader reader_;
  static bool replaces(const dump_item& later, const dump_item& earlier);

  std::deque<dump_item> ahead_;
  std::optional<std::uint64_t> last_; ///< event that was given last
  std::optional<std::uint64_t> read_; ///< event that was read last
  std::string nothing_;
};

} // namespace dtranspose
