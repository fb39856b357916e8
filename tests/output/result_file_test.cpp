#include "output/result_file.hpp"

#include <algorithm>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <thread>

#include <gmock/gmock.h>
#include <sys/resource.h>
#include <unistd.h>

#include "output/file_mending.hpp"
#include "output/hdf5.hpp"
#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::IsNan;
using testing::SizeIs;

/// Reads a result file with the plain library.
class reader {
 public:
  explicit reader(const std::filesystem::path& path)
      : file_(H5Fopen(path.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, path.string(), "open") {}

  bool has(const std::string& name) const {
    for (std::size_t slash = name.find('/', 1);; slash = name.find('/', slash + 1)) {
      if (H5Lexists(file_.get(), name.substr(0, slash).c_str(), H5P_DEFAULT) <= 0) return false;
      if (slash == name.npos) return true;
    }
  }

  std::vector<hsize_t> shape(const std::string& name) const { return shape_of(space(dataset(name))); }

  std::vector<hsize_t> chunk(const std::string& name) const {
    auto set = dataset(name);
    hdf5::handle settings(H5Dget_create_plist(set.get()), H5Pclose, name, "settings");
    std::vector<hsize_t> chunk(32);
    chunk.resize(static_cast<std::size_t>(
        std::max(0, H5Pget_chunk(settings.get(), static_cast<int>(chunk.size()), chunk.data()))));
    return chunk;
  }

  template <class T>
  std::vector<T> numbers(const std::string& name) const {
    auto set = dataset(name);
    auto range = space(set);
    std::vector<T> all(static_cast<std::size_t>(H5Sget_simple_extent_npoints(range.get())));
    hdf5::check(H5Dread(set.get(), hdf5::type_of(dtype_for<T>()), H5S_ALL, H5S_ALL, H5P_DEFAULT, all.data()),
                name, "read");
    return all;
  }

  hdf5::handle type(const std::string& name) const {
    return hdf5::handle(H5Dget_type(dataset(name).get()), H5Tclose, name, "type");
  }

  std::vector<std::string> texts(const std::string& name) const {
    auto set = dataset(name);
    return texts_of(type(name), space(set), [&](hid_t type, void* into) {
      return H5Dread(set.get(), type, H5S_ALL, H5S_ALL, H5P_DEFAULT, into);
    });
  }

  bool has_attribute(const std::string& object, const std::string& name) const {
    return H5Aexists_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT) > 0;
  }

  std::vector<std::string> attribute_texts(const std::string& object, const std::string& name) const {
    auto it = attribute(object, name);
    hdf5::handle type(H5Aget_type(it.get()), H5Tclose, name, "type");
    hdf5::handle range(H5Aget_space(it.get()), H5Sclose, name, "space");
    return texts_of(std::move(type), std::move(range),
                    [&](hid_t type, void* into) { return H5Aread(it.get(), type, into); });
  }

  std::string external_link(const std::string& name) const {
    H5L_info_t info;
    hdf5::check(H5Lget_info(file_.get(), name.c_str(), &info, H5P_DEFAULT), name, "link");
    if (info.type != H5L_TYPE_EXTERNAL) return {};
    std::vector<char> text(info.u.val_size);
    H5Lget_val(file_.get(), name.c_str(), text.data(), text.size(), H5P_DEFAULT);
    const char *file = nullptr, *path = nullptr;
    H5Lunpack_elink_val(text.data(), text.size(), nullptr, &file, &path);
    return std::string(file) + ":" + path;
  }

  template <class T>
  T attribute_number(const std::string& object, const std::string& name) const {
    T x{};
    hdf5::check(H5Aread(attribute(object, name).get(), hdf5::type_of(dtype_for<T>()), &x), name, "read");
    return x;
  }

 private:
  hdf5::handle dataset(const std::string& name) const {
    return {H5Dopen2(file_.get(), name.c_str(), H5P_DEFAULT), H5Dclose, name, "open"};
  }
  static hdf5::handle space(const hdf5::handle& set) {
    return {H5Dget_space(set.get()), H5Sclose, "", "space"};
  }
  hdf5::handle attribute(const std::string& object, const std::string& name) const {
    return {H5Aopen_by_name(file_.get(), object.c_str(), name.c_str(), H5P_DEFAULT, H5P_DEFAULT), H5Aclose,
            object + "@" + name, "open"};
  }
  static std::vector<hsize_t> shape_of(const hdf5::handle& space) {
    std::vector<hsize_t> dims(static_cast<std::size_t>(H5Sget_simple_extent_ndims(space.get())));
    H5Sget_simple_extent_dims(space.get(), dims.data(), nullptr);
    return dims;
  }
  template <class Read>
  static std::vector<std::string> texts_of(hdf5::handle type, hdf5::handle space, Read read) {
    auto count = static_cast<std::size_t>(H5Sget_simple_extent_npoints(space.get()));
    EXPECT_EQ(H5Tget_cset(type.get()), H5T_CSET_UTF8);
    std::vector<std::string> texts;
    if (H5Tis_variable_str(type.get()) > 0) {
      std::vector<char*> raw(count);
      hdf5::check(read(type.get(), static_cast<void*>(raw.data())), "", "read");
      for (auto text : raw) texts.emplace_back(text);
      H5Dvlen_reclaim(type.get(), space.get(), H5P_DEFAULT, raw.data());
    } else {
      std::string text(H5Tget_size(type.get()), ' ');
      hdf5::check(read(type.get(), static_cast<void*>(text.data())), "", "read");
      texts.push_back(text);
    }
    return texts;
  }

