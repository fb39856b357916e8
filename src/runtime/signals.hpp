/// SIGTERM and Ctrl-C, waited for instead of handled: nothing runs in a signal handler.
#pragma once

#include <chrono>

namespace dtranspose {

/// From now on these signals wait for `wait_for_signal`, in all threads that start later. SIGPIPE is
/// ignored: a closed connection is an error of the call that finds it.
void hold_signals();

/// Waits for one of them; false when the time is over first.
bool wait_for_signal(std::chrono::milliseconds patience);

} // namespace dtranspose
