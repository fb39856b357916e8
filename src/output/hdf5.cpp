#include "output/hdf5.hpp"

#include <stdexcept>
#include <string_view>

namespace dtranspose::hdf5 {

void be_quiet() {
  // At exit the library would crash on a file that could not be closed, e.g. as the disk was full.
  static const herr_t no_cleanup = H5dont_atexit();
  thread_local const herr_t done = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static_cast<void>(no_cleanup), static_cast<void>(done);
}

namespace {

/// What the system said, where `text` is the library's long account of a failed system call.
std::string shortened(const std::string& text) {
  constexpr std::string_view mark = "error message = '";
  auto begin = text.find(mark);
  if (begin == text.npos) return text;
  begin += mark.size();
  return text.substr(begin, text.find('\'', begin) - begin);
}

} // namespace

void fail(const std::string& where, const char* what) {
  std::string reason;
  auto innermost = [](unsigned, const H5E_error2_t* error, void* text) -> herr_t {
    if (error->desc) *static_cast<std::string*>(text) = error->desc;
    return 1; // one is enough
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, innermost, &reason);
  throw std::runtime_error(where + ": " + what + (reason.empty() ? "" : ": " + shortened(reason)));
}

hid_t type_of(dtype type) {
  switch (type) {
  case dtype::uint8:
    return H5T_STD_U8LE;
  case dtype::int8:
    return H5T_STD_I8LE;
  case dtype::uint16:
    return H5T_STD_U16LE;
  case dtype::int16:
    return H5T_STD_I16LE;
  case dtype::uint32:
    return H5T_STD_U32LE;
  case dtype::int32:
    return H5T_STD_I32LE;
  case dtype::uint64:
    return H5T_STD_U64LE;
  case dtype::int64:
    return H5T_STD_I64LE;
  case dtype::float32:
    return H5T_IEEE_F32LE;
  case dtype::float64:
    break;
  }
  return H5T_IEEE_F64LE;
}

handle make_space(const std::vector<std::size_t>& shape, const std::string& where) {
  std::vector<hsize_t> dims(shape.begin(), shape.end());
  auto id = dims.empty() ? H5Screate(H5S_SCALAR)
                         : H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr);
  return handle(id, H5Sclose, where, "this shape cannot be used");
}

handle file_access(const std::string& where) {
  handle access(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, where, "cannot be described");
  check(H5Pset_fclose_degree(access.get(), H5F_CLOSE_STRONG), where, "cannot be described");
  check(H5Pset_libver_bounds(access.get(), H5F_LIBVER_LATEST, H5F_LIBVER_LATEST), where,
        "cannot be described");
  check(H5Pset_file_locking(access.get(), false, true), where, "cannot be described");
  return access;
}

void begin_following(hid_t file, const std::string& where) {
  check(H5Fstart_swmr_write(file), where, "cannot be followed by readers ([output] swmr)");
}

namespace {

void refuse_while_followed(hid_t object, const std::string& where) {
  handle file(H5Iget_file_id(object), H5Fclose, where, "has no file");
  unsigned intent = 0;
  check(H5Fget_intent(file.get(), &intent), where, "does not say how it is open");
  if (intent & H5F_ACC_SWMR_WRITE)
    throw std::logic_error(where + ": nothing can be made in a file that readers follow");
}

} // namespace

handle make_group(hid_t parent, const std::string& name, const std::string& where) {
  refuse_while_followed(parent, where);
  return handle(H5Gcreate2(parent, name.c_str(), H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, where,
                "a group cannot be made");
}

handle make_dataset(hid_t parent, const std::string& name, hid_t type, hid_t space, hid_t settings,
                    const std::string& where) {
  refuse_while_followed(parent, where);
  return handle(H5Dcreate2(parent, name.c_str(), type, space, H5P_DEFAULT, settings, H5P_DEFAULT), H5Dclose,
                where, "cannot be made");
}

handle make_attribute(hid_t object, const std::string& name, hid_t type, hid_t space,
                      const std::string& where) {
  refuse_while_followed(object, where);
  return handle(H5Acreate2(object, name.c_str(), type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, where,
                "attribute cannot be made");
}

void remove_attribute(hid_t object, const std::string& name, const std::string& where) {
  refuse_while_followed(object, where);
  check(H5Adelete(object, name.c_str()), where, "attribute cannot be removed");
}

void make_external_link(hid_t parent, const std::string& name, const std::string& file,
                        const std::string& path, const std::string& where) {
  refuse_while_followed(parent, where);
  check(H5Lcreate_external(file.c_str(), path.c_str(), parent, name.c_str(), H5P_DEFAULT, H5P_DEFAULT), where,
        "a link cannot be made");
}

} // namespace dtranspose::hdf5
