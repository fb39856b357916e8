#include "runtime/configuration.hpp"

#include <unistd.h>

#include <fstream>
#include <set>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "analysis/analysis_names.hpp"
#include "beamline/scene.hpp"
#include "protocol/protocol.hpp"

#ifndef DTRANSPOSE_SOURCE_DIR
#define DTRANSPOSE_SOURCE_DIR "."
#endif

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

const std::string one_stream = "[[stream]]\nname = 'det'\nprotocol = 'stins'\nurl = 'tcp://127.0.0.1:9999'\n";

/// What is wrong with a text, line by line; empty if nothing is.
std::vector<std::string> findings_in(const std::string& text) {
  std::vector<std::string> findings;
  try {
    parse_configuration(text, "x.toml");
  } catch (const configuration_error& error) {
    std::istringstream lines(error.what());
    for (std::string line; std::getline(lines, line);) findings.push_back(line);
  }
  return findings;
}

std::filesystem::path shipped(const std::string& name) {
  return std::filesystem::path(DTRANSPOSE_SOURCE_DIR) / "config" / name;
}

class temporary_folder {
 public:
  temporary_folder()
      : path(testing::TempDir() + "dtranspose_configuration_test." + std::to_string(getpid())) {
    std::filesystem::create_directories(path);
  }
  ~temporary_folder() { std::filesystem::remove_all(path); }
  void write(const std::string& name, const std::string& text) { std::ofstream(path / name) << text; }

  std::filesystem::path path;
};

TEST(configuration, defaults) {
  auto x = parse_configuration("", "x.toml");
  EXPECT_EQ(x.cluster.name, "dtranspose");
  EXPECT_EQ(x.cluster.controller, (host_and_port{"127.0.0.1", 4242}));
  EXPECT_EQ(x.cluster.listen, (host_and_port{"127.0.0.1", 0}));
  EXPECT_EQ(x.http.control, (host_and_port{"127.0.0.1", 5000}));
  EXPECT_EQ(x.http.results, (host_and_port{"127.0.0.1", 5001}));
  EXPECT_EQ(x.worker.count, 2u);
  EXPECT_THAT(x.worker.tags, ElementsAre("generic"));
  EXPECT_THAT(x.analysis.use, ElementsAre("none"));
  EXPECT_EQ(x.scan.stop_timeout, 5s);
  EXPECT_EQ(x.cluster.return_timeout, 60s);
  EXPECT_FALSE(x.cluster.insecure || x.http.insecure);
  EXPECT_EQ(x.cluster.tls.certificate, "");
  EXPECT_EQ(x.http.tokens, "");
  EXPECT_EQ(x.reducer.journal, "");
  EXPECT_EQ(x.controller.journal, "");
  EXPECT_TRUE(x.reducer.pause_when_full);
  EXPECT_EQ(x.recording.directory, "");
  EXPECT_TRUE(x.streams.empty());
  EXPECT_TRUE(x.simulate.empty());
}

