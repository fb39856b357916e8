#include "model/parameter_book.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>

#include <fmt/format.h>
#include <openssl/evp.h>
#include <simdjson.h>

namespace dtranspose {

namespace {

/// What a text that is no value of its type reads as.
std::string nothing_of(parameter_type type) {
  switch (type) {
  case parameter_type::integer:
    return "0";
  case parameter_type::real:
    return "0.0";
  case parameter_type::boolean:
    return "False";
  default:
    return {};
  }
}

parameter_description dump_prefix_parameter() {
  return {std::string(dump_prefix_name), parameter_type::text, "", "Prefix to dump ingester values"};
}

void put_bytes(std::array<unsigned char, 16>& bytes, const scan_id& id) {
  for (int i = 0; i < 8; ++i) {
    bytes[static_cast<std::size_t>(i)] = static_cast<unsigned char>(id.high >> (56 - 8 * i));
    bytes[static_cast<std::size_t>(i) + 8] = static_cast<unsigned char>(id.low >> (56 - 8 * i));
  }
}

} // namespace

std::string canonical_parameter(const parameter_description& what, const std::string& written) {
  auto refuse = [&](std::string_view wanted) {
    constexpr std::size_t shown = 100;
    return std::runtime_error(fmt::format("parameter '{}' is of type {}: '{}' is {}", what.name,
                                          name_of(what.type), written.substr(0, shown), wanted));
  };
  switch (what.type) {
  case parameter_type::binary:
    break;
  case parameter_type::text:
    if (!simdjson::validate_utf8(written.data(), written.size()))
      throw std::runtime_error(fmt::format("parameter '{}' is of type str: this is not UTF-8", what.name));
    break;
  case parameter_type::integer:
    if (!parameters::integer_of(written)) throw refuse("no whole number of 64 bits");
    break;
  case parameter_type::real:
    if (!parameters::real_of(written)) throw refuse("no number");
    break;
  case parameter_type::boolean:
    if (written == "True" || written == "true" || written == "1") return "True";
    if (written == "False" || written == "false" || written == "0") return "False";
    throw refuse("neither True nor False");
  }
  return written;
}

parameter_book::parameter_book(std::function<std::uint64_t()> random) : random_(std::move(random)) {
  describe(std::nullopt);
}

void parameter_book::describe(std::optional<std::vector<parameter_description>> described) {
  open_ = !described;
  described_ = described ? std::move(*described) : std::vector<parameter_description>();
  std::erase_if(described_, [](auto& p) { return p.name == dump_prefix_name; });
  described_.push_back(dump_prefix_parameter());
  std::sort(described_.begin(), described_.end(), [](auto& a, auto& b) { return a.name < b.name; });
  for (auto& p : described_)
    if (!settings_.contains(p.name)) put(p.name, p.initial);
}

const parameter_description* parameter_book::description_of(std::string_view name) const {
  auto found = std::find_if(described_.begin(), described_.end(), [&](auto& p) { return p.name == name; });
  return found == described_.end() ? nullptr : &*found;
}

bool parameter_book::put(const std::string& name, std::string written) {
  auto identity = make_scan_id(random_(), random_());
  auto [i, fresh] = settings_.try_emplace(name);
  bool another = fresh || i->second.written != written;
  i->second = {std::move(written), identity};
  return another;
}

bool parameter_book::set(const std::string& name, const std::string& written, bool lenient) {
  auto what = description_of(name);
  std::string text = written;
  if (what) {
    try {
      text = canonical_parameter(*what, written);
    } catch (const std::runtime_error&) {
      if (!lenient) throw;
      text = nothing_of(what->type);
    }
  }
  bool another = put(name, std::move(text));
  bool counts = another && (what || open_) && name != dump_prefix_name;
  if (counts) version_ = parameters_version(version_.value + 1);
  return another;
}

void parameter_book::restore(const std::map<std::string, std::string>& written, parameters_version version) {
  for (auto& [name, text] : written) put(name, text);
  version_ = version;
}

std::optional<std::string> parameter_book::find(const std::string& name) const {
  auto i = settings_.find(name);
  return i == settings_.end() ? std::nullopt : std::optional(i->second.written);
}

std::map<std::string, std::string> parameter_book::of_analysis() const {
  auto result = all();
  std::erase_if(result, [this](auto& one) {
    return one.first == dump_prefix_name || (!open_ && !description_of(one.first));
  });
  return result;
}

std::map<std::string, std::string> parameter_book::all() const {
  std::map<std::string, std::string> result;
  for (auto& [name, one] : settings_) result.emplace(name, one.written);
  return result;
}

std::map<std::string, scan_id> parameter_book::identities() const {
  std::map<std::string, scan_id> result;
  for (auto& [name, one] : settings_) result.emplace(name, one.identity);
  return result;
}

std::string parameter_book::hash() const {
  std::string bytes;
  for (auto& [name, one] : settings_) {
    std::array<unsigned char, 16> id;
    put_bytes(id, one.identity);
    bytes.append(reinterpret_cast<const char*>(id.data()), id.size());
  }
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest, &size, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("SHA-256 is not to be had");
  std::string text;
  for (unsigned i = 0; i < size; ++i) text += fmt::format("{:02x}", digest[i]);
  return text;
}

} // namespace dtranspose
