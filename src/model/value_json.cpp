#include "model/value_json.hpp"

#include <charconv>
#include <cmath>

namespace dtranspose {
namespace {

/// How many bytes from `at` on are one valid UTF-8 sequence; 0 if none is, and then `bad` is how
/// many of them one U+FFFD stands for: the longest run that could have begun a sequence.
std::size_t utf8_length(std::string_view text, std::size_t at, std::size_t& bad) {
  auto byte = [&](std::size_t i) -> unsigned {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0u;
  };
  unsigned first = byte(0);
  bad = 1;
  if (first < 0x80) return 1;
  std::size_t length = first >= 0xC2 && first <= 0xDF   ? 2
                       : first >= 0xE0 && first <= 0xEF ? 3
                       : first >= 0xF0 && first <= 0xF4 ? 4
                                                        : 0;
  // The second byte is what tells overlong forms, surrogates and numbers beyond U+10FFFF.
  unsigned low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
  unsigned high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
  for (std::size_t i = 1; i < length; ++i, low = 0x80, high = 0xBF) {
    if (byte(i) < low || byte(i) > high) return 0;
    bad = i + 1;
  }
  return length;
}

class json_writer {
 public:
  explicit json_writer(bool strict) : strict_(strict) {}

  std::string take() { return std::move(out_); }

  void write(const value& content) {
    std::visit([this](const auto& x) { write(x); }, content.content());
  }

 private:
  void write(std::monostate) { out_ += "null"; }
  void write(bool x) { out_ += x ? "true" : "false"; }

  template <class T>
    requires std::is_arithmetic_v<T>
  void write(T x) {
    if constexpr (std::is_floating_point_v<T>)
      if (!std::isfinite(x)) return write_not_finite(std::isnan(x), std::signbit(x));
    char digits[32];
    auto end = std::to_chars(digits, digits + sizeof digits, x).ptr;
    out_.append(digits, end);
  }

  void write_not_finite(bool is_nan, bool negative) {
    out_ += strict_ ? "null" : is_nan ? "NaN" : negative ? "-Infinity" : "Infinity";
  }

  void write(const std::string& text) {
    out_ += '"';
    for (std::size_t i = 0, bad = 0; i < text.size();) {
      std::size_t length = utf8_length(text, i, bad);
      if (length == 1)
        write_character(text[i]);
      else if (length == 0)
        out_ += "\xEF\xBF\xBD"; // U+FFFD
      else
        out_.append(text, i, length);
      i += length == 0 ? bad : length;
    }
    out_ += '"';
  }

  void write_character(char c) {
    constexpr std::string_view escaped = "\"\\\b\f\n\r\t", letters = "\"\\bfnrt";
    constexpr char digits[] = "0123456789abcdef";
    if (auto i = escaped.find(c); i != std::string_view::npos)
      (out_ += '\\') += letters[i];
    else if (c < 0x20 && c >= 0)
      ((out_ += "\\u00") += digits[c >> 4]) += digits[c & 15];
    else
      out_ += c;
  }

  void write(const std::shared_ptr<const value_bytes>& bytes) {
    constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    out_ += '"';
    for (std::size_t i = 0; i < bytes->size(); i += 3) {
      auto left = bytes->size() - i;
      auto byte = [&](std::size_t k) { return k < left ? std::to_integer<unsigned>((*bytes)[i + k]) : 0u; };
      unsigned three = byte(0) << 16 | byte(1) << 8 | byte(2);
      out_ += letters[three >> 18];
      out_ += letters[three >> 12 & 63];
      out_ += left > 1 ? letters[three >> 6 & 63] : '=';
      out_ += left > 2 ? letters[three & 63] : '=';
    }
    out_ += '"';
  }

  void write(const std::shared_ptr<const array>& content) {
    // Lists of no elements would be as many as a shape says, which costs its sender nothing.
    if (content->bytes().empty()) {
      out_ += "[]";
      return;
    }
    visit_dtype(content->type(), [&]<class T>(T) {
      auto elements = content->elements<T>();
      out_.reserve(out_.size() + elements.size() * 4);
      write_lists(elements, content->shape());
    });
  }

  template <class T>
  void write_lists(std::span<const T> elements, std::span<const std::size_t> shape) {
    if (shape.empty()) return write(elements.front());
    auto each = elements.size() / shape.front();
    out_ += '[';
    for (std::size_t i = 0; i < shape.front(); ++i) {
      if (i > 0) out_ += ',';
      write_lists(elements.subspan(i * each, each), shape.subspan(1));
    }
    out_ += ']';
  }

  void write(const std::shared_ptr<const value_list>& list) {
    out_ += '[';
    for (auto& item : *list) {
      if (&item != list->data()) out_ += ',';
      write(item);
    }
    out_ += ']';
  }

  void write(const std::shared_ptr<const value_map>& map) {
    out_ += '{';
    for (auto& [key, item] : *map) {
      if (&key != &map->begin()->first) out_ += ',';
      write(key);
      out_ += ':';
      write(item);
    }
    out_ += '}';
  }

  bool strict_;
  std::string out_;
};

} // namespace

std::string to_json(const value& content, bool strict) {
  json_writer writer(strict);
  writer.write(content);
  return writer.take();
}

} // namespace dtranspose