TEST(configuration, every_key) {
  auto x = parse_configuration(R"(
[cluster]
name = "lab"
controller = "[::1]:4000"
listen = "0.0.0.0:4001"
heartbeat = "200ms"
timeout = "1s"
return_timeout = "3min"
tls = { certificate = "node.pem", key = "node.key", authority = "ca.pem" }
insecure = true
[controller]
journal = "decisions"
[http]
control = "0.0.0.0:80"
results = "0.0.0.0:81"
tokens = "tokens.toml"
certificate = "web.pem"
key = "web.key"
insecure = true
[[stream]]
name = "det"
protocol = "stins"
url = "ipc:///tmp/det"
socket = "sub"
retain = "1MiB"
read_ahead = 4096
late_window = 0
rearm_timeout = "0s"
connect = false
curve = "det.keys"
[scan]
stall_timeout = "5min"
incomplete = "deliver"
max_attempts = 1
event_timeout = "1h"
stop_timeout = "1s"
arm_timeout = "2s"
[worker]
count = 3
tags = ["a", "b"]
memory = "1GB"
[analysis]
use = ["none"]
[reducer]
journal = "results"
disk_full = "fail"
fsync = "0"
snapshots_per_second = 2.5
[output]
file = "run_{scan}_{raw}.h5"
raw_path = { det = "/entry/{stream}/{filename}" }
swmr = false
flush = "5s"
chunk = "64KiB"
compression = "gzip"
level = 3
overwrite = true
[recording]
directory = "recordings"
as = "dump"
behind = "gap"
budget = "1MB"
packed = "zstd"
[[simulate]]
stream = "det"
frames = 10
rate = "2kHz"
shape = [2, 3]
dtype = "float32"
seed = 7
every = 5
)",
                               "x.toml");
  EXPECT_EQ(x.cluster.name, "lab");
  EXPECT_EQ(x.cluster.controller, (host_and_port{"::1", 4000}));
  EXPECT_EQ(x.cluster.listen, (host_and_port{"0.0.0.0", 4001}));
  EXPECT_EQ(x.cluster.heartbeat, 200ms);
  EXPECT_EQ(x.cluster.timeout, 1s);
  EXPECT_EQ(x.cluster.return_timeout, 3min);
  EXPECT_EQ(x.cluster.tls.certificate, "node.pem");
  EXPECT_EQ(x.cluster.tls.key, "node.key");
  EXPECT_EQ(x.cluster.tls.authority, "ca.pem");
  EXPECT_TRUE(x.cluster.insecure);
  EXPECT_EQ(x.controller.journal, "decisions");
  EXPECT_EQ(x.http.tokens, "tokens.toml");
  EXPECT_EQ(x.http.certificate, "web.pem");
  EXPECT_EQ(x.http.key, "web.key");
  EXPECT_TRUE(x.http.insecure);
  EXPECT_EQ(x.http.control.port, 80);
  EXPECT_EQ(x.http.results.port, 81);

  ASSERT_EQ(x.streams.size(), 1u);
  auto& stream = x.streams[0];
  EXPECT_EQ(stream.name, "det");
  EXPECT_EQ(stream.protocol, "stins");
  EXPECT_EQ(stream.url, "ipc:///tmp/det");
  EXPECT_EQ(stream.socket, socket_kind::sub);
  EXPECT_EQ(stream.retain, 1u << 20);
  EXPECT_EQ(stream.read_ahead, 4096u);
  EXPECT_EQ(stream.late_window, 0u);
  EXPECT_EQ(stream.rearm_timeout, 0s);
  EXPECT_FALSE(stream.connect);
  EXPECT_EQ(stream.curve, "det.keys");

  EXPECT_EQ(x.scan.stall_timeout, 5min);
  EXPECT_EQ(x.scan.incomplete, incomplete_events::deliver);
  EXPECT_EQ(x.scan.max_attempts, 1u);
  EXPECT_EQ(x.scan.event_timeout, 1h);
  EXPECT_EQ(x.scan.stop_timeout, 1s);
  EXPECT_EQ(x.scan.arm_timeout, 2s);
  EXPECT_EQ(x.worker.count, 3u);
  EXPECT_THAT(x.worker.tags, ElementsAre("a", "b"));
  EXPECT_EQ(x.worker.memory, 1000000000u);
  EXPECT_EQ(x.reducer.journal, "results");
  EXPECT_FALSE(x.reducer.pause_when_full);
  EXPECT_EQ(x.reducer.fsync, 0s);
  EXPECT_EQ(x.reducer.snapshots_per_second, 2.5);
  EXPECT_EQ(x.output.file, "run_{scan}_{raw}.h5");
  EXPECT_THAT(x.output.raw_path, ElementsAre(Pair("det", "/entry/{stream}/{filename}")));
  EXPECT_FALSE(x.output.swmr);
  EXPECT_EQ(x.output.flush, 5s);
  EXPECT_EQ(x.output.chunk, 64u << 10);
  EXPECT_EQ(x.output.deflate, 3);
  EXPECT_TRUE(x.output.overwrite);
  EXPECT_EQ(x.recording.directory, "recordings");
  EXPECT_EQ(x.recording.as, recording_form::dump);
  EXPECT_EQ(x.recording.behind, recorder_behind::gap);
  EXPECT_EQ(x.recording.budget, 1'000'000u);
  EXPECT_EQ(x.recording.packed, packing::zstd);

  ASSERT_EQ(x.simulate.size(), 1u);
  auto& simulate = x.simulate[0];
  EXPECT_EQ(simulate.stream, "det");
  EXPECT_EQ(simulate.frames, 10u);
  EXPECT_EQ(simulate.rate, 2000.0);
  EXPECT_THAT(simulate.shape, ElementsAre(2, 3));
  EXPECT_EQ(simulate.type, dtype::float32);
  EXPECT_EQ(simulate.seed, 7u);
  EXPECT_EQ(simulate.every, 5u);
}

