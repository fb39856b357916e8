#include "beamline/scene.hpp"

#include <stdexcept>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "beamline/powder.hpp"
#include "beamline/tomography.hpp"
#include "beamline/xrf_raster.hpp"

namespace dtranspose {

namespace {

struct known_scene {
  std::string_view name;
  std::shared_ptr<const scene> (*make)(const protocol_options&, const std::filesystem::path&);
};

constexpr known_scene scenes[] = {
    {"xrf_raster", make_xrf_raster},
    {"powder", make_powder},
    {"tomography", make_tomography},
};

} // namespace

void scene::refuse(std::string_view role) const {
  throw std::runtime_error(
      fmt::format("'{}' is no role of this scene; there are {}", role, fmt::join(roles(), ", ")));
}

std::vector<std::string_view> scene_names() {
  std::vector<std::string_view> names;
  for (auto& known : scenes) names.push_back(known.name);
  return names;
}

std::shared_ptr<const scene> make_scene(std::string_view name, const protocol_options& options,
                                        const std::filesystem::path& folder) {
  for (auto& known : scenes)
    if (known.name == name) return known.make(options, folder);
  throw std::runtime_error(
      fmt::format("'{}' is no scene; there are {}", name, fmt::join(scene_names(), ", ")));
}

} // namespace dtranspose
