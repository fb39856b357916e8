/// Waiting for what a server does in its own threads.
#pragma once

#include <chrono>
#include <thread>

namespace dtranspose::test {

/// Far beyond what anything here takes: reached only when something is broken.
inline constexpr auto patience = std::chrono::seconds(30);

template <class F>
bool await(F condition) {
  auto until = std::chrono::steady_clock::now() + patience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

} // namespace dtranspose::test
