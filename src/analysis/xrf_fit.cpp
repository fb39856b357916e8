#include "analysis/xrf_fit.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <stdexcept>

#include <Eigen/Cholesky>
#include <fmt/format.h>

#include "analysis/nonnegative_fit.hpp"
#include "analysis/snip.hpp"

namespace dtranspose {

namespace {

using Eigen::ArrayXd;
using Eigen::Index;
using Eigen::MatrixXd;
using Eigen::VectorXd;

/// Full width at half maximum of a Gaussian, in standard deviations.
constexpr double fwhm_in_sigma = 2.3548;
constexpr double pair_kev = 0.00385;
/// More alike than that, and two columns cannot be told apart by any counts.
constexpr double most_alike = 0.9999;
/// Of a group's lines: what has less in the fitted range is not fitted.
constexpr double least_inside = 0.01;

/// The fitted channels.
struct channel_range {
  std::size_t first = 0, count = 0;
};

channel_range range_of(const xrf_model& m, std::size_t channels) {
  auto last = static_cast<double>(channels);
  auto first = std::clamp(std::ceil(m.response.channel(m.low_kev)), 0.0, last);
  auto end = std::clamp(std::floor(m.response.channel(m.high_kev)) + 1, first, last);
  return {static_cast<std::size_t>(first), static_cast<std::size_t>(end - first)};
}

/// Adds a Gaussian of that area, integrated over each channel.
void add_line(Eigen::Ref<VectorXd> column, const xrf_model& m, channel_range range, double energy_kev,
              double area, double broader = 1) {
  const auto sigma = m.response.sigma(energy_kev) * broader;
  auto below = [&](double energy) {
    return 0.5 * std::erfc((energy_kev - energy) / (sigma * std::numbers::sqrt2));
  };
  auto first = static_cast<double>(range.first);
  auto left = below(m.response.energy(first - 0.5));
  for (Index i = 0; i < column.size(); ++i) {
    auto right = below(m.response.energy(first + static_cast<double>(i) + 0.5));
    column[i] += area * (right - left);
    left = right;
  }
}

VectorXd column_of(const line_group& group, const xrf_model& m, channel_range range) {
  VectorXd column = VectorXd::Zero(static_cast<Index>(range.count));
  for (auto& line : group.lines) add_line(column, m, range, line.energy_kev, line.fraction);
  if (!(column.sum() > least_inside))
    throw std::invalid_argument(
        fmt::format("parameter 'elements': {} has no lines between {:.4g} and {:.4g} keV, which is fitted: "
                    "see 'fit_range'",
                    group.name, m.low_kev, m.high_kev));
  if (m.escape)
    for (auto& line : group.lines)
      if (auto ratio = escape_ratio(line.energy_kev); ratio > 0)
        add_line(column, m, range, line.energy_kev - silicon_escape_kev, line.fraction * ratio);
  return column;
}

/// Triangles with their tips at equal distances, which together can be any line of straight pieces.
std::vector<VectorXd> smooth_columns(const xrf_model& m, channel_range range) {
  std::vector<VectorXd> columns;
  auto pieces = std::max(1.0, std::round((m.high_kev - m.low_kev) / m.knot_distance_kev));
  auto distance = static_cast<double>(range.count - 1) / pieces;
  for (double knot = 0; knot <= pieces; ++knot) {
    ArrayXd from_tip =
        ArrayXd::LinSpaced(static_cast<Index>(range.count), 0, static_cast<double>(range.count - 1)) -
        knot * distance;
    columns.emplace_back((1 - from_tip.abs() / distance).max(0));
  }
  return columns;
}

/// The columns of the design matrix with their names: those that the result is about, then the background.
struct design {
  MatrixXd matrix;
  std::vector<std::string> names;
};

void refuse_columns_alike(const MatrixXd& matrix, const std::vector<std::string>& names) {
  for (std::size_t a = 0; a < names.size(); ++a)
    for (std::size_t b = 0; b < a; ++b) {
      auto x = matrix.col(static_cast<Index>(a)), y = matrix.col(static_cast<Index>(b));
      if (x.dot(y) > most_alike * x.norm() * y.norm())
        throw std::invalid_argument(fmt::format(
            "parameter 'elements': the lines of {} and {} cannot be told apart", names[b], names[a]));
    }
}

design make_design(const xrf_model& m, channel_range range) {
  std::vector<VectorXd> columns;
  design d;
  for (auto& group : m.groups) {
    columns.push_back(column_of(group, m, range));
    d.names.push_back(group.name);
  }
  if (m.scatter) {
    auto compton = compton_kev(m.incident_kev, m.angle_degrees);
    columns.emplace_back(VectorXd::Zero(static_cast<Index>(range.count)));
    add_line(columns.back(), m, range, m.incident_kev, 1);
    d.names.emplace_back("elastic");
    columns.emplace_back(VectorXd::Zero(static_cast<Index>(range.count)));
    add_line(columns.back(), m, range, compton, 1, m.compton_width);
    d.names.emplace_back("compton");
    for (std::size_t i = columns.size() - 2; i < columns.size(); ++i)
      if (!(columns[i].sum() > least_inside))
        throw std::invalid_argument(fmt::format(
            "parameter 'fit_range' leaves the {} peak out: set scatter = false, or fit up to {:.4g} keV",
            d.names[i], m.incident_kev));
  }
  if (m.background == xrf_background::smooth)
    for (auto& column : smooth_columns(m, range)) columns.push_back(column);
  d.matrix.resize(static_cast<Index>(range.count), static_cast<Index>(columns.size()));
  for (std::size_t i = 0; i < columns.size(); ++i) d.matrix.col(static_cast<Index>(i)) = columns[i];
  refuse_columns_alike(d.matrix, d.names);
  return d;
}

} // namespace

double detector_response::sigma(double energy_kev) const {
  auto statistical = fwhm_in_sigma * fwhm_in_sigma * pair_kev * fano * std::max(energy_kev, 0.0);
  return std::sqrt(noise * noise + statistical) / fwhm_in_sigma;
}

struct xrf_fitter::state {
  state(const xrf_model& m, std::size_t channels) : model(m), range(range_of(m, channels)) {
    if (range.count < 3)
      throw std::invalid_argument(fmt::format(
          "parameter 'fit_range': {:.4g} to {:.4g} keV is less than three of {} channels of {} keV",
          m.low_kev, m.high_kev, channels, m.response.gain));
    auto made = make_design(m, range);
    matrix = std::move(made.matrix);
    names = std::move(made.names);
    plain_gram = matrix.transpose() * matrix;
    snip_width = m.snip_width;
    if (snip_width == 0)
      snip_width = static_cast<std::size_t>(
          std::ceil(2 * fwhm_in_sigma * m.response.sigma(m.high_kev) / m.response.gain));
    margin_before = std::min(range.first, 2 * snip_width);
    margin_behind = std::min(channels - range.first - range.count, 2 * snip_width);
    background.assign(range.count, 0);
    found.areas.resize(names.size());
    found.errors.resize(names.size());
  }

