#include "surroundings.hpp"

#include <chrono>
#include <random>

namespace dtranspose {

surroundings real_surroundings() {
  using namespace std::chrono;
  return {[] { return nanoseconds(steady_clock::now().time_since_epoch()).count(); },
          [] { return nanoseconds(system_clock::now().time_since_epoch()).count(); },
          [] {
            std::random_device device;
            return std::uint64_t{device()} << 32 | device();
          }};
}

} // namespace dtranspose