  hdf5::handle file_;
};

class result_file_test : public testing::Test {
 protected:
  result_file_test() { hdf5::be_quiet(); }

  result_file_options options(std::uint64_t events, std::vector<result_description> results = {}) {
    return {path_, false, events, std::move(results)};
  }

  std::string error_of(result_file_options options) {
    try {
      result_file file(std::move(options));
    } catch (const std::runtime_error& e) {
      return e.what();
    }
    return {};
  }

  test::temporary_directory directory_;
  std::filesystem::path path_ = directory_ / "scan.h5";
};

std::string at(const std::string& name) { return "/entry/result/" + name; }

array doubles(std::vector<double> elements) { return array::of(elements); }

TEST_F(result_file_test, holds_rows_and_says_what_they_are) {
  result_file file(options(5, {{"sum", dtype::float64, {}, result_extent::per_event, "counts"},
                               {"profile", dtype::float32, {3}, result_extent::per_event, "", {"radius"}},
                               {"frames", dtype::uint16, {}},
                               {"offset", dtype::int32, {}}}));
  EXPECT_TRUE(std::filesystem::exists(file.partial_path()));
  file.write_row(event_number(3), value_map{{"sum", 1.5}, {"frames", 7}, {"unknown", "ignored"}});
  file.write_row(event_number(0), value_map{{"profile", doubles({1, 2, 3})}, {"sum", true}});
  file.write_row(event_number(4),
                 value_map{{"offset", -4.9}, {"profile", value_list{1, 2.5, 3u}}, {"sum", {}}});
  file.finish({});
  EXPECT_FALSE(std::filesystem::exists(file.partial_path()));
  EXPECT_THAT(file.complaints(), IsEmpty());

  reader in(path_);
  EXPECT_THAT(in.numbers<double>(at("sum")), ElementsAre(1, IsNan(), IsNan(), 1.5, IsNan()));
  EXPECT_THAT(in.numbers<std::uint16_t>(at("frames")), ElementsAre(65535, 65535, 65535, 7, 65535));
  constexpr auto lowest = std::numeric_limits<std::int32_t>::lowest();
  EXPECT_THAT(in.numbers<std::int32_t>(at("offset")), ElementsAre(lowest, lowest, lowest, lowest, -4));
  EXPECT_THAT(in.shape(at("profile")), ElementsAre(5, 3));
  EXPECT_THAT(in.numbers<float>(at("profile")),
              ElementsAre(1, 2, 3, IsNan(), IsNan(), IsNan(), IsNan(), IsNan(), IsNan(), IsNan(), IsNan(),
                          IsNan(), 1, 2.5, 3));
  EXPECT_GT(H5Tequal(in.type(at("profile")).get(), H5T_IEEE_F32LE), 0);
  EXPECT_THAT(in.attribute_texts(at("sum"), "units"), ElementsAre("counts"));
  EXPECT_FALSE(in.has_attribute(at("profile"), "units"));
  EXPECT_THAT(in.attribute_texts(at("profile"), "axes"), ElementsAre("radius"));
  EXPECT_EQ(in.attribute_number<std::uint16_t>(at("frames"), "_FillValue"), 65535);
  EXPECT_EQ(in.attribute_number<std::int32_t>(at("offset"), "_FillValue"), lowest);
  EXPECT_FALSE(in.has_attribute(at("sum"), "_FillValue"));
  EXPECT_THAT(in.attribute_texts("/", "NX_class"), ElementsAre("NXroot"));
  EXPECT_THAT(in.attribute_texts("/", "default"), ElementsAre("entry"));
  EXPECT_THAT(in.attribute_texts("/entry", "NX_class"), ElementsAre("NXentry"));
  EXPECT_THAT(in.attribute_texts("/entry", "default"), ElementsAre("result"));
}

TEST_F(result_file_test, times_come_from_the_clock) {
  auto given = options(0);
  auto now = std::chrono::sys_days(std::chrono::year(2024) / 10 / 7) + 8h + 49min + 10s + 627ms;
  given.clock = [&] { return std::exchange(now, now + 1min - 627ms); };
  result_file(given).finish({});
  reader in(path_);
  EXPECT_THAT(in.texts("/entry/start_time"), ElementsAre("2024-10-07T08:49:10.627000Z"));
  EXPECT_THAT(in.texts("/entry/end_time"), ElementsAre("2024-10-07T08:50:10Z"));
}

