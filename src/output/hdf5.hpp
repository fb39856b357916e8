/// HDF5's C library with owners for its handles and exceptions for its error codes.
#pragma once

#include <string>
#include <utility>

#include <hdf5.h>

#include "model/value.hpp"

namespace dtranspose::hdf5 {

/// To be called before anything else of the library. Keeps it from printing errors, in this thread
/// (it has a stack of errors for each), and from cleaning up at exit: who opens files closes them.
void be_quiet();

/// Throws std::runtime_error: `where`, what failed, and the library's own innermost reason.
[[noreturn]] void fail(const std::string& where, const char* what);

/// Fails where a result of the library is negative; else returns it.
template <class T>
T check(T result, const std::string& where, const char* what) {
  if (result < 0) fail(where, what);
  return result;
}

/// Owns one object of the library.
class handle {
 public:
  using closer = herr_t (*)(hid_t);

  handle() = default;
  /// Fails where `id` is none.
  handle(hid_t id, closer close, const std::string& where, const char* what)
      : id_(check(id, where, what)), close_(close) {}
  handle(handle&& other) noexcept : id_(std::exchange(other.id_, -1)), close_(other.close_) {}
  handle& operator=(handle&& other) noexcept {
    std::swap(id_, other.id_);
    std::swap(close_, other.close_);
    return *this;
  }
  ~handle() {
    if (id_ >= 0) close_(id_);
  }

  hid_t get() const { return id_; }
  explicit operator bool() const { return id_ >= 0; }
  /// Gives it up without closing it.
  hid_t release() { return std::exchange(id_, -1); }

 private:
  hid_t id_ = -1;
  closer close_ = nullptr;
};

/// The type of one element, in files and in memory alike: little endian. Belongs to the library.
hid_t type_of(dtype type);

/// A space of that shape; a scalar where it is empty.
handle make_space(const std::vector<std::size_t>& shape, const std::string& where);

/// How files are opened: closed with all that is open in them, in the form that readers may follow, and
/// without the library's locks, which readers of a file that grows would trip over.
handle file_access(const std::string& where);

/// From now on readers may follow what is written to the file's data sets, until it is closed. Nothing may be
/// made in it meanwhile: what follows here throws then, as the library itself would let it pass.
void begin_following(hid_t file, const std::string& where);

/// Makers of objects: the only ones that files of results use, so that none is made while readers follow.
handle make_group(hid_t parent, const std::string& name, const std::string& where);
handle make_dataset(hid_t parent, const std::string& name, hid_t type, hid_t space, hid_t settings,
                    const std::string& where);
handle make_attribute(hid_t object, const std::string& name, hid_t type, hid_t space,
                      const std::string& where);
void remove_attribute(hid_t object, const std::string& name, const std::string& where);
/// A link to `path` in another file, which need not be there.
void make_external_link(hid_t parent, const std::string& name, const std::string& file,
                        const std::string& path, const std::string& where);

} // namespace dtranspose::hdf5
