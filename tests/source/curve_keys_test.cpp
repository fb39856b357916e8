#include "source/curve_keys.hpp"

#include <fstream>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class curve_keys_test : public testing::Test {
 protected:
  void write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(file) << text;
    ::chmod(file.c_str(), mode);
  }

  std::string complaint(bool listens) {
    try {
      read_curve_keys(file, listens);
      return "none";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }

  // Z85 has no quotation marks.
  static std::string line(const std::string& key, const std::string& value) {
    return key + " = '" + value + "'\n";
  }

  test::temporary_directory folder;
  std::string file = folder / "keys.toml";
  curve_pair ours = make_curve_pair(), theirs = make_curve_pair();
  std::string pair = line("public", ours.public_key) + line("secret", ours.secret_key);
};

TEST_F(curve_keys_test, pairs_differ) {
  EXPECT_EQ(ours.public_key.size(), 40u);
  EXPECT_EQ(ours.secret_key.size(), 40u);
  EXPECT_NE(ours.public_key, theirs.public_key);
}

TEST_F(curve_keys_test, reads_those_of_a_stream_that_connects) {
  write(pair + line("server_public", theirs.public_key));
  auto keys = read_curve_keys(file, false);
  EXPECT_EQ(keys.ours.public_key, ours.public_key);
  EXPECT_EQ(keys.ours.secret_key, ours.secret_key);
  EXPECT_EQ(keys.server_public, theirs.public_key);
  EXPECT_FALSE(keys.clients);
}

TEST_F(curve_keys_test, reads_those_of_a_stream_that_listens) {
  write(pair);
  EXPECT_FALSE(read_curve_keys(file, true).clients);
  write(pair + "clients = ['" + theirs.public_key + "', '" + ours.public_key + "']\n");
  EXPECT_THAT(read_curve_keys(file, true).clients.value(), ElementsAre(theirs.public_key, ours.public_key));
}

TEST_F(curve_keys_test, refuses_a_file_that_others_may_read) {
  EXPECT_THAT(complaint(true), AllOf(HasSubstr(file), HasSubstr("No such file")));
  for (auto mode : {0640, 0604, 0644}) {
    write(pair, static_cast<mode_t>(mode));
    EXPECT_THAT(complaint(true), AllOf(HasSubstr(file), HasSubstr("chmod 600")));
  }
}

TEST_F(curve_keys_test, names_what_is_wrong_but_no_secret) {
  auto server = line("server_public", theirs.public_key);
  auto cut = ours.secret_key.substr(0, 39);
  struct {
    std::string text;
    bool listens;
    std::string place, what;
  } cases[] = {
      {"", true, "", "public: is missing"},
      {line("public", ours.public_key), true, "", "secret: is missing"},
      {pair, false, "", "server_public: is missing"},
      {pair + server, true, ":3: server_public", "this one listens"},
      {pair + server + "clients = []\n", false, ":4: clients", "this one connects"},
      {pair + "clients = []\n", true, ":3: clients", "leave it out"},
      {pair + "clients = 'x'\n", true, ":3: clients", "is no list of keys"},
      {pair + "clients = ['" + theirs.public_key + "', 'x']\n", true, ":3: clients, entry 2",
       "is no CURVE key"},
      {line("public", ours.public_key) + line("secret", cut), true, ":2: secret", "is no CURVE key"},
      {line("public", ours.public_key) + line("secret", cut + "~"), true, ":2: secret", "is no CURVE key"},
      {"public = 3\n" + line("secret", ours.secret_key), true, ":1: public", "is no CURVE key"},
      {line("public", theirs.public_key) + line("secret", ours.secret_key), true, ":1: public",
       "does not belong"},
      {pair + "server = 'x'\n", false, ":3: server", "unknown key"},
      {line("public", ours.public_key) + "secret = " + ours.secret_key + "\n", true, ":2", "is not TOML"},
  };
  for (auto& one : cases) {
    write(one.text);
    EXPECT_THAT(complaint(one.listens),
                AllOf(HasSubstr(file + one.place), HasSubstr(one.what), Not(HasSubstr(cut))))
        << one.text;
  }
}

} // namespace
} // namespace dtranspose
