#include "protocol/bit_unshuffle.hpp"

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>
#include <vector>

namespace dtranspose {

namespace {

// ---- portable -------------------------------------------------------------------------------------------

/// Byte i, bit k becomes byte k, bit i.
std::uint64_t transpose_8_by_8(std::uint64_t x) {
  auto swap = [&](int distance, std::uint64_t which) {
    auto differing = (x ^ (x >> distance)) & which;
    x ^= differing ^ (differing << distance);
  };
  swap(7, 0x00AA00AA00AA00AA);
  swap(14, 0x0000CCCC0000CCCC);
  swap(28, 0x00000000F0F0F0F0);
  return x;
}

/// `row_bytes` are the bytes of a row: a column of bytes holds 8 elements. Begins with column `first`.
void unshuffle_columns(std::size_t element_size, std::size_t row_bytes, std::size_t first,
                       const std::byte* in, std::byte* out) {
  for (auto column = first; column < row_bytes; ++column) {
    for (std::size_t byte = 0; byte < element_size; ++byte) {
      std::uint64_t bits = 0;
      for (std::size_t bit = 0; bit < 8; ++bit)
        bits |= std::to_integer<std::uint64_t>(in[(8 * byte + bit) * row_bytes + column]) << (8 * bit);
      bits = transpose_8_by_8(bits);
      for (std::size_t i = 0; i < 8; ++i)
        out[(8 * column + i) * element_size + byte] = static_cast<std::byte>(bits >> (8 * i));
    }
  }
}

void shuffle_columns(std::size_t element_size, std::size_t row_bytes, std::size_t first, const std::byte* in,
                     std::byte* out) {
  for (auto column = first; column < row_bytes; ++column) {
    for (std::size_t byte = 0; byte < element_size; ++byte) {
      std::uint64_t bits = 0;
      for (std::size_t i = 0; i < 8; ++i)
        bits |= std::to_integer<std::uint64_t>(in[(8 * column + i) * element_size + byte]) << (8 * i);
      bits = transpose_8_by_8(bits);
      for (std::size_t bit = 0; bit < 8; ++bit)
        out[(8 * byte + bit) * row_bytes + column] = static_cast<std::byte>(bits >> (8 * bit));
    }
  }
}

std::size_t row_bytes_of(std::size_t element_size, std::span<const std::byte> block) {
  return block.size() / (8 * element_size);
}

void unshuffle_portable(std::size_t element_size, std::span<const std::byte> in, std::byte* out) {
  unshuffle_columns(element_size, row_bytes_of(element_size, in), 0, in.data(), out);
}

void shuffle_portable(std::size_t element_size, std::span<const std::byte> in, std::byte* out) {
  shuffle_columns(element_size, row_bytes_of(element_size, in), 0, in.data(), out);
}

#if defined(__x86_64__)

// ---- vectors --------------------------------------------------------------------------------------------
//
// A group is `Width` bytes of each row: 8 * Width elements. First the bits are exchanged between the 8 rows
// of one byte of the elements, so that each of 8 vectors holds that whole byte of every eighth element. Then
// the vectors are woven: a byte of one, a byte of the other, then by twos and fours, until the bytes are in
// order. Weaving works within lanes of 16 bytes: a wider vector is several groups of 16 columns side by side.
// Shuffling goes backwards through the same steps.
//
// One text serves all widths through the compiler's own vectors. It is compiled into functions for one kind
// of processor each: hence everything is inlined, and vectors are passed by pointer or reference.

#define DTRANSPOSE_INLINE [[gnu::always_inline]] inline

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DTRANSPOSE_INSTRUMENTED 1
#elif defined(__clang__)
#define DTRANSPOSE_INSTRUMENTED                                                                              \
  (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(coverage_sanitizer))
#else
#define DTRANSPOSE_INSTRUMENTED 0
#endif

/// Vectors stay in registers only where loops are unrolled. With a sanitizer that would take minutes to
/// compile.
#if DTRANSPOSE_INSTRUMENTED
constexpr int unrolled = 1;
#else
constexpr int unrolled = 8;
#endif

constexpr std::size_t lane = 16;

template <class Unit, std::size_t Width>
struct vector_of {
  typedef Unit type __attribute__((vector_size(Width)));
};

template <class Unit, std::size_t Width>
using vector = typename vector_of<Unit, Width>::type;

template <std::size_t Width>
using bytes = vector<std::uint8_t, Width>;

/// One 16-byte lane after another, each to a place of its own.
template <std::size_t Width>
DTRANSPOSE_INLINE void store_lanes(const bytes<Width>& v, std::byte* to, std::size_t apart) {
#pragma GCC unroll unrolled
  for (std::size_t i = 0; i < Width / lane; ++i)
    std::memcpy(to + i * apart, reinterpret_cast<const std::byte*>(&v) + i * lane, lane);
}

template <std::size_t Width>
DTRANSPOSE_INLINE void load_lanes(const std::byte* from, std::size_t apart, bytes<Width>& v) {
#pragma GCC unroll unrolled
  for (std::size_t i = 0; i < Width / lane; ++i)
    std::memcpy(reinterpret_cast<std::byte*>(&v) + i * lane, from + i * apart, lane);
}

/// Exchanges the bits of `a` that are `Distance` above those in `Mask` with the bits in `Mask` of `b`.
template <int Distance, std::uint8_t Mask, std::size_t Width>
DTRANSPOSE_INLINE void exchange(bytes<Width>& a, bytes<Width>& b) {
  using words =
      vector<std::uint16_t, Width>; // there are no shifts of bytes; the mask drops what crosses over
  constexpr std::uint16_t mask = Mask * 0x0101;
  auto differing = (((words)a >> Distance) ^ (words)b) & mask;
  a ^= (bytes<Width>)(differing << Distance);
  b ^= (bytes<Width>)differing;
}

/// Bit i of the bytes of vector k becomes bit k of the bytes of vector i. Its own reverse.
template <std::size_t Width>
DTRANSPOSE_INLINE void transpose_bits(bytes<Width>* v) {
#pragma GCC unroll unrolled
  for (int i = 0; i < 4; ++i) exchange<4, 0x0F, Width>(v[i], v[i + 4]);
#pragma GCC unroll unrolled
  for (int i = 0; i < 4; ++i) exchange<2, 0x33, Width>(v[i + i / 2 * 2], v[i + i / 2 * 2 + 2]);
#pragma GCC unroll unrolled
  for (int i = 0; i < 4; ++i) exchange<1, 0x55, Width>(v[2 * i], v[2 * i + 1]);
}

/// Where the units of the two vectors `even` and `odd` are found, lane by lane, in both vectors of a pair.
template <class Unit, std::size_t Width>
struct lane_order {
  static constexpr std::size_t units = lane / sizeof(Unit), all = Width / sizeof(Unit);

