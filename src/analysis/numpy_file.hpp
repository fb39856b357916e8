/// Arrays that people give as files of NumPy: masks, darks, flats.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/parameters.hpp"
#include "model/value.hpp"

namespace dtranspose {

/// The array in the bytes of a .npy file, versions 1 to 3. Bools become uint8. Throws std::invalid_argument
/// for what is none, for types that `dtype` does not have, big-endian numbers and Fortran order.
array numpy_array(std::string_view bytes);

/// The whole content of a file. Throws std::invalid_argument that names it.
std::string file_content(const std::string& path);

/// The array of a parameter, which holds the bytes of a .npy file or the path of one; nothing where it is
/// empty. Throws std::invalid_argument, naming the parameter.
std::optional<array> array_parameter(const parameters& settings, std::string_view name);

/// The same as numbers of one type, in C order. Throws std::invalid_argument unless it is of that shape.
std::vector<float> plane_parameter(const array& given, std::string_view name, std::size_t rows,
                                   std::size_t columns);

} // namespace dtranspose