TEST(configuration, the_controllers_journal_is_beside_that_of_the_reducer) {
  auto x = parse_configuration("[reducer]\njournal = 'here'", "x.toml");
  EXPECT_EQ(x.controller.journal, "here");
  x = parse_configuration("[controller]\njournal = 'there'\n[reducer]\njournal = 'here'", "x.toml");
  EXPECT_EQ(x.controller.journal, "there");
  EXPECT_EQ(x.reducer.journal, "here");
  x = parse_configuration("[controller]\njournal = 'there'", "x.toml");
  EXPECT_EQ(x.reducer.journal, "") << "what the reducer keeps is another thing";
}

TEST(configuration, sockets_follow_the_protocol_unless_told) {
  auto socket_of = [](const std::string& protocol) {
    auto text = "[[stream]]\nname='a'\nprotocol='" + protocol + "'\nurl='tcp://h:1'\n";
    return parse_configuration(text, "x.toml").streams.at(0).socket;
  };
  for (auto protocol : {"stins", "eiger_v1", "dectris_v2", "raw"})
    EXPECT_EQ(socket_of(protocol), socket_kind::pull) << protocol;
  for (auto protocol : {"xspress3", "pcap", "albaem", "contrast", "lecroy", "bluesky"})
    EXPECT_EQ(socket_of(protocol), socket_kind::sub) << protocol;
}

std::string stream_text(const std::string& keys) { return "[[stream]]\nname='a'\n" + keys; }

TEST(configuration, addresses_follow_the_protocol) {
  EXPECT_NO_THROW(parse_configuration(stream_text("protocol='sardana'\nurl='http://h:1'\n"), "x.toml"));
  EXPECT_NO_THROW(parse_configuration(stream_text("protocol='panda_tcp'\nurl='tcp://h:8889'\n"), "x.toml"));
  for (auto keys : {"protocol='sardana'\nurl='tcp://h:1'\n", "protocol='panda_tcp'\nurl='ipc://x'\n",
                    "protocol='panda_tcp'\nurl='tcp://h:1'\nsocket='sub'\n"})
    EXPECT_THROW(parse_configuration(stream_text(keys), "x.toml"), configuration_error) << keys;
}

TEST(configuration, options_are_those_of_the_protocol) {
  auto x = parse_configuration(
      stream_text("protocol='raw'\nurl='tcp://h:1'\noptions={number='/frame',first=1}\n"), "x.toml");
  EXPECT_EQ(x.streams[0].options, (protocol_options{{"number", "/frame"}, {"first", "1"}}));
  try {
    parse_configuration(stream_text("protocol='raw'\nurl='tcp://h:1'\noptions={numbr='/frame'}\n"), "x.toml");
    FAIL();
  } catch (const configuration_error& e) {
    EXPECT_THAT(e.what(), testing::HasSubstr("x.toml:5: [[stream]] options: option numbr: is unknown"));
  }
}

TEST(configuration, a_software_triggered_stream_has_a_leader) {
  std::string det = "[[stream]]\nname='det'\nprotocol='stins'\nurl='tcp://h:1'\n";
  std::string slow = "[[stream]]\nname='slow'\nprotocol='raw'\nurl='tcp://h:2'\ntrigger='software'\n";
  auto x = parse_configuration(slow + det, "x.toml");
  EXPECT_TRUE(x.streams[0].software_triggered);
  EXPECT_EQ(x.streams[0].leader, "det");
  EXPECT_THAT(x.streams[1].followers, ElementsAre("slow"));
  EXPECT_THROW(parse_configuration(slow, "x.toml"), configuration_error) << "nobody leads";
  EXPECT_THROW(parse_configuration(det + slow + "leader='other'\n", "x.toml"), configuration_error);
  EXPECT_THROW(parse_configuration(det + "leader='det'\n", "x.toml"), configuration_error);
}

