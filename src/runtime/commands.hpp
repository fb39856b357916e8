/// What the program can be told to do, one function per command; each returns the exit status. Errors are
/// thrown as std::runtime_error with a text that names what can be changed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/configuration.hpp"

namespace dtranspose {

/// Exit status of a command whose scan finished without a single event that came through.
inline constexpr int nothing_came_of_it = 3;

/// Options that several commands have, over what the configuration says.
struct analysis_choice {
  std::string analysis;            ///< empty: as configured
  std::vector<std::string> params; ///< NAME=VALUE
  std::string output;              ///< empty: as configured
  std::string python_worker,
      python_reducer;      ///< classes in Python, `python:module:Class`; empty: as configured
  std::string interpreter; ///< of Python; empty: as configured
};

void apply(const analysis_choice& choice, configuration& settings);

struct role_command {
  std::string roles;
  std::string config;
  std::string listen, join, http, results; ///< HOST:PORT; empty: as configured
  std::vector<std::string> streams;        ///< empty: all
  std::optional<std::uint32_t> workers;
  std::string tags; ///< joined by commas; empty: as configured
  analysis_choice choice;
  bool watch = false; ///< is code in Python read anew when its files change?
  bool json = false;
};
int run_roles(const role_command& command);

struct replay_command {
  std::vector<std::string> files;
  std::vector<std::string> streams; ///< of the raw captures among `files`, in their order: see capture_choice
  std::string data_set = "/entry/data"; ///< with the images, of HDF5 files among `files`
  std::string map; ///< file with the body of POST /api/v1/sequence; empty: one constraint per event
  bool wrap = true;
  std::uint32_t workers = 0;             ///< 0: one per processor
  double speed = 0;                      ///< times the recorded one; 0: as fast as possible
  std::optional<std::uint64_t> from, to; ///< events, both of them included
  std::uint32_t loop = 1;                ///< scans in a row
  bool step = false;                     ///< an event at a time, on request
  std::string record;                    ///< folder where the streams are recorded again; empty: they are not
  std::string controller;                ///< URL of a running system to send to; empty: all in this process
  std::string config;                    ///< of that system; without `controller` its analysis
  std::string token_file, authority;     ///< as for `simulate_command`
  std::string results;                   ///< HOST:PORT where viewers are served; empty: nowhere
  std::string params_file;               ///< parameters of the analysis; those of `choice` win
  analysis_choice choice;
  bool json = false;
};
int run_replay(const replay_command& command);
/// With a controller.
int run_sent_replay(const replay_command& command);

struct simulate_command {
  std::string config;
  std::string controller = "http://127.0.0.1:5000";
  std::string token_file;           ///< empty: no token
  std::string authority;            ///< empty: those that the system trusts
  std::vector<std::string> streams; ///< empty: all that are simulated
  std::string truth;                ///< file for what is true of the scene; empty: none
  bool no_map = false;
  std::uint32_t min_workers = 1;
  double patience = 60; ///< seconds to wait for the system to take the map
  bool json = false;
};
int run_simulate(const simulate_command& command);

struct inspect_command {
  std::string file;
  std::string stream; ///< of a raw capture, see capture_choice; empty: what can be said without
  std::pair<std::string, std::string> extract; ///< stream and file for its images; empty: none is
  bool json = false;
};
int run_inspect(const inspect_command& command);
int run_check(const std::string& file, bool json);

struct repair_command {
  std::vector<std::string> files;
  bool json = false;
};
int run_repair(const repair_command& command);
/// `name`: that one alone; empty: all.
int run_analyses(const std::string& name, bool json);

} // namespace dtranspose
