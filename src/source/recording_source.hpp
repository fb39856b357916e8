/// A stream played from recorded dumps instead of received from an instrument.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "recording/mapped_file.hpp"
#include "source/played_source.hpp"

namespace dtranspose {

/// See `source`. Plays what the dumps `files` hold of the stream of that name, in step by event
/// number: data whose place in the scan is the recorded event number. It begins anew at each
/// arming, and stays silent after the end: `connected` is then false, and `error` says so if that
/// was not the true end.
///
/// Of the events left out nothing is read but their heads.
///
/// As it knows the size of a packet before it is handed over, it never goes beyond the allowance,
/// but for the one packet that passes when idle. Throws std::runtime_error, naming the file, when
/// one is no dump. Its methods may be called from any thread but that of the sink.
std::unique_ptr<source> make_recording_source(std::vector<std::shared_ptr<const mapped_file>> files,
                                              std::string stream, play_options options = {});

} // namespace dtranspose