TEST(configuration, parameters_are_in_their_written_form) {
  auto x = parse_configuration(R"([analysis]
use = ["roi"]
[analysis.roi]
rows = "0:4"
on = true
off = false
n = -3
x = 2.5
two = 2.0
tiny = 1e-9
huge = inf
[analysis.other]
rows = "1:2"
)",
                               "x.toml");
  EXPECT_THAT(x.analysis.parameters.at("roi"),
              ElementsAre(Pair("huge", "inf"), Pair("n", "-3"), Pair("off", "False"), Pair("on", "True"),
                          Pair("rows", "0:4"), Pair("tiny", "1e-09"), Pair("two", "2.0"), Pair("x", "2.5")));
  EXPECT_THAT(x.analysis.parameters.at("other"), ElementsAre(Pair("rows", "1:2")));
}

TEST(configuration, classes_in_python_are_told_from_their_parameters) {
  auto x = parse_configuration(R"([scan]
event_timeout = "3s"
max_attempts = 5
[analysis]
use = ["python"]
[analysis.python]
worker = "src.roi:Worker"
interpreter = "python3.11"
directory = "/code"
memory_limit = "2GiB"
environment = { OMP_NUM_THREADS = "1" }
rows = 3
)",
                               "x.toml");
  EXPECT_THAT(x.analysis.parameters.at("python"), ElementsAre(Pair("rows", "3")));
  auto entry = analysis_entry_of(x);
  auto python = parse_python_entry(entry);
  EXPECT_EQ(python.worker, "src.roi:Worker");
  EXPECT_EQ(python.reducer, "");
  EXPECT_EQ(python.interpreter, "python3.11");
  EXPECT_EQ(python.directory, "/code");
  EXPECT_EQ(python.memory_limit, std::uint64_t{2} << 30);
  EXPECT_THAT(python.environment, ElementsAre(Pair("OMP_NUM_THREADS", "1")));
  EXPECT_EQ(python.event_timeout, 3s);
  EXPECT_EQ(python.max_attempts, 5u);
  EXPECT_EQ(python_entry(python), entry);
}

TEST(configuration, the_short_form_of_classes_in_python_means_the_same) {
  auto x = parse_configuration(
      "[analysis]\nworker = 'python:a:B'\nreducer = 'python:c:D'\npython = { rows = 1 }", "x.toml");
  EXPECT_THAT(x.analysis.use, ElementsAre("python"));
  EXPECT_EQ(x.analysis.python.worker, "a:B");
  EXPECT_EQ(x.analysis.python.reducer, "c:D");
  EXPECT_THAT(x.analysis.parameters.at("python"), ElementsAre(Pair("rows", "1")));
}

TEST(configuration, plugins_are_named_by_their_file) {
  EXPECT_EQ(analysis_name_of("roi"), "roi");
  EXPECT_EQ(analysis_name_of("build/libspots.so"), "spots");
  EXPECT_EQ(analysis_name_of("./spots.so"), "spots");
  EXPECT_EQ(analysis_name_of("spots.so"), "spots");
}

TEST(configuration, parameters_of_several_analyses_have_their_name_in_front) {
  auto x = parse_configuration("[analysis]\nuse = ['roi', './libspots.so']\nroi = { rows = '1:2' }\n"
                               "spots = { n = 1 }\ncog = { limit = 3 }\n",
                               "x.toml");
  set_parameter_in_use(x.analysis, "spots.m", "7");
  EXPECT_THAT(parameters_in_use(x.analysis),
              ElementsAre(Pair("roi.rows", "1:2"), Pair("spots.m", "7"), Pair("spots.n", "1")));
  EXPECT_THROW(set_parameter_in_use(x.analysis, "rows", "1:2"), std::runtime_error);
  EXPECT_THROW(set_parameter_in_use(x.analysis, "cog.limit", "4"), std::runtime_error);
  x.analysis.use = {"roi"};
  set_parameter_in_use(x.analysis, "columns", "3:4");
  EXPECT_THAT(parameters_in_use(x.analysis), ElementsAre(Pair("columns", "3:4"), Pair("rows", "1:2")));
}

