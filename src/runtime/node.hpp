/// One process of a system: the actors of its roles, and how they find those of other processes.
#pragma once

#include <caf/actor.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "model/surroundings.hpp"
#include "model/value.hpp"
#include "runtime/configuration.hpp"
#include "source/source.hpp"

namespace dtranspose {

class snapshot_store;

struct role_set {
  bool controller = false, ingester = false, worker = false, reducer = false;

  /// `all`, or names joined by commas. Throws std::runtime_error that lists the names.
  static role_set parse(const std::string& text);
  bool all() const { return controller && ingester && worker && reducer; }
};

/// Where a stream's bytes come from.
using source_factory = std::function<std::unique_ptr<source>(const stream_settings&)>;

struct node_options {
  configuration settings;
  role_set roles;
  /// Takes connections of other processes and joins a controller that is elsewhere. Not for a replay.
  bool networked = true;
  /// Of ZeroMQ sockets, if not given.
  source_factory make_source = {};
  /// Gets what the reducer publishes; null: nobody looks on.
  std::shared_ptr<snapshot_store> snapshots = {};
  std::string results_url = {}; ///< where they can be read; told to the controller
  surroundings around = real_surroundings();
  /// What was logged that the controller should know, since the last call; and what the controller's process
  /// does with what others logged.
  std::function<value_list()> warnings = {};
  std::function<void(const std::string& process, const value&)> warned = {};
};

class node {
 public:
  /// Builds everything. Throws std::runtime_error that says what cannot be had.
  explicit node(node_options options);
  node(const node&) = delete;
  node& operator=(const node&) = delete;
  /// Ends all actors; see `stop`.
  ~node();

  caf::actor_system& system();
  /// Null without that role.
  const caf::actor& controller() const;
  /// Where peers connect, HOST:PORT; empty if not networked.
  const std::string& address() const;
  /// Why a controller will not have us; empty as long as it may.
  std::string refusal() const;

  /// Asks every actor to end and waits for them, for a bounded time: false when analysis code does not
  /// return. The node must then be given up by ending the process.
  bool stop();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace dtranspose
