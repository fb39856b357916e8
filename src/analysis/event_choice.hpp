/// Events that somebody chose by number.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace dtranspose {

/// A text such as `1, 10:20, 100:1000:100`: numbers, and ranges FIRST:END with a step, END not included.
class event_choice {
 public:
  /// Throws std::invalid_argument that names what cannot be read.
  explicit event_choice(std::string_view text);

  bool contains(std::uint64_t event) const;
  /// How many events there are in it, counted twice where ranges overlap.
  std::uint64_t most() const;
  /// One more than the last of them; 0 where there is none.
  std::uint64_t end() const;

 private:
  struct range {
    std::uint64_t first, end, step;
  };
  std::vector<range> ranges_;
};

} // namespace dtranspose
