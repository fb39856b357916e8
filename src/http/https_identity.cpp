#include "http/https_identity.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

namespace dtranspose {
namespace {

[[noreturn]] void refuse(const std::filesystem::path& file, std::string_view why) {
  throw std::runtime_error(fmt::format("{}: {}", file.string(), why));
}

/// The first reason that OpenSSL gave, which is the one nearest to the cause.
std::string reason() {
  auto code = ERR_peek_error();
  ERR_clear_error();
  if (ERR_SYSTEM_ERROR(code)) return std::strerror(ERR_GET_REASON(code));
  auto text = ERR_reason_error_string(code);
  return text ? text : "no reason is known";
}

void check_key_file(const std::filesystem::path& file) {
  struct stat about {};
  if (::stat(file.c_str(), &about) != 0)
    refuse(file, fmt::format("cannot be read: {}", std::strerror(errno)));
  if ((about.st_mode & 027) != 0)
    refuse(file, fmt::format("is a private key and others have access to it (mode {:04o}): chmod 600 it",
                             about.st_mode & 07777));
}

void load(SSL_CTX* context, const https_files& files) {
  // A key with a passphrase is refused instead of asked for at the terminal.
  SSL_CTX_set_default_passwd_cb(context, [](char*, int, int, void*) { return 0; });
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1)
    refuse(files.certificate, "no certificate can be read from it: " + reason());
  check_key_file(files.key);
  if (SSL_CTX_use_PrivateKey_file(context, files.key.c_str(), SSL_FILETYPE_PEM) != 1)
    refuse(files.key, fmt::format("no key for the certificate {} can be read from it: {}",
                                  files.certificate.string(), reason()));
}

} // namespace

https_identity::https_identity(const https_files& files) {
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_server_method()), SSL_CTX_free);
  auto context = context_.get();
  if (!context || SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) != 1 ||
      SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") != 1)
    throw std::runtime_error("TLS: " + reason());
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  load(context, files);
}

} // namespace dtranspose
