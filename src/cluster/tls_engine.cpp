#include "cluster/tls_engine.hpp"

#include <new>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

namespace dtranspose {

namespace {

/// A block with what its records add, and room to answer the peer's messages of the protocol itself.
constexpr std::size_t wire_bytes = tls_block_bytes + (std::size_t{8} << 10);

bool is_address(const std::string& host) {
  in6_addr address;
  return inet_pton(AF_INET, host.c_str(), &address) == 1 || inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

std::string reason_of_verification(long error) {
  switch (error) {
  case X509_V_ERR_CERT_HAS_EXPIRED:
    return "its certificate has expired";
  case X509_V_ERR_CERT_NOT_YET_VALID:
    return "its certificate is not valid yet: do the clocks agree?";
  case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    return "its certificate is signed by itself, not by our authority";
  case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
  case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
  case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
  case X509_V_ERR_CERT_SIGNATURE_FAILURE:
    return "its certificate was not signed by our authority";
  case X509_V_ERR_HOSTNAME_MISMATCH:
  case X509_V_ERR_IP_ADDRESS_MISMATCH:
    return "its certificate does not bear the name by which we call it (subjectAltName)";
  case X509_V_ERR_INVALID_PURPOSE:
    return "its certificate is not meant for this (extendedKeyUsage)";
  default:
    return fmt::format("its certificate is not good: {}", X509_verify_cert_error_string(error));
  }
}

std::string reason_of_error(unsigned long error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return "it breaks the rules of TLS";
  switch (ERR_GET_REASON(error)) {
  case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
    return "it shows no certificate";
  case SSL_R_UNSUPPORTED_PROTOCOL:
  case SSL_R_TLSV1_ALERT_PROTOCOL_VERSION:
    return "one of us does not speak TLS 1.3";
  case SSL_R_WRONG_VERSION_NUMBER:
  case SSL_R_HTTP_REQUEST:
  case SSL_R_HTTPS_PROXY_REQUEST:
  case SSL_R_PACKET_LENGTH_TOO_LONG:
  case SSL_R_BAD_RECORD_TYPE:
  case SSL_R_UNEXPECTED_MESSAGE:
    return "it does not speak TLS";
  case SSL_R_TLSV1_ALERT_UNKNOWN_CA:
    return "it refuses our certificate: not signed by its authority";
  case SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED:
    return "it refuses our certificate: expired, says its clock";
  case SSL_R_SSLV3_ALERT_BAD_CERTIFICATE:
  case SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED:
  case SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN:
  case SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE:
  case SSL_R_TLSV1_ALERT_DECRYPT_ERROR:
    return "it refuses our certificate";
  case SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED:
    return "it saw no certificate of ours";
  default: {
    auto text = ERR_reason_error_string(error);
    return fmt::format("it breaks the rules of TLS: {}", text ? text : "OpenSSL does not say how");
  }
  }
}

/// One of the authority, called `host` in its list of names: a mere common name proves nothing.
bool expect(ssl_st* ssl, const std::string& host) {
  if (is_address(host)) return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), host.c_str()) == 1;
  SSL_set_hostflags(ssl, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT | X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return !host.empty() && SSL_set1_host(ssl, host.c_str()) == 1 &&
         SSL_set_tlsext_host_name(ssl, host.c_str()) == 1;
}

} // namespace

void tls_engine::freed::operator()(ssl_st* ssl) const { SSL_free(ssl); }
void tls_engine::freed::operator()(bio_st* bio) const { BIO_free(bio); }

tls_engine::tls_engine(ssl_ctx_st& context) : ssl_(SSL_new(&context)) {
  BIO *ours = nullptr, *wire = nullptr;
  if (!ssl_ || BIO_new_bio_pair(&ours, wire_bytes, &wire, wire_bytes) != 1) throw std::bad_alloc();
  wire_.reset(wire);
  SSL_set_bio(ssl_.get(), ours, ours);
  SSL_set_accept_state(ssl_.get());
}

tls_engine::tls_engine(ssl_ctx_st& context, const std::string& host) : tls_engine(context) {
  SSL_set_connect_state(ssl_.get());
  if (!expect(ssl_.get(), host)) reason_ = fmt::format("'{}' is no name that a certificate could bear", host);
}

tls_engine::outcome tls_engine::shake_hands() {
  if (!reason_.empty()) return outcome::failed;
  // What another connection of this thread left behind must not be taken for this one's.
  ERR_clear_error();
  return outcome_of(SSL_do_handshake(ssl_.get()));
}

tls_engine::outcome tls_engine::read(std::span<std::byte> into, std::size_t& size) {
  for (size = 0; size < into.size();) {
    ERR_clear_error();
    std::size_t more = 0;
    auto result = SSL_read_ex(ssl_.get(), into.data() + size, into.size() - size, &more);
    if (result != 1) return outcome_of(result);
    size += more;
  }
  return outcome::done;
}

tls_engine::outcome tls_engine::write(std::span<const std::byte> bytes, std::size_t& taken) {
  for (taken = 0; taken < bytes.size();) {
    ERR_clear_error();
    std::size_t more = 0;
    auto result = SSL_write_ex(ssl_.get(), bytes.data() + taken, bytes.size() - taken, &more);
    if (result != 1) return outcome_of(result);
    taken += more;
  }
  return outcome::done;
}

void tls_engine::end() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
}

tls_engine::outcome tls_engine::outcome_of(int result) {
  switch (SSL_get_error(ssl_.get(), result)) {
  case SSL_ERROR_NONE:
    return outcome::done;
  case SSL_ERROR_WANT_READ:
    return outcome::wants_input;
  case SSL_ERROR_WANT_WRITE:
    return outcome::wants_room;
  case SSL_ERROR_ZERO_RETURN:
    return outcome::ended;
  default:
    break;
  }
  auto verified = SSL_get_verify_result(ssl_.get());
  reason_ = verified != X509_V_OK ? reason_of_verification(verified) : reason_of_error(ERR_peek_error());
  ERR_clear_error();
  return outcome::failed;
}

std::span<std::byte> tls_engine::input() {
  char* room = nullptr;
  auto size = BIO_nwrite0(wire_.get(), &room);
  return {reinterpret_cast<std::byte*>(room), size > 0 ? static_cast<std::size_t>(size) : 0};
}

void tls_engine::received(std::size_t size) {
  char* room = nullptr;
  BIO_nwrite(wire_.get(), &room, static_cast<int>(size));
}

std::span<const std::byte> tls_engine::output() const {
  char* bytes = nullptr;
  auto size = BIO_nread0(wire_.get(), &bytes);
  return {reinterpret_cast<const std::byte*>(bytes), size > 0 ? static_cast<std::size_t>(size) : 0};
}

void tls_engine::sent(std::size_t size) {
  char* bytes = nullptr;
  BIO_nread(wire_.get(), &bytes, static_cast<int>(size));
}

} // namespace dtranspose
