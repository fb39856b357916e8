/// The parameters of an analysis over the life of a controller: what there are, what they are set to, and who
/// has which version. No actors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/ids.hpp"
#include "model/parameters.hpp"
#include "model/scan_id.hpp"

namespace dtranspose {

/// The written form that analyses read: `true` and `1` of a bool become `True`. Throws std::runtime_error,
/// which says what the type wants, where there is none.
std::string canonical_parameter(const parameter_description& what, const std::string& written);

/// What a set of parameters, by name, takes up.
template <class Written>
std::size_t bytes_of_parameters(const Written& written) {
  std::size_t sum = 0;
  for (auto& [name, text] : written) sum += name.size() + text.size();
  return sum;
}

/// Who keeps the versions of a scan keeps so many of them at the most, and the latest in any case.
constexpr bool are_too_many_versions(std::size_t versions, std::size_t bytes) {
  constexpr std::size_t most_versions = 64, most_bytes = 256 << 20;
  return versions > most_versions || bytes > most_bytes;
}

/// Name of the parameter that says where recordings go, from the next scan on; always there.
inline constexpr std::string_view dump_prefix_name = "dump_prefix";

class parameter_book {
 public:
  /// `random` makes the identity of each setting.
  explicit parameter_book(std::function<std::uint64_t()> random);

  /// What the analysis takes; those that are not set get their initial value. Without it (`described` is
  /// nothing: the analysis cannot be asked here) every name is taken, and its bytes as they are.
  void describe(std::optional<std::vector<parameter_description>> described);

  /// As posted. Throws std::runtime_error, naming the parameter, for a text that is no value of its type;
  /// with `lenient` that becomes 0, 0.0, False or an empty text. A name that is not described is kept, and is
  /// nobody's. Returns whether anything is another now.
  bool set(const std::string& name, const std::string& written, bool lenient = false);

  /// What a scan that was in hand goes on with.
  void restore(const std::map<std::string, std::string>& written, parameters_version version);

  /// The written form; nothing where no such parameter is set.
  std::optional<std::string> find(const std::string& name) const;

  /// Sorted by name.
  const std::vector<parameter_description>& described() const { return described_; }
  bool describes(std::string_view name) const { return description_of(name) != nullptr; }

  /// Everything that an analysis may be given, by name.
  std::map<std::string, std::string> of_analysis() const;
  /// Everything that is set, by name.
  std::map<std::string, std::string> all() const;

  /// Counts the changes of `of_analysis`, from 1.
  parameters_version version() const { return version_; }

  /// Which setting of each parameter it is.
  std::map<std::string, scan_id> identities() const;

  /// SHA-256 over the bytes of the identities in the order of their names, in hexadecimal digits: two are
  /// alike where every parameter is of the same setting.
  std::string hash() const;

 private:
  struct setting {
    std::string written;
    scan_id identity;
  };

  const parameter_description* description_of(std::string_view name) const;
  bool put(const std::string& name, std::string written);

  std::function<std::uint64_t()> random_;
  std::vector<parameter_description> described_;
  bool open_ = true; ///< are names taken that are not described?
  std::map<std::string, setting> settings_;
  parameters_version version_{1};
};

} // namespace dtranspose
