/// Who a process is to its peers and whom it trusts, read from files and checked before anybody relies on it.
#pragma once

#include <filesystem>
#include <memory>

struct ssl_ctx_st; // OpenSSL's SSL_CTX

namespace dtranspose {

/// All PEM.
struct tls_files {
  std::filesystem::path
      certificate;           ///< of this process; certificates between it and the authority may follow it
  std::filesystem::path key; ///< of the certificate, without a passphrase, readable by nobody else
  std::filesystem::path authority; ///< whoever shows a certificate signed by one of these is a peer
};

/// What every TLS connection of a process starts from: TLS 1.3 alone, both sides show certificates that the
/// authority has signed, nothing is resumed.
/// Throws std::runtime_error naming the file and what is wrong with it.
std::shared_ptr<ssl_ctx_st> make_tls_context(const tls_files& files);

/// Does the certificate bear names or addresses (subjectAltName) by which peers may call it?
bool bears_names(const ssl_ctx_st& context);

} // namespace dtranspose
