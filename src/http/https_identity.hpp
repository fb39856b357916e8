/// What an HTTPS server shows its clients: a certificate and the key to it.
#pragma once

#include <filesystem>
#include <memory>

struct ssl_ctx_st;

namespace dtranspose {

/// Files in PEM.
struct https_files {
  std::filesystem::path certificate; ///< ours, then those between it and the authority
  std::filesystem::path key;         ///< without a passphrase
};

/// TLS 1.2 and 1.3, with forward secrecy. The files are read once.
class https_identity {
 public:
  /// Throws std::runtime_error naming the file when one cannot be used, when the key is not that of the
  /// certificate, or when others than its owner and group may read the key.
  explicit https_identity(const https_files& files);

  /// For OpenSSL; used by any number of connections at once.
  ssl_ctx_st* context() const { return context_.get(); }

 private:
  std::shared_ptr<ssl_ctx_st> context_;
};

} // namespace dtranspose