/// What one event gives to the results of the property test.
value_map row_of(std::uint64_t event) {
  std::vector<std::uint8_t> bytes(7, static_cast<std::uint8_t>(event));
  value_map row{{"scalar", double(event)}, {"bytes", array::of(bytes)}};
  if (event % 3 == 0) row.set("spectrum", array::of(std::vector<double>(5000, double(event))));
  return row;
}

TEST_F(result_file_test, any_order_of_rows_gives_the_same_content) {
  constexpr std::uint64_t events = 2500; // three pages of scalars, 193 of spectra, of which 4 are open
  const std::vector<result_description> results = {
      {"scalar", dtype::float64, {}}, {"bytes", dtype::int16, {7}}, {"spectrum", dtype::float32, {5000}}};
  std::vector<std::uint64_t> order(events);
  for (std::uint64_t i = 0; i < events; ++i) order[i] = i;
  std::mt19937 random(11);
  for (int round = 0; round < 4; ++round) {
    auto given = options(events, results);
    given.overwrite = true;
    result_file file(given);
    for (auto event : order) file.write_row(event_number(event), row_of(event));
    file.finish({});
    EXPECT_THAT(file.complaints(), IsEmpty());
    reader in(path_);
    auto scalars = in.numbers<double>(at("scalar"));
    auto bytes = in.numbers<std::int16_t>(at("bytes"));
    auto spectra = in.numbers<float>(at("spectrum"));
    for (std::uint64_t event = 0; event < events; ++event) {
      ASSERT_EQ(scalars[event], double(event));
      for (auto i = event * 7; i < event * 7 + 7; ++i) ASSERT_EQ(bytes[i], static_cast<std::uint8_t>(event));
      for (auto i = event * 5000; i < event * 5000 + 5000; ++i)
        ASSERT_TRUE(event % 3 ? std::isnan(spectra[i]) : spectra[i] == static_cast<float>(event));
    }
    std::shuffle(order.begin(), order.end(), random);
  }
}

TEST_F(result_file_test, pages_that_were_closed_take_rows_again) {
  constexpr std::uint64_t events = 300000; // 293 pages, of which 64 are open
  result_file file(options(events, {{"x", dtype::int64, {}}}));
  std::vector<std::int64_t> expected(events, std::numeric_limits<std::int64_t>::lowest());
  std::mt19937 random(5);
  for (int i = 0; i < 100000; ++i) {
    auto event = random() % events;
    expected[event] = i;
    file.write_row(event_number(event), i);
  }
  file.finish({});
  EXPECT_EQ(reader(path_).numbers<std::int64_t>(at("x")), expected);
}

TEST_F(result_file_test, chunks_suit_the_rows) {
  result_file file(options(3, {{"scalar", dtype::float64, {}},
                               {"small", dtype::uint8, {3, 5}},
                               {"spectrum", dtype::float64, {4096}},
                               {"image", dtype::uint16, {500, 1000}},
                               {"large", dtype::uint32, {2048, 1030}},
                               {"none", dtype::float64, {0, 3}}}));
  file.write_row(event_number(1), value_map{{"none", array(dtype::float64, {0, 3}, nullptr)}});
  file.finish({});
  reader in(path_);
  EXPECT_THAT(in.chunk(at("scalar")), ElementsAre(1024));
  EXPECT_THAT(in.chunk(at("small")), ElementsAre(1024, 3, 5));
  EXPECT_THAT(in.chunk(at("spectrum")), ElementsAre(8, 4096));
  EXPECT_THAT(in.chunk(at("image")), ElementsAre(1, 500, 1000));
  EXPECT_THAT(in.chunk(at("large")), ElementsAre(1, 128, 1030));
  EXPECT_THAT(in.shape(at("none")), ElementsAre(3, 0, 3));
}

TEST_F(result_file_test, large_rows_are_written_at_once) {
  result_file file(options(4, {{"same", dtype::int32, {400, 1000}}, {"other", dtype::float32, {400, 1000}}}));
  for (std::uint64_t event : {3, 1, 2}) {
    std::vector<std::int32_t> elements(400000);
    for (std::size_t i = 0; i < elements.size(); ++i) elements[i] = static_cast<std::int32_t>(event * i);
    auto image = array::of(std::span<const std::int32_t>(elements), {400, 1000});
    file.write_row(event_number(event), value_map{{"same", image}, {"other", image}});
  }
  file.finish({});
  reader in(path_);
  auto same = in.numbers<std::int32_t>(at("same"));
  auto other = in.numbers<float>(at("other"));
  for (std::size_t i = 0; i < 400000; ++i) {
    ASSERT_EQ(same[i], std::numeric_limits<std::int32_t>::lowest());
    ASSERT_TRUE(std::isnan(other[i]));
  }
  for (std::size_t event = 1; event < 4; ++event)
    for (std::size_t i = 0; i < 400000; ++i) {
      ASSERT_EQ(same[event * 400000 + i], static_cast<std::int32_t>(event * i));
      ASSERT_EQ(other[event * 400000 + i], static_cast<float>(event * i));
    }
}

