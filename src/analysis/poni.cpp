#include "analysis/poni.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <map>
#include <numbers>
#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "model/parameters.hpp"

namespace dtranspose {

namespace {

using entries = std::map<std::string, std::string>;

std::string lower_case(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return lower;
}

std::string_view trimmed(std::string_view text) {
  auto first = text.find_first_not_of(" \t\r");
  if (first == text.npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// Lines `key: value`; calibrations append to the file, so the last of a key counts.
entries lines_of(std::string_view text) {
  entries found;
  while (!text.empty()) {
    auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
    auto colon = line.find(':');
    if (trimmed(line).starts_with('#') || colon == line.npos) continue;
    found[lower_case(trimmed(line.substr(0, colon)))] = trimmed(line.substr(colon + 1));
  }
  return found;
}

entries json_entries(const nlohmann::json& object) {
  entries found;
  for (auto& [key, content] : object.items())
    found[lower_case(key)] = content.is_string() ? content.get<std::string>() : content.dump();
  return found;
}

class reader {
 public:
  explicit reader(std::string_view text) {
    auto object = nlohmann::json::parse(text, nullptr, false);
    entries_ = object.is_object() ? json_entries(object) : lines_of(text);
  }

  poni_geometry geometry() {
    poni_geometry g;
    g.distance = number(has("dist") && !has("distance") ? "dist" : "distance");
    g.poni1 = number("poni1");
    g.poni2 = number("poni2");
    g.rot1 = number("rot1");
    g.rot2 = number("rot2");
    g.rot3 = number("rot3");
    if (has("wavelength") && text("wavelength") != "None" && text("wavelength") != "null")
      g.wavelength = positive("wavelength", number("wavelength"));
    positive("distance", g.distance);
    read_detector(g);
    return g;
  }

 private:
  bool has(const std::string& key) const { return entries_.contains(key); }
  std::string text(const std::string& key) const {
    auto found = entries_.find(key);
    return found == entries_.end() ? std::string() : found->second;
  }

  double number(const std::string& key) const {
    if (!has(key)) throw std::invalid_argument(fmt::format("there is no '{}'", key));
    auto read = parameters::real_of(text(key));
    if (!read || !std::isfinite(*read))
      throw std::invalid_argument(fmt::format("'{}' is no number: {}", key, text(key)));
    return *read;
  }

  static double positive(std::string_view key, double x) {
    if (!(x > 0)) throw std::invalid_argument(fmt::format("'{}' must be above 0, not {}", key, x));
    return x;
  }

  void read_detector(poni_geometry& g) {
    if (!text("splinefile").empty() && text("splinefile") != "None")
      throw std::invalid_argument("distortion by a 'SplineFile' is not supported");
    auto name = lower_case(text("detector"));
    if (name.starts_with("eiger")) g.pixel1 = g.pixel2 = 75e-6;
    if (name.starts_with("pilatus")) g.pixel1 = g.pixel2 = 172e-6;
    if (has("pixelsize1")) g.pixel1 = number("pixelsize1");
    if (has("pixelsize2")) g.pixel2 = number("pixelsize2");
    if (has("detector_config")) read_config(g);
    if (g.pixel1 == 0 || g.pixel2 == 0)
      throw std::invalid_argument(
          "the size of pixels is not told: 'pixel1' and 'pixel2' in 'Detector_config'");
    positive("pixel1", g.pixel1);
    positive("pixel2", g.pixel2);
  }

  void read_config(poni_geometry& g) {
    auto config = nlohmann::json::parse(text("detector_config"), nullptr, false);
    if (!config.is_object()) throw std::invalid_argument("'Detector_config' is no JSON object");
    try {
      g.pixel1 = config.value("pixel1", g.pixel1);
      g.pixel2 = config.value("pixel2", g.pixel2);
      if (auto shape = config.find("max_shape"); shape != config.end() && !shape->is_null())
        g.shape = {shape->at(0).get<std::size_t>(), shape->at(1).get<std::size_t>()};
      if (auto o = config.find("orientation"); o != config.end() && !o->is_null())
        g.orientation = o->get<int>();
    } catch (const nlohmann::json::exception&) {
      throw std::invalid_argument("'Detector_config' has a pixel1, pixel2, max_shape or orientation that "
                                  "cannot be read");
    }
    if (g.orientation == 0) g.orientation = 3;
    if (g.orientation < 1 || g.orientation > 4)
      throw std::invalid_argument(fmt::format("'orientation' is 1 to 4, not {}", g.orientation));
  }

  entries entries_;
};

} // namespace

poni_geometry parse_poni(std::string_view text) { return reader(text).geometry(); }

poni_detector::poni_detector(const poni_geometry& geometry, std::size_t rows, std::size_t columns)
    : g_(geometry), rows_(static_cast<double>(rows)), columns_(static_cast<double>(columns)),
      flip_rows_(g_.orientation == 1 || g_.orientation == 2),
      flip_columns_(g_.orientation == 1 || g_.orientation == 4) {
  const double c1 = std::cos(g_.rot1), s1 = std::sin(g_.rot1), c2 = std::cos(g_.rot2), s2 = std::sin(g_.rot2),
               c3 = std::cos(g_.rot3), s3 = std::sin(g_.rot3), l = g_.distance;
  x_[0] = c2 * c3, x_[1] = c3 * s1 * s2 - c1 * s3, x_[2] = -l * (c1 * c3 * s2 + s1 * s3);
  y_[0] = c2 * s3, y_[1] = c1 * c3 + s1 * s2 * s3, y_[2] = -l * (c1 * s2 * s3 - c3 * s1);
  z_[0] = s2, z_[1] = -c2 * s1, z_[2] = l * c1 * c2;
}

double poni_detector::solid_angle(const poni_direction& d) const {
  auto cosine = g_.distance / std::hypot(d.x, d.y, d.z); // rotations keep the length
  return cosine * cosine * cosine;
}

double scattering_vector(const poni_direction& d, double wavelength) {
  // sin^2(theta) = (1 - cos(2 theta)) / 2, without the cancellation at small angles.
  auto across = d.x * d.x + d.y * d.y, length = std::sqrt(across + d.z * d.z);
  auto sine =
      d.z >= 0 ? std::sqrt(across / (2 * length * (length + d.z))) : std::sqrt((length - d.z) / (2 * length));
  return 4e-9 * std::numbers::pi / wavelength * sine;
}

double two_theta(const poni_direction& d) { return std::atan2(radius(d), d.z); }
double radius(const poni_direction& d) { return std::sqrt(d.x * d.x + d.y * d.y); }
double azimuth(const poni_direction& d) { return std::atan2(d.x, d.y); }

double polarisation_factor(const poni_direction& d, double degree) {
  auto across = d.x * d.x + d.y * d.y, all = across + d.z * d.z;
  auto squared_cosine = d.z * d.z / all;           // of 2 theta
  auto difference = (d.y * d.y - d.x * d.x) / all; // cos(2 chi) sin^2(2 theta)
  return 0.5 * (1 + squared_cosine - degree * difference);
}

} // namespace dtranspose
