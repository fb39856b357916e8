/// Python pickles as data: a machine for the few opcodes and names that instruments' payloads use. Nothing
/// is ever executed; what is not in the subset is refused and named.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "model/value.hpp"

namespace dtranspose {

/// Why a pickle was refused: the opcode or global, and the byte at which it stands.
class pickle_error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Longest pickle that is read: offsets within it fit 32 bits, which keeps the machine's objects small.
inline constexpr std::size_t pickle_size_limit = 0xffff'ffff;
/// Deepest nesting: no instrument comes near it, and whoever walks a value may recurse.
inline constexpr std::size_t pickle_depth_limit = 64;
/// Most entries of the memo. Python's writers make one for every text, container and array.
inline constexpr std::size_t pickle_memo_limit = 1'000'000;
/// Most values in a result, shared ones counted wherever they stand: one takes some 100 bytes of memory where
/// it may have taken one in the pickle. Enough for an image of 1000 x 1000 as nested lists.
inline constexpr std::size_t pickle_value_limit = std::size_t{1} << 20;
/// Nothing that is read grows except by sharing: a result may take this many times the bytes of its pickle,
/// shared ones counted wherever they stand, and this much more.
inline constexpr std::size_t pickle_growth_limit = 4;
inline constexpr std::size_t pickle_growth_allowance = std::size_t{1} << 20;
/// Longest whole number in bytes that is looked at; wider ones than 64 bits are refused unless they only
/// repeat their sign.
inline constexpr std::size_t pickle_number_limit = 64;
/// Most comparisons of keys for all dicts of a pickle: a `value_map` is searched from its beginning, so that
/// one of n keys takes n * n / 2 to fill. Enough for 16,000 keys in one dict.
inline constexpr std::uint64_t pickle_comparison_limit = std::uint64_t{1} << 27;

/// The object in `bytes`, which hold one pickle of protocol 2 to 5 and nothing else. Throws pickle_error.
/// Takes time and memory in proportion to the size of `bytes`. Callable from any thread.
///
/// | Python                            | value                                                   |
/// | --------------------------------- | ------------------------------------------------------- |
/// | None, bool, float, str            | null, bool, float64, text                               |
/// | int                               | int64, or uint64 where it needs it; no wider ones       |
/// | bytes, bytearray, Python 2's str  | bytes                                                   |
/// | list, tuple, set, frozenset       | list                                                    |
/// | dict, OrderedDict                 | map in its order                                        |
/// | complex                           | array of float64, shape [2]: real, imaginary            |
/// | NumPy array                       | array, in C order and little endian whatever it was     |
/// | .. of float16, bool               | .. of float32, uint8                                    |
/// | .. of complex                     | .. of float32 or float64 with a last axis of 2          |
/// | .. of fixed texts or bytes        | nested lists of text, or of bytes, without padding      |
/// | NumPy scalar                      | as the Python object of its kind                        |
///
/// Keys that are no text become Python's `str` of them; of equal ones the last holds. Refused are objects
/// of any other class, NumPy arrays of objects, records, dates and floats wider than 64 bits, texts that
/// are not UTF-8, cycles, and whatever exceeds the limits above.
value read_pickle(std::span<const std::byte> bytes);

/// A pickle of `content` that Python's `pickle.loads` takes: `protocol` 2, 3 or 4. Arrays become NumPy
/// arrays; bytes, also those of arrays, go by way of `_codecs.encode` in protocol 2, as Python writes them.
/// Throws pickle_error for another protocol, texts that are not UTF-8, nesting deeper than
/// `pickle_depth_limit`, and what is too long for the protocol.
std::vector<std::byte> write_pickle(const value& content, int protocol = 4);

} // namespace dtranspose
