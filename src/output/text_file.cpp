#include "output/text_file.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace dtranspose {

void write_text_file(const std::filesystem::path& path, std::string_view text) {
  auto partial = path;
  partial += ".part";
  errno = 0;
  std::ofstream out(partial, std::ios::binary | std::ios::trunc);
  out << text;
  out.close();
  if (!out) throw std::runtime_error(partial.string() + ": cannot be written: " + std::strerror(errno));
  std::filesystem::rename(partial, path);
}

} // namespace dtranspose
