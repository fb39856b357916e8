/// Images in an HDF5 file as the messages of an instrument that sends them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "recording/message_reader.hpp"
#include "recording/recording_index.hpp"

namespace dtranspose {

/// Do these first bytes of a file begin HDF5?
bool is_hdf5(std::span<const std::byte> bytes);

/// See `message_reader`. The first axis of the data set counts images; they come as STINS, with a start and
/// an end. Chunks of one whole image that are not compressed, or by bitshuffle/LZ4, are passed on as they are
/// stored; others are decoded by the HDF5 library, which needs the filter for that.
class hdf5_reader final : public message_reader {
 public:
  /// Throws std::runtime_error, naming file and data set, when there is none, or when it holds no images.
  hdf5_reader(std::shared_ptr<const mapped_file> file, const std::string& data_set);
  ~hdf5_reader() override;

  std::uint64_t images() const;

  std::optional<stream_data> next() override;
  void rewind() override;
  const std::string& cut_off() const override { return cut_off_; }
  const mapped_file& file() const override { return *file_; }
  /// Counts messages: there are no bytes of theirs in the file.
  std::size_t offset() const override { return next_; }

 private:
  struct state;

  std::shared_ptr<const mapped_file> file_;
  std::unique_ptr<state> state_;
  std::size_t next_ = 0;
  std::string cut_off_;
};

/// What is replayed of it: one stream `name`. Nothing is read for that.
recording_index hdf5_index(const std::string& name, const hdf5_reader& reader);

} // namespace dtranspose
