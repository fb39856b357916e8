#include "analysis/numpy_file.hpp"

#include <cstring>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <vector>

#include <fmt/format.h>

#include "analysis/image.hpp"
#include "protocol/array_view.hpp"

namespace dtranspose {

namespace {

constexpr std::string_view magic = "\x93NUMPY";

std::invalid_argument refusal(std::string_view why) {
  return std::invalid_argument(fmt::format("is no .npy file that can be used: {}", why));
}

/// What stands behind `'key':` in the header, up to `end`.
std::string_view entry(std::string_view header, std::string_view key, char end) {
  auto at = header.find(fmt::format("'{}':", key));
  if (at == header.npos) throw refusal(fmt::format("its header lacks '{}'", key));
  auto rest = header.substr(at + key.size() + 3);
  rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
  auto stop = rest.find(end);
  if (stop == rest.npos) throw refusal("its header is cut short");
  return rest.substr(0, stop);
}

dtype type_of(std::string_view described) {
  if (described.size() < 4) throw refusal("its type of elements is not supported");
  auto text = described.substr(1, described.size() - 2); // without quotes
  if (text == "|b1" || text == "|u1") return dtype::uint8;
  if (text == "|i1") return dtype::int8;
  constexpr std::pair<std::string_view, dtype> known[] = {
      {"<u2", dtype::uint16}, {"<i2", dtype::int16}, {"<u4", dtype::uint32},  {"<i4", dtype::int32},
      {"<u8", dtype::uint64}, {"<i8", dtype::int64}, {"<f4", dtype::float32}, {"<f8", dtype::float64}};
  for (auto& [name, type] : known)
    if (name == text) return type;
  throw refusal(fmt::format("elements of type {} are not supported", text));
}

/// `(4, 6)`, `(4,)`, `()`.
std::vector<std::size_t> shape_of(std::string_view text) {
  std::vector<std::size_t> shape;
  if (text.starts_with('(')) text.remove_prefix(1);
  while (!text.empty()) {
    auto comma = text.find(',');
    auto extent = parameters::integer_of(text.substr(0, comma));
    if (extent && *extent >= 0)
      shape.push_back(static_cast<std::size_t>(*extent));
    else if (text.substr(0, comma).find_first_not_of(' ') != text.npos)
      throw refusal("its shape cannot be read");
    text.remove_prefix(comma == text.npos ? text.size() : comma + 1);
  }
  if (shape.size() > dimension_limit) throw refusal("it has too many dimensions");
  return shape;
}

/// Bytes of the header, and where it begins.
std::pair<std::size_t, std::size_t> header_place(std::string_view bytes) {
  auto byte = [&](std::size_t i) { return static_cast<std::size_t>(static_cast<unsigned char>(bytes[i])); };
  if (!bytes.starts_with(magic) || bytes.size() < 12) throw refusal("it does not begin like one");
  if (byte(6) == 1) return {byte(8) | byte(9) << 8, 10};
  if (byte(6) > 3) throw refusal(fmt::format("its version {} is not known", byte(6)));
  return {byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24, 12};
}

} // namespace

array numpy_array(std::string_view bytes) {
  auto [length, begin] = header_place(bytes);
  if (length > bytes.size() - begin) throw refusal("its header is cut short");
  auto header = bytes.substr(begin, length), elements = bytes.substr(begin + length);
  auto type = type_of(entry(header, "descr", ','));
  if (entry(header, "fortran_order", ',').starts_with("True"))
    throw refusal("it is in Fortran order; numpy.ascontiguousarray helps");
  auto shape = shape_of(entry(header, "shape", ')'));
  if (bytes_of(shape, type) != elements.size())
    throw refusal(fmt::format("{} bytes are no array of shape {} of {}", elements.size(), shape_text(shape),
                              name_of(type)));
  auto data = std::make_shared_for_overwrite<std::byte[]>(elements.size());
  if (!elements.empty()) std::memcpy(data.get(), elements.data(), elements.size());
  return array(type, std::move(shape), std::move(data));
}

std::string file_content(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::string content((std::istreambuf_iterator<char>(in)), {});
  if (!in || in.bad()) throw std::invalid_argument(fmt::format("the file {} cannot be read", path));
  return content;
}

std::optional<array> array_parameter(const parameters& settings, std::string_view name) {
  auto given = settings.find(name);
  if (!given || given->empty()) return std::nullopt;
  bool is_content = given->starts_with(magic);
  try {
    return numpy_array(is_content ? std::string_view(*given) : std::string_view(file_content(*given)));
  } catch (const std::invalid_argument& e) {
    auto what = is_content ? std::string("what it holds") : *given;
    throw std::invalid_argument(fmt::format("parameter '{}': {} {}", name, what, e.what()));
  }
}

std::vector<float> plane_parameter(const array& given, std::string_view name, std::size_t rows,
                                   std::size_t columns) {
  if (given.shape() != std::vector{rows, columns})
    throw std::invalid_argument(fmt::format("parameter '{}': an array of shape {} for images of shape {}",
                                            name, shape_text(given.shape()), shape_text({rows, columns})));
  return visit_dtype(given.type(), [&]<class T>(T) {
    auto elements = given.elements<T>();
    return std::vector<float>(elements.begin(), elements.end());
  });
}

} // namespace dtranspose
