/// Keys for ZeroMQ's CURVE: who we are and whom we talk to.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace dtranspose {

/// A key pair, as Z85 texts of 40 characters each.
struct curve_pair {
  std::string public_key, secret_key;
};

/// What one stream needs.
struct curve_keys {
  curve_pair ours;
  /// Where we connect: the public key of the instrument. Empty where we listen.
  std::string server_public = {};
  /// Where we listen: the public keys of the instruments that may connect. Nothing: any that knows our
  /// public key.
  std::optional<std::vector<std::string>> clients = {};
};

/// A new pair.
curve_pair make_curve_pair();

/// Reads a TOML file:
///
///     public = "..."             # ours
///     secret = "..."
///     server_public = "..."      # where we connect
///     clients = ["...", "..."]   # where we listen; may be left out
///
/// `listens`: are the keys for a socket that instruments connect to? Throws std::runtime_error naming file,
/// line, key and cause when the file is not sound, or when anybody but us and root may read or change it.
curve_keys read_curve_keys(const std::filesystem::path& file, bool listens);

} // namespace dtranspose
