/// Parts of arrays, as viewers ask for them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

/// `[1:3,:,5,[0,2]]`: for each dimension of a shape a range `begin:end:step`, one index, or a list of
/// indices. Several lists are taken in step: the k-th place of the one with the k-th of the others.
class selection {
 public:
  /// Everything.
  explicit selection(std::span<const std::size_t> shape);

  /// An end beyond the extent is the extent. Throws std::invalid_argument, naming the dimension, where HDF
  /// REST has a fault: another number of items than dimensions, a start, or a place of a list, outside of the
  /// extent, an end at or before the start, a step of 0, what is no number, lists of unequal lengths.
  selection(std::string_view text, std::span<const std::size_t> shape);

  bool everything() const { return everything_; }

  /// Of what is selected, with all dimensions: a single index leaves one of length 1, and so do all lists but
  /// the first.
  const std::vector<std::size_t>& shape() const { return shape_; }
  std::size_t size() const;

  /// Calls `f(first, n)` for runs of neighbouring elements, in C order of the selection; `first` counts all
  /// elements.
  void each_run(const std::function<void(std::size_t, std::size_t)>& f) const;

  /// What is selected of an array, or list, of the shape that this was made for.
  array of(const array& whole) const;
  value_list of(const value_list& whole) const;

 private:
  struct axis {
    std::size_t start = 0, count = 0, step = 1;
    std::vector<std::size_t> places = {}; ///< instead of those three
    bool listed = false;
    std::size_t extent = 0, stride = 1; ///< in elements

    bool whole() const { return !listed && start == 0 && step == 1 && count == extent; }
  };

  void parse_axis(std::string_view item, axis& a, std::size_t number);
  void parse_list(std::string_view list, axis& a, std::size_t number) const;
  void parse_range(std::string_view item, axis& a, std::size_t number) const;
  void measure();
  void walk(std::size_t number, std::size_t at, const std::function<void(std::size_t, std::size_t)>& f) const;

  std::vector<axis> axes_;
  std::vector<std::size_t> shape_;
  bool everything_ = true;
  std::size_t first_list_ = 0, last_split_ = 0; ///< axes; `last_split_`: those behind are whole
};

/// Single elements: their places one after another, `rank` numbers each, little-endian uint64. Throws
/// std::invalid_argument where a place is outside, or bytes are left over.
array elements_at(const array& whole, std::span<const std::byte> places);

} // namespace dtranspose