  /// In the woven vector: a unit of `even`, a unit of `odd`, and so on, from the lower or upper half of a
  /// lane.
  static constexpr int woven(std::size_t i, bool upper) {
    auto within = i % units;
    return static_cast<int>(i - within + within / 2 + (upper ? units / 2 : 0) + within % 2 * all);
  }

  /// In the vector of the even (or odd) units of the lower and the upper half.
  static constexpr int parted(std::size_t i, bool odd) {
    auto within = i % units, twice = 2 * within;
    return static_cast<int>(i - within + twice % units + odd + twice / units * all);
  }
};

template <class Unit, std::size_t Width, std::size_t... I>
DTRANSPOSE_INLINE void weave_pair(bytes<Width>& a, bytes<Width>& b, std::index_sequence<I...>) {
  using units = vector<Unit, Width>;
  using order = lane_order<Unit, Width>;
  auto even = (units)a, odd = (units)b;
  a = (bytes<Width>)__builtin_shufflevector(even, odd, order::woven(I, false)...);
  b = (bytes<Width>)__builtin_shufflevector(even, odd, order::woven(I, true)...);
}

template <class Unit, std::size_t Width, std::size_t... I>
DTRANSPOSE_INLINE void part_pair(bytes<Width>& a, bytes<Width>& b, std::index_sequence<I...>) {
  using units = vector<Unit, Width>;
  using order = lane_order<Unit, Width>;
  auto lower = (units)a, upper = (units)b;
  a = (bytes<Width>)__builtin_shufflevector(lower, upper, order::parted(I, false)...);
  b = (bytes<Width>)__builtin_shufflevector(lower, upper, order::parted(I, true)...);
}

/// Weaves `Count` vectors by units: vectors 2 i and 2 i + 1 of a section give vector i of two new sections,
/// from the lower and from the upper halves of their lanes. There are as many sections before as the unit has
/// bytes.
template <class Unit, std::size_t Count, std::size_t Width>
DTRANSPOSE_INLINE void weave(bytes<Width>* v) {
  constexpr std::size_t size = Count / sizeof(Unit);
  bytes<Width> woven[Count];
#pragma GCC unroll unrolled
  for (std::size_t i = 0; i < Count / 2; ++i) {
    auto section = i / (size / 2), pair = i % (size / 2);
    auto a = v[section * size + 2 * pair], b = v[section * size + 2 * pair + 1];
    weave_pair<Unit, Width>(a, b, std::make_index_sequence<Width / sizeof(Unit)>{});
    woven[section * size + pair] = a;
    woven[section * size + size / 2 + pair] = b;
  }
#pragma GCC unroll unrolled
  for (std::size_t i = 0; i < Count; ++i) v[i] = woven[i];
}

/// The reverse of `weave`.
template <class Unit, std::size_t Count, std::size_t Width>
DTRANSPOSE_INLINE void part(bytes<Width>* v) {
  constexpr std::size_t size = Count / sizeof(Unit);
  bytes<Width> parted[Count];
#pragma GCC unroll unrolled
  for (std::size_t i = 0; i < Count / 2; ++i) {
    auto section = i / (size / 2), pair = i % (size / 2);
    auto a = v[section * size + pair], b = v[section * size + size / 2 + pair];
    part_pair<Unit, Width>(a, b, std::make_index_sequence<Width / sizeof(Unit)>{});
    parted[section * size + 2 * pair] = a;
    parted[section * size + 2 * pair + 1] = b;
  }
#pragma GCC unroll unrolled
  for (std::size_t i = 0; i < Count; ++i) v[i] = parted[i];
}

/// As often as `Steps` says: by units of 1, 2 and 4 bytes.
template <std::size_t Steps, std::size_t Count, std::size_t Width>
DTRANSPOSE_INLINE void weave_steps(bytes<Width>* v) {
  if constexpr (Steps > 0) weave<std::uint8_t, Count, Width>(v);
  if constexpr (Steps > 1) weave<std::uint16_t, Count, Width>(v);
  if constexpr (Steps > 2) weave<std::uint32_t, Count, Width>(v);
}

template <std::size_t Steps, std::size_t Count, std::size_t Width>
DTRANSPOSE_INLINE void part_steps(bytes<Width>* v) {
  if constexpr (Steps > 2) part<std::uint32_t, Count, Width>(v);
  if constexpr (Steps > 1) part<std::uint16_t, Count, Width>(v);
  if constexpr (Steps > 0) part<std::uint8_t, Count, Width>(v);
}

constexpr std::size_t steps_for(std::size_t count) {
  return static_cast<std::size_t>(std::countr_zero(count));
}

/// How a group of elements of `Size` bytes is put in order.
template <std::size_t Size>
struct group {
  static constexpr std::size_t rows = 8 * Size;