TEST(configuration, paths_are_relative_to_the_file_where_they_exist_there) {
  temporary_folder folder;
  folder.write("dump.cbors", "x");
  folder.write("libspots.so", "x");
  auto second = "[[stream]]\nname = 'two'\nprotocol = 'stins'\nurl = 'tcp://h:1'\n";
  folder.write("x.toml", one_stream + second +
                             "[analysis]\nuse = ['libspots.so']\nspots = { n = 1 }\n"
                             "[[simulate]]\nstream = 'det'\nrecording = 'dump.cbors'\n"
                             "[[simulate]]\nstream = 'two'\nrecording = 'elsewhere/dump.cbors'\n");
  auto x = read_configuration(folder.path / "x.toml");
  EXPECT_EQ(x.simulate.at(0).recording, folder.path / "dump.cbors");
  EXPECT_EQ(x.simulate.at(1).recording, "elsewhere/dump.cbors");
  EXPECT_THAT(x.analysis.use, ElementsAre((folder.path / "libspots.so").string()));
  EXPECT_THAT(x.analysis.parameters.at("spots"), ElementsAre(Pair("n", "1")));
}

const std::string a_raster =
    "[beamline]\nscene = 'xrf_raster'\nrows = 3\ncolumns = 4\nrate = '50Hz'\n" + one_stream;

TEST(configuration, instruments_with_a_role_take_frames_and_rate_of_the_beamline) {
  auto x = parse_configuration(a_raster + "[[simulate]]\nstream = 'det'\nrole = 'spectra'\n", "x.toml");
  ASSERT_TRUE(x.scene);
  EXPECT_EQ(x.scene->frames(), 12u);
  EXPECT_EQ(x.simulate.at(0).role, "spectra");
  EXPECT_EQ(x.simulate[0].frames, 12u);
  EXPECT_EQ(x.simulate[0].rate, 50.0);
  x = parse_configuration(a_raster + "[[simulate]]\nstream = 'det'\nrole = 'i0'\nrate = 0\n", "x.toml");
  EXPECT_EQ(x.simulate.at(0).rate, 0.0);
}

TEST(configuration, faults_of_simulated_streams) {
  auto x =
      parse_configuration(one_stream + "[[simulate]]\nstream = 'det'\nframes = 900\n"
                                       "faults = { drop = 0.01, duplicate = 1, delay = '20ms', seed = 9, "
                                       "stall = { at = 500, for = '2s' }, cut_off = 800, rearm = 600 }\n",
                          "x.toml");
  auto& faults = x.simulate.at(0).faults;
  EXPECT_TRUE(faults.any());
  EXPECT_EQ(faults.drop, 0.01);
  EXPECT_EQ(faults.duplicate, 1.0);
  EXPECT_EQ(faults.delay, 20ms);
  EXPECT_EQ(faults.stall_before->at, 500u);
  EXPECT_EQ(faults.stall_before->length, 2s);
  EXPECT_EQ(faults.cut_off, 800u);
  EXPECT_EQ(faults.rearm, 600u);
  EXPECT_EQ(faults.seed, 9u);
  x = parse_configuration(one_stream + "[[simulate]]\nstream = 'det'\nframes = 900\n", "x.toml");
  EXPECT_FALSE(x.simulate.at(0).faults.any());
}