TEST_F(result_file_test, a_bare_result_goes_to_the_only_one_described) {
  result_file file(options(2, {{"x"}, {"total", dtype::float64, {}, result_extent::per_scan}}));
  file.write_row(event_number(1), 2);
  file.write_row(event_number(0), {});
  file.finish({});
  EXPECT_THAT(reader(path_).numbers<double>(at("x")), ElementsAre(IsNan(), 2));
}

TEST_F(result_file_test, complains_of_what_does_not_fit) {
  result_file file(options(10, {{"profile", dtype::uint8, {3}}, {"scalar", dtype::int8, {}}}));
  auto row = [&](std::uint64_t event, const char* name, value content) {
    file.write_row(event_number(event), value_map{{name, std::move(content)}});
  };
  for (std::uint64_t event = 1; event < 10; ++event) row(event, "profile", doubles({1, 2, 3, 4}));
  row(0, "profile", 1);
  row(0, "profile", array(dtype::uint8, {3}, nullptr));
  row(0, "profile", doubles({1, 1000, std::nan("")}));
  row(0, "scalar", "text");
  row(0, "scalar", 128);
  row(1, "scalar", -128.9);
  row(2, "scalar", 1e300);
  row(3, "scalar", std::uint64_t{127});
  row(4, "scalar", doubles({5}));
  row(10, "scalar", 1);
  file.write_row(event_number(0), 1);
  file.finish({});
  EXPECT_THAT(file.complaints(), ElementsAre("profile: event 1: shape [4] instead of [3] (and 11 more times)",
                                             "rows: event 10 is beyond the scan (and 1 more times)",
                                             "scalar: event 0: no number (and 2 more times)"));
  reader in(path_);
  EXPECT_THAT(in.numbers<std::int8_t>(at("scalar")),
              ElementsAre(-128, -128, -128, 127, 5, -128, -128, -128, -128, -128));
  auto profile = in.numbers<std::uint8_t>(at("profile"));
  profile.resize(4);
  EXPECT_THAT(profile, ElementsAre(1, 255, 255, 255));
}

TEST_F(result_file_test, complaints_are_bounded) {
  result_file file(options(1));
  value_map tree;
  for (int i = 0; i < 1000; ++i) tree.set("a/" + std::to_string(i), 1);
  file.finish(tree);
  EXPECT_THAT(file.complaints(), SizeIs(101));
  EXPECT_THAT(file.complaints(), Contains("and 900 complaints about others"));
}

TEST_F(result_file_test, the_published_tree_is_there) {
  result_file file(
      options(2, {{"x"}, {"map", dtype::float64, {2, 2}, result_extent::per_scan, "um", {"y", "x"}}}));
  file.write_row(event_number(0), 1);
  value_map deep{{"end", 1}};
  for (int i = 0; i < 200; ++i) deep = value_map{{"d", deep}};
  const std::vector<double> square{1, 2, 3, 4};
  file.finish(value_map{
      {"x_attrs", value_map{{"long_name", "of the event"}}},
      {"x", 5},
      {"map", array::of(std::span<const double>(square), {2, 2})},
      {"map_attrs", value_map{{"note", "µm"}}},
      {"_attrs", value_map{{"NX_class", "NXdata"}, {"signal", "map"}, {"none", {}}, {"bad", value_map{}}}},
      {"int", -3},
      {"large", std::uint64_t(1) << 63},
      {"real", 0.5},
      {"yes", true},
      {"text", "Größe"},
      {"empty", ""},
      {"zero", std::string("a\0b", 3)},
      {"bytes", value_bytes{std::byte(1), std::byte(2)}},
      {"no_bytes", value_bytes{}},
      {"ints", value_list{1, 2u, true}},
      {"reals", value_list{1, 2.5}},
      {"names", value_list{"a", "b"}},
      {"nothing", value_list{}},
      {"mixed", value_list{1, "a", value_map{{"k", 2}}}},
      {"null", {}},
      {"group", value_map{{"inner", value_map{{"n", 1}, {"n_attrs", value_map{{"units", "s"}}}}},
                          {"_attrs", value_map{{"axes", value_list{"a", "b"}}}}}},
      {"deep", deep},
      {"a/b", 1},
      {"lost_attrs", value_map{{"k", 1}}},
      {"int_attrs", 3},
  });
  reader in(path_);
  EXPECT_THAT(in.numbers<double>(at("x")), ElementsAre(1, IsNan()));
  EXPECT_THAT(in.attribute_texts(at("x"), "long_name"), ElementsAre("of the event"));
  EXPECT_THAT(in.shape(at("map")), ElementsAre(2, 2));
  EXPECT_THAT(in.attribute_texts(at("map"), "units"), ElementsAre("um"));
  EXPECT_THAT(in.attribute_texts(at("map"), "axes"), ElementsAre("y", "x"));
  EXPECT_THAT(in.attribute_texts(at("map"), "note"), ElementsAre("µm"));
  EXPECT_THAT(in.attribute_texts("/entry/result", "NX_class"), ElementsAre("NXdata"));
  EXPECT_THAT(in.attribute_texts("/entry/result", "signal"), ElementsAre("map"));
  EXPECT_THAT(in.numbers<std::int64_t>(at("int")), ElementsAre(-3));
  EXPECT_THAT(in.shape(at("int")), IsEmpty());
  EXPECT_THAT(in.numbers<std::uint64_t>(at("large")), ElementsAre(std::uint64_t(1) << 63));
  EXPECT_THAT(in.numbers<double>(at("real")), ElementsAre(0.5));
  EXPECT_EQ(H5Tget_class(in.type(at("yes")).get()), H5T_ENUM);
  EXPECT_THAT(in.texts(at("text")), ElementsAre("Größe"));
  EXPECT_THAT(in.texts(at("empty")), ElementsAre(""));
  EXPECT_THAT(in.texts(at("zero")), ElementsAre(std::string("a\0b", 3)));
  EXPECT_THAT(in.numbers<std::uint8_t>(at("bytes")), ElementsAre(1, 2));
  EXPECT_THAT(in.shape(at("no_bytes")), ElementsAre(0));
  EXPECT_THAT(in.numbers<std::int64_t>(at("ints")), ElementsAre(1, 2, 1));
  EXPECT_THAT(in.numbers<double>(at("reals")), ElementsAre(1, 2.5));
  EXPECT_THAT(in.texts(at("names")), ElementsAre("a", "b"));
  EXPECT_THAT(in.shape(at("nothing")), ElementsAre(0));
  EXPECT_THAT(in.texts(at("mixed/1")), ElementsAre("a"));
  EXPECT_THAT(in.numbers<std::int64_t>(at("mixed/2/k")), ElementsAre(2));
  EXPECT_FALSE(in.has(at("null")));
  EXPECT_THAT(in.numbers<std::int64_t>(at("group/inner/n")), ElementsAre(1));
  EXPECT_THAT(in.attribute_texts(at("group/inner/n"), "units"), ElementsAre("s"));
  EXPECT_THAT(in.attribute_texts(at("group"), "axes"), ElementsAre("a", "b"));
  EXPECT_THAT(file.complaints(), ElementsAre(HasSubstr("/_attrs/bad: "), HasSubstr("/a/b: no name"),
                                             HasSubstr("too deep"), HasSubstr("/int_attrs: "),
                                             HasSubstr("/lost_attrs: "), HasSubstr("/x: there is one")));
}