  /// How often the 8 vectors of one byte are woven among themselves. Once they are woven with those of the
  /// other bytes as well, a lane holds 16 neighbouring bytes.
  static constexpr std::size_t steps = std::min(steps_for(8), steps_for(lane) - steps_for(Size));

  /// The vectors `of_byte` of all bytes are woven into `Size` vectors: where vector `i` of these belongs.
  static constexpr std::size_t place(std::size_t of_byte, std::size_t i) {
    constexpr std::size_t apart = 8 >> steps;
    return ((of_byte / apart * Size + i) * apart + of_byte % apart) * lane;
  }
};

/// All whole groups; returns the column behind them.
template <std::size_t Size, std::size_t Width>
DTRANSPOSE_INLINE std::size_t unshuffle_groups(std::size_t row_bytes, const std::byte* in, std::byte* out) {
  using group = group<Size>;
  std::size_t column = 0;
  for (; column + Width <= row_bytes; column += Width) {
    bytes<Width> v[8][Size];
#pragma GCC unroll unrolled
    for (std::size_t byte = 0; byte < Size; ++byte) {
      bytes<Width> rows[8];
#pragma GCC unroll unrolled
      for (std::size_t i = 0; i < 8; ++i)
        std::memcpy(&rows[i], in + (8 * byte + i) * row_bytes + column, Width);
      transpose_bits<Width>(rows);
      weave_steps<group::steps, 8, Width>(rows);
#pragma GCC unroll unrolled
      for (std::size_t i = 0; i < 8; ++i) v[i][byte] = rows[i];
    }
    auto* elements = out + column * group::rows;
#pragma GCC unroll unrolled
    for (std::size_t i = 0; i < 8; ++i) {
      weave_steps<steps_for(Size), Size, Width>(v[i]);
#pragma GCC unroll unrolled
      for (std::size_t j = 0; j < Size; ++j)
        store_lanes<Width>(v[i][j], elements + group::place(i, j), group::rows * lane);
    }
  }
  return column;
}

/// The reverse of `unshuffle_groups`.
template <std::size_t Size, std::size_t Width>
DTRANSPOSE_INLINE std::size_t shuffle_groups(std::size_t row_bytes, const std::byte* in, std::byte* out) {
  using group = group<Size>;
  std::size_t column = 0;
  for (; column + Width <= row_bytes; column += Width) {
    bytes<Width> v[8][Size];
    auto* elements = in + column * group::rows;
#pragma GCC unroll unrolled
    for (std::size_t i = 0; i < 8; ++i) {
#pragma GCC unroll unrolled
      for (std::size_t j = 0; j < Size; ++j)
        load_lanes<Width>(elements + group::place(i, j), group::rows * lane, v[i][j]);
      part_steps<steps_for(Size), Size, Width>(v[i]);
    }
#pragma GCC unroll unrolled
    for (std::size_t byte = 0; byte < Size; ++byte) {
      bytes<Width> rows[8];
#pragma GCC unroll unrolled
      for (std::size_t i = 0; i < 8; ++i) rows[i] = v[i][byte];
      part_steps<group::steps, 8, Width>(rows);
      transpose_bits<Width>(rows);
#pragma GCC unroll unrolled
      for (std::size_t i = 0; i < 8; ++i)
        std::memcpy(out + (8 * byte + i) * row_bytes + column, &rows[i], Width);
    }
  }
  return column;
}

// One function for each processor and size of element: the compiler may use only in there what is named.

template <std::size_t Size>
[[gnu::target("sse2")]] std::size_t unshuffle_sse2(std::size_t row_bytes, const std::byte* in,
                                                   std::byte* out) {
  return unshuffle_groups<Size, 16>(row_bytes, in, out);
}

template <std::size_t Size>
[[gnu::target("sse2")]] std::size_t shuffle_sse2(std::size_t row_bytes, const std::byte* in, std::byte* out) {
  return shuffle_groups<Size, 16>(row_bytes, in, out);
}

template <std::size_t Size>
[[gnu::target("avx2")]] std::size_t unshuffle_avx2(std::size_t row_bytes, const std::byte* in,
                                                   std::byte* out) {
  return unshuffle_groups<Size, 32>(row_bytes, in, out);
}

template <std::size_t Size>
[[gnu::target("avx2")]] std::size_t shuffle_avx2(std::size_t row_bytes, const std::byte* in, std::byte* out) {
  return shuffle_groups<Size, 32>(row_bytes, in, out);
}

using group_function = std::size_t (*)(std::size_t row_bytes, const std::byte* in, std::byte* out);

/// For elements of 1, 2, 4 and 8 bytes.
struct group_functions {
  group_function of_size[4];

