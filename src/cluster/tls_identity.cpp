#include "cluster/tls_identity.hpp"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source/file_descriptor.hpp"

namespace dtranspose {

namespace {

using std::filesystem::path;

/// More than any chain of certificates takes.
constexpr std::size_t largest_file = 1 << 20;
/// The first is the fastest and strong enough.
constexpr auto ciphers = "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256";

template <auto release>
struct releaser {
  template <class T>
  void operator()(T* object) const {
    release(object);
  }
};

using bio = std::unique_ptr<BIO, releaser<BIO_free_all>>;
using certificate = std::unique_ptr<X509, releaser<X509_free>>;
using private_key = std::unique_ptr<EVP_PKEY, releaser<EVP_PKEY_free>>;
using verification = std::unique_ptr<X509_STORE_CTX, releaser<X509_STORE_CTX_free>>;

[[noreturn]] void reject(const char* what, const path& file, const std::string& why) {
  ERR_clear_error();
  throw std::runtime_error(fmt::format("the {} {}: {} (see [tls])", what, file.string(), why));
}

/// What OpenSSL noted last, or nothing of use.
std::string library_reason() {
  auto reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason ? reason : "OpenSSL does not take it";
}

void check_secrecy(const path& file, int fd) {
  struct stat status = {};
  if (fstat(fd, &status) != 0) reject("key", file, std::strerror(errno));
  if ((status.st_mode & 077) != 0)
    reject("key", file,
           fmt::format("others may read it, its mode is {:04o}: chmod 600 it", status.st_mode & 07777));
}

std::string read_all(const char* what, const path& file, bool secret) {
  if (file.empty()) reject(what, file, "no file is named");
  // What is no regular file must not keep us waiting.
  file_descriptor fd(open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!fd) reject(what, file, std::strerror(errno));
  if (secret) check_secrecy(file, fd.get());
  std::string text;
  char piece[4096];
  while (true) {
    auto size = read(fd.get(), piece, sizeof piece);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) reject(what, file, std::strerror(errno));
    if (size == 0) return text;
    text.append(piece, static_cast<std::size_t>(size));
    if (text.size() > largest_file) reject(what, file, "is too large for what it should be");
  }
}

bio reader_of(const std::string& text) {
  return bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

/// All certificates of a file; at least one.
std::vector<certificate> read_certificates(const char* what, const path& file) {
  auto text = read_all(what, file, false);
  auto from = reader_of(text);
  std::vector<certificate> all;
  while (auto next = PEM_read_bio_X509(from.get(), nullptr, nullptr, nullptr)) all.emplace_back(next);
  if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
    reject(what, file, "holds a damaged certificate: " + library_reason());
  ERR_clear_error();
  if (all.empty()) reject(what, file, "holds no certificate in the form of PEM");
  return all;
}

/// Instead of asking at the terminal.
int no_passphrase(char*, int, int, void* asked) {
  *static_cast<bool*>(asked) = true;
  return -1;
}

private_key read_key(const path& file) {
  auto text = read_all("key", file, true);
  bool asked = false;
  private_key key(PEM_read_bio_PrivateKey(reader_of(text).get(), nullptr, no_passphrase, &asked));
  OPENSSL_cleanse(text.data(), text.size());
  if (!key && asked) reject("key", file, "wants a passphrase: take one without");
  if (!key) reject("key", file, "holds no private key in the form of PEM");
  return key;
}

void trust(SSL_CTX& context, const path& file) {
  for (auto& authority : read_certificates("authority", file)) {
    if (X509_check_ca(authority.get()) == 0)
      reject("authority", file, "holds a certificate that may not sign others");
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(&context), authority.get()) != 1)
      reject("authority", file, library_reason());
  }
}

void show(SSL_CTX& context, const tls_files& files) {
  auto chain = read_certificates("certificate", files.certificate);
  auto key = read_key(files.key);
  if (SSL_CTX_use_certificate(&context, chain.front().get()) != 1)
    reject("certificate", files.certificate, library_reason());
  for (std::size_t i = 1; i < chain.size(); ++i)
    if (SSL_CTX_add1_chain_cert(&context, chain[i].get()) != 1)
      reject("certificate", files.certificate, library_reason());
  if (SSL_CTX_use_PrivateKey(&context, key.get()) != 1 || SSL_CTX_check_private_key(&context) != 1)
    reject("key", files.key, "does not fit the certificate " + files.certificate.string());
}

/// Says what a peer would say, before one has to.
void check_own(SSL_CTX& context, const tls_files& files, int purpose, const char* role) {
  verification check(X509_STORE_CTX_new());
  STACK_OF(X509)* chain = nullptr;
  SSL_CTX_get0_chain_certs(&context, &chain);
  X509_STORE_CTX_init(check.get(), SSL_CTX_get_cert_store(&context), SSL_CTX_get0_certificate(&context),
                      chain);
  X509_STORE_CTX_set_purpose(check.get(), purpose);
  if (X509_verify_cert(check.get()) == 1) return;
  auto& file = files.certificate;
  switch (auto error = X509_STORE_CTX_get_error(check.get())) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
    reject("certificate", file, "it, or one that signs it, has expired");
  case X509_V_ERR_CERT_NOT_YET_VALID:
    reject("certificate", file, "it, or one that signs it, is not valid yet: is the clock right?");
  case X509_V_ERR_INVALID_PURPOSE:
    reject("certificate", file, fmt::format("may not be shown by a {} (extendedKeyUsage)", role));
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
  case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    reject("certificate", file, "was not signed by the authority " + files.authority.string());
  default:
    reject("certificate", file, X509_verify_cert_error_string(error));
  }
}

void set_rules(SSL_CTX& context) {
  SSL_CTX_set_min_proto_version(&context, TLS1_3_VERSION);
  SSL_CTX_set_ciphersuites(&context, ciphers);
  SSL_CTX_set_verify(&context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  SSL_CTX_set_session_cache_mode(&context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(&context, 0);
  SSL_CTX_set_options(&context, SSL_OP_NO_TICKET);
  SSL_CTX_set_mode(&context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
}

} // namespace

std::shared_ptr<ssl_ctx_st> make_tls_context(const tls_files& files) {
  ERR_clear_error();
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_method()), SSL_CTX_free);
  if (!context) throw std::runtime_error("cannot set up TLS: " + library_reason());
  set_rules(*context);
  trust(*context, files.authority);
  show(*context, files);
  check_own(*context, files, X509_PURPOSE_SSL_SERVER, "server");
  check_own(*context, files, X509_PURPOSE_SSL_CLIENT, "client");
  ERR_clear_error();
  return context;
}

bool bears_names(const ssl_ctx_st& context) {
  auto own = SSL_CTX_get0_certificate(&context);
  return own && X509_get_ext_by_NID(own, NID_subject_alt_name, -1) >= 0;
}

} // namespace dtranspose
