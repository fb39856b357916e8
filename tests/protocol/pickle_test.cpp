#include "protocol/pickle.hpp"

#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "recording/capture.hpp"
#include "recordings.hpp"

namespace dtranspose {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

/// Bytes of hexadecimal digits; blanks are skipped.
std::string hex(std::string_view digits) {
  std::string bytes;
  int half = -1;
  for (char c : digits) {
    if (c == ' ' || c == '\n') continue;
    int n = c <= '9' ? c - '0' : c - 'a' + 10;
    if (half < 0) {
      half = n;
    } else {
      bytes += static_cast<char>(half * 16 + n);
      half = -1;
    }
  }
  return bytes;
}

std::span<const std::byte> bytes_of_text(std::string_view text) { return std::as_bytes(std::span(text)); }

/// From memory of exactly that size, so that sanitizers see every step beyond.
value read(std::string_view text) {
  auto view = bytes_of_text(text);
  const std::vector<std::byte> exact(view.begin(), view.end());
  return read_pickle(exact);
}

/// Why a pickle is refused; empty if it is not.
std::string refusal(std::string_view text) {
  try {
    read(text);
  } catch (const pickle_error& e) {
    return e.what();
  }
  return "";
}

std::string written(const value& content, int protocol) {
  auto bytes = write_pickle(content, protocol);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// A pickle of protocol 2 of what `body` leaves on the stack.
std::string with_body(std::string_view body) { return "\x80\x02" + std::string(body) + "."; }

std::string little(std::uint64_t number, std::size_t bytes) {
  return {reinterpret_cast<const char*>(&number), bytes};
}

value_bytes byte_string(std::string_view text) {
  auto view = bytes_of_text(text);
  return {view.begin(), view.end()};
}

template <class T>
value array_of(const std::vector<T>& elements, std::vector<std::size_t> shape) {
  return array::of(std::span<const T>(elements), std::move(shape));
}

value list(std::initializer_list<value> items) { return value_list(items); }
value map(std::initializer_list<value_map::entry> entries) { return value_map(entries); }
value whole(std::int64_t x) { return x; }

const std::string worked_example =
    hex("80 02 7d 71 00 28 58 06000000 737461747573 71 01 58 07000000 72756e6e696e67 71 02"
        "58 02000000 6474 71 03 47 3fe0000000000000 58 03000000 706f73 71 04") +
    "cnumpy.core.multiarray\n_reconstruct\n" + hex("71 05") + "cnumpy\nndarray\n" +
    hex("71 06 4b 00 85 71 07") + "c_codecs\nencode\n" +
    hex("71 08 58 01000000 62 71 09 58 06000000 6c6174696e31 71 0a 86 71 0b 52 71 0c 87 71 0d 52 71 0e"
        "28 4b 01 4b 02 85 71 0f") +
    "cnumpy\ndtype\n" +
    hex("71 10 58 02000000 6638 71 11 89 88 87 71 12 52 71 13 28 4b 03 58 01000000 3c 71 14 4e 4e 4e"
        "4a ffffffff 4a ffffffff 4b 00 74 71 15 62 89"
        "68 08 58 11000000 000000000000c3b03f0000000000006940 71 16 68 0a 86 71 17 52 71 18 74 71 19 62"
        "75 2e");

value worked_value() {
  return map({{"status", "running"}, {"dt", 0.5}, {"pos", array_of<double>({1, 200}, {2})}});
}

TEST(pickle, reads_the_worked_example) {
  ASSERT_EQ(worked_example.size(), 283u);
  EXPECT_EQ(read(worked_example), worked_value());
}

TEST(pickle, writes_the_worked_example) { EXPECT_EQ(written(worked_value(), 2), worked_example); }

struct opcode_case {
  const char* what;
  std::string body;
  value content;
};

TEST(pickle, knows_every_opcode) {
  const opcode_case cases[] = {
      {"FRAME", "\x95" + little(1, 8) + "N", {}},
      {"NONE", "N", {}},
      {"NEWTRUE", "\x88", true},
      {"NEWFALSE", "\x89", false},
      {"POP",
       "NK\7"
       "0",
       {}},
      {"POP of a mark", "N(0", {}},
      {"POP_MARK",
       "N(K\1K\2"
       "1",
       {}},
      {"DUP",
       "K\7"
       "2\x86",
       list({whole(7), whole(7)})},
      {"BININT1", "K\xff", whole(255)},
      {"BININT2", "M\xff\xff", whole(65535)},
      {"BININT", "J" + little(0xfffffffe, 4), whole(-2)},
      {"LONG1 of nothing", "\x8a\0"s, whole(0)},
      {"LONG1 of one byte", "\x8a\x01\xff", whole(-1)},
      {"LONG1 of three bytes", "\x8a\x03\x00\x00\x80"s, whole(-8388608)},
      {"LONG1 of nine bytes", "\x8a\x09" + std::string(8, '\xff') + "\0"s,
       std::numeric_limits<std::uint64_t>::max()},
      {"LONG1 that repeats its sign", "\x8a\x0c" + std::string(12, '\xff'), whole(-1)},
      {"LONG4", "\x8b" + little(2, 4) + "\x01\x02", whole(513)},
      {"BINFLOAT", "G" + hex("3ff8000000000000"), 1.5},
      {"BINUNICODE", "X" + little(3, 4) + "a\xc3\xa4", "a\xc3\xa4"},
      {"SHORT_BINUNICODE", "\x8c\x04\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
      {"BINUNICODE8", "\x8d" + little(2, 8) + "ab", "ab"},
      {"SHORT_BINBYTES", "C\x02\xff\0"s, byte_string("\xff\0"s)},
      {"BINBYTES", "B" + little(2, 4) + "ab", byte_string("ab")},
      {"BINBYTES8", "\x8e" + little(2, 8) + "ab", byte_string("ab")},
      {"BYTEARRAY8", "\x96" + little(2, 8) + "ab", byte_string("ab")},
      {"SHORT_BINSTRING",
       "U\x02"
       "ab",
       byte_string("ab")},
      {"BINSTRING", "T" + little(2, 4) + "ab", byte_string("ab")},
      {"EMPTY_TUPLE", ")", list({})},
      {"TUPLE1", "K\1\x85", list({whole(1)})},
      {"TUPLE2", "K\1K\2\x86", list({whole(1), whole(2)})},
      {"TUPLE3", "K\1K\2K\3\x87", list({whole(1), whole(2), whole(3)})},
      {"TUPLE", "(K\1K\2K\3K\4t", list({whole(1), whole(2), whole(3), whole(4)})},
      {"EMPTY_LIST", "]", list({})},
      {"LIST", "(K\1K\2l", list({whole(1), whole(2)})},
      {"APPEND",
       "]K\1"
       "a",
       list({whole(1)})},
      {"APPENDS",
       "](K\1K\2"
       "e",
       list({whole(1), whole(2)})},
      {"EMPTY_DICT", "}", map({})},
      {"DICT",
       "(\x8c\x01"
       "aK\1d",
       map({{"a", whole(1)}})},
      {"SETITEM",
       "}\x8c\x01"
       "aK\1s",
       map({{"a", whole(1)}})},
      {"SETITEMS",
       "}(\x8c\x01zK\1\x8c\x01"
       "aK\2u",
       map({{"z", whole(1)}, {"a", whole(2)}})},
      {"EMPTY_SET and ADDITEMS", "\x8f(K\2K\1\x90", list({whole(2), whole(1)})},
      {"FROZENSET", "(K\2\x91", list({whole(2)})},
      {"BINPUT and BINGET",
       "](K\7q\x05h\x05"
       "e",
       list({whole(7), whole(7)})},
      {"LONG_BINPUT and LONG_BINGET", "](K\7r" + little(70000, 4) + "j" + little(70000, 4) + "e",
       list({whole(7), whole(7)})},
      {"MEMOIZE",
       "]\x94(K\7\x94h\x01"
       "e",
       list({whole(7), whole(7)})},
      {"GLOBAL and REDUCE", "ccollections\nOrderedDict\n)R", map({})},
      {"STACK_GLOBAL",
       "\x8c\x08"
       "builtins\x8c\x05"
       "bytes\x93)R",
       byte_string("")},
      {"the last of equal keys",
       "}(\x8c\x01"
       "aK\1\x8c\x01"
       "bK\3\x8c\x01"
       "aK\2u",
       map({{"a", whole(2)}, {"b", whole(3)}})},
      {"a list that is filled after it was shared",
       "]q\1h\1\x86q\2"
       "0h\1K\7"
       "a0h\2",
       list({list({whole(7)}), list({whole(7)})})},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.what);
    EXPECT_EQ(refusal(with_body(c.body)), "");
    if (refusal(with_body(c.body)).empty()) {
      EXPECT_EQ(read(with_body(c.body)), c.content);
    }
  }
}

TEST(pickle, names_keys_as_python_does) {
  const opcode_case cases[] = {
      {"1", "K\1", {}},
      {"-2", "J" + little(0xfffffffe, 4), {}},
      {"18446744073709551615", "\x8a\x09" + std::string(8, '\xff') + "\0"s, {}},
      {"None", "N", {}},
      {"True", "\x88", {}},
      {"False", "\x89", {}},
      {"2.5", "G" + hex("4004000000000000"), {}},
      {"100000.0", "G" + hex("40f86a0000000000"), {}},
      {"1e+16", "G" + hex("4341c37937e08000"), {}},
      {"0.0001", "G" + hex("3f1a36e2eb1c432d"), {}},
      {"1e-05", "G" + hex("3ee4f8b588e368f1"), {}},
      {"-0.0", "G" + hex("8000000000000000"), {}},
      {"nan", "G" + hex("7ff8000000000000"), {}},
      {"-inf", "G" + hex("fff0000000000000"), {}},
      {"b'k\\x00\\xff\\n\\\\'", "C\x05k\0\xff\n\\"s, {}},
      {"b\"it's\"", "C\x04it's", {}},
      {"b'\\'\"'", "C\x02'\"", {}},
  };
  for (auto& c : cases)
    EXPECT_EQ(read(with_body("}" + c.body + "K\7s")), map({{c.what, whole(7)}})) << c.what;
}

struct refused_case {
  std::string pickle, reason;
};

TEST(pickle, refuses_and_names_what_is_no_data) {
  const auto ndarray = "cnumpy\nndarray\n"s, reconstruct = "cnumpy.core.multiarray\n_reconstruct\n"s,
             dtype = "cnumpy\ndtype\n"s, encode = "c_codecs\nencode\n"s;
  const auto u1 = dtype + "\x8c\x02u1\x89\x88\x87R", f8 = dtype + "\x8c\x02"
                                                                  "f8\x89\x88\x87R";
  const auto frombuffer = "cnumpy.core.numeric\n_frombuffer\n"s, empty_array = reconstruct + ndarray +
                                                                               "K\0\x85"
                                                                               "C\1b\x87R"s;
  const auto little_endian =
      "(K\3\x8c\1<NNNJ" + little(0xffffffff, 4) + "J" + little(0xffffffff, 4) + "K\0t"s;
  const refused_case cases[] = {
      {"cos\nsystem\n(S'x'\ntR.", "no pickle of protocol 2 to 5 at byte 0"},
      {with_body("cos\nsystem\n(S'x'\ntR"), "'os system', which is not data, at byte 2"},
      {with_body("c__builtin__\neval\n"), "'__builtin__ eval', which is not data, at byte 2"},
      {with_body("cbuiltins\neval\n"), "'builtins eval'"},
      {with_body("Ncposix\nsystem\n"), "'posix system', which is not data, at byte 3"},
      {with_body("ccopy_reg\n_reconstruct\n"), "'copy_reg _reconstruct'"},
      {with_body("cnumpy\x01\nload\n"), "'numpy? load'"},
      {with_body("\x8c\x02os\x8c\x06system\x93"), "'os system', which is not data, at byte 14"},
      {with_body("NN\x93"), "a global whose name is no text at byte 4"},
      {with_body("c" + std::string(5000, 'm') + "\nx\n"), "mmmmm..."},
      {with_body("cnumpy"), "a line without an end"},
      {with_body(reconstruct + "cnumpy\ndtype\nK\0\x85"
                               "C\1b\x87R"s),
       "something other than numpy.ndarray"},
      {with_body(reconstruct + "NK\0\x85"
                               "C\1b\x87R"s),
       "something other than numpy.ndarray"},
      {with_body(reconstruct + ndarray +
                 "K\1\x85"
                 "C\1b\x87R"),
       "a shape other than (0,)"},
      {with_body(reconstruct + ndarray +
                 "K\0\x85"
                 "C\1d\x87R"s),
       "a type other than 'b'"},
      {with_body(reconstruct + ndarray + "\x85R"), "something other than numpy.ndarray"},
      {with_body(encode + "\x8c\1x\x8c\5rot13\x86R"), "_codecs.encode() to 'rot13'"},
      {with_body(encode + "\x8c\1x\x85R"), "something other than two texts"},
      {with_body(encode + "\x8c\2\xc4\x80\x8c\6latin1\x86R"), "not latin1"},
      {with_body(ndarray + ")R"), "a call of numpy.ndarray"},
      {with_body("NN\x86)R"), "a call of a tuple"},
      {with_body(encode + "]R"), "a call with something other than a tuple"},
      {with_body(encode), "a global in the place of a value at byte 2"},
      {with_body("]" + encode + "a"), "a global in the place of a value at byte 3"},
      {with_body("}" + encode + "Ns"), "a global in the place of a value"},
      {with_body(u1), "a dtype in the place of a value"},
      {with_body(empty_array), "an array without its state"},
      {with_body(dtype + "\x8c\2O8\x89\x88\x87R"), "the dtype 'O8'"},
      {with_body(dtype + "\x8c\2V8\x89\x88\x87R"), "the dtype 'V8'"},
      {with_body(dtype + "\x8c\2M8\x89\x88\x87R"), "the dtype 'M8'"},
      {with_body(dtype + "\x8c\3"
                         "f16\x89\x88\x87R"),
       "the dtype 'f16'"},
      {with_body(dtype + "\x8c\0\x89\x88\x87R"s), "the dtype ''"},
      {with_body(dtype + "\x8c\x0bS9999999999\x89\x88\x87R"), "the dtype 'S9999999999'"},
      {with_body(dtype + "\x8c\2u1K\2\x88\x87R"), "two flags"},
      {with_body(f8 + ")b"), "a state of a dtype that is not of version 3"},
      {with_body(f8 + "(K\3\x8c\1|NNNK\xffK\xffK\0tb"s), "contradicting sizes"},
      {with_body(f8 + "(K\3\x8c\1|NNNJ" + little(0xffffffff, 4) + "K\1K\0tb"s), "unknown byte order"},
      {with_body(f8 + "(K\3\x8c\1<N)NJ" + little(0xffffffff, 4) + "K\1K\0tb"s), "a dtype of records"},
      {with_body(f8 + little_endian + "b" + little_endian + "b"), "a second state of a dtype"},
      {with_body("N)b"), "BUILD of None"},
      {with_body("}Nb"), "BUILD with a state that is no tuple"},
      {with_body(frombuffer +
                 "(C\x08"
                 "abcdefgh" +
                 f8 +
                 "K\2\x85\x8c\1Ct"
                 "R"),
       "an array of 8 bytes, with 16 announced,"},
      {with_body(frombuffer +
                 "(C\x08"
                 "abcdefgh" +
                 f8 +
                 ")\x8c\1Kt"
                 "R"),
       "an order other than C or F"},
      {with_body(frombuffer +
                 "(C\x08"
                 "abcdefgh" +
                 f8 +
                 ")\x8c\1"
                 "C)t"
                 "R"),
       "other than four arguments"},
      {with_body(frombuffer +
                 "(C\x08"
                 "abcdefgh" +
                 f8 + "J" + little(0xffffffff, 4) +
                 "\x85\x8c\1Ct"
                 "R"),
       "without a shape"},
      {with_body(frombuffer + "(NN)\x8c\1Ct"
                              "R"),
       "an array without a dtype"},
      {with_body("cnumpy.core.multiarray\nscalar\n" + f8 + "C\7abcdefg\x86R"),
       "a scalar of 7 bytes, with 8 announced,"},
      {with_body("ccollections\nOrderedDict\n]K\1"
                 "a\x85R"),
       "something other than pairs"},
      {with_body("c__builtin__\nbytes\nK\1\x85R"), "bytes() with arguments"},
      {with_body("c__builtin__\nbytearray\nK\1\x85R"), "bytearray() of something other than bytes"},
      {with_body("c__builtin__\ncomplex\nK\1K\1\x86R"), "complex() of something other than two floats"},
      {with_body("I7\n"), "the opcode 0x49, which is not data, at byte 2"},
      {with_body("L7L\n"), "0x4c"},
      {with_body("F7\n"), "0x46"},
      {with_body("S'x'\n"), "0x53"},
      {with_body("Vx\n"), "0x56"},
      {with_body("Ng0\n"), "0x67"},
      {with_body("Np0\n"), "0x70"},
      {with_body("(ios\nsystem\n"), "0x69"},
      {with_body("(cnumpy\nndarray\no"), "0x6f"},
      {with_body(ndarray + ")\x81"), "0x81"},
      {with_body(ndarray + ")}\x92"), "0x92"},
      {with_body("\x82\1"), "0x82"},
      {with_body("\x83\1\0"s), "0x83"},
      {with_body("\x84\1\0\0\0"s), "0x84"},
      {with_body("Px\n"), "0x50"},
      {with_body("NQ"), "0x51"},
      {with_body("\x97"), "0x97"},
      {with_body("N\x98"), "0x98"},
      {with_body("\xff"), "0xff"},
      {"", "cut short"},
      {"\x80", "cut short"},
      {"\x80\x02", "cut short"},
      {"\x80\x01N.", "protocol 1"},
      {"\x80\x06N.", "protocol 6"},
      {"N.", "no pickle of protocol 2 to 5"},
      {with_body("\x80\x02N"), "a second PROTO"},
      {with_body("N") + "N", "1 bytes after STOP"},
      {with_body(""), "STOP with 0 values"},
      {with_body("NN"), "STOP with 2 values"},
      {with_body("N("), "STOP with 1 values and 1 marks"},
      {with_body("0"), "nothing on the stack"},
      {with_body("N(2"), "nothing on the stack"},
      {with_body("K\1K\2\x87"), "nothing on the stack"},
      {with_body("NNt"), "no mark on the stack"},
      {with_body("NN"
                 "e"),
       "no mark on the stack"},
      {with_body("N1"), "no mark on the stack"},
      {with_body("]N\x86K\1"
                 "a"),
       "a tuple in the place of a list"},
      {with_body("}K\1"
                 "a"),
       "a dict in the place of a list"},
      {with_body("]K\1K\2s"), "a list in the place of a dict"},
      {with_body("](K\1\x90"), "a list in the place of a set"},
      {with_body("}(K\1u"), "a key without a value"},
      {with_body("(K\1d"), "a key without a value"},
      {with_body("})K\1s"), "a tuple as a key"},
      {with_body("h\0"s), "entry 0 of the memo"},
      {with_body("q\0"s), "nothing on the stack"},
      {with_body("\x95" + little(3, 8) + "N"), "a FRAME beyond the end"},
      {with_body("\x8c\5"
                 "ab"),
       "cut short"},
      {with_body("\x8d" + std::string(8, '\xff') + "ab"), "cut short"},
      {with_body("X" + std::string(4, '\xff') + "ab"), "cut short"},
      {with_body("T" + std::string(4, '\xff') + "ab"), "negative length"},
      {with_body("\x8c\1\xff"), "not UTF-8"},
      {with_body("\x8c\2\xc0\x80"), "not UTF-8"},
      {with_body("\x8c\3\xed\xa0\x80"), "not UTF-8"},
      {with_body("\x8c\4\xf4\x90\x80\x80"), "not UTF-8"},
      {with_body("\x8c\3\xe0\x80\x80"), "not UTF-8"},
      {with_body("\x8c\2\xe2\x82"), "not UTF-8"},
      {with_body("\x8b" + little(0xffffffff, 4)), "an int of -1 bytes"},
      {with_body("\x8b" + little(65, 4) + std::string(65, '\0')), "an int of 65 bytes"},
      {with_body("\x8a\x09" + std::string(8, '\0') + "\1"), "more than 64 bits"},
      {with_body("\x8a\x09" + std::string(7, '\xff') + "\x7f\xff"s), "more than 64 bits"},
      {with_body("]q\1h\1"
                 "a"),
       "a list that holds itself,"},
      {with_body("]q\1h\1\x85"
                 "a"),
       "a list that holds itself,"},
      {with_body("}q\1\x8c\1"
                 "ah\1s"),
       "a dict that holds itself,"},
      {with_body("]q\1(h\1tq\2"
                 "a0h\2"),
       "a tuple that holds itself,"},
  };
  for (auto& c : cases) {
    SCOPED_TRACE(c.pickle.substr(0, 80));
    EXPECT_THAT(refusal(c.pickle), HasSubstr(c.reason));
  }
}

TEST(pickle, takes_what_a_refused_one_is_next_to) {
  auto little_endian = "(K\3\x8c\1<NNNJ" + little(0xffffffff, 4) + "J" + little(0xffffffff, 4) + "K\0t"s;
  auto f8 = "cnumpy\ndtype\nC\2f8K\0K\1\x87R"s + little_endian + "b";
  auto buffer = "cnumpy.core.numeric\n_frombuffer\n(C\x08" + hex("000000000000f83f") + f8 +
                ")\x8c\1Ct"
                "R";
  EXPECT_EQ(read(with_body(buffer)), array_of<double>({1.5}, {}));
  auto scalar = "cnumpy.core.multiarray\nscalar\n" + f8 + "C\x08" + hex("000000000000f83f") + "\x86R";
  EXPECT_EQ(read(with_body(scalar)), value(1.5));
  auto pairs = "ccollections\nOrderedDict\n](]\x8c\1z"
               "aK\1"
               "a\x8c\1yK\2\x86"
               "e\x85R"s;
  EXPECT_EQ(read(with_body(pairs)), map({{"z", whole(1)}, {"y", whole(2)}}));
}

struct python_case {
  const char* name;
  int protocol;
  const char* digits;
};

/// Made with CPython 3.11 and NumPy 1.26.
const python_case python_cases[] = {
    {"array_u2", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b024b0386710a636e756d70790a64747970650a710b580200000075"
     "32710c898887710d52710e284b0358010000003c710f4e4e4e4affffffff4affffffff4b0074711062896803580c0000"
     "0001000200030004000500060071116805867112527113747114622e"},
    {"array_u2", 3,
     "8003636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b008571024301627103877104527105284b014b024b03867106636e756d70790a64747970650a"
     "7107580200000075327108898887710952710a284b0358010000003c710b4e4e4e4affffffff4affffffff4b0074710c"
     "6289430c010002000300040005000600710d74710e622e"},
    {"array_u2", 4,
     "80049596000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b024b03869468038c"
     "0564747970659493948c02753294898887945294284b038c013c944e4e4e4affffffff4affffffff4b0074946289430c"
     "010002000300040005000600947494622e"},
    {"array_u2", 5,
     "80059581000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "28960c00000000000000010002000300040005000600948c056e756d7079948c0564747970659493948c027532948988"
     "87945294284b038c013c944e4e4e4affffffff4affffffff4b007494624b024b0386948c014394749452942e"},
    {"array_u2", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b024b0386710a636e756d70790a64747970650a710b580200000075"
     "32710c898887710d52710e284b0358010000003c710f4e4e4e4affffffff4affffffff4b0074711062886803580c0000"
     "0001000400020005000300060071116805867112527113747114622e"},
    {"array_u2", 5,
     "80059581000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "28960c00000000000000010004000200050003000600948c056e756d7079948c0564747970659493948c027532948988"
     "87945294284b038c013c944e4e4e4affffffff4affffffff4b007494624b024b0386948c014694749452942e"},
    {"array_u2_strided", 5,
     "80059596000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b024b03869468038c"
     "0564747970659493948c02753294898887945294284b038c013c944e4e4e4affffffff4affffffff4b0074946289430c"
     "000002000400060008000a00947494622e"},
    {"big_endian", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b0285710a636e756d70790a64747970650a710b5802000000693471"
     "0c898887710d52710e284b0358010000003e710f4e4e4e4affffffff4affffffff4b0074711062896803580c00000000"
     "000001c3bfc3bfc3bfc3be71116805867112527113747114622e"},
    {"big_endian", 4,
     "80049590000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b02859468038c0564"
     "747970659493948c02693494898887945294284b038c013e944e4e4e4affffffff4affffffff4b007494628943080000"
     "0001fffffffe947494622e"},
    {"big_endian", 5,
     "8005957b000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "2896080000000000000000000001fffffffe948c056e756d7079948c0564747970659493948c02693494898887945294"
     "284b038c013e944e4e4e4affffffff4affffffff4b007494624b0285948c014394749452942e"},
    {"halves", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b0485710a636e756d70790a64747970650a710b5802000000663271"
     "0c898887710d52710e284b0358010000003c710f4e4e4e4affffffff4affffffff4b0074711062896803580900000000"
     "3e00c380007c010071116805867112527113747114622e"},
    {"halves", 4,
     "80049590000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b04859468038c0564"
     "747970659493948c02663294898887945294284b038c013c944e4e4e4affffffff4affffffff4b00749462894308003e"
     "00c0007c0100947494622e"},
    {"halves", 5,
     "8005957b000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "28960800000000000000003e00c0007c0100948c056e756d7079948c0564747970659493948c02663294898887945294"
     "284b038c013c944e4e4e4affffffff4affffffff4b007494624b0485948c014394749452942e"},
    {"complexes", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b0285710a636e756d70790a64747970650a710b5802000000633871"
     "0c898887710d52710e284b0358010000003c710f4e4e4e4affffffff4affffffff4b0074711062896803581300000000"
     "00c2803f00000040000040400000c280c38071116805867112527113747114622e"},
    {"complexes", 4,
     "80049598000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b02859468038c0564"
     "747970659493948c02633894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494628943100000"
     "803f0000004000004040000080c0947494622e"},
    {"complexes", 5,
     "80059583000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "289610000000000000000000803f0000004000004040000080c0948c056e756d7079948c0564747970659493948c0263"
     "3894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494624b0285948c014394749452942e"},
    {"bools", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b0285710a636e756d70790a64747970650a710b5802000000623171"
     "0c898887710d52710e284b0358010000007c710f4e4e4e4affffffff4affffffff4b0074711062896803580200000001"
     "0071116805867112527113747114622e"},
    {"bools", 4,
     "8004958a000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b02859468038c0564"
     "747970659493948c02623194898887945294284b038c017c944e4e4e4affffffff4affffffff4b007494628943020100"
     "947494622e"},
    {"bools", 5,
     "80059575000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "289602000000000000000100948c056e756d7079948c0564747970659493948c02623194898887945294284b038c017c"
     "944e4e4e4affffffff4affffffff4b007494624b0285948c014394749452942e"},
    {"texts", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b024b0286710a636e756d70790a64747970650a710b580200000055"
     "32710c898887710d52710e284b0358010000003c710f4e4e4e4b084b044b087471106289680358210000006100000062"
     "0000006300000000000000000000000000000064000000c3a900000071116805867112527113747114622e"},
    {"texts", 4,
     "800495a4000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b024b02869468038c"
     "0564747970659493948c02553294898887945294284b038c013c944e4e4e4b084b044b08749462894320610000006200"
     "00006300000000000000000000000000000064000000e9000000947494622e"},
    {"texts", 5,
     "8005958f000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "2896200000000000000061000000620000006300000000000000000000000000000064000000e9000000948c056e756d"
     "7079948c0564747970659493948c02553294898887945294284b038c013c944e4e4e4b084b044b087494624b024b0286"
     "948c014394749452942e"},
    {"byte_texts", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b0285710a636e756d70790a64747970650a710b5802000000533271"
     "0c898887710d52710e284b0358010000007c710f4e4e4e4b024b014b0074711062896803580400000061626300711168"
     "05867112527113747114622e"},
    {"byte_texts", 4,
     "80049586000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b014b02859468038c0564"
     "747970659493948c02533294898887945294284b038c017c944e4e4e4b024b014b007494628943046162630094749462"
     "2e"},
    {"nothing", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b014b034b0086710a636e756d70790a64747970650a710b580200000066"
     "38710c898887710d52710e284b0358010000003c710f4e4e4e4affffffff4affffffff4b007471106289635f5f627569"
     "6c74696e5f5f0a62797465730a711129527112747113622e"},
    {"nothing", 5,
     "80059575000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "28960000000000000000948c056e756d7079948c0564747970659493948c02663894898887945294284b038c013c944e"
     "4e4e4affffffff4affffffff4b007494624b034b0086948c014394749452942e"},
    {"zero_dim", 2,
     "8002636e756d70792e636f72652e6d756c746961727261790a5f7265636f6e7374727563740a7100636e756d70790a6e"
     "6461727261790a71014b00857102635f636f646563730a656e636f64650a7103580100000062710458060000006c6174"
     "696e317105867106527107877108527109284b0129636e756d70790a64747970650a710a58020000006638710b898887"
     "710c52710d284b0358010000003c710e4e4e4e4affffffff4affffffff4b0074710f6289680358080000000000000000"
     "001e4071106805867111527112747113622e"},
    {"zero_dim", 4,
     "8004958d000000000000008c156e756d70792e636f72652e6d756c74696172726179948c0c5f7265636f6e7374727563"
     "749493948c056e756d7079948c076e6461727261799493944b0085944301629487945294284b012968038c0564747970"
     "659493948c02663894898887945294284b038c013c944e4e4e4affffffff4affffffff4b007494628943080000000000"
     "001e40947494622e"},
    {"zero_dim", 5,
     "80059578000000000000008c126e756d70792e636f72652e6e756d65726963948c0b5f66726f6d627566666572949394"
     "289608000000000000000000000000001e40948c056e756d7079948c0564747970659493948c02663894898887945294"
     "284b038c013c944e4e4e4affffffff4affffffff4b00749462298c014394749452942e"},
    {"scalars", 2,
     "80025d710028636e756d70792e636f72652e6d756c746961727261790a7363616c61720a7101636e756d70790a647479"
     "70650a71025802000000663871038988877104527105284b0358010000003c71064e4e4e4affffffff4affffffff4b00"
     "74710762635f636f646563730a656e636f64650a71085809000000000000000000c3b83f710958060000006c6174696e"
     "31710a86710b52710c86710d52710e6801680258020000006634710f8988877110527111284b0368064e4e4e4affffff"
     "ff4affffffff4b0074711262680858040000000000003f7113680a867114527115867116527117680168025802000000"
     "75387118898887711952711a284b0368064e4e4e4affffffff4affffffff4b0074711b6268085810000000c3bfc3bfc3"
     "bfc3bfc3bfc3bfc3bfc3bf711c680a86711d52711e86711f527120680168025802000000693171218988877122527123"
     "284b0358010000007c71244e4e4e4affffffff4affffffff4b007471256268085802000000c3bd7126680a8671275271"
     "2886712952712a6801680258020000006231712b898887712c52712d284b0368244e4e4e4affffffff4affffffff4b00"
     "74712e626808580100000001712f680a8671305271318671325271336801680258020000005532713489888771355271"
     "36284b0368064e4e4e4b084b044b08747137626808580800000068000000690000007138680a86713952713a86713b52"
     "713c6801680258020000005331713d898887713e52713f284b0368244e4e4e4b014b014b007471406268085801000000"
     "717141680a86714252714386714452714568016802580300000063313671468988877147527148284b0368064e4e4e4a"
     "ffffffff4affffffff4b007471496268085811000000000000000000c3b03f0000000000000040714a680a86714b5271"
     "4c86714d52714e6801680258020000006632714f8988877150527151284b0368064e4e4e4affffffff4affffffff4b00"
     "747152626808580200000000407153680a867154527155867156527157652e"},
    {"scalars", 4,
     "800495f5010000000000005d94288c156e756d70792e636f72652e6d756c74696172726179948c067363616c61729493"
     "948c056e756d7079948c0564747970659493948c02663894898887945294284b038c013c944e4e4e4affffffff4affff"
     "ffff4b007494624308000000000000f83f9486945294680368068c02663494898887945294284b03680a4e4e4e4affff"
     "ffff4affffffff4b0074946243040000003f9486945294680368068c02753894898887945294284b03680a4e4e4e4aff"
     "ffffff4affffffff4b007494624308ffffffffffffffff9486945294680368068c02693194898887945294284b038c01"
     "7c944e4e4e4affffffff4affffffff4b007494624301fd9486945294680368068c02623194898887945294284b036820"
     "4e4e4e4affffffff4affffffff4b007494624301019486945294680368068c02553294898887945294284b03680a4e4e"
     "4e4b084b044b08749462430868000000690000009486945294680368068c02533194898887945294284b0368204e4e4e"
     "4b014b014b007494624301719486945294680368068c0363313694898887945294284b03680a4e4e4e4affffffff4aff"
     "ffffff4b007494624310000000000000f03f00000000000000409486945294680368068c02663294898887945294284b"
     "03680a4e4e4e4affffffff4affffffff4b00749462430200409486945294652e"},
    {"scalars", 5,
     "800595f5010000000000005d94288c156e756d70792e636f72652e6d756c74696172726179948c067363616c61729493"
     "948c056e756d7079948c0564747970659493948c02663894898887945294284b038c013c944e4e4e4affffffff4affff"
     "ffff4b007494624308000000000000f83f9486945294680368068c02663494898887945294284b03680a4e4e4e4affff"
     "ffff4affffffff4b0074946243040000003f9486945294680368068c02753894898887945294284b03680a4e4e4e4aff"
     "ffffff4affffffff4b007494624308ffffffffffffffff9486945294680368068c02693194898887945294284b038c01"
     "7c944e4e4e4affffffff4affffffff4b007494624301fd9486945294680368068c02623194898887945294284b036820"
     "4e4e4e4affffffff4affffffff4b007494624301019486945294680368068c02553294898887945294284b03680a4e4e"
     "4e4b084b044b08749462430868000000690000009486945294680368068c02533194898887945294284b0368204e4e4e"
     "4b014b014b007494624301719486945294680368068c0363313694898887945294284b03680a4e4e4e4affffffff4aff"
     "ffffff4b007494624310000000000000f03f00000000000000409486945294680368068c02663294898887945294284b"
     "03680a4e4e4e4affffffff4affffffff4b00749462430200409486945294652e"},
    {"plain", 2,
     "800263636f6c6c656374696f6e730a4f726465726564446963740a710029527101285801000000627102635f5f627569"
     "6c74696e5f5f0a62797465730a7103295271045801000000797105635f636f646563730a656e636f64650a7106580200"
     "0000c3bf710758060000006c6174696e31710886710952710a580100000061710b635f5f6275696c74696e5f5f0a6279"
     "746561727261790a710c680658020000007879710d680886710e52710f8571105271115801000000747112284b014b02"
     "4b034b0474711358010000006e71147d7115284b014e474004000000000000887558010000006971165d7117288a0900"
     "00000000000080008a0800000000000000808a0500000080004affffffff6558010000007a7118635f5f6275696c7469"
     "6e5f5f0a636f6d706c65780a7119473ff000000000000047400000000000000086711a52711b752e"},
    {"plain", 4,
     "800495ce000000000000008c0b636f6c6c656374696f6e73948c0b4f72646572656444696374949394295294288c0162"
     "944300948c0179944301ff948c0161948c086275696c74696e73948c0962797465617272617994939443027879948594"
     "52948c017494284b014b024b034b0474948c016e947d94284b014e47400400000000000088758c0169945d94288a0900"
     "00000000000080008a0800000000000000808a0500000080004affffffff658c017a9468098c07636f6d706c65789493"
     "94473ff000000000000047400000000000000086945294752e"},
    {"plain", 5,
     "800595c1000000000000008c0b636f6c6c656374696f6e73948c0b4f72646572656444696374949394295294288c0162"
     "944300948c0179944301ff948c0161949602000000000000007879948c017494284b014b024b034b0474948c016e947d"
     "94284b014e47400400000000000088758c0169945d94288a090000000000000080008a0800000000000000808a050000"
     "0080004affffffff658c017a948c086275696c74696e73948c07636f6d706c6578949394473ff0000000000000474000"
     "00000000000086945294752e"},
    {"sets", 4, "80049510000000000000005d9428284b0791948f94284b0890652e"},
    {"sets", 5, "80059510000000000000005d9428284b0791948f94284b0890652e"},
};

value expected_of(std::string_view name) {
  using text = std::string_view;
  if (name == text("array_u2")) return array_of<std::uint16_t>({1, 2, 3, 4, 5, 6}, {2, 3});
  if (name == text("array_u2_strided")) return array_of<std::uint16_t>({0, 2, 4, 6, 8, 10}, {2, 3});
  if (name == text("big_endian")) return array_of<std::int32_t>({1, -2}, {2});
  if (name == text("halves"))
    return array_of<float>({1.5F, -2, std::numeric_limits<float>::infinity(), 0x1p-24F}, {4});
  if (name == text("complexes")) return array_of<float>({1, 2, 3, -4}, {2, 2});
  if (name == text("bools")) return array_of<std::uint8_t>({1, 0}, {2});
  if (name == text("texts")) return list({list({"ab", "c"}), list({"", "d\xc3\xa9"})});
  if (name == text("byte_texts")) return list({byte_string("ab"), byte_string("c")});
  if (name == text("nothing")) return array_of<double>({}, {3, 0});
  if (name == text("zero_dim")) return array_of<double>({7.5}, {});
  if (name == text("scalars"))
    return list({1.5, 0.5, std::numeric_limits<std::uint64_t>::max(), whole(-3), true, "hi", byte_string("q"),
                 array_of<double>({1, 2}, {2}), 2.0});
  if (name == text("sets")) return list({list({whole(7)}), list({whole(8)})});
  EXPECT_EQ(name, "plain");
  return map({{"b", byte_string("")},
              {"y", byte_string("\xff")},
              {"a", byte_string("xy")},
              {"t", list({whole(1), whole(2), whole(3), whole(4)})},
              {"n", map({{"1", {}}, {"2.5", true}})},
              {"i", list({std::uint64_t{1} << 63, std::numeric_limits<std::int64_t>::min(),
                          std::int64_t{1} << 31, whole(-1)})},
              {"z", array_of<double>({1, 2}, {2})}});
}

TEST(pickle, reads_what_python_writes) {
  for (auto& c : python_cases) {
    SCOPED_TRACE(c.name + " of protocol "s + std::to_string(c.protocol));
    auto bytes = hex(c.digits);
    EXPECT_EQ(bytes[1], c.protocol);
    EXPECT_EQ(refusal(bytes), "");
    if (refusal(bytes).empty()) {
      EXPECT_EQ(read(bytes), expected_of(c.name));
    }
  }
}

TEST(pickle, is_cut_short_at_every_byte) {
  for (auto& c : python_cases) {
    auto bytes = hex(c.digits);
    for (std::size_t n = 0; n < bytes.size(); ++n)
      ASSERT_NE(refusal(bytes.substr(0, n)), "") << c.name << " cut at " << n;
  }
  for (std::size_t n = 0; n < worked_example.size(); ++n)
    ASSERT_NE(refusal(worked_example.substr(0, n)), "") << n;
}

TEST(pickle, outlives_mutations) {
  std::mt19937 random(23);
  std::size_t taken = 0, refused = 0;
  for (int i = 0; i < 60'000; ++i) {
    auto& seed = python_cases[random() % std::size(python_cases)];
    auto bytes = random() % 8 == 0 ? worked_example : hex(seed.digits);
    for (auto n = 1 + random() % 4; n > 0; --n) {
      auto at = random() % bytes.size();
      switch (random() % 4) {
      case 0:
        bytes[at] = static_cast<char>(random());
        break;
      case 1:
        bytes.insert(at, 1, static_cast<char>(random()));
        break;
      case 2:
        bytes.erase(at, 1);
        break;
      default:
        bytes[at] = static_cast<char>(bytes[at] ^ 1 << random() % 8);
      }
      if (bytes.empty()) bytes = "x";
    }
    ++(refusal(bytes).empty() ? taken : refused);
  }
  EXPECT_GT(taken, 1000u);
  EXPECT_GT(refused, 10'000u);
}

// ---- limits ---------------------------------------------------------------------------------------------

std::string nested_tuples(std::size_t depth) { return ")" + std::string(depth - 1, '\x85'); }

TEST(pickle, bounds_the_depth) {
  EXPECT_EQ(refusal(with_body(nested_tuples(pickle_depth_limit))), "");
  EXPECT_THAT(refusal(with_body(nested_tuples(pickle_depth_limit + 1))), HasSubstr("nesting deeper than 64"));
  EXPECT_THAT(refusal(with_body(nested_tuples(1'000'000))), HasSubstr("nesting deeper than 64"));
  // Halves that are seen one after the other.
  auto half = nested_tuples(pickle_depth_limit / 2) + "q\1";
  auto on_top = std::string(pickle_depth_limit / 2, '\x85');
  EXPECT_EQ(refusal(with_body("(" + half + "h\1" + on_top.substr(1) + "t")), "");
  EXPECT_THAT(refusal(with_body("(" + half + "h\1" + on_top + "t")), HasSubstr("nesting deeper"));
}

TEST(pickle, drops_deep_nesting_that_nobody_asks_for) {
  EXPECT_EQ(read(with_body(nested_tuples(1'000'000) + "0N")), value());
}

/// A list of ten of `inside`, in a list of ten of those, and so on.
std::string laughs(std::string inside, int levels) {
  for (int i = 0; i < levels; ++i) {
    inside = "]" + std::string("(") + inside + "q" + static_cast<char>(i + 1);
    for (int k = 0; k < 9; ++k) inside += "h"s + static_cast<char>(i + 1);
    inside += "e";
  }
  return inside;
}

TEST(pickle, counts_what_is_shared_wherever_it_stands) {
  EXPECT_EQ(refusal(with_body(laughs("K\1", 3))), "");
  EXPECT_THAT(refusal(with_body(laughs("K\1", 9))), HasSubstr("values"));
  EXPECT_THAT(refusal(with_body(laughs("K\1", 60))), HasSubstr("values"));
  const auto text = "X" + little(100'000, 4) + std::string(100'000, 'x');
  EXPECT_EQ(refusal(with_body(laughs(text, 1))), "");
  EXPECT_THAT(refusal(with_body(laughs(text, 2))), HasSubstr("a result of more than"));
  const auto u1 = "cnumpy\ndtype\n\x8c\2u1\x89\x88\x87R"s;
  const auto array = "cnumpy.core.numeric\n_frombuffer\n(B" + little(100'000, 4) + std::string(100'000, 'x') +
                     u1 + "J" + little(100'000, 4) +
                     "\x85\x8c\1Ct"
                     "R";
  EXPECT_EQ(refusal(with_body(laughs(array, 1))), "");
  EXPECT_THAT(refusal(with_body(laughs(array, 2))), HasSubstr("a result of more than"));
  // Ten of these fit as they are, but not with twice the bytes.
  auto halves = array;
  halves.replace(halves.find("\x8c\2u1"), 4,
                 "\x8c\2"
                 "f2");
  halves.replace(halves.find("J" + little(100'000, 4)), 5, "J" + little(50'000, 4));
  EXPECT_EQ(refusal(with_body(halves)), "");
  EXPECT_THAT(refusal(with_body(laughs(halves, 1))), HasSubstr("a result of more than"));
}

/// `one` a thousand times over.
std::string thousand(std::string_view one) {
  std::string all;
  for (int i = 0; i < 1000; ++i) all += one;
  return all;
}

TEST(pickle, bounds_what_calls_make_of_shared_arguments) {
  const auto memory = "X" + little(100'000, 4) + std::string(100'000, 'x') +
                      "q\1"
                      "0\x8c\6latin1q\2"
                      "0";
  const auto encode = "c_codecs\nencode\nq\3"
                      "0"s,
             one = "h\3h\1h\2\x86R0"s;
  EXPECT_EQ(refusal(with_body(memory + encode + one + "N")), "");
  EXPECT_THAT(refusal(with_body(memory + encode + thousand(one) + "N")), HasSubstr("calls make more than"));
  const auto zeros = "B" + little(100'000, 4) + std::string(100'000, '\0') +
                     "q\1"
                     "0";
  const auto s = "cnumpy\ndtype\n\x8c\7S100000\x89\x88\x87Rq\2"
                 "0"s,
             scalar = "cnumpy.core.multiarray\nscalar\nq\3"
                      "0"s;
  EXPECT_EQ(refusal(with_body(zeros + s + scalar + "h\3h\2h\1\x86R")), "");
  EXPECT_THAT(refusal(with_body(zeros + s + scalar + thousand("h\3h\2h\1\x86R0") + "N")),
              HasSubstr("calls make more"));
  auto pairs = "](" + thousand("NN\x86") +
               "eq\1"
               "0ccollections\nOrderedDict\nq\2"
               "0";
  EXPECT_EQ(refusal(with_body(pairs + "h\2h\1\x85R")), "");
  EXPECT_THAT(refusal(with_body(pairs + thousand("h\2h\1\x85R0") + "N")), HasSubstr("calls make more than"));
}

TEST(pickle, bounds_numbers_of_objects_entries_and_keys) {
  EXPECT_EQ(refusal(with_body("(" + std::string(1'000'000, 'N') + "t")), "");
  EXPECT_THAT(refusal(with_body("(" + std::string(pickle_value_limit + 1, 'N') + "t")), HasSubstr("values"));
  EXPECT_THAT(refusal(with_body("(" + std::string(pickle_value_limit + 1, ']') + "t")), HasSubstr("objects"));
  EXPECT_EQ(refusal(with_body("N" + std::string(pickle_memo_limit, '\x94'))), "");
  EXPECT_THAT(refusal(with_body("N" + std::string(pickle_memo_limit + 1, '\x94'))), HasSubstr("in the memo"));
  auto dict = [](std::uint32_t keys) {
    auto body = "}("s;
    for (std::uint32_t i = 0; i < keys; ++i) body += "J" + little(i, 4) + "N";
    return body + "u";
  };
  EXPECT_EQ(refusal(with_body(dict(5'000))), "");
  EXPECT_THAT(refusal(with_body(dict(20'000))), HasSubstr("dicts with too many keys"));
}

TEST(pickle, bounds_texts_of_no_length) {
  auto texts = [](std::string_view code, std::uint64_t rows, std::uint64_t columns) {
    return with_body("cnumpy.core.numeric\n_frombuffer\n(C\0"s + "cnumpy\ndtype\n\x8c\2" + std::string(code) +
                     "\x89\x88\x87R" + "\x8a\x08" + little(rows, 8) + "\x8a\x08" + little(columns, 8) +
                     "\x86\x8c\1Ct"
                     "R");
  };
  EXPECT_EQ(read(texts("S0", 1, 2)), list({list({byte_string(""), byte_string("")})}));
  EXPECT_EQ(read(texts("U3", 2, 0)), list({list({}), list({})}));
  EXPECT_EQ(read(texts("f8", 1'000'000'000'000, 0)).as_array()->size(), 0u);
  EXPECT_THAT(refusal(texts("S0", 1000, 10'000)), HasSubstr("a result of more than"));
  EXPECT_THAT(refusal(texts("S0", 1'000'000, 1'000'000)), HasSubstr("a result of more than"));
  EXPECT_THAT(refusal(texts("U3", 1'000'000'000'000, 0)), HasSubstr("a result of more than"));
  EXPECT_THAT(refusal(texts("U0", std::uint64_t{1} << 62, 1'000'000)), HasSubstr("a result of more than"));
}

// ---- writing --------------------------------------------------------------------------------------------

value random_value(std::mt19937_64& random, int depth) {
  switch (random() % (depth > 0 ? 11 : 8)) {
  case 0:
    return {};
  case 1:
    return random() % 2 == 0;
  case 2:
    return static_cast<std::int64_t>(random()) >> random() % 64;
  case 3:
    return random() | std::uint64_t{1} << 63;
  case 4:
    return static_cast<double>(random()) / 3;
  case 5:
    return std::string(random() % 300, 'a') + "\xc3\xa4";
  case 6:
    return value_bytes(random() % 300, static_cast<std::byte>(random()));
  case 7: {
    std::vector<std::size_t> shape;
    for (auto n = random() % 5; n > 0; --n) shape.push_back(random() % 4);
    auto type = static_cast<dtype>(random() % 10);
    std::size_t bytes = size_of(type);
    for (auto extent : shape) bytes *= extent;
    auto data = std::make_shared_for_overwrite<std::byte[]>(bytes);
    for (std::size_t i = 0; i < bytes; ++i) data[i] = static_cast<std::byte>(random());
    return array(type, shape, std::move(data));
  }
  case 8: {
    value_map entries;
    for (auto n = random() % 5; n > 0; --n)
      entries.set("key " + std::to_string(n), random_value(random, depth - 1));
    return entries;
  }
  default: {
    value_list items;
    for (auto n = random() % 5; n > 0; --n) items.push_back(random_value(random, depth - 1));
    return items;
  }
  }
}

TEST(pickle, reads_what_it_writes) {
  std::mt19937_64 random(3);
  for (int i = 0; i < 500; ++i) {
    auto content = random_value(random, 4);
    for (int protocol : {2, 3, 4}) {
      auto bytes = written(content, protocol);
      EXPECT_EQ(bytes[1], protocol);
      ASSERT_EQ(refusal(bytes), "") << i;
      ASSERT_EQ(read(bytes), content) << i;
    }
  }
}

TEST(pickle, writes_long_lists_in_batches_as_python_does) {
  value_list items;
  for (int i = 0; i < 2500; ++i) items.push_back(whole(i));
  auto bytes = written(items, 3);
  EXPECT_EQ(std::count(bytes.begin(), bytes.end(), '('), std::count(bytes.begin(), bytes.end(), 'e'));
  EXPECT_EQ(read(bytes), value(items));
  EXPECT_EQ(written(list({whole(1)}), 3), "\x80\x03]q\0K\1a."s);
  EXPECT_EQ(written(list({whole(1), whole(2)}), 4), "\x80\4\x95\x09\0\0\0\0\0\0\0]\x94(K\1K\2e."s);
  EXPECT_EQ(written(value_bytes(), 2), "\x80\2c__builtin__\nbytes\nq\0)Rq\1."s);
}

TEST(pickle, writes_the_shortest_numbers) {
  const std::pair<value, std::string> cases[] = {
      {whole(0), "K\0"s},
      {whole(255), "K\xff"},
      {whole(256), "M\0\1"s},
      {whole(65536), "J\0\0\1\0"s},
      {whole(-1), "J\xff\xff\xff\xff"},
      {whole(std::int64_t{1} << 31), "\x8a\5\0\0\0\x80\0"s},
      {whole(-(std::int64_t{1} << 31) - 1), "\x8a\5\xff\xff\xff\x7f\xff"},
      {whole(std::numeric_limits<std::int64_t>::min()), "\x8a\x08\0\0\0\0\0\0\0\x80"s},
      {std::uint64_t{5}, "K\5"},
      {std::uint64_t{1} << 63, "\x8a\x09\0\0\0\0\0\0\0\x80\0"s},
  };
  for (auto& [content, body] : cases) EXPECT_EQ(written(content, 2), with_body(body));
}

TEST(pickle, refuses_to_write_what_nobody_reads) {
  EXPECT_THROW(write_pickle({}, 1), pickle_error);
  EXPECT_THROW(write_pickle({}, 5), pickle_error);
  EXPECT_THROW(write_pickle("\xff"), pickle_error);
  EXPECT_THROW(write_pickle(map({{"\xed\xa0\x80", {}}})), pickle_error);
  value deep = list({});
  for (std::size_t i = 1; i < pickle_depth_limit; ++i) deep = list({deep});
  EXPECT_EQ(read(written(deep, 4)), deep);
  EXPECT_THROW(write_pickle(list({deep})), pickle_error);
}

// ---- recordings -----------------------------------------------------------------------------------------

/// All parts of a recording that are pickles.
std::vector<value> pickles_of(const std::filesystem::path& path) {
  capture_reader reader(mapped_file::open(path));
  std::vector<value> found;
  while (auto message = reader.next())
    for (auto& part : message->frames())
      if (part.size() > 2 && part.text()[0] == '\x80' && part.text().back() == '.') {
        try {
          found.push_back(read_pickle(part.bytes()));
        } catch (const pickle_error&) {
          EXPECT_EQ(part.size() % 4096, 0u) << "only pixels look like a pickle without being one";
        }
      }
  EXPECT_EQ(reader.cut_off(), "");
  return found;
}

TEST(pickle, reads_the_recordings) {
  const std::pair<const char*, std::size_t> files[] = {{"contrast-dump.cbors", 26},
                                                       {"xspress3-dump.cbors", 20},
                                                       {"xspress3-multipart.cbors", 5},
                                                       {"maui-02-continuous-3.cbor.gz", 4}};
  for (auto& [name, count] : files) {
    auto path = test::find_recording(name);
    if (!path) GTEST_SKIP() << "no recording " << name;
    EXPECT_EQ(pickles_of(*path).size(), count) << name;
  }
  auto contrast = pickles_of(*test::find_recording("contrast-dump.cbors"));
  EXPECT_EQ(contrast[0], map({{"status", "heartbeat"}}));
  EXPECT_EQ(*contrast[1].find("status"), value("started"));
  EXPECT_EQ(contrast[1].find("snapshot")->as_map()->size(), 92u);
  EXPECT_EQ(contrast[2].find("pseudo")->as_map()->size(), 6u);
  EXPECT_EQ(contrast[2].find("panda0")->as_map()->size(), 19u);
  auto traces = pickles_of(*test::find_recording("maui-02-continuous-3.cbor.gz"));
  ASSERT_EQ(traces[0].as_list()->size(), 1u);
  EXPECT_TRUE(std::holds_alternative<double>(traces[0].as_list()->at(0).content()));
  auto spectra = pickles_of(*test::find_recording("xspress3-multipart.cbors"));
  ASSERT_EQ(spectra[0].as_list()->size(), 9u);
  EXPECT_EQ(spectra[0].as_list()->at(8).as_array()->shape(), (std::vector<std::size_t>{2, 4}));
}

} // namespace
} // namespace dtranspose