TEST(configuration, one_finding_each) {
  const std::pair<std::string, std::string> cases[] = {
      {"[scan]\nevent_timeot = '1s'",
       "x.toml:2: [scan] event_timeot: unknown key; did you mean event_timeout?"},
      {"[http]\nzzzzzz = 1", "x.toml:2: [http] zzzzzz: unknown key; known are certificate, control, "
                             "insecure, key, results, tokens"},
      {"\n[analisys]\nuse = []", "x.toml:2: [analisys]: unknown section; did you mean analysis?"},
      {"name = 'x'", "x.toml:1: [name]: unknown section; known are "},
      {"worker = 3", "x.toml:1: [worker]: 3 is not a table: write [worker]"},
      {"[stream]\nname = 'x'", "x.toml:1: [stream]: is not a list of tables: write [[stream]]"},
      {"[worker]\ncount = 'two'", "x.toml:2: [worker] count: \"two\" is not a whole number from 1 to 4096"},
      {"[worker]\ncount = 0", "x.toml:2: [worker] count: 0 is not a whole number from 1 to 4096"},
      {"[worker]\ncount = 2.0", "x.toml:2: [worker] count: a number with a fraction is not a whole number"},
      {"[worker]\ntags = 'a'", "x.toml:2: [worker] tags: \"a\" is not a list of texts"},
      {"[worker]\ntags = ['a', 1]", "x.toml:2: [worker] tags: 1 is not a text"},
      {"[worker]\ntags = ['a,b']", "x.toml:2: [worker] tags: \"a,b\" is not a tag"},
      {"[worker]\ntags = []", "x.toml:2: [worker] tags: must name at least one tag"},
      {"[worker]\nmemory = '5 apples'", "x.toml:2: [worker] memory: \"5 apples\" is not a size such as"},
      {"[worker]\nmemory = 0", "x.toml:2: [worker] memory: must be more than 0"},
      {"[scan]\nevent_timeout = 'soon'",
       "x.toml:2: [scan] event_timeout: \"soon\" is not a duration such as"},
      {"[scan]\nevent_timeout = 5", "x.toml:2: [scan] event_timeout: 5 is not a duration such as"},
      {"[scan]\nevent_timeout = '0s'", "x.toml:2: [scan] event_timeout: must be more than 0"},
      {"[scan]\nincomplete = 'drop'",
       "x.toml:2: [scan] incomplete: \"drop\" is not one of \"deliver\", \"skip\""},
      {"[cluster]\ncontroller = 'host'",
       "x.toml:2: [cluster] controller: \"host\" is not an address such as"},
      {"[cluster]\nname = 'a b'", "x.toml:2: [cluster] name: \"a b\" is not a name"},
      {"[cluster]\ntimeout = '1s'", "x.toml:2: [cluster] timeout: must be longer than heartbeat"},
      {"[cluster]\ntls = { certificate = 'a', authority = 'b' }", "x.toml:2: [cluster.tls] key: is missing"},
      {"[cluster]\nreturn_timeout = '0s'", "x.toml:2: [cluster] return_timeout: must be more than 0"},
      {"[cluster]\ninsecure = 1", "x.toml:2: [cluster] insecure: 1 is not true or false"},
      {"[controller]\njournal = 1", "x.toml:2: [controller] journal: 1 is not a text"},
      {"[http]\ncertificate = 'a'",
       "x.toml:2: [http] certificate: certificate and key belong together: give both or none"},
      {"[http]\nkey = 'a'", "[http] certificate: certificate and key belong together"},
      {"[reducer]\ndisk_full = 'stop'",
       "x.toml:2: [reducer] disk_full: \"stop\" is not one of \"fail\", \"pause\""},
      {"[reducer]\nsnapshots_per_second = 0",
       "x.toml:2: [reducer] snapshots_per_second: 0 is not a number above 0"},
      {"[output]\nfile = '{raw}/a.h5'",
       "x.toml:2: [output] file: {raw} may be in the name of the file only, not in its folder"},
      {"[output]\nchunk = '2MiB'", "x.toml:2: [output] chunk: may be 1MiB at most"},
      {"[output]\ncompression = 'zstd'", "x.toml:2: [output] compression: \"zstd\" is refused: readers "
                                         "without a plug-in could not open the file; "
                                         "there are \"none\" and \"gzip\""},
      {"[output]\nlevel = 3", "x.toml:2: [output] level: is for compression = \"gzip\""},
      {"[output]\nfile = '{scna}.h5'", "x.toml:2: [output] file: \"{scna}\" is no place that is filled"},
      {"[output]\nfile = 'a{'", "x.toml:2: [output] file: \"{\" is no place that is filled"},
      {"[output]\noverwrite = 1", "x.toml:2: [output] overwrite: 1 is not true or false"},
      {"[[stream]]\nname = 'x'\nprotocol = 'stins'\nurl = 'tcp://a:1'\n[output.raw_path]\nx = 'a'",
       "[output.raw_path] x: must begin with /, as a path in an HDF5 file"},
      {"[[stream]]\nname = 'x'\nprotocol = 'stins'\nurl = 'tcp://a:1'\n[output.raw_path]\nx = '/{raw}'",
       "[output.raw_path] x: \"{raw}\" is no place that is filled"},
      {"[output.raw_path]\nx = '/a'",
       "x.toml:2: [output.raw_path] x: is no configured stream; there is none"},
      {"[analysis]\nuse = ['a,b']",
       "x.toml:2: [analysis] use: \"a,b\" is not the name of one analysis or the path of a plug-in"},
      {"[feedback]\npublish = 'http://a'",
       "x.toml:2: [feedback] publish: \"http://a\" is not an address such as \"tcp://127.0.0.1:5002\""},
      {"[feedback]\nstop = 1", "x.toml:2: [feedback] stop: 1 is not true or false"},
      {"[analysis]\nuse = []", "x.toml:2: [analysis] use: must name one analysis"},
      {"[analysis]\nworker = 'a:B'", "x.toml:2: [analysis] worker: \"a:B\" is no class in Python"},
      {"[analysis]\nreducer = 'python:a:B'", "[analysis] use: a worker class is missing"},
      {"[analysis]\nuse = ['roi']\nworker = 'python:a:B'",
       "x.toml:2: [analysis] use: names another analysis than the one in Python"},
      {"[analysis]\nuse = ['python']\npython = { worker = 'a' }",
       "x.toml:3: [analysis] python: \"a\" is no name of a class"},
      {"[analysis.python]\nmemory_limit = 'much'", "x.toml:2: [analysis.python] memory_limit"},
      {"[analysis]\nuse = ['roi']\nrio = { n = 1 }",
       "x.toml:3: [analysis] rio: is no analysis in use; did you mean roi?"},
      {"[analysis]\nuse = ['roi']\nroi = { n = [1] }",
       "x.toml:3: [analysis.roi] n: a list is not a text, a number, true or false"},
      {"[[stream]]\nname = 'a'\nprotocol = 'stins'", "x.toml:1: [[stream]] url: is missing"},
      {"[[stream]]\nname = 'a:b'\nprotocol = 'stins'\nurl = 'tcp://h:1'",
       "x.toml:2: [[stream]] name: \"a:b\" is not a name"},
      {"[[stream]]\nname = 'a'\nprotocol = 'stinz'\nurl = 'tcp://h:1'",
       "x.toml:3: [[stream]] protocol: \"stinz\" is not a protocol; did you mean stins?"},
      {"[[stream]]\nname = 'a'\nprotocol = ''\nurl = 'tcp://h:1'",
       "x.toml:3: [[stream]] protocol: \"\" is not a protocol; known are"},
      {"[[stream]]\nname = 'a'\nprotocol = 'stins'\nurl = 'h:1'",
       "x.toml:4: [[stream]] url: \"h:1\" is not an address such as \"tcp://host:port\""},
      {"[[stream]]\nname = 'a'\nprotocol = 'stins'\nurl = 'tcp://h'",
       "x.toml:4: [[stream]] url: \"tcp://h\" is not a TCP address with a port"},
      {one_stream + one_stream, "x.toml:6: [[stream]] name: \"det\" is the name of another stream already"},
      {one_stream + "[[simulate]]\nstream = 'dett'\nframes = 1",
       "x.toml:6: [[simulate]] stream: \"dett\" is no configured stream; did you mean det?"},
      {one_stream + "[[simulate]]\nstream = 'det'", "x.toml:5: [[simulate]] frames: is missing"},
      {one_stream + "[[simulate]]\nframes = 1", "x.toml:5: [[simulate]] stream: is missing"},
      {one_stream + "[[simulate]]\nstream = 'det'\nrecording = 'a'\nseed = 1",
       "x.toml:8: [[simulate]] seed: is for generated frames"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = 1\nshape = [0]",
       "x.toml:8: [[simulate]] shape: must be a list"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = 1\nshape = [4611686018427387904, 4]",
       "x.toml:8: [[simulate]] shape: must be"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = 1\nrate = '100'",
       "x.toml:8: [[simulate]] rate: \"100\" is not a rate such as"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = 1\ndtype = 'float16'",
       "x.toml:8: [[simulate]] dtype: \"float16\" is not one of"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = -1",
       "x.toml:7: [[simulate]] frames: -1 is not a whole number from 1"},
      {"[beamline]\nrows = 3", "x.toml:1: [beamline] scene: is missing"},
      {"[beamline]\nscene = 'sunset'",
       "x.toml:2: [beamline] scene: 'sunset' is no scene; there are xrf_raster"},
      {"[beamline]\nscene = 'xrf_raster'\nrows = 0",
       "x.toml:2: [beamline] scene: option rows: '0' is no whole number from 1"},
      {"[beamline]\nscene = 'powder'\ngeometry = 'no.poni'", "no.poni: the geometry cannot be read"},
      {one_stream + "[[simulate]]\nstream = 'det'\nrole = 'spectra'",
       "x.toml:7: [[simulate]] role: wants a sound [beamline]"},
      {a_raster + "[[simulate]]\nstream = 'det'\nrole = 'spektra'",
       "x.toml:12: [[simulate]] role: \"spektra\" is no role of the scene; did you mean spectra?"},
      {a_raster + "[[simulate]]\nstream = 'det'\nrole = 'spectra'\nframes = 3",
       "x.toml:13: [[simulate]] frames: is not for instruments with a role"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = 9\nfaults = { drop = 1.5 }",
       "drop: a number with a fraction is not a number from 0 to 1"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = 9\nfaults = { stall = { at = 3 } }",
       "for: is missing"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = 9\nfaults = { rearm = 9 }",
       "x.toml:8: [[simulate]] faults: rearm must be before the last of 9 frames"},
      {one_stream + "[[simulate]]\nstream = 'det'\nframes = 9\nfaults = { dropp = 0.1 }",
       "dropp: unknown key; did you mean drop?"},
      {"[[stream]]\nname = 'p'\nprotocol = 'panda_tcp'\nurl = 'tcp://h:1'\ncurve = 'keys.toml'",
       "x.toml:5: [[stream]] curve: is for ZeroMQ; panda_tcp knows no such keys"},
      {"[scan]\nmax_attempts = 1\nmax_attempts = 2", "x.toml:3: "},
      {"[scan\n", "x.toml:1: "},
  };
  for (auto& [text, expected] : cases)
    EXPECT_THAT(findings_in(text), ElementsAre(HasSubstr(expected))) << text;
}