TEST_F(result_file_test, names_results_that_were_never_published) {
  result_file file(options(1, {{"total", dtype::float64, {}, result_extent::per_scan}}));
  file.finish(5);
  EXPECT_THAT(file.complaints(),
              ElementsAre("/total: described, but not published", "published tree: no map"));
}

TEST_F(result_file_test, refuses_to_overwrite) {
  std::ofstream(path_) << "precious";
  EXPECT_THAT(error_of(options(1)), AllOf(HasSubstr(path_.string()), HasSubstr("overwritten")));
  auto overwriting = options(1);
  overwriting.overwrite = true;
  {
    result_file file(overwriting);
    EXPECT_EQ(std::filesystem::file_size(path_), 8u); // still the old one
    file.finish({});
  }
  EXPECT_TRUE(reader(path_).has("/entry/end_time"));
}

TEST_F(result_file_test, a_file_that_appeared_meanwhile_stays) {
  for (auto name : {"scan-2.h5", "scan-3.h5"}) {
    std::filesystem::remove(path_);
    result_file file(options(1));
    std::ofstream(path_) << "precious";
    file.finish({});
    EXPECT_EQ(std::filesystem::file_size(path_), 8u);
    EXPECT_EQ(file.path(), directory_ / name);
    EXPECT_TRUE(reader(directory_ / name).has("/entry/end_time"));
    EXPECT_THAT(file.complaints(),
                ElementsAre(AllOf(HasSubstr("scan.h5: was there already"), HasSubstr(name))));
  }
}

TEST_F(result_file_test, a_scan_that_is_finished_again_replaces_what_it_had_finished_but_nothing_else) {
  auto given = options(1, {{"x"}});
  given.scan = "one";
  auto finish = [&](double x) {
    result_file file(given);
    file.write_row(event_number(0), x);
    file.finish({});
    return file.path();
  };
  EXPECT_EQ(finish(1), path_);
  given.again = true;
  EXPECT_EQ(finish(2), path_);
  EXPECT_THAT(reader(path_).numbers<double>(at("x")), ElementsAre(2));
  given.scan = "other";
  EXPECT_EQ(finish(3), directory_ / "scan-2.h5");
  EXPECT_THAT(reader(path_).numbers<double>(at("x")), ElementsAre(2));
}

TEST_F(result_file_test, the_name_that_streams_announce_becomes_part_of_its_own) {
  auto given = options(1);
  given.path = directory_ / "{raw}_processed.h5";
  given.scan = "the-scan";
  for (auto [stem, name] : {std::pair("xrd", "xrd_processed.h5"), std::pair("", "the-scan_processed.h5")}) {
    result_file file(given);
    EXPECT_EQ(file.partial_path(), directory_ / "the-scan_processed.h5.part");
    EXPECT_TRUE(std::filesystem::exists(file.partial_path()));
    file.finish({}, {.raw_stem = stem});
    EXPECT_EQ(file.path(), directory_ / name);
    EXPECT_TRUE(reader(directory_ / name).has("/entry/entry_identifier"));
  }
}

