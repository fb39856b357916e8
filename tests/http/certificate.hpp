/// A certificate for 127.0.0.1 that is its own authority, and its key, as files.
#pragma once

#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "http/https_identity.hpp"

namespace dtranspose::test {

inline https_files make_certificate(const std::filesystem::path& folder, const std::string& name = "server") {
  https_files files{folder / (name + ".pem"), folder / (name + ".key")};
  std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_EC_gen("P-256"), EVP_PKEY_free);
  std::unique_ptr<X509, decltype(&X509_free)> made(X509_new(), X509_free);
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key.get());
  auto subject = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("test"), -1,
                             -1, 0);
  X509_set_issuer_name(made.get(), subject);
  auto alternative =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "IP:127.0.0.1,DNS:localhost");
  X509_add_ext(made.get(), alternative, -1);
  X509_EXTENSION_free(alternative);
  if (X509_sign(made.get(), key.get(), EVP_sha256()) == 0) throw std::runtime_error("cannot sign");
  std::unique_ptr<FILE, int (*)(FILE*)> certificate(std::fopen(files.certificate.c_str(), "w"), std::fclose),
      secret(std::fopen(files.key.c_str(), "w"), std::fclose);
  if (!certificate || !secret || PEM_write_X509(certificate.get(), made.get()) != 1 ||
      PEM_write_PrivateKey(secret.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    throw std::runtime_error("cannot write a certificate to " + folder.string());
  ::chmod(files.key.c_str(), 0600);
  return files;
}

} // namespace dtranspose::test
