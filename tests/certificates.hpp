/// Certificates for tests, good and bad ones, made when they are needed.
#pragma once

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "cluster/tls_identity.hpp"

namespace dtranspose::test {

/// What a certificate says of its owner.
struct certificate_text {
  std::string name = "node";                        ///< its common name
  std::string names = "DNS:localhost,IP:127.0.0.1"; ///< subjectAltName; empty: none
  std::string usage = "serverAuth,clientAuth";      ///< extendedKeyUsage; empty: none
  std::chrono::hours from{-1}, to{24};              ///< its life, from now
};

/// Somebody who signs certificates. Its files lie in a directory of the caller.
class certificate_authority {
 public:
  /// `name`: of its file. `subject`: what it calls itself.
  certificate_authority(std::filesystem::path directory, std::string name, const std::string& subject)
      : directory_(std::move(directory)), name_(std::move(name)), key_(make_key()),
        certificate_(make_own(subject)) {
    save(directory_ / (name_ + ".pem"), *certificate_);
  }

  std::filesystem::path file() const { return directory_ / (name_ + ".pem"); }

  /// Signs a new certificate. `file`: what its files are called.
  tls_files issue(const std::string& file, const certificate_text& text = {}) const {
    return issue(file, text, certificate_.get(), key_.get());
  }

  /// One that nobody has signed but its owner.
  tls_files issue_self_signed(const std::string& file, const certificate_text& text = {}) const {
    return issue(file, text, nullptr, nullptr);
  }

 private:
  template <auto release>
  struct releaser {
    template <class T>
    void operator()(T* object) const {
      release(object);
    }
  };
  using key_pointer = std::unique_ptr<EVP_PKEY, releaser<EVP_PKEY_free>>;
  using certificate_pointer = std::unique_ptr<X509, releaser<X509_free>>;
  using file_pointer = std::unique_ptr<std::FILE, releaser<std::fclose>>;

  static void must(bool good) {
    if (!good) throw std::runtime_error("cannot make a certificate");
  }

  static key_pointer make_key() {
    key_pointer key(EVP_EC_gen("P-256"));
    must(key != nullptr);
    return key;
  }

  static void extend(X509& certificate, X509* issuer, int what, const std::string& text) {
    if (text.empty()) return;
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, &certificate, nullptr, nullptr, 0);
    auto extension = X509V3_EXT_conf_nid(nullptr, &context, what, text.c_str());
    must(extension && X509_add_ext(&certificate, extension, -1) == 1);
    X509_EXTENSION_free(extension);
  }

  /// All but the signature and the extensions.
  static certificate_pointer begin(const certificate_text& text, EVP_PKEY& key, X509* issuer) {
    static long serial = 0;
    certificate_pointer made(X509_new());
    must(made != nullptr);
    X509_set_version(made.get(), X509_VERSION_3);
    ASN1_INTEGER_set(X509_get_serialNumber(made.get()), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(made.get()), std::chrono::seconds(text.from).count());
    X509_gmtime_adj(X509_getm_notAfter(made.get()), std::chrono::seconds(text.to).count());
    auto subject = X509_get_subject_name(made.get());
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(text.name.c_str()), -1, -1, 0);
    X509_set_issuer_name(made.get(), issuer ? X509_get_subject_name(issuer) : subject);
    must(X509_set_pubkey(made.get(), &key) == 1);
    return made;
  }

  certificate_pointer make_own(const std::string& subject) const {
    auto made = begin({.name = subject}, *key_, nullptr);
    extend(*made, made.get(), NID_basic_constraints, "critical,CA:TRUE");
    extend(*made, made.get(), NID_key_usage, "critical,keyCertSign,cRLSign");
    extend(*made, made.get(), NID_subject_key_identifier, "hash");
    must(X509_sign(made.get(), key_.get(), EVP_sha256()) > 0);
    return made;
  }

  tls_files issue(const std::string& file, const certificate_text& text, X509* issuer,
                  EVP_PKEY* signer) const {
    auto key = make_key();
    auto made = begin(text, *key, issuer);
    auto by = issuer ? issuer : made.get();
    extend(*made, by, NID_basic_constraints, "critical,CA:FALSE");
    extend(*made, by, NID_subject_key_identifier, "hash");
    extend(*made, by, NID_ext_key_usage, text.usage);
    extend(*made, by, NID_subject_alt_name, text.names);
    must(X509_sign(made.get(), signer ? signer : key.get(), EVP_sha256()) > 0);
    tls_files files{directory_ / (file + ".pem"), directory_ / (file + ".key"), this->file()};
    save(files.certificate, *made);
    save(files.key, *key);
    return files;
  }

  static void save(const std::filesystem::path& path, X509& certificate) {
    file_pointer file(std::fopen(path.c_str(), "w"));
    must(file && PEM_write_X509(file.get(), &certificate) == 1);
  }

  static void save(const std::filesystem::path& path, EVP_PKEY& key) {
    file_pointer file(std::fopen(path.c_str(), "w"));
    must(file && chmod(path.c_str(), 0600) == 0);
    must(PEM_write_PrivateKey(file.get(), &key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
  }

  std::filesystem::path directory_;
  std::string name_;
  key_pointer key_;
  certificate_pointer certificate_;
};

} // namespace dtranspose::test