TEST_F(result_file_test, a_part_that_is_left_keeps_its_content_under_a_number) {
  auto leave = [&](double x, bool overwrite) {
    auto given = options(1, {{"x"}});
    given.overwrite = overwrite;
    result_file file(given);
    file.write_row(event_number(0), x);
  };
  auto number_in = [&](const char* name) { return reader(directory_ / name).numbers<double>(at("x"))[0]; };
  leave(1, false);
  leave(2, false);
  leave(3, false);
  EXPECT_EQ(number_in("scan.h5.part.1"), 1);
  EXPECT_EQ(number_in("scan.h5.part.2"), 2);
  EXPECT_EQ(number_in("scan.h5.part"), 3);
  leave(4, true);
  EXPECT_EQ(number_in("scan.h5.part"), 4);
  EXPECT_FALSE(std::filesystem::exists(directory_ / "scan.h5.part.3"));
}

TEST_F(result_file_test, a_part_that_is_being_written_is_not_touched) {
  for (bool overwrite : {false, true}) {
    result_file file(options(1, {{"x"}}));
    auto other = options(1);
    other.overwrite = overwrite;
    EXPECT_THAT(error_of(other), HasSubstr("scan.h5.part: is being written by another process"));
    file.write_row(event_number(0), 5);
    file.abandon();
    EXPECT_THAT(reader(file.partial_path()).numbers<double>(at("x")), ElementsAre(5));
    std::filesystem::remove(file.partial_path());
  }
}

TEST_F(result_file_test, discards_what_is_not_to_be_saved) {
  result_file file(options(1, {{"x"}}));
  file.discard();
  EXPECT_TRUE(std::filesystem::is_empty(directory_.path()));
}

/// What a crash would leave now.
std::filesystem::path crashed(const result_file& file) {
  auto copy = file.partial_path();
  copy += ".copy";
  std::filesystem::copy_file(file.partial_path(), copy, std::filesystem::copy_options::overwrite_existing);
  return copy;
}

class followed_result_file_test : public result_file_test, public testing::WithParamInterface<int> {};

INSTANTIATE_TEST_SUITE_P(plain_and_packed, followed_result_file_test, testing::Values(0, 6));

TEST_P(followed_result_file_test, grows_with_what_is_flushed_and_survives_its_writer) {
  auto given =
      options(5000, {{"x"}, {"image", dtype::uint16, {600, 1000}}, {"profile", dtype::float32, {100}}});
  given.follow = true;
  given.layout.deflate = GetParam();
  result_file file(given);
  file.flush();
  std::vector<float> profile(100, 1);
  const std::vector<std::uint16_t> pixels(600000, 3);
  const auto image = array::of(std::span<const std::uint16_t>(pixels), {600, 1000});
  for (std::uint64_t event = 0; event < 3000; ++event) {
    profile[0] = static_cast<float>(event);
    value_map row{{"x", double(event)}, {"profile", array::of(profile)}};
    if (event == 7) row.set("image", image);
    file.write_row(event_number(event), row);
    if (event % 1000 != 10) continue;
    file.flush();
    auto copy = crashed(file);
    EXPECT_THROW(reader{copy}, std::runtime_error); // its mark keeps readers out
    auto mended = mend_file(copy);
    EXPECT_EQ(mended.what, mending::cleared) << mended.reason;
    reader in(copy);
    auto x = in.numbers<double>(at("x"));
    ASSERT_EQ(x.size(), event + 1);
    for (std::size_t i = 0; i < x.size(); ++i) ASSERT_EQ(x[i], double(i));
    EXPECT_EQ(in.numbers<float>(at("profile"))[event * 100], static_cast<float>(event));
    EXPECT_THAT(in.shape(at("image")), ElementsAre(8, 600, 1000));
    EXPECT_EQ(in.numbers<std::uint16_t>(at("image"))[7 * 600000 + 1], 3);
  }
  file.finish(value_map{{"late", 1}});
  EXPECT_THAT(file.complaints(), IsEmpty());
  reader in(path_);
  auto x = in.numbers<double>(at("x"));
  ASSERT_EQ(x.size(), 5000u);
  EXPECT_EQ(x[2999], 2999);
  EXPECT_TRUE(std::isnan(x[3000]) && std::isnan(x[4999]));
  EXPECT_THAT(in.shape(at("image")), ElementsAre(5000, 600, 1000));
  EXPECT_THAT(in.numbers<std::int64_t>(at("late")), ElementsAre(1));
}

