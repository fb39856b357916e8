/// The same question asked of a simulation: events come at even distances and pass a row of queues, first
/// come first served, each taking its exact time. It knows nothing of the forecast's sums.
#pragma once

#include <cstdint>
#include <string>

#include "forecast.hpp"

namespace dtranspose {

struct simulated_run {
  double seconds = 0;        ///< simulated
  double rate = 0;           ///< events per second that were done in the second half
  double growth = 0;         ///< events per second by which `waiting` grew in the second half
  std::uint64_t waiting = 0; ///< events that were due and not done at the end
  std::uint64_t window = 0;  ///< events that may be under way at once, by `retain`, `read_ahead` and credit
  std::string busiest;       ///< the queue that was busy most
  double use = 0;            ///< share of the time that it was
};

/// Runs the plan for that time from an empty system. Work is done in whole frames and events by whole
/// workers; an event goes to the worker with least under way, a constraint stays with the worker that had it
/// first. Events wait at the senders while as many as the budgets allow are under way. Throws plan_error for
/// more than some 100 million steps.
simulated_run simulate_queues(const plan_setup& setup, double seconds);

} // namespace dtranspose
