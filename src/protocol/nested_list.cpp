#include "protocol/nested_list.hpp"

#include <algorithm>
#include <span>

#include "protocol/array_view.hpp"

namespace dtranspose {

namespace {

/// The extents along the first elements; nothing if the innermost of these is no number.
std::optional<std::vector<std::size_t>> shape_of(const value_list& list) {
  std::vector<std::size_t> shape;
  for (auto level = &list; level;) {
    if (level->empty() || shape.size() == dimension_limit) return std::nullopt;
    shape.push_back(level->size());
    auto& first = level->front();
    level = first.as_list();
    if (!level && !first.as_number()) return std::nullopt;
  }
  return shape;
}

/// Calls `take` with each number; false once something does not fit `shape`.
template <class F>
bool visit(const value_list& list, std::span<const std::size_t> shape, F& take) {
  if (list.size() != shape[0]) return false;
  for (auto& item : list) {
    if (shape.size() == 1) {
      if (!item.as_number()) return false;
      take(item);
    } else {
      auto inner = item.as_list();
      if (!inner || !visit(*inner, shape.subspan(1), take)) return false;
    }
  }
  return true;
}

/// Which types hold all the numbers that were seen.
struct fitting_type {
  bool whole = true, negative = false, large = false;

  void operator()(const value& number) {
    whole &= !std::holds_alternative<double>(number.content());
    if (auto x = std::get_if<std::int64_t>(&number.content())) negative |= *x < 0;
    if (auto x = std::get_if<std::uint64_t>(&number.content()))
      large |= *x > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  }

  dtype type() const {
    if (!whole || (negative && large)) return dtype::float64;
    return large ? dtype::uint64 : dtype::int64;
  }
};

template <class T>
T number_as(const value& number) {
  return std::visit(
      [](auto& x) -> T {
        if constexpr (std::is_arithmetic_v<std::remove_cvref_t<decltype(x)>>)
          return static_cast<T>(x);
        else
          return T();
      },
      number.content());
}

template <class T>
array filled(const value_list& list, std::vector<std::size_t> shape) {
  std::vector<T> elements;
  auto take = [&](const value& number) { elements.push_back(number_as<T>(number)); };
  visit(list, shape, take);
  return array::of(std::span<const T>(elements), std::move(shape));
}

} // namespace

std::optional<array> array_of(const value_list& list) {
  auto shape = shape_of(list);
  fitting_type fitting;
  if (!shape || !visit(list, *shape, fitting)) return std::nullopt;
  switch (fitting.type()) {
  case dtype::int64:
    return filled<std::int64_t>(list, std::move(*shape));
  case dtype::uint64:
    return filled<std::uint64_t>(list, std::move(*shape));
  default:
    return filled<double>(list, std::move(*shape));
  }
}

value with_array(value content) {
  auto list = content.as_list();
  if (!list) return content;
  auto found = array_of(*list);
  return found ? value(std::move(*found)) : content;
}

value_map with_arrays(const value_map& content) {
  value_map out;
  out.reserve(content.size());
  for (auto& [name, item] : content) out.set(name, with_array(item));
  return out;
}

} // namespace dtranspose
