#include "runtime/commands.hpp"
namespace dtranspose { int run_simulate(const simulate_command&) { return 1; } }
