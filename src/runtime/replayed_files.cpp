#include "runtime/replayed_files.hpp"

#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "recording/capture.hpp"
#include "recording/capture_index.hpp"
#include "recording/hdf5_reader.hpp"
#include "recording/wire_recording.hpp"

namespace dtranspose {

std::unique_ptr<message_reader> captured_stream::messages(std::string_view type) const {
  if (data_set.empty()) return read_messages(file, type);
  return std::make_unique<hdf5_reader>(file, data_set);
}

std::string text_of_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

namespace {

/// What is written beside recordings, and matches `PREFIX*` as they do: what it is and what it is good for;
/// empty: it is something else.
std::string use_of_scan_file(const std::string& name) {
  auto path = std::filesystem::path(name);
  if (path.extension() != ".json" && path.extension() != ".cbor") return {};
  auto file = path.filename().string();
  auto has = [&](const char* part) { return file.find(part) != std::string::npos; };
  if (has("mapping-") && path.extension() == ".json")
    return fmt::format("is the trigger map of a recorded scan: --map {} --no-wrap replays with it", name);
  if (has("parameters-"))
    return fmt::format("has the parameters of a recorded scan: --params {} takes them", name);
  return {};
}

bool is_left_out(const replay_command& command, const std::string& name) {
  auto use = use_of_scan_file(name);
  if (use.empty()) return false;
  if (name != command.map && name != command.params_file) spdlog::info("{} {}; it is left out", name, use);
  return true;
}

} // namespace

recordings open_recordings(const replay_command& command) {
  recordings all;
  std::size_t without_name = 0;
  auto choice = command.streams.begin();
  for (auto& name : command.files) {
    if (is_left_out(command, name)) continue;
    auto file = mapped_file::open(name);
    if (is_wire_recording(file->bytes())) {
      auto choice_of_file = choice_in(wire_reader(file).description());
      all.captures.push_back({std::move(file), std::move(choice_of_file)});
      continue;
    }
    bool has_images = is_hdf5(file->bytes());
    if (!has_images && !is_capture(file->bytes())) {
      all.dumps.push_back(std::move(file));
      continue;
    }
    ++without_name;
    if (choice == command.streams.end())
      throw std::runtime_error(
          has_images
              ? fmt::format("{} is an HDF5 file: say which stream its images are with --stream NAME=stins",
                            name)
              : fmt::format("{} is a raw capture: say which protocol it holds with {}", name,
                            how_to_choose()));
    all.captures.push_back(
        {std::move(file), parse_capture_choice(*choice++), has_images ? command.data_set : ""});
    if (has_images && all.captures.back().choice.protocol != "stins")
      throw std::runtime_error(fmt::format("--stream {}: the images of an HDF5 file are sent as stins",
                                           all.captures.back().choice.text));
  }
  if (choice != command.streams.end())
    throw std::runtime_error(fmt::format(
        "--stream {}: there is no file for it: {} of the files are raw captures or HDF5 files, the others "
        "know their streams",
        *choice, without_name));
  return all;
}

recording_index index_of(const recordings& all) {
  std::vector<recording_index> parts;
  parts.push_back(index_of(all.dumps));
  for (auto& [file, choice, data_set] : all.captures)
    parts.push_back(data_set.empty() ? capture_index(choice.name, choice.protocol, choice.options, file)
                                     : hdf5_index(choice.name, hdf5_reader(file, data_set)));
  return joined(std::move(parts));
}

const captured_stream* find_capture(const recordings& all, const std::string& stream) {
  for (auto& capture : all.captures)
    if (capture.choice.name == stream) return &capture;
  return nullptr;
}

} // namespace dtranspose