  /// M'WM for weights that are not those of the last spectrum.
  MatrixXd gram(const ArrayXd& weights) {
    weighted = matrix.array().colwise() * weights.sqrt();
    MatrixXd product = MatrixXd::Zero(matrix.cols(), matrix.cols());
    product.selfadjointView<Eigen::Lower>().rankUpdate(weighted.transpose());
    return product.selfadjointView<Eigen::Lower>();
  }

  VectorXd solve(const MatrixXd& of, const ArrayXd& weights) {
    VectorXd projection = matrix.transpose() * (weights * net).matrix();
    return solve_nonnegative(of, projection, active);
  }

  void take_background(std::span<const double> spectrum) {
    if (model.background != xrf_background::snip) return;
    snip_background(
        spectrum.subspan(range.first - margin_before, margin_before + range.count + margin_behind),
        snip_width, with_margins, scratch);
    std::copy_n(with_margins.begin() + static_cast<std::ptrdiff_t>(margin_before), range.count,
                background.begin());
  }

  void estimate_errors(const MatrixXd& normal, const ArrayXd& weights, const ArrayXd& variances) {
    auto spread = gram(weights.square() * variances);
    std::vector<Index> used;
    for (std::size_t i = 0; i < active.size(); ++i)
      if (active[i]) used.push_back(static_cast<Index>(i));
    MatrixXd inverse;
    if (!used.empty()) {
      MatrixXd part = normal(used, used);
      inverse = part.llt().solve(MatrixXd::Identity(part.rows(), part.cols()));
      inverse = inverse * spread(used, used) * inverse;
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      auto at = static_cast<Index>(i);
      // Held at 0: how large it could have been, all others being what they are.
      auto squared = spread(at, at) / (normal(at, at) * normal(at, at));
      for (std::size_t k = 0; k < used.size(); ++k)
        if (used[k] == at) squared = inverse(static_cast<Index>(k), static_cast<Index>(k));
      found.errors[i] = std::sqrt(std::max(squared, least_variance));
    }
  }

