/// Files of results whose writer died: what makes them files again that anybody opens.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace dtranspose {

/// Ending of a file of results as long as it is written.
inline constexpr const char* part_ending = ".part";

enum class mending : std::uint8_t {
  cleared,  ///< it was marked as being written: it is not any more
  sound,    ///< nothing was to be done
  in_use,   ///< somebody is writing it: it was left alone
  hopeless, ///< the library cannot open it
};

struct mended_file {
  std::filesystem::path path;
  mending what = mending::sound;
  std::string reason = {}; ///< of what is hopeless
  int data_sets = 0;       ///< that can be read
};

/// Clears the mark that the writer of an HDF5 file leaves when it dies, which keeps all readers out but those
/// that follow a file in the making. Nothing else in the file changes.
mended_file mend_file(const std::filesystem::path& path);

/// Mends what an earlier process left under names that `output` may come to (`{scan}`, `{raw}`: anything)
/// with
/// `.part` behind; files that are sound or in use are not among the answers.
std::vector<mended_file> mend_left_files(const std::filesystem::path& output);

} // namespace dtranspose
