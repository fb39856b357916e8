#include "source/curve_keys.hpp"

#include <array>
#include <stdexcept>

#include <fmt/format.h>
#include <toml++/toml.h>
#include <zmq.h>

#include "source/secret_file.hpp"

namespace dtranspose {
namespace {

using std::string_view;

constexpr std::size_t key_text = 40, key_bytes = 32;

bool is_key(const std::string& text) {
  std::array<std::uint8_t, key_bytes> bytes;
  return text.size() == key_text && text.find('\0') == std::string::npos &&
         zmq_z85_decode(bytes.data(), text.c_str()) != nullptr;
}

std::string public_key_of(const std::string& secret) {
  std::array<char, key_text + 1> text{};
  if (zmq_curve_public(text.data(), secret.c_str()) != 0)
    throw std::runtime_error(fmt::format("CURVE: {}", zmq_strerror(zmq_errno())));
  return text.data();
}

/// Messages never hold what the file has for a secret.
class key_file {
 public:
  explicit key_file(const std::filesystem::path& file) : file_(file.string()), content_(parse()) {}

  curve_keys read(bool listens) const {
    refuse_others(listens);
    curve_keys keys{{key("public"), key("secret")}};
    if (public_key_of(keys.ours.secret_key) != keys.ours.public_key)
      refuse(content_.get("public"), "public", "does not belong to the key at secret");
    if (!listens) keys.server_public = key("server_public");
    if (listens && content_.contains("clients")) keys.clients = clients();
    return keys;
  }

 private:
  toml::table parse() const {
    try {
      return toml::parse(read_secret_file(file_), file_);
    } catch (const toml::parse_error& error) {
      // What it says of the reason may quote the text.
      throw std::runtime_error(
          fmt::format("{}:{}: is not TOML: a text needs quotes, a key needs a value and a line of its own",
                      file_, error.source().begin.line));
    }
  }

  [[noreturn]] void refuse(const toml::node* at, string_view key, string_view why) const {
    auto line = at ? fmt::format(":{}", at->source().begin.line) : "";
    throw std::runtime_error(fmt::format("{}{}: {}: {}", file_, line, key, why));
  }

  void refuse_others(bool listens) const {
    for (auto& [key, node] : content_) {
      if (key == "public" || key == "secret") continue;
      if (key != "server_public" && key != "clients")
        refuse(&node, key.str(), "unknown key; known are public, secret, server_public, clients");
      if (listens == (key == "server_public"))
        refuse(&node, key.str(),
               listens ? "is for a stream that connects, and this one listens"
                       : "is for a stream that listens, and this one connects");
    }
  }

  std::string key(string_view name) const {
    auto node = content_.get(name);
    if (!node) refuse(nullptr, name, "is missing");
    return checked(*node, name);
  }

  std::vector<std::string> clients() const {
    auto node = content_.get("clients");
    auto list = node->as_array();
    if (!list || list->empty())
      refuse(node, "clients", "is no list of keys; leave it out to take any that knows our public key");
    std::vector<std::string> keys;
    for (auto& item : *list) keys.push_back(checked(item, fmt::format("clients, entry {}", keys.size() + 1)));
    return keys;
  }

  std::string checked(const toml::node& node, string_view name) const {
    auto text = node.value_exact<std::string>();
    if (!text || !is_key(*text)) refuse(&node, name, "is no CURVE key, a Z85 text of 40 characters");
    return *text;
  }

  std::string file_;
  toml::table content_;
};

} // namespace

curve_pair make_curve_pair() {
  std::array<char, key_text + 1> public_key{}, secret_key{};
  if (zmq_curve_keypair(public_key.data(), secret_key.data()) != 0)
    throw std::runtime_error(fmt::format("CURVE: {}", zmq_strerror(zmq_errno())));
  return {public_key.data(), secret_key.data()};
}

curve_keys read_curve_keys(const std::filesystem::path& file, bool listens) {
  return key_file(file).read(listens);
}

} // namespace dtranspose