  std::size_t operator()(std::size_t element_size, std::size_t row_bytes, const std::byte* in,
                         std::byte* out) const {
    return of_size[std::countr_zero(element_size)](row_bytes, in, out);
  }
};

constexpr group_functions unshuffle_sse2_groups = {
    {unshuffle_sse2<1>, unshuffle_sse2<2>, unshuffle_sse2<4>, unshuffle_sse2<8>}};
constexpr group_functions shuffle_sse2_groups = {
    {shuffle_sse2<1>, shuffle_sse2<2>, shuffle_sse2<4>, shuffle_sse2<8>}};
constexpr group_functions unshuffle_avx2_groups = {
    {unshuffle_avx2<1>, unshuffle_avx2<2>, unshuffle_avx2<4>, unshuffle_avx2<8>}};
constexpr group_functions shuffle_avx2_groups = {
    {shuffle_avx2<1>, shuffle_avx2<2>, shuffle_avx2<4>, shuffle_avx2<8>}};

/// Whole groups with vectors, the columns that are left over without.
template <const group_functions& Groups>
void unshuffle_with(std::size_t element_size, std::span<const std::byte> in, std::byte* out) {
  auto row_bytes = row_bytes_of(element_size, in);
  auto done = Groups(element_size, row_bytes, in.data(), out);
  unshuffle_columns(element_size, row_bytes, done, in.data(), out);
}

template <const group_functions& Groups>
void shuffle_with(std::size_t element_size, std::span<const std::byte> in, std::byte* out) {
  auto row_bytes = row_bytes_of(element_size, in);
  auto done = Groups(element_size, row_bytes, in.data(), out);
  shuffle_columns(element_size, row_bytes, done, in.data(), out);
}

#endif

std::vector<bit_shuffle_kernel> find_kernels() {
  std::vector<bit_shuffle_kernel> kernels;
  kernels.push_back({"portable", unshuffle_portable, shuffle_portable});
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("sse2"))
    kernels.push_back({"sse2", unshuffle_with<unshuffle_sse2_groups>, shuffle_with<shuffle_sse2_groups>});
  if (__builtin_cpu_supports("avx2"))
    kernels.push_back({"avx2", unshuffle_with<unshuffle_avx2_groups>, shuffle_with<shuffle_avx2_groups>});
#endif
  return kernels;
}

} // namespace

std::span<const bit_shuffle_kernel> bit_shuffle_kernels() {
  static const auto kernels = find_kernels();
  return kernels;
}

void bit_unshuffle(std::size_t element_size, std::span<const std::byte> in, std::byte* out) {
  bit_shuffle_kernels().back().unshuffle(element_size, in, out);
}

void bit_shuffle(std::size_t element_size, std::span<const std::byte> in, std::byte* out) {
  bit_shuffle_kernels().back().shuffle(element_size, in, out);
}

} // namespace dtranspose
