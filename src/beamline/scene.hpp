/// Scenes: whole beamlines with a sample in the beam, of which everything is known. Instruments see them as
/// real ones would.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "instrument/instrument_view.hpp"
#include "model/value.hpp"
#include "protocol/options.hpp"

namespace dtranspose {

/// Everything follows from the options, the seed among them: equal options, equal bytes. Every instrument has
/// a frame in every event; frame n of each belongs to the same trigger. Callable from any thread.
class scene {
 public:
  virtual ~scene() = default;

  /// How many frames each instrument has.
  virtual std::uint64_t frames() const = 0;
  /// The roles that instruments can have in it.
  virtual std::vector<std::string_view> roles() const = 0;
  /// What the instrument of that role sees. Throws std::runtime_error for a role that is none.
  virtual instrument_view view(std::string_view role) const = 0;
  /// What an analysis ought to find, as the tree of an HDF5 file; docs/beamlines.md has the names. It takes
  /// as long as making many frames.
  virtual value_map truth() const = 0;

 protected:
  /// For `view`: names the roles that there are.
  [[noreturn]] void refuse(std::string_view role) const;
};

/// `xrf_raster`, `powder`, `tomography`.
std::vector<std::string_view> scene_names();

/// The scene of that name. Cheap: what takes time is made when a frame is asked for. Paths among the options
/// are relative to `folder` if the file is there. Throws std::runtime_error that names the scene, an option
/// or a file.
std::shared_ptr<const scene> make_scene(std::string_view name, const protocol_options& options,
                                        const std::filesystem::path& folder = {});

} // namespace dtranspose
