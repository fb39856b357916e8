/// Who may use the REST interface: bearer tokens, and what each of them opens.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

/// What a token opens; each includes the ones before.
enum class access_scope : std::uint8_t {
  view,    ///< look at everything
  tune,    ///< change parameters
  control, ///< start and stop scans
};

std::string_view name_of(access_scope scope);

/// A token that was presented and is known.
struct access {
  std::size_t token = 0; ///< its place in the file
  std::string_view name; ///< for logs; lives as long as the tokens
  access_scope scope = access_scope::view;
};

/// The least number of characters of a secret, also of one of which the file has the digest.
inline constexpr std::size_t least_secret = 16;

/// Tokens of a TOML file:
///
///     [[token]]
///     name = "beamline page"
///     scope = "view"             # or "tune", "control"
///     secret = "..."             # visible ASCII characters, or
///     sha256 = "..."             # the same as 64 hexadecimal digits of its SHA-256
///
/// Only digests are kept. Used by any number of threads at once.
class access_tokens {
 public:
  /// Throws std::runtime_error naming file, line and cause when the file is not sound, or when anybody but us
  /// and root may read or change it.
  explicit access_tokens(const std::filesystem::path& file);

  /// What the value of a header `Authorization` (`Bearer SECRET`) opens; nothing if it is no token of ours.
  /// Takes the same time whichever token it is, or none.
  std::optional<access> check(std::string_view authorization) const;

  std::size_t size() const { return tokens_.size(); }

 private:
  using digest = std::array<unsigned char, 32>;
  struct token {
    std::string name;
    access_scope scope;
    digest of_secret;
  };
  class reader;

  static digest digest_of(std::string_view text);

  std::vector<token> tokens_;
};

} // namespace dtranspose
