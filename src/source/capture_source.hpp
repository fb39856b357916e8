/// A stream played from a raw capture or a wire recording instead of received from an instrument.
#pragma once

#include <memory>

#include "protocol/protocol.hpp"
#include "recording/mapped_file.hpp"
#include "recording/message_reader.hpp"
#include "source/played_source.hpp"

namespace dtranspose {

/// See `source`. Reads the messages in `file` by `format` as if they had just been received: with
/// the numbers that the instrument gave, and with their faults. It begins anew at each arming, and stays
/// silent after the end: `connected` is then false, and `error` says so if that was not the true end.
///
/// Played step by step, its n-th entry counts as event n; no events are left out of it, whatever `options`
/// say.
///
/// Batches are bounded like those of a recording source. It knows the size of a message before it is read,
/// and so never goes beyond the allowance, but for the one message that passes when idle. Throws
/// std::runtime_error, naming the file, when it holds no messages. Its methods may be called from any thread
/// but that of the sink.
std::unique_ptr<source> make_capture_source(std::shared_ptr<const mapped_file> file,
                                            std::unique_ptr<protocol> format, play_options options = {});

/// The same of what `messages` reads.
std::unique_ptr<source> make_capture_source(std::unique_ptr<message_reader> messages,
                                            std::unique_ptr<protocol> format, play_options options = {});

} // namespace dtranspose
