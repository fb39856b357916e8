/// The files of a replay, by their form.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "recording/mapped_file.hpp"
#include "recording/message_reader.hpp"
#include "recording/recording_index.hpp"
#include "runtime/capture_choice.hpp"
#include "runtime/commands.hpp"

namespace dtranspose {

/// A file of the messages of one stream.
struct captured_stream {
  std::shared_ptr<const mapped_file> file;
  capture_choice choice;
  std::string data_set = {}; ///< of an HDF5 file; empty: it is none

  std::unique_ptr<message_reader> messages(std::string_view type) const;
};

struct recordings {
  std::vector<std::shared_ptr<const mapped_file>> dumps;
  std::vector<captured_stream> captures; ///< raw ones, wire recordings and images in HDF5 files
};

/// Opens all of them. Throws std::runtime_error that says what is missing on the command line.
recordings open_recordings(const replay_command& command);

/// What they hold together.
recording_index index_of(const recordings& all);

std::string text_of_file(const std::string& path);

/// The file of that stream; null if it is in dumps.
const captured_stream* find_capture(const recordings& all, const std::string& stream);

} // namespace dtranspose
