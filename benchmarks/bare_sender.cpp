// The sender of the throughput benchmarks as a program: see flood.hpp.
#include "flood.hpp"

int main(int argc, char** argv) { return dtranspose::benchmarks::flood_main(argc, argv); }