TEST(configuration, all_findings_are_told_at_once_in_the_order_of_the_file) {
  auto findings = findings_in("[scan]\nwhat = 1\n\n[worker]\ncount = -1\n\n[cluster]\nheartbeat = true\n");
  EXPECT_THAT(findings, ElementsAre(HasSubstr("x.toml:2: [scan] what"), HasSubstr("x.toml:5: [worker] count"),
                                    HasSubstr("x.toml:8: [cluster] heartbeat")));
}

TEST(configuration, too_many_streams) {
  std::string text;
  for (std::size_t i = 0; i < max_streams; ++i)
    text += "[[stream]]\nname = 's" + std::to_string(i) + "'\nprotocol = 'stins'\nurl = 'tcp://h:1'\n";
  EXPECT_EQ(parse_configuration(text, "x.toml").streams.size(), max_streams);
  EXPECT_THAT(findings_in(text + one_stream), ElementsAre(HasSubstr("65 streams are too many; up to 64")));
}

TEST(configuration, files_that_cannot_be_read) {
  EXPECT_THROW(
      {
        try {
          read_configuration("/nowhere/x.toml");
        } catch (const configuration_error& error) {
          EXPECT_THAT(error.what(), HasSubstr("/nowhere/x.toml: cannot be read: No such file"));
          throw;
        }
      },
      configuration_error);
  EXPECT_THROW(read_configuration("/"), configuration_error);
}

