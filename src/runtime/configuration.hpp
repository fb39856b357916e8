/// One TOML file describes a set-up and serves every role of it: what may stand in it, and what
/// holds where it says nothing. `config/site.toml` shows every key.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "instrument/faults.hpp"
#include "model/ids.hpp"
#include "model/value.hpp"
#include "protocol/options.hpp"
#include "python/python_settings.hpp"
#include "recording/gathering_file.hpp"
#include "runtime/quantities.hpp"

namespace dtranspose {

class scene;

/// Files of certificates, PEM.
struct tls_settings {
  std::string certificate, key, authority;
};

/// `[cluster]`: who belongs together, and how they find and miss each other.
struct cluster_settings {
  /// A process of another name is refused. Default: dtranspose.
  std::string name = "dtranspose";
  /// Where all roles but the controller join. Default: 127.0.0.1:4242.
  host_and_port controller{"127.0.0.1", 4242};
  /// Where this process takes connections of its peers; port 0: any. Default: 127.0.0.1:0.
  host_and_port listen{"127.0.0.1", 0};
  /// Time between two signs of life. Default: 1s.
  std::chrono::nanoseconds heartbeat = std::chrono::seconds(1);
  /// Silence after which a process counts as dead; longer than `heartbeat`. Default: 5s.
  std::chrono::nanoseconds timeout = std::chrono::seconds(5);
  /// How long a scan waits for a process that it needs to come back, or for another in its place. Default:
  /// 60s.
  std::chrono::nanoseconds return_timeout = std::chrono::seconds(60);
  /// `tls`: between nodes everything goes through TLS, and peers must show a certificate that the authority
  /// has signed. Default: none.
  tls_settings tls;
  /// Listen beyond loopback without TLS. Default: false.
  bool insecure = false;
  /// Do large frames have a connection of their own between two processes? Default: true.
  bool bulk = true;
  /// Bytes of one stream's frames of an event from which on they are large. Default: 64KiB.
  std::uint64_t bulk_from = 64 << 10;
  /// Port of `listen`'s host where a process with workers takes them; 0: any. Default: 0.
  std::uint16_t bulk_port = 0;
};

/// `[controller]`
struct controller_settings {
  /// Folder of its journal: with one, a scan outlives the controller. Default: that of the reducer.
  std::string journal;
};

/// `[http]`: where people and control systems connect.
struct http_settings {
  /// REST and page. Default: 127.0.0.1:5000.
  host_and_port control{"127.0.0.1", 5000};
  /// HDF REST. Default: 127.0.0.1:5001.
  host_and_port results{"127.0.0.1", 5001};
  /// File with the tokens that requests must show. Default: empty, none are asked for.
  std::string tokens;
  /// Of HTTPS, PEM files. Default: empty, HTTP.
  std::string certificate, key;
  /// Listen beyond loopback without tokens. Default: false.
  bool insecure = false;
};

enum class socket_kind : std::uint8_t { pull, sub };

/// `[[stream]]`: a source and how it is read.
struct stream_settings {
  /// Required, unique, without `:` and blanks.
  std::string name;
  /// Required; one of `protocol_names()`.
  std::string protocol;
  /// Required; e.g. `tcp://host:port`.
  std::string url;
  /// ZeroMQ socket of the reader. Default: what instruments of the protocol expect.
  socket_kind socket = socket_kind::pull;
  /// Bytes held until committed; the sender stops when they are used up. Default: 2GiB.
  std::uint64_t retain = std::uint64_t{2} << 30;
  /// Bytes read ahead of what has been assigned. Default: 4MiB.
  std::uint64_t read_ahead = 4 << 20;
  /// Frames out of order that are waited for. Default: 64.
  std::uint32_t late_window = 64;
  /// How long an early end waits for a start that follows. Default: 2s.
  std::chrono::nanoseconds rearm_timeout = std::chrono::seconds(2);
  /// Does the reader connect, or bind and let the instrument connect? Default: true.
  bool connect = true;
  /// File with keys of ZeroMQ's CURVE, where the instrument offers it. Default: empty.
  std::string curve = {};
  /// Of the protocol: `[stream.options]`. Default: empty.
  protocol_options options = {};
  /// `trigger = "software"`: events get the value that was the latest when the leader's frame arrived,
  /// instead of a frame each. Default: "hardware".
  bool software_triggered = false;
  /// `leader`: the stream whose frames say when the value is taken. Default: the first stream that is not
  /// software-triggered itself.
  std::string leader = {};
  /// Not in the file: the software-triggered streams whose leader this one is.
  std::vector<std::string> followers = {};
};

enum class incomplete_events : std::uint8_t {
  skip,    ///< workers never see them
  deliver, ///< workers get what is there, with the missing streams listed
};

/// `[scan]`: how long things may take and what happens then.
struct scan_settings {
  /// How long a silent instrument is waited for; 0: until stop. Default: 0s.
  std::chrono::nanoseconds stall_timeout{0};
  /// What becomes of events of which a stream is missing. Default: skip.
  incomplete_events incomplete = incomplete_events::skip;
  /// Processes that an event may take with it before it fails. Default: 3.
  std::uint32_t max_attempts = 3;
  /// How long the analysis may take for one event. Default: 60s.
  std::chrono::nanoseconds event_timeout = std::chrono::seconds(60);
  /// How long a stop waits for what is under way. Default: 5s.
  std::chrono::nanoseconds stop_timeout = std::chrono::seconds(5);
  /// How long everybody may take to get ready for a scan. Default: 10s.
  std::chrono::nanoseconds arm_timeout = std::chrono::seconds(10);
};

/// `[worker]`: the workers of one worker process.
struct worker_settings {
  /// Workers in the process. Default: 2.
  std::uint32_t count = 2;
  /// What its workers fit. Default: generic.
  std::vector<std::string> tags = {"generic"};
  /// Bytes of events that the process holds. Default: 256MiB.
  std::uint64_t memory = 256 << 20;
};

/// `[analysis]`: what is done with the events.
struct analysis_settings {
  /// Names of analyses or paths of plug-ins, one behind the other. Default: none.
  std::vector<std::string> use = {"none"};
  /// Per analysis the values of its parameters in their written form, by name. Default: empty.
  std::map<std::string, std::map<std::string, std::string>> parameters;
  /// Where `use` names "python": its classes and how they run, `[analysis.python]`.
  python_settings python;
};

/// `[reducer]`: the fold.
struct reducer_settings {
  /// Folder of its journal: with one, a scan outlives the reducer. Default: empty, none is kept.
  std::string journal;
  /// `disk_full`: does a scan wait for room on a full disk ("pause"), or end ("fail")? Default: "pause".
  bool pause_when_full = true;
  /// How long results may wait to be written to disk for good. Default: 100ms.
  std::chrono::nanoseconds fsync = std::chrono::milliseconds(100);
  /// Snapshots of the published tree, in Hz. Default: 10.
  double snapshots_per_second = 10;
};

/// `[feedback]`: what comes of decisions of the analysis.
struct feedback_settings {
  /// ZeroMQ URL where a PUB socket tells them. Default: empty, none.
  std::string publish;
  /// Does a decision that the scan need not go on stop it? Default: false.
  bool stop = false;
};

/// `[output]`: the file of results.
struct output_settings {
  /// May hold `{scan}`, which becomes the scan's id, and `{raw}`, which becomes the name of the file that the
  /// streams announced, without folder and ending. Default: empty, nothing is saved.
  std::string file;
  /// Where the raw files hold a stream, by stream, for links; may hold `{stream}` and `{filename}`. Default:
  /// empty.
  std::map<std::string, std::string> raw_path;
  /// May a file of that name be replaced? Default: false.
  bool overwrite = false;
  /// Is a scan saved whose streams announce that nothing is to be? `--output` asks for it. Default: false.
  bool always = false;
  /// May readers follow the file in the making? Default: true.
  bool swmr = true;
  /// Bytes of a chunk, up to 1 MiB; 0: what suits each result. Default: 0.
  std::uint64_t chunk = 0;
  /// Level at which results are deflated, 1 to 9; 0: they are not packed. Default: 0.
  int deflate = 0;
  /// How long rows may wait until readers see them. Default: 1s.
  std::chrono::nanoseconds flush = std::chrono::seconds(1);
};

enum class recording_form : std::uint8_t {
  dump, ///< events, as ingesters hand them on
  wire, ///< messages, as instruments sent them
};

enum class recorder_behind : std::uint8_t {
  hold, ///< the stream waits for the recorder
  gap,  ///< the recording has a hole, and says so
};

/// `[recording]`: streams to disk.
struct recording_settings {
  /// Folder where ingesters record their streams: with one, a scan outlives an ingester. Default: empty, off.
  std::string directory;
  /// Default: dump.
  recording_form as = recording_form::dump;
  /// What happens when the disk is too slow. Default: hold.
  recorder_behind behind = recorder_behind::hold;
  /// Bytes of each stream that may wait for the disk. Default: 256MiB.
  std::uint64_t budget = 256 << 20;
  /// How recordings are packed. Default: none.
  packing packed = packing::none;
};

/// `[[simulate]]`: an instrument for `dtranspose simulate`: out of a recording, generated, or with a role in
/// the scene of `[beamline]`.
struct simulate_settings {
  /// Required; a configured stream, whose protocol and url it takes.
  std::string stream;
  /// File to send again; empty: generated.
  std::filesystem::path recording;
  /// What it sees of the scene; empty: nothing, its content is made up.
  std::string role = {};
  /// Generated frames. Required without a recording and without a role; with one those of the scene.
  std::uint64_t frames = 0;
  /// Of a generated frame. Default: 64 by 64.
  std::vector<std::size_t> shape = {64, 64};
  /// Of a generated frame. Default: uint16.
  dtype type = dtype::uint16;
  /// Equal seeds generate equal frames. Default: 0.
  std::uint64_t seed = 0;
  /// Has a frame in every n-th event only: frame k belongs to event k * every. Default: 1.
  std::uint32_t every = 1;
  /// Frames per second; 0: as fast as possible. Default: 0, with a role that of the beamline.
  double rate = 0;
  /// What goes wrong with its frames. Default: nothing.
  fault_settings faults = {};
  /// Of the protocol's sender: `[simulate.options]`. Default: empty.
  protocol_options options = {};
};

struct configuration {
  cluster_settings cluster;
  controller_settings controller;
  http_settings http;
  std::vector<stream_settings> streams; ///< at most `max_streams`
  scan_settings scan;
  worker_settings worker;
  analysis_settings analysis;
  reducer_settings reducer;
  feedback_settings feedback;
  output_settings output;
  recording_settings recording;
  std::shared_ptr<const dtranspose::scene> scene; ///< of `[beamline]`; null without
  std::vector<simulate_settings> simulate;        ///< at most one per stream
  /// Not in the file: where in it `analysis.use`, `analysis.NAME`, `analysis.NAME.PARAMETER` and
  /// `recording.directory` are, as lines from 1.
  std::map<std::string, std::size_t, std::less<>> lines;
};

/// All that is wrong with a file, one finding per line: `file:line: [section] key: what`.
class configuration_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Reads a file. Paths of recordings, of plug-ins and in parameters of built-in analyses that take files are
/// taken relative to its folder when they exist there, else they stay as they are. Throws
/// configuration_error.
configuration read_configuration(const std::filesystem::path& file);

/// The same of text; `name` is what messages call the file, and where its folder is taken from.
configuration parse_configuration(std::string_view text, std::string name);

/// Parameters of the analyses in use, as written; of several their names are `ANALYSIS.PARAMETER`.
std::map<std::string, std::string> parameters_in_use(const analysis_settings& analysis);

/// Sets one, by that name. Throws std::runtime_error where no analysis in use is meant.
void set_parameter_in_use(analysis_settings& analysis, const std::string& name, const std::string& written);

/// What tells everybody which analysis is meant: the entry of `analysis.use`, or for one in Python all that
/// its processes need.
std::string analysis_entry_of(const configuration& settings);

} // namespace dtranspose
