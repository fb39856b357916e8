#include "http/access_tokens.hpp"

#include <algorithm>
#include <stdexcept>

#include <fmt/format.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <toml++/toml.h>

#include "source/secret_file.hpp"

namespace dtranspose {
namespace {

using std::string_view;

constexpr string_view scopes[] = {"view", "tune", "control"};

std::optional<access_scope> scope_of(string_view name) {
  auto found = std::ranges::find(scopes, name);
  if (found == std::end(scopes)) return std::nullopt;
  return static_cast<access_scope>(found - std::begin(scopes));
}

std::optional<unsigned char> hexadecimal(char c) {
  if (c >= '0' && c <= '9') return static_cast<unsigned char>(c - '0');
  auto lower = static_cast<char>(c | 0x20);
  if (lower >= 'a' && lower <= 'f') return static_cast<unsigned char>(lower - 'a' + 10);
  return std::nullopt;
}

/// What follows the word `Bearer` and blanks; empty if it is something else.
string_view secret_in(string_view authorization) {
  constexpr string_view word = "bearer";
  if (authorization.size() <= word.size() || authorization[word.size()] != ' ') return {};
  auto same = [](char a, char b) { return (a | 0x20) == b; };
  if (!std::equal(word.begin(), word.end(), authorization.begin(),
                  [&](char a, char b) { return same(b, a); }))
    return {};
  auto first = authorization.find_first_not_of(' ', word.size());
  if (first == string_view::npos) return {};
  auto last = authorization.find_last_not_of(' ');
  return authorization.substr(first, last - first + 1);
}

} // namespace

string_view name_of(access_scope scope) { return scopes[static_cast<std::size_t>(scope)]; }

access_tokens::digest access_tokens::digest_of(string_view text) {
  digest result;
  SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), result.data());
  return result;
}

// --- the file ------------------------------------------------------------------------------------

/// Makes tokens of a file. Messages never hold what the file has for a secret.
class access_tokens::reader {
 public:
  explicit reader(const std::filesystem::path& file) : file_(file.string()) {}

  std::vector<token> read() {
    auto root = parse(read_secret_file(file_));
    for (auto& [key, node] : root)
      if (key != "token") refuse(node, key.str(), "unknown key; known is [[token]]");
    auto entries = root["token"].as_array();
    if (!entries || entries->empty()) throw std::runtime_error(file_ + ": has no [[token]]");
    for (auto& entry : *entries) add(entry);
    return std::move(tokens_);
  }

 private:
  toml::table parse(const std::string& text) const {
    try {
      return toml::parse(text, file_);
    } catch (const toml::parse_error& error) {
      // What it says of the reason may quote the text.
      throw std::runtime_error(
          fmt::format("{}:{}: is not TOML: a text needs quotes, a key needs a value and a line of its own",
                      file_, error.source().begin.line));
    }
  }

  [[noreturn]] void refuse(const toml::node& at, string_view where, string_view why) const {
    throw std::runtime_error(fmt::format("{}:{}: {}: {}", file_, at.source().begin.line, where, why));
  }

  void add(const toml::node& entry) {
    title_ = fmt::format("[[token]] {}", tokens_.size() + 1);
    auto table = entry.as_table();
    if (!table) refuse(entry, title_, "is no table; write [[token]] above its keys");
    for (auto& [key, node] : *table)
      if (key != "name" && key != "scope" && key != "secret" && key != "sha256")
        refuse(node, in_title(key.str()), "unknown key; known are name, scope, secret, sha256");
    token made;
    made.name = text(*table, "name");
    title_ += fmt::format(" ({})", made.name);
    auto scope = scope_of(text(*table, "scope"));
    if (!scope)
      refuse(*table->get("scope"), in_title("scope"), R"(is neither "view" nor "tune" nor "control")");
    made.scope = *scope;
    made.of_secret = secret(*table);
    for (std::size_t i = 0; i < tokens_.size(); ++i)
      if (tokens_[i].of_secret == made.of_secret)
        refuse(entry, title_,
               fmt::format("has the same secret as [[token]] {} ({})", i + 1, tokens_[i].name));
    tokens_.push_back(std::move(made));
  }

  digest secret(const toml::table& table) const {
    bool plain = table.contains("secret");
    if (plain == table.contains("sha256")) refuse(table, title_, "needs one of secret and sha256");
    if (!plain) return digest_in(*table.get("sha256"), text(table, "sha256"));
    auto secret = text(table, "secret");
    auto& node = *table.get("secret");
    if (secret.size() < least_secret)
      refuse(node, in_title("secret"), fmt::format("is shorter than {} characters", least_secret));
    if (!std::ranges::all_of(secret, [](char c) { return c > ' ' && c < 0x7F; }))
      refuse(node, in_title("secret"), "holds blanks or something else than visible ASCII characters");
    return digest_of(secret);
  }

  digest digest_in(const toml::node& node, string_view digits) const {
    digest result;
    auto refuse_digits = [&] { refuse(node, in_title("sha256"), "is not 64 hexadecimal digits"); };
    if (digits.size() != 2 * result.size()) refuse_digits();
    for (std::size_t i = 0; i < result.size(); ++i) {
      auto high = hexadecimal(digits[2 * i]), low = hexadecimal(digits[2 * i + 1]);
      if (!high || !low) refuse_digits();
      result[i] = static_cast<unsigned char>(*high << 4 | *low);
    }
    return result;
  }

  std::string text(const toml::table& table, string_view key) const {
    auto node = table.get(key);
    if (!node) refuse(table, in_title(key), "is missing");
    auto text = node->value_exact<std::string>();
    if (!text || text->empty()) refuse(*node, in_title(key), "is no text, or an empty one");
    return *text;
  }

  std::string in_title(string_view key) const { return fmt::format("{} {}", title_, key); }

  std::string file_, title_;
  std::vector<token> tokens_;
};

access_tokens::access_tokens(const std::filesystem::path& file) : tokens_(reader(file).read()) {}

// --- looking up ----------------------------------------------------------------------------------

std::optional<access> access_tokens::check(string_view authorization) const {
  auto secret = secret_in(authorization);
  auto presented = digest_of(secret);
  auto found = tokens_.size();
  for (std::size_t i = 0; i < tokens_.size(); ++i)
    if (CRYPTO_memcmp(tokens_[i].of_secret.data(), presented.data(), presented.size()) == 0) found = i;
  if (found == tokens_.size() || secret.size() < least_secret) return std::nullopt;
  return access{found, tokens_[found].name, tokens_[found].scope};
}

} // namespace dtranspose
