#include "recording/stored_image.hpp"

#include <utility>

#include "protocol/array_view.hpp"
#include "protocol/dectris_v2.hpp"
#include "protocol/eiger_v1.hpp"
#include "protocol/stins.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {

namespace {

std::optional<stored_image> of_stins(const stream_data& data) {
  auto image = parse_stins_image(data);
  if (!image) return std::nullopt;
  stored_image stored{
      .type = image->type, .shape = std::move(image->shape), .element_size = size_of(image->type)};
  for (auto& blob : image->blobs) stored.blobs.push_back(blob.bytes());
  if (image->compression == stins_compression::other) stored.how.reset();
  if (image->compression == stins_compression::bslz4)
    stored.how = bslz4_form(stored.blobs.front(), bytes_of(stored.shape, stored.type) / stored.blobs.size());
  return stored;
}

std::optional<stored_image> of_eiger_v1(const stream_data& data) {
  auto image = parse_eiger_v1_image(data);
  if (!image) return std::nullopt;
  return stored_image{.type = image->type,
                      .shape = std::move(image->shape),
                      .how = image->encoding.how,
                      .element_size = image->encoding.element_size,
                      .blobs = {image->blob}};
}

std::optional<stored_image> of_dectris_v2(const stream_data& data) {
  auto image = parse_dectris_v2_image(data);
  if (!image || image->channels.empty()) return std::nullopt;
  auto& pixels = image->channels.front().data;
  // A blob in chunks lives no longer than what was parsed, and no detector sends one.
  if (pixels.joined || pixels.big_endian) return std::nullopt;
  return stored_image{.type = pixels.type,
                      .shape = pixels.shape,
                      .how = pixels.compression,
                      .element_size = pixels.element_size,
                      .blobs = {pixels.blob}};
}

std::optional<stored_image> of_xspress3(const stream_data& data) {
  auto image = parse_xspress3_image(data);
  if (!image) return std::nullopt;
  return stored_image{
      .type = image->spectra.type, .shape = std::move(image->spectra.shape), .blobs = {image->spectra.bytes}};
}

} // namespace

std::optional<stored_image> stored_image_of(const stream_data& data) {
  auto type = data.type();
  if (type == stins_type_tag) return of_stins(data);
  if (type == eiger_v1_type_tag) return of_eiger_v1(data);
  if (type == dectris_v2_type_tag) return of_dectris_v2(data);
  if (type == xspress3_type_tag) return of_xspress3(data);
  return std::nullopt;
}

std::string_view name_of(const std::optional<codec>& how) {
  constexpr std::string_view names[] = {"none", "lz4_block", "lz4", "bslz4", "bslz4_bare"};
  return how ? names[static_cast<std::size_t>(*how)] : "unknown";
}

} // namespace dtranspose
