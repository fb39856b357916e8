/// Images of one stream in one data set of an HDF5 file, each in a chunk of its own, compressed as they came.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/frame.hpp"
#include "model/value.hpp"

namespace dtranspose {

/// Where an image belongs.
struct image_place {
  std::optional<std::uint64_t> event;  ///< of a dump
  std::optional<std::uint64_t> number; ///< that the instrument gave
  std::optional<double> time;          ///< of its receipt, in seconds since 1970 (UTC)
};

/// Writes `/entry/data`, [images, ...], with `event`, `number` and `time` beside it, as far as all images
/// have them. The first image says what the others must be. Images compressed by bitshuffle/LZ4 or LZ4 with
/// the head of HDF5's filters (32008, 32004) become chunks as they are, others are stored without
/// compression. Used from one thread. All methods throw std::runtime_error, naming the file, when it cannot
/// be written.
class image_file {
 public:
  /// The file has its name once it is complete; one of that name is then replaced.
  explicit image_file(std::filesystem::path path);
  ~image_file();

  /// Returns why the image was left out, empty if it was not: it is not like the first, or cannot be read.
  std::string append(const stream_data& data, const image_place& place);

  /// Images that were written.
  std::uint64_t images() const;
  /// Of the data set; empty if there was no image.
  std::vector<std::size_t> shape() const;
  /// Of the chunks, as `name_of`; requires an image.
  std::string_view compression() const;
  dtype type() const;

  void close();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

} // namespace dtranspose