TEST_F(result_file_test, packed_files_are_smaller_and_have_the_same_content) {
  auto given = options(20000, {{"x", dtype::int64, {}}, {"profile", dtype::float64, {64}}});
  auto fill = [&](int deflate) {
    given.layout.deflate = deflate;
    given.overwrite = true;
    result_file file(given);
    std::vector<double> profile(64);
    for (int i = 0; i < 20000; ++i) {
      // In order but for some, whose rows were closed long ago.
      auto event = static_cast<std::uint64_t>(i % 5000 ? i : i / 2);
      profile[5] = static_cast<double>(event);
      file.write_row(event_number(event), value_map{{"x", i}, {"profile", array::of(profile)}});
      if (i % 7000 == 0) file.flush();
    }
    file.finish({});
    reader in(path_);
    return std::pair(in.numbers<std::int64_t>(at("x")), in.numbers<double>(at("profile")));
  };
  auto plain = fill(0);
  auto plain_size = std::filesystem::file_size(path_);
  auto packed = fill(9);
  EXPECT_EQ(plain.first, packed.first);
  EXPECT_TRUE(std::equal(plain.second.begin(), plain.second.end(), packed.second.begin(),
                         [](double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }));
  EXPECT_LT(std::filesystem::file_size(path_), plain_size / 2);
}

TEST_F(result_file_test, chunks_are_as_large_as_asked_for) {
  auto given =
      options(3, {{"scalar"}, {"small", dtype::uint8, {3, 5}}, {"image", dtype::uint16, {500, 1000}}});
  given.layout.chunk = 64 << 10;
  result_file(given).finish({});
  reader in(path_);
  EXPECT_THAT(in.chunk(at("scalar")), ElementsAre(8192));
  EXPECT_THAT(in.chunk(at("small")), ElementsAre(4369, 3, 5));
  EXPECT_THAT(in.chunk(at("image")), ElementsAre(1, 500, 1000));
}

TEST_F(result_file_test, every_event_says_which_parameters_made_its_result) {
  auto given = options(5, {{"x"}});
  given.scan = "the-scan";
  given.analysis = "roi";
  given.version = "1.2";
  given.configuration = "{}";
  result_file file(given);
  file.write_row(event_number(1), 1, parameters_version(1));
  file.write_row(event_number(0), 1, parameters_version(1));
  file.write_row(event_number(4), 1, parameters_version(3));
  file.finish({}, {.parameters = {{parameters_version(1), "2024-10-07T08:49:10Z", {{"rows", "0:4"}}},
                                  {parameters_version(2), "", {}},
                                  {parameters_version(3), "", {{"rows", "1:4"}}}}});
  reader in(path_);
  EXPECT_THAT(in.numbers<std::uint32_t>("/entry/process/parameters_version"), ElementsAre(1, 1, 0, 0, 3));
  EXPECT_THAT(in.texts("/entry/entry_identifier"), ElementsAre("the-scan"));
  EXPECT_THAT(in.texts("/entry/process/version"), ElementsAre("1.2"));
  EXPECT_THAT(in.attribute_texts("/entry/process", "NX_class"), ElementsAre("NXprocess"));
  EXPECT_THAT(in.texts("/entry/process/configuration/data"), ElementsAre("{}"));
  EXPECT_THAT(in.texts("/entry/process/parameters/3/rows"), ElementsAre("1:4"));
  auto uses = [&](const std::string& version) {
    return in.attribute_number<std::uint64_t>("/entry/process/parameters/" + version, "results");
  };
  EXPECT_EQ(uses("1"), 2u);
  EXPECT_EQ(uses("2"), 0u);
  EXPECT_EQ(in.attribute_number<std::uint64_t>("/entry/process/parameters/3", "first_event"), 4u);
  EXPECT_FALSE(in.has_attribute("/entry/process/parameters/2", "first_event"));
}

TEST_F(result_file_test, leads_to_a_plot) {
  {
    result_file file(
        options(3, {{"none", dtype::float64, {0}},
                    {"profile", dtype::float32, {2}, result_extent::per_event, "", {"radius"}}}));
    file.finish(value_map{{"radius", value_list{0.5, 1.5}}});
  }
  {
    reader in(path_);
    EXPECT_THAT(in.attribute_texts("/entry/result", "NX_class"), ElementsAre("NXdata"));
    EXPECT_THAT(in.attribute_texts("/entry/result", "signal"), ElementsAre("profile"));
    EXPECT_THAT(in.attribute_texts("/entry/result", "axes"), ElementsAre(".", "radius"));
    EXPECT_THAT(in.attribute_texts(at("profile"), "interpretation"), ElementsAre("spectrum"));
  }
  auto published = options(3, {{"total", dtype::float64, {}, result_extent::per_scan},
                               {"map", dtype::float64, {2, 3}, result_extent::per_scan, "", {"y", "x"}}});
  published.overwrite = true;
  const std::vector<double> numbers(6, 1);
  result_file(published).finish(value_map{{"total", 1},
                                          {"map", array::of(std::span<const double>(numbers), {2, 3})},
                                          {"x", value_list{1, 2, 3}},
                                          {"y", value_list{1, 2, 3}}});
  reader in(path_);
  EXPECT_THAT(in.attribute_texts("/entry/result", "signal"), ElementsAre("map"));
  EXPECT_THAT(in.attribute_texts("/entry/result", "axes"), ElementsAre(".", "x")); // y is too long
}