TEST(configuration, every_example_is_sound) {
  int examples = 0;
  for (auto& entry : std::filesystem::directory_iterator(shipped(""))) {
    if (entry.path().extension() != ".toml") continue;
    ++examples;
    EXPECT_NO_THROW(read_configuration(entry.path())) << entry.path();
  }
  EXPECT_GE(examples, 2);
}

TEST(configuration, the_demo_is_what_its_description_says) {
  auto demo = read_configuration(shipped("demo.toml"));
  ASSERT_EQ(demo.streams.size(), 2u);
  EXPECT_EQ(demo.streams[0].name, "pilatus");
  EXPECT_EQ(demo.streams[0].socket, socket_kind::pull);
  EXPECT_EQ(demo.streams[1].url, "tcp://127.0.0.1:23002");
  EXPECT_EQ(demo.worker.count, 4u);
  EXPECT_THAT(demo.analysis.parameters.at("roi"),
              ElementsAre(Pair("columns", "16:48"), Pair("rows", "16:48"), Pair("stream", "pilatus")));
  ASSERT_EQ(demo.simulate.size(), 2u);
  EXPECT_EQ(demo.simulate[0].frames, 2000u);
  EXPECT_EQ(demo.simulate[0].rate, 400.0);
  EXPECT_EQ(demo.simulate[1].frames * demo.simulate[1].every, demo.simulate[0].frames);
}

} // namespace
} // namespace dtranspose
