#include "output/elements.hpp"

#include <cmath>
#include <cstring>
#include <limits>
#include <optional>
#include <utility>

namespace dtranspose {

namespace {

template <class T>
constexpr T missing() {
  if constexpr (std::is_floating_point_v<T>)
    return std::numeric_limits<T>::quiet_NaN();
  else
    return std::is_signed_v<T> ? std::numeric_limits<T>::lowest() : std::numeric_limits<T>::max();
}

/// Nothing where an integer cannot hold it.
template <class To, class From>
std::optional<To> converted(From x) {
  if constexpr (std::is_floating_point_v<To>) {
    return static_cast<To>(x);
  } else if constexpr (std::is_floating_point_v<From>) {
    if (std::isnan(x)) return missing<To>();
    double whole = std::trunc(static_cast<double>(x));
    constexpr double lowest = static_cast<double>(std::numeric_limits<To>::lowest());
    const double beyond = std::ldexp(1.0, std::numeric_limits<To>::digits);
    if (whole < lowest || whole >= beyond) return std::nullopt;
    return static_cast<To>(whole);
  } else {
    if (!std::in_range<To>(x)) return std::nullopt;
    return static_cast<To>(x);
  }
}

/// Unaligned, as rows of odd element sizes follow one another in a page.
template <class T>
void put(std::byte* at, T x) {
  std::memcpy(at, &x, sizeof x);
}

} // namespace

void fill_missing(dtype type, std::span<std::byte> to) {
  visit_dtype(type, [&]<class T>(T) {
    for (std::size_t i = 0; i + sizeof(T) <= to.size(); i += sizeof(T)) put(to.data() + i, missing<T>());
  });
}

array missing_element(dtype type) {
  return visit_dtype(type, []<class T>(T) { return array::of(std::vector<T>{missing<T>()}); });
}

bool convert(const array& from, dtype type, std::byte* to) {
  auto bytes = from.bytes();
  if (from.type() == type) {
    if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
    return true;
  }
  return visit_dtype(type, [&]<class To>(To) {
    return visit_dtype(from.type(), [&]<class From>(From x) {
      bool all = true;
      for (std::size_t i = 0; i * sizeof x < bytes.size(); ++i, to += sizeof(To)) {
        std::memcpy(&x, bytes.data() + i * sizeof x, sizeof x);
        auto y = converted<To>(x);
        all = all && y;
        put(to, y.value_or(missing<To>()));
      }
      return all;
    });
  });
}

bool convert(const value& from, dtype type, std::byte* to) {
  return visit_dtype(type, [&]<class To>(To) {
    return std::visit(
        [&]<class From>(const From& x) {
          if constexpr (std::is_arithmetic_v<From>) {
            auto y = [&] {
              if constexpr (std::is_same_v<From, bool>)
                return converted<To>(static_cast<std::uint8_t>(x));
              else
                return converted<To>(x);
            }();
            put(to, y.value_or(missing<To>()));
            return y.has_value();
          } else {
            return false;
          }
        },
        from.content());
  });
}

} // namespace dtranspose
