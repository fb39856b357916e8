/// The command line: what it takes, in words, and which function does it.
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "planning/run_plan.hpp"
#include "runtime/allocator.hpp"
#include "runtime/commands.hpp"
#include "runtime/version.hpp"

namespace {

using namespace dtranspose;

void add_analysis_options(CLI::App& app, analysis_choice& choice) {
  app.add_option("--analysis", choice.analysis,
                 "analysis to run: a name (see `dtranspose analyses`) or the path of a plug-in");
  app.add_option("--param", choice.params,
                 "parameter of the analysis, NAME=VALUE; may be given several times")
      ->allow_extra_args(false);
  app.add_option("--output", choice.output, "HDF5 file for the results; a file of that name is replaced");
}

void add_roles(CLI::App& app, role_command& c) {
  app.add_option(
      "--role", c.roles,
      "what this process is: all, controller, ingester, worker, reducer; several joined by commas");
  app.add_option("--config", c.config, "configuration file, the same for every role");
  app.add_option("--listen", c.listen, "HOST:PORT where other processes connect to this one");
  app.add_option("--join", c.join, "HOST:PORT of the controller; waited for if it is not there yet");
  app.add_option("--stream", c.streams,
                 "ingest only this stream of the configuration; may be given several times")
      ->allow_extra_args(false);
  app.add_option("--workers", c.workers, "number of workers in this process")->check(CLI::Range(1, 4096));
  app.add_option("--tags", c.tags, "tags of these workers, joined by commas");
  app.add_option("--http", c.http, "HOST:PORT of the REST interface");
  app.add_option("--results", c.results, "HOST:PORT of the results");
  add_analysis_options(app, c.choice);
  app.add_flag(
      "--watch", c.watch,
      "with the controller: when files of an analysis in Python change it is read anew, for the next scan");
  app.add_flag("--json", c.json, "print a summary as one JSON object on the last line");
}

CLI::App* add_replay(CLI::App& app, replay_command& c) {
  auto sub = app.add_subcommand("replay", "run recorded streams through the whole pipeline, in one process");
  sub->add_option(
         "files", c.files,
         "recordings: dumps of ingesters, wire recordings, raw captures of messages, each perhaps in gzip; "
         "HDF5 files with images")
      ->required()
      ->check(CLI::ExistingFile);
  sub->add_option(
         "--stream", c.streams,
         "NAME=PROTOCOL or NAME=PROTOCOL,OPTION=VALUE,...: what a raw capture holds, NAME=stins for an HDF5 "
         "file; once for each, in their order")
      ->allow_extra_args(false);
  sub->add_option("--dataset", c.data_set, "of HDF5 files: where their images are")->capture_default_str();
  sub->add_option("--map", c.map, "trigger map to replay with, as posted to /api/v1/sequence")
      ->check(CLI::ExistingFile);
  sub->add_flag("!--no-wrap", c.wrap, "with --map: the map has its own start and end events");
  sub->add_option("--workers", c.workers, "number of workers; default: one per processor")
      ->check(CLI::Range(1, 4096));
  sub->add_option("--speed", c.speed,
                  "N: N times as fast as it was recorded; default: as fast as possible. Needs recorded times")
      ->check(CLI::Range(1e-6, 1e6));
  sub->add_option("--from", c.from,
                  "first event that is analysed; start messages are given to workers anyway");
  sub->add_option("--to", c.to, "last event that is analysed");
  sub->add_option("--loop", c.loop, "so many scans in a row")->check(CLI::Range(1, 1'000'000));
  sub->add_flag("--step", c.step,
                "one event for each key on a terminal (c: the rest), or for each line of standard input");
  sub->add_option("--record", c.record, "folder where the ingesters record the streams again");
  sub->add_option("--controller", c.controller,
                  "URL of a running system: the streams are sent to it as their instruments would");
  sub->add_option("--config", c.config,
                  "configuration whose analysis is run; with --controller: that of the system")
      ->check(CLI::ExistingFile);
  sub->add_option("--token-file", c.token_file, "with --controller: file with the token that it asks for")
      ->check(CLI::ExistingFile);
  sub->add_option("--authority", c.authority,
                  "with --controller: certificates of those who may sign that of the controller, PEM")
      ->check(CLI::ExistingFile);
  sub->add_option("--results", c.results, "HOST:PORT where the results can be watched meanwhile");
  sub->add_option("-w,--worker", c.choice.python_worker,
                  "worker class in Python, python:package.module:Class; folders of modules are here");
  sub->add_option("-r,--reducer", c.choice.python_reducer, "reducer class in Python, the same");
  sub->add_option("--interpreter", c.choice.interpreter,
                  "interpreter with the package dtranspose; default: python3");
  sub->add_option("--params", c.params_file,
                  "file with parameters, [{\"name\": ..., \"data\": ...}, ...]; --param wins over it")
      ->check(CLI::ExistingFile);
  add_analysis_options(*sub, c.choice);
  sub->add_flag("--json", c.json, "print the summary as one JSON object on the last line");
  return sub;
}

CLI::App* add_inspect(CLI::App& app, inspect_command& c) {
  auto sub = app.add_subcommand("inspect", "what is in a recording");
  sub->add_option("file", c.file, "recording")->required()->check(CLI::ExistingFile);
  sub->add_option("--stream", c.stream,
                  "NAME=PROTOCOL or NAME=PROTOCOL,OPTION=VALUE,...: read a raw capture as that");
  sub->add_option("--extract", c.extract,
                  "STREAM OUT.h5: write the images of a stream to an HDF5 file; one of that name is replaced")
      ->type_name("STREAM OUT");
  sub->add_flag("--json", c.json, "print it as one JSON object");
  return sub;
}

CLI::App* add_repair(CLI::App& app, repair_command& c) {
  auto sub = app.add_subcommand(
      "repair",
      "files of results that were left behind: what keeps readers out is cleared, nothing else changes.\n"
      "Status 0: every file can be opened now; 1: one is being written or cannot be repaired.");
  sub->add_option("files", c.files, "HDF5 files, as FILE.part")->required()->check(CLI::ExistingFile);
  sub->add_flag("--json", c.json, "print the summary as one JSON object on the last line");
  return sub;
}

CLI::App* add_simulate(CLI::App& app, simulate_command& c) {
  auto sub =
      app.add_subcommand("simulate", "instruments: real sockets that send what the configuration describes");
  sub->add_option("--config", c.config, "configuration file with [[simulate]] entries")
      ->required()
      ->check(CLI::ExistingFile);
  sub->add_option("--controller", c.controller, "where the trigger map that fits is posted")
      ->capture_default_str();
  sub->add_option("--token-file", c.token_file, "file with the token that the controller asks for")
      ->check(CLI::ExistingFile);
  sub->add_option("--authority", c.authority,
                  "certificates of those who may sign that of the controller, PEM")
      ->check(CLI::ExistingFile);
  sub->add_option("--stream", c.streams, "simulate only this stream; may be given several times")
      ->allow_extra_args(false);
  sub->add_option("--truth", c.truth, "HDF5 file for what is true of the simulated beamline, and its faults");
  sub->add_flag("--no-map", c.no_map, "post no trigger map");
  sub->add_option("--min-workers", c.min_workers,
                  "wait until so many workers are there before the map is posted")
      ->capture_default_str();
  sub->add_option("--timeout", c.patience, "seconds to wait for the system to take the map")
      ->capture_default_str();
  sub->add_flag("--json", c.json, "print the summary as one JSON object on the last line");
  return sub;
}

CLI::App* add_plan(CLI::App& app, plan_request& p) {
  auto sub =
      app.add_subcommand("plan", "will it keep up, what is the bottleneck, how many workers does it take?");
  sub->add_option("config", p.config, "configuration file with a section [plan]")
      ->required()
      ->check(CLI::ExistingFile);
  sub->add_option("--stall", p.stall, "seconds of standstill that are to be covered; 0: not asked")
      ->capture_default_str();
  sub->add_option("--simulate", p.simulate, "check the answer by a simulation of so many seconds");
  sub->add_option("--headroom", p.headroom, "highest use that is planned for, up to 1; 0: as the file says");
  sub->add_flag("--json", p.json, "print the answer as one JSON object");
  return sub;
}

void log_to_standard_error() {
  auto logger = spdlog::stderr_color_mt("dtranspose");
  logger->set_pattern("%H:%M:%S.%e %^%l%$ %v");
  spdlog::set_default_logger(logger);
}

int run(int argc, char** argv) {
  CLI::App app{"dtranspose: live analysis for experiments at synchrotrons and free-electron lasers.\n"
               "Without a command it plays the roles given by --role, until it gets SIGTERM or Ctrl-C."};
  app.set_version_flag("--version", std::string(version()));
  app.require_subcommand(0, 1);
  role_command roles;
  replay_command replay;
  simulate_command simulate;
  inspect_command inspect;
  repair_command repair;
  std::string checked;
  plan_request plan;
  std::string listed;
  bool check_json = false, analyses_json = false;
  add_roles(app, roles);
  auto replaying = add_replay(app, replay);
  auto simulating = add_simulate(app, simulate);
  auto inspecting = add_inspect(app, inspect);
  auto repairing = add_repair(app, repair);
  auto checking = app.add_subcommand("check", "is this configuration sound?");
  checking->add_option("config", checked, "configuration file")->required()->check(CLI::ExistingFile);
  checking->add_flag("--json", check_json, "print the summary as one JSON object");
  auto listing = app.add_subcommand("analyses", "what analyses there are, with their parameters and results");
  listing->add_option("name", listed, "this one alone: a name, or the path of a plug-in");
  listing->add_flag("--json", analyses_json, "print them as one JSON object");
  auto planning = add_plan(app, plan);
  CLI11_PARSE(app, argc, argv);
  if (*planning) return run_plan(plan);
  if (*replaying) return run_replay(replay);
  if (*simulating) return run_simulate(simulate);
  if (*inspecting) return run_inspect(inspect);
  if (*repairing) return run_repair(repair);
  if (*checking) return run_check(checked, check_json);
  if (*listing) return run_analyses(listed, analyses_json);
  if (roles.roles.empty()) {
    std::fputs(app.help().c_str(), stdout);
    return 2;
  }
  return run_roles(roles);
}

} // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  log_to_standard_error();
  try {
    return run(argc, argv);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "dtranspose: %s\n", e.what());
    return 1;
  }
}
