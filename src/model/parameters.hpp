/// Typed parameters of an analysis. No dependencies: part of the plug-in contract.
#pragma once

#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

enum class parameter_type : std::uint8_t { text, binary, integer, real, boolean };

/// The name that the REST interface gives a type: `str`, `binary`, `int`, `float`, `bool`.
constexpr std::string_view name_of(parameter_type type) {
  constexpr std::string_view names[] = {"str", "binary", "int", "float", "bool"};
  return names[static_cast<std::size_t>(type)];
}

/// What an analysis says of a parameter. `initial` is in the written form of its type.
struct parameter_description {
  std::string name;
  parameter_type type = parameter_type::text;
  std::string initial;
  std::string description;
};

/// The parameters in force, as their written forms. The readers follow the conversions of the REST
/// interface: what does not convert reads as 0, 0.0 or false.
class parameters {
 public:
  void set(std::string name, std::string written) { written_[std::move(name)] = std::move(written); }

  /// The written form, or null where no such parameter is set.
  const std::string* find(std::string_view name) const {
    auto i = written_.find(name);
    return i == written_.end() ? nullptr : &i->second;
  }

  std::string text(std::string_view name) const {
    auto written = find(name);
    return written ? *written : std::string();
  }
  std::int64_t integer(std::string_view name) const {
    auto written = find(name);
    return written ? integer_of(*written).value_or(0) : 0;
  }
  double real(std::string_view name) const {
    auto written = find(name);
    return written ? real_of(*written).value_or(0.0) : 0.0;
  }
  bool boolean(std::string_view name) const {
    auto written = find(name);
    return written && *written == "True";
  }

  const std::map<std::string, std::string, std::less<>>& all() const { return written_; }

  /// A decimal number with an optional sign, blanks around it and `_` between digits.
  static std::optional<std::int64_t> integer_of(std::string_view written) {
    auto plain = plain_number(written);
    return plain ? converted<std::int64_t>(*plain) : std::nullopt;
  }

  /// A number with exponent, `nan` or `inf`, blanks around it and `_` between digits. Beyond the largest
  /// number lies infinity.
  static std::optional<double> real_of(std::string_view written) {
    auto plain = plain_number(written);
    if (!plain || plain->find('(') != std::string::npos) return std::nullopt;
    double result = 0;
    auto end = plain->data() + plain->size();
    auto [stop, error] = std::from_chars(plain->data(), end, result);
    if (stop != end || error == std::errc::invalid_argument) return std::nullopt;
    if (error == std::errc()) return result;
    // Too large or too small: only the sign of the exponent tells which.
    auto exponent = plain->find_first_of("eE");
    bool small =
        exponent != std::string::npos && exponent + 1 < plain->size() && (*plain)[exponent + 1] == '-';
    auto limit = small ? 0.0 : std::numeric_limits<double>::infinity();
    return plain->starts_with('-') ? -limit : limit;
  }

 private:
  static std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\r\n\f\v";
    auto first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
  }

  /// Without blanks, plus sign and `_`; nothing where one of them stands where it may not.
  static std::optional<std::string> plain_number(std::string_view written) {
    auto text = trimmed(written);
    if (text.starts_with('+')) {
      text.remove_prefix(1);
      if (text.starts_with('-') || text.starts_with('+')) return std::nullopt;
    }
    auto is_digit = [&](std::size_t k) { return k < text.size() && text[k] >= '0' && text[k] <= '9'; };
    std::string plain;
    for (std::size_t i = 0; i < text.size(); ++i) {
      if (text[i] != '_')
        plain += text[i];
      else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1))
        return std::nullopt;
    }
    return plain;
  }

  template <class T>
  static std::optional<T> converted(std::string_view text) {
    T result{};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), result);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return result;
  }

  std::map<std::string, std::string, std::less<>> written_;
};

} // namespace dtranspose
