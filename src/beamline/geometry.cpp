#include "beamline/geometry.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <fstream>
#include <map>
#include <numbers>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace dtranspose {

namespace {

/// The lines `key: value`, keys in lower case; the last one of a key counts.
std::map<std::string, std::string> entries_of(std::istream& in) {
  std::map<std::string, std::string> entries;
  for (std::string line; std::getline(in, line);) {
    auto colon = line.find(':');
    if (line.starts_with('#') || colon == std::string::npos) continue;
    auto key = line.substr(0, colon), content = line.substr(colon + 1);
    std::transform(key.begin(), key.end(), key.begin(), [](unsigned char c) { return std::tolower(c); });
    content.erase(0, content.find_first_not_of(" \t"));
    entries[key] = content;
  }
  return entries;
}

class poni_reader {
 public:
  explicit poni_reader(const std::filesystem::path& file) : file_(file.string()) {
    std::ifstream in(file);
    if (!in) throw std::runtime_error(file_ + ": the geometry cannot be read");
    entries_ = entries_of(in);
  }

  double number(const std::string& key) const {
    auto found = entries_.find(key);
    if (found == entries_.end()) throw missing(key);
    try {
      return std::stod(found->second);
    } catch (const std::exception&) {
      throw missing(key);
    }
  }

  detector_geometry geometry() const {
    detector_geometry g;
    auto config = entries_.find("detector_config");
    if (config == entries_.end()) throw missing("Detector_config");
    auto detector = nlohmann::json::parse(config->second, nullptr, false);
    try {
      g.pixel1 = detector.at("pixel1").get<double>();
      g.pixel2 = detector.at("pixel2").get<double>();
      g.rows = detector.at("max_shape").at(0).get<std::size_t>();
      g.columns = detector.at("max_shape").at(1).get<std::size_t>();
    } catch (const nlohmann::json::exception&) {
      throw missing("Detector_config with pixel1, pixel2 and max_shape");
    }
    g.distance = number("distance");
    g.poni1 = number("poni1");
    g.poni2 = number("poni2");
    g.rot1 = number("rot1");
    g.rot2 = number("rot2");
    g.rot3 = number("rot3");
    g.wavelength = number("wavelength");
    if (!(g.distance > 0 && g.wavelength > 0 && g.pixel1 > 0 && g.pixel2 > 0))
      throw std::runtime_error(file_ + ": distance, wavelength and sizes of pixels must be above 0");
    return g;
  }

 private:
  std::runtime_error missing(const std::string& key) const {
    return std::runtime_error(fmt::format("{}: there is no usable {}", file_, key));
  }

  std::string file_;
  std::map<std::string, std::string> entries_;
};

} // namespace

detector_geometry read_geometry(const std::filesystem::path& file) { return poni_reader(file).geometry(); }

scattering scattering_at(const detector_geometry& g, double row, double column) {
  const double a = row * g.pixel1 - g.poni1, b = column * g.pixel2 - g.poni2, l = g.distance;
  const double c1 = std::cos(g.rot1), s1 = std::sin(g.rot1), c2 = std::cos(g.rot2), s2 = std::sin(g.rot2),
               c3 = std::cos(g.rot3), s3 = std::sin(g.rot3);
  const double t1 = a * c2 * c3 + b * (c3 * s1 * s2 - c1 * s3) - l * (c1 * c3 * s2 + s1 * s3);
  const double t2 = a * c2 * s3 + b * (c1 * c3 + s1 * s2 * s3) - l * (c1 * s2 * s3 - c3 * s1);
  const double t3 = a * s2 - b * c2 * s1 + l * c1 * c2;
  auto two_theta = std::atan2(std::hypot(t1, t2), t3);
  auto cosine = l / std::sqrt(l * l + a * a + b * b);
  return {4e-9 * std::numbers::pi / g.wavelength * std::sin(two_theta / 2), cosine * cosine * cosine};
}

detector_place beam_centre(const detector_geometry& g) {
  // Where t1 and t2 are 0: the beam turned back by the rotations, on the plane at the distance.
  auto a = g.distance * std::tan(g.rot2) / std::cos(g.rot1);
  auto b = -g.distance * std::tan(g.rot1);
  return {(g.poni1 + a) / g.pixel1, (g.poni2 + b) / g.pixel2};
}

} // namespace dtranspose