  void fit(std::span<const double> spectrum, double variance) {
    take_background(spectrum);
    auto counts = Eigen::Map<const ArrayXd>(spectrum.data() + range.first, static_cast<Index>(range.count));
    auto below = Eigen::Map<const ArrayXd>(background.data(), static_cast<Index>(range.count));
    net = counts - below;
    ArrayXd weights = ArrayXd::Ones(net.size());
    if (model.weights == xrf_weights::counts) weights = counts.max(1).inverse();
    MatrixXd normal = model.weights == xrf_weights::counts ? gram(weights) : plain_gram;
    VectorXd solution = solve(normal, weights);
    if (model.weights == xrf_weights::model) {
      weights = ((matrix * solution).array() + below).max(1).inverse();
      normal = gram(weights);
      solution = solve(normal, weights);
    }
    model_counts = (matrix * solution).array() + below;
    least_variance = variance * variance;
    estimate_errors(normal, weights, variance * model_counts.max(0));
    for (std::size_t i = 0; i < names.size(); ++i) found.areas[i] = solution[static_cast<Index>(i)];
    auto freedom = static_cast<double>(range.count) -
                   static_cast<double>(std::count(active.begin(), active.end(), true));
    auto squares = ((counts - model_counts).square() / (variance * model_counts.max(1))).sum();
    found.chi2 = freedom > 0 ? squares / freedom : 0;
  }

  xrf_model model;
  channel_range range;
  MatrixXd matrix, plain_gram, weighted;
  std::vector<std::string> names;
  std::size_t snip_width = 0, margin_before = 0, margin_behind = 0;
  double least_variance = 1;
  std::vector<double> background, with_margins, scratch;
  ArrayXd net, model_counts;
  std::vector<bool> active;
  xrf_result found;
};

xrf_fitter::xrf_fitter(const xrf_model& model, std::size_t channels)
    : state_(std::make_unique<state>(model, channels)) {}
xrf_fitter::xrf_fitter(xrf_fitter&&) noexcept = default;
xrf_fitter::~xrf_fitter() = default;

const std::vector<std::string>& xrf_fitter::names() const { return state_->names; }
std::size_t xrf_fitter::first_channel() const { return state_->range.first; }
std::size_t xrf_fitter::fitted_channels() const { return state_->range.count; }

const xrf_result& xrf_fitter::fit(std::span<const double> spectrum, double variance) {
  state_->fit(spectrum, variance);
  return state_->found;
}

std::span<const double> xrf_fitter::background() const { return state_->background; }

std::vector<double> xrf_fitter::fitted() const {
  auto& counts = state_->model_counts;
  return {counts.data(), counts.data() + counts.size()};
}

} // namespace dtranspose
