/// What can go wrong, one line each. Texts that go with an error name what a person can change.
#pragma once

#include <caf/error.hpp>
#include <cstdint>
#include <optional>
#include <string>

namespace dtranspose {

enum class ec : std::uint8_t {
  /// Nothing is wrong; CAF wants a name for 0.
  none = 0,
  /// A request that does not have the shape it should have.
  malformed,
  /// A request that is well formed and cannot be carried out with what is there now.
  unavailable,
  /// A peer of another version or of another system.
  refused,
  /// Analysis code, or its parameters, cannot be used.
  bad_analysis,
  /// A file cannot be read or written.
  file_error,
  /// Something did not answer in time.
  timed_out,
  /// A scan was replaced or stopped before this came.
  superseded,
  /// What was asked for by its name is not there.
  not_found,
};

std::string to_string(ec code);

/// An error with the text that people get to read.
caf::error make_error(ec code, std::string text);

/// What kind of error it is; nothing for errors of CAF.
std::optional<ec> code_of(const caf::error& error);

/// That text; CAF's own rendering for errors of CAF.
std::string text_of(const caf::error& error);

} // namespace dtranspose
