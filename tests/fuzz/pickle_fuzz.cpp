/// Pickles: whatever is read can be written, and is read again as the same.

#include <cstdlib>
#include <string_view>

#include "fuzz.hpp"
#include "protocol/pickle.hpp"

using namespace dtranspose;

namespace {

std::vector<std::uint8_t> bytes_of(const std::vector<std::byte>& pickle) {
  auto begin = reinterpret_cast<const std::uint8_t*>(pickle.data());
  return {begin, begin + pickle.size()};
}

std::vector<std::uint8_t> bytes_of(std::string_view text) { return {text.begin(), text.end()}; }

value_bytes some_bytes() { return {std::byte{0}, std::byte{0xff}, std::byte{'a'}}; }

value everything() {
  const std::vector<double> reals = {1, 200, -0.5};
  const std::vector<std::uint16_t> counts = {1, 2, 3};
  return value_map{{"status", "running"},
                   {"numbers", value_list{1, -1, 300, 70000, std::int64_t{1} << 40, ~std::uint64_t{0}, 0.5}},
                   {"nothing", value()},
                   {"flags", value_list{true, false}},
                   {"bytes", some_bytes()},
                   {"empty", value_bytes()},
                   {"reals", array::of(reals)},
                   {"counts", array::of(counts)},
                   {"nested", value_map{{"map", value_map{{"list", value_list{}}}}}}};
}

void check(const value& content, int protocol) {
  try {
    auto written = write_pickle(content, protocol);
    if (write_pickle(read_pickle(written), protocol) != written) std::abort();
  } catch (const pickle_error&) {
    // What was shared is written at length, and may exceed what is read.
  }
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  try {
    auto content = read_pickle(std::as_bytes(std::span(data, size)));
    for (int protocol : {2, 3, 4}) check(content, protocol);
  } catch (const pickle_error&) {
    return 0;
  }
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  using namespace std::string_view_literals;
  std::vector<std::vector<std::uint8_t>> seeds;
  for (int protocol : {2, 3, 4}) seeds.push_back(bytes_of(write_pickle(everything(), protocol)));
  for (
      auto text : {
          "\x80\x05]\x94(K\1\x94h\1h\1e."sv,
          "\x80\x05(\x8f(K\1\x90K\2\x91\x85\x86l."sv,
          "\x80\x02]q\0](h\0h\0h\0eq\1](h\1h\1h\1e\x86."sv,
          "\x80\x02]q\0h\0a."sv,
          "\x80\x02"
          "ccollections\nOrderedDict\n](]K\1aK\2ae\x85R."sv,
          "\x80\x02"
          "c__builtin__\ncomplex\nG\0\0\0\0\0\0\0\0G\0\0\0\0\0\0\0\0\x86R."sv,
          "\x80\x05\x8c\x12numpy.core.numeric\x8c\x0c_frombuffer\x93(\x96\x04\0\0\0\0\0\0\0\1\2\3\4"
          "cnumpy\ndtype\n\x8c\2u2\x89\x88\x87R(K\3\x8c\1>NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
          "K\2\x85\x8c\1FtR."sv,
          "\x80\x04\x8c\x15numpy.core.multiarray\x8c\6scalar\x93"
          "cnumpy\ndtype\n\x8c\2U1\x89\x88\x87R"
          "C\4a\0\0\0\x86R."sv,
          "\x80\x02}(NK\1\x88K\2M\1\2K\3J\1\2\3\4K\4\x8a\2\1\2K\5\x8b\1\0\0\0\1K\6U\1aK\7T\1\0\0\0bK\x08u."sv,
      })
    seeds.push_back(bytes_of(text));
  return seeds;
}