TEST_F(result_file_test, links_to_what_streams_announced) {
  result_file file(options(1));
  file.finish({}, {.raw = {{"pilatus", "/raw/a.h5", "/entry/data"}, {"camera", "b.h5", ""}}});
  reader in(path_);
  EXPECT_THAT(in.texts("/entry/instrument/pilatus/file_name"), ElementsAre("/raw/a.h5"));
  EXPECT_THAT(in.attribute_texts("/entry/instrument/camera", "NX_class"), ElementsAre("NXdetector"));
  EXPECT_EQ(in.external_link("/entry/instrument/pilatus/data"), "/raw/a.h5:/entry/data");
  EXPECT_FALSE(in.has("/entry/instrument/camera/data"));
}

TEST_F(result_file_test, refuses_directories_that_cannot_be_used) {
  auto missing = options(1);
  missing.path = directory_ / "missing/scan.h5";
  EXPECT_THAT(error_of(missing), AllOf(HasSubstr("missing/scan.h5"), HasSubstr("no directory")));
  auto directory = options(1);
  directory.path = directory_.path();
  EXPECT_THAT(error_of(directory), HasSubstr("is a directory"));
  if (::geteuid() == 0) GTEST_SKIP() << "root may write everywhere";
  auto closed = options(1);
  closed.path = directory_ / "closed/scan.h5";
  std::filesystem::create_directory(directory_ / "closed");
  std::filesystem::permissions(directory_ / "closed", std::filesystem::perms::owner_read);
  EXPECT_THAT(error_of(closed), AllOf(HasSubstr("closed/scan.h5"), HasSubstr("not writable")));
}

TEST_F(result_file_test, refuses_descriptions_that_cannot_be_used) {
  const std::vector<result_description> bad[] = {{{""}}, {{"."}}, {{"a/b"}}, {{"a"}, {"a"}}, {{"x_attrs"}}};
  for (auto& results : bad) EXPECT_THAT(error_of(options(1, results)), HasSubstr(path_.string()));
  EXPECT_THAT(error_of(options(1, {{"x", dtype::float64, {1u << 31, 1u << 31}}})), HasSubstr("too large"));
  EXPECT_THAT(error_of(options(1, {{"x", dtype::float64, std::vector<std::size_t>(40, 1)}})),
              HasSubstr("/x: "));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(result_file_test, an_abandoned_file_keeps_its_rows) {
  auto give_up = [&](bool by_hand) {
    result_file file(options(2, {{"x"}}));
    file.write_row(event_number(1), 4);
    if (!by_hand) return;
    file.abandon();
    EXPECT_THROW(file.write_row(event_number(0), 1), std::runtime_error);
    EXPECT_THROW(file.finish({}), std::runtime_error);
  };
  for (bool by_hand : {true, false}) {
    give_up(by_hand);
    EXPECT_FALSE(std::filesystem::exists(path_));
    EXPECT_THAT(reader(directory_ / "scan.h5.part").numbers<double>(at("x")), ElementsAre(IsNan(), 4));
  }
}

/// Fills a file beyond the size that the system allows, as on a full disk. Returns what went wrong.
int fail_to_write(const std::filesystem::path& path) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{200000, 200000};
  ::setrlimit(RLIMIT_FSIZE, &limit);
  const value one = 1, nothing;
  int failures = 0;
  try {
    result_file file({path, false, 1000000, {{"x"}}});
    try {
      for (std::uint64_t event = 0; event < 1000000; ++event) file.write_row(event_number(event), one);
    } catch (const std::runtime_error& e) {
      failures +=
          std::string_view(e.what()).find("/x: cannot be written: File too large") != std::string_view::npos;
    }
    file.finish(nothing);
  } catch (const std::runtime_error& e) {
    failures += std::string_view(e.what()).find(path.string()) != std::string_view::npos;
  }
  return failures;
}

TEST_F(result_file_test, a_full_disk_is_an_error_and_no_crash) {
  GTEST_FLAG_SET(death_test_style, "threadsafe"); // the library must not have begun in the child
  auto fill = [&] {
    auto failures = fail_to_write(directory_ / "full.h5");
    std::filesystem::remove_all(directory_.path());
    std::exit(failures);
  };
  EXPECT_EXIT(fill(), testing::ExitedWithCode(2), "");
}

TEST_F(result_file_test, may_be_used_from_a_thread_of_its_own) {
  std::thread([&] {
    testing::internal::CaptureStderr();
    result_file file(options(1, {{"x"}}));
    file.write_row(event_number(0), 4);
    file.finish(value_map{{"a", 1}});
    EXPECT_THAT(testing::internal::GetCapturedStderr(), IsEmpty());
  }).join();
  EXPECT_THAT(reader(path_).numbers<double>(at("x")), ElementsAre(4));
}

} // namespace
} // namespace dtranspose
