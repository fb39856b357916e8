/// The reducer parts of an analysis over the changes of its parameters. No actors.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "plugin.hpp"

namespace dtranspose {

/// Keeps the last versions of the parameters, each with the part that folds what was made with them. A part
/// that can go on with new ones is that of several versions.
class reducer_versions {
 public:
  struct version {
    parameters_version number;
    parameters settings;
    std::string trouble;                ///< why the analysis cannot use them
    std::shared_ptr<reducer_part> part; ///< shared with the version before where that goes on
    parameters_version began;           ///< that the part was made with
  };

  using part_maker = std::function<std::unique_ptr<reducer_part>(const parameters&)>;

  reducer_versions(std::unique_ptr<reducer_part> part, parameters settings, parameters_version number);

  /// Parameters that results may be made with from now on; `make` makes a part where that of before cannot go
  /// on. What the analysis throws is the trouble of this version.
  void change_parameters(parameters settings, parameters_version number, const part_maker& make);

  const version& latest() const { return versions_.back(); }
  /// What results of that version are folded with: the latest one that is not later.
  const version& of(parameters_version number) const;

  /// None of them can be used any more, for that reason.
  void fold_no_more(const std::string& cause);

  /// Of the latest part.
  std::optional<std::chrono::nanoseconds> timer() { return latest().part->timer(latest().settings); }
  void finish();
  std::vector<decision> take_decisions();
  /// Of the latest part, and under `earlier` that of those before, by the version that they began with.
  value published() const;

 private:
  void forget_oldest();
  void drop_oldest_trees();
  /// Calls `f` for the last version of each part.
  template <class F>
  void for_each_part(F f) const;

  std::vector<version> versions_; ///< the last ones, rising
  /// What parts published that are not kept any more, by the version that they began with.
  value_map earlier_;
  version too_old_;            ///< stands for versions before those
  std::vector<decision> left_; ///< of parts that are not kept any more
};

} // namespace dtranspose
