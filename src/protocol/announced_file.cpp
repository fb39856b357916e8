#include "protocol/announced_file.hpp"

#include <fmt/format.h>

#include "protocol/contrast.hpp"
#include "protocol/stins.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {

namespace {

std::optional<std::string> stins_file(const stream_data& data) {
  auto start = parse_stins_header(data);
  auto name = start ? start->keys.find("filename") : nullptr;
  if (!name || !name->as_text()) return std::nullopt; // null: the sender does not know
  return *name->as_text();
}

std::optional<std::string> xspress3_file(const stream_data& data) {
  auto start = parse_xspress3_header(data);
  if (!start) return std::nullopt;
  return start->filename;
}

/// Its recorder gives the number of the scan six digits.
std::optional<std::string> contrast_file(const stream_data& data) {
  auto start = parse_contrast_scan(data);
  if (!start || start->status != contrast_status::started || start->path.empty() || !start->scannr)
    return std::nullopt;
  return fmt::format("{}{}{:06}.h5", start->path, start->path.ends_with('/') ? "" : "/", *start->scannr);
}

} // namespace

std::optional<std::string> announced_file(const stream_data& data) {
  if (data.type() == stins_type_tag) return stins_file(data);
  if (data.type() == xspress3_type_tag) return xspress3_file(data);
  if (data.type() == contrast_type_tag) return contrast_file(data);
  return std::nullopt;
}

} // namespace dtranspose
