/// One HDF5 data set with a row for each event, written in any order with little memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "analysis/plugin.hpp"
#include "output/complaints.hpp"
#include "output/hdf5.hpp"
#include "output/row_layout.hpp"

namespace dtranspose {

/// Shape [rows, shape...], chunked; it grows with the highest row that was set, and has one for each event
/// when it is complete. Rows of up to 1 MiB are gathered in pages, each of which is a chunk of the file; a
/// few pages are open, and the one that was not used for longest makes room. Larger rows are written at once.
/// A row that nothing was set in holds the missing value of its type: NaN, the lowest of a signed and the
/// highest of an unsigned type.
///
/// A page that is flushed before it is full is written as it is, and packed when it makes room: packing it
/// each time would leave holes in the file. One that is opened again is packed no more until the end.
///
/// Throws std::runtime_error where the library fails.
class event_rows {
 public:
  /// Makes the data set in `group`, which `where` names in errors.
  event_rows(hid_t group, const std::string& where, const result_description& result, std::uint64_t events,
             const row_layout& layout = {});

  const std::string& name() const { return result_.name; }

  /// Sets a row below `events`; a later value replaces an earlier one. Numbers are converted to the
  /// described type, fractions cut off where it is an integer. A null changes nothing. What does
  /// not fit the described shape or type is left missing and complained about.
  void set(std::uint64_t row, const value& content, complaint_list& complaints);

  /// Writes all open pages: readers that follow the file see every row that was set.
  void flush();

  /// Nothing more comes: every event has its row.
  void complete();

 private:
  struct page {
    std::uint64_t number = 0;
    std::uint64_t used = 0; ///< when, by `clock_`
    std::uint64_t set = 0;  ///< rows, each time that one is
    bool dirty = false;
    bool reloaded = false; ///< it was closed before
    bool unpacked = false; ///< in the file, where it is to be packed
    std::unique_ptr<std::byte[]> rows = {};
  };

  std::vector<hsize_t> chunk_shape() const;
  hdf5::handle settings() const;
  void write_attributes();
  page& page_of(std::uint64_t number);
  page& free_page();
  void load(page& into, std::uint64_t number);
  void read(page& into, std::byte* rows);
  enum class occasion : std::uint8_t { flush, closing, completion };
  void write(page& from, occasion why);
  void extend(std::uint64_t rows);
  void write_large(std::uint64_t row, const std::byte* data);

  std::string where_;
  result_description result_;
  row_layout layout_;
  std::uint64_t events_;
  std::size_t elements_; ///< of a row
  std::size_t row_bytes_;
  std::uint64_t page_rows_ = 0; ///< 0: rows are written at once
  std::size_t page_bytes_ = 0;
  std::vector<std::byte> missing_; ///< one element
  hdf5::handle dataset_;
  std::uint64_t length_ = 0; ///< behind the highest row that was set
  std::uint64_t extent_ = 0; ///< rows of the data set
  std::vector<page> pages_;
  std::vector<bool> stored_; ///< pages that the file has: the library takes asking for others as an error
  page* current_ = nullptr;
  std::size_t most_pages_ = 0;
  std::uint64_t clock_ = 0;
  std::vector<std::byte> scratch_; ///< one row
  std::vector<std::byte> packed_;  ///< one chunk
};

} // namespace dtranspose
