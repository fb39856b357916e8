#include "recording/capture_guess.hpp"

#include <cstdint>
#include <stdexcept>
#include <tuple>
#include <vector>

#include "protocol/protocol.hpp"
#include "recording/capture.hpp"

namespace dtranspose {

namespace {

/// Enough for the slowest rhythm of messages, few enough for all formats to read them in no time.
constexpr int messages_read = 200;

/// How well a format reads a capture.
struct fit {
  std::uint64_t strange = 0; ///< what it makes nothing of
  std::uint64_t faulty = 0;  ///< what it knows, but finds a fault with
  std::uint64_t good = 0;
  bool starts = false;

  /// Most of it must make sense, and a series must begin.
  bool plausible() const { return starts && strange * 4 <= good + faulty; }

  bool better_than(const fit& other) const {
    return std::tuple(strange, faulty, other.good) < std::tuple(other.strange, other.faulty, good);
  }
};

fit fit_of(protocol& format, const std::shared_ptr<const mapped_file>& file) {
  capture_reader reader(file, format.type_tag());
  fit found{.starts = !format.has_start()};
  std::vector<stream_packet> packets;
  for (int i = 0; i < messages_read; ++i) {
    auto message = reader.next();
    if (!message) break;
    packets.clear();
    format.read(std::move(*message), packets);
    for (auto& packet : packets) {
      ++(!packet.fault ? found.good : packet.numbered ? found.faulty : found.strange);
      found.starts |= !packet.fault && packet.numbers.kind == entry_kind::start;
    }
  }
  return found;
}

std::unique_ptr<protocol> make_by_default(std::string_view name) {
  try {
    return make_protocol(name);
  } catch (const std::runtime_error&) {
    return nullptr; // it cannot do without options
  }
}

} // namespace

std::optional<std::string_view> guess_protocol(const std::shared_ptr<const mapped_file>& file) {
  constexpr std::string_view takes_anything = "raw";
  std::optional<std::string_view> best;
  fit best_fit;
  for (auto name : protocol_names()) {
    auto format = name == takes_anything ? nullptr : make_by_default(name);
    if (!format) continue;
    auto found = fit_of(*format, file);
    if (!found.plausible() || (best && !found.better_than(best_fit))) continue;
    best = name;
    best_fit = found;
  }
  return best;
}

} // namespace dtranspose
