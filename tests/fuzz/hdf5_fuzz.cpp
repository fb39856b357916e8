/// Images out of HDF5 files that are not what they say. What the HDF5 library itself does with them is beyond
/// us: see docs/recording.md.
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>

#include <hdf5.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz/fuzz.hpp"
#include "output/hdf5.hpp"
#include "output/image_file.hpp"
#include "protocol/compression.hpp"
#include "protocol/stins.hpp"
#include "recording/hdf5_reader.hpp"
#include "recording/mapped_file.hpp"
#include "temporary_directory.hpp"

namespace {

using namespace dtranspose;

constexpr auto data_set = "/entry/data";
/// More of a file are like those before.
constexpr int most_messages = 50;

volatile std::byte last_seen;

/// A file of these bytes, in memory.
class memory_file {
 public:
  memory_file(const std::uint8_t* data, std::size_t size) : number_(::memfd_create("fuzz", MFD_CLOEXEC)) {
    if (number_ < 0 || ::write(number_, data, size) != static_cast<ssize_t>(size)) __builtin_trap();
  }
  ~memory_file() { ::close(number_); }
  std::string path() const { return "/proc/self/fd/" + std::to_string(number_); }

 private:
  int number_;
};

void read_all(hdf5_reader& reader) {
  for (int i = 0; i < most_messages; ++i) {
    auto message = reader.next();
    if (!message) return;
    for (auto& part : message->frames())
      for (auto b : part.bytes()) last_seen = b;
    if (stins_kind(*message) == entry_kind::data && !parse_stins_image(*message)) __builtin_trap();
  }
}

std::vector<std::uint8_t> content_of(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// As the instruments write them: a chunk for each image.
std::vector<std::uint8_t> file_of_chunks(bool packed) {
  test::temporary_directory folder;
  const std::size_t shape[] = {8, 8};
  {
    image_file images(folder / "images.h5");
    for (std::uint64_t n = 0; n < 3; ++n) {
      std::vector<std::byte> pixels(128, std::byte{3});
      std::string header;
      write_stins_image(header, n, {.frame = n, .shape = shape, .compression = packed ? "bslz4" : "none"});
      auto text = std::as_bytes(std::span(header));
      images.append({std::make_unique<memory_frames>(std::vector<std::vector<std::byte>>{
                         {text.begin(), text.end()}, packed ? compress(codec::bslz4, 2, pixels) : pixels}),
                     stins_type_tag},
                    {});
    }
    images.close();
  }
  return content_of(folder / "images.h5");
}

/// What the library decodes: all images in one piece, or two in a chunk that is packed, in its newest form.
std::vector<std::uint8_t> decoded_file(bool newest) {
  test::temporary_directory folder;
  auto path = (folder / "images.h5").string();
  {
    hdf5::be_quiet();
    hdf5::handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, path, ""),
        how(H5Pcreate(H5P_DATASET_CREATE), H5Pclose, path, "");
    const hsize_t chunk[] = {2, 3, 4};
    if (newest) {
      H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST);
      H5Pset_chunk(how.get(), 3, chunk);
      H5Pset_deflate(how.get(), 1);
    }
    hdf5::handle file(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, access.get()), H5Fclose, path, "");
    hdf5::handle entry(H5Gcreate2(file.get(), "/entry", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose,
                       path, "");
    auto space = hdf5::make_space({4, 3, 4}, path);
    hdf5::handle set(
        H5Dcreate2(file.get(), data_set, H5T_STD_I32BE, space.get(), H5P_DEFAULT, how.get(), H5P_DEFAULT),
        H5Dclose, path, "");
    const std::int32_t pixels[48] = {1, 2, 3};
    H5Dwrite(set.get(), H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, pixels);
  }
  return content_of(path);
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto bytes = std::as_bytes(std::span(data, size));
  if (!is_hdf5(bytes)) return 0;
  memory_file file(data, size);
  try {
    hdf5_reader reader(mapped_file::of(bytes, file.path()), data_set);
    auto index = hdf5_index("det", reader);
    if (index.streams.at(0).events.size() != reader.images() + 2) __builtin_trap();
    for (int turn = 0; turn < 2; ++turn) {
      read_all(reader);
      reader.rewind();
    }
  } catch (const std::runtime_error&) {
    // No images there.
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  return {file_of_chunks(true), file_of_chunks(false), decoded_file(false), decoded_file(true)};
}
