#include "http/access_tokens.hpp"

#include <fstream>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "temporary_directory.hpp"

namespace dtranspose {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class access_tokens_test : public testing::Test {
 protected:
  void write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(file) << text;
    ::chmod(file.c_str(), mode);
  }

  std::string complaint() {
    try {
      access_tokens tokens(file);
      return "none";
    } catch (const std::runtime_error& error) {
      return error.what();
    }
  }
  std::string complaint(const std::string& text) {
    write(text);
    return complaint();
  }

  test::temporary_directory folder;
  std::string file = folder / "tokens.toml";
};

/// Three tokens, one of them as a digest.
constexpr auto three = R"([[token]]
name = "page"
scope = "view"
secret = "page-0123456789abcdef"

[[token]]
name = "tuner"
scope = "tune"
sha256 = "BC9BA0EDE8B2EDAFC1C42E3CB43D1B14FD60CDC9DB68F8E3C5C4E8B0C0FDD6D7"

[[token]]
name = "sequencer"
scope = "control"
secret = "sequencer+/=._~0123456789"
)";

TEST_F(access_tokens_test, know_their_scopes) {
  write(three);
  access_tokens tokens(file);
  EXPECT_EQ(tokens.size(), 3u);
  auto page = tokens.check("Bearer page-0123456789abcdef");
  ASSERT_TRUE(page);
  EXPECT_EQ(page->name, "page");
  EXPECT_EQ(page->scope, access_scope::view);
  EXPECT_EQ(page->token, 0u);
  auto sequencer = tokens.check("bearer   sequencer+/=._~0123456789  ");
  ASSERT_TRUE(sequencer);
  EXPECT_EQ(sequencer->name, "sequencer");
  EXPECT_EQ(sequencer->scope, access_scope::control);
  EXPECT_LT(access_scope::view, access_scope::tune);
  EXPECT_LT(access_scope::tune, access_scope::control);
}

TEST_F(access_tokens_test, may_be_given_as_digests) {
  // printf %s an-example-secret-of-ours | sha256sum
  write("[[token]]\nname='a'\nscope='tune'\n"
        "sha256='ebbf3ab43bc7a925583137faeb9e13675fa450e77bc81e95ea89b34245934460'\n");
  access_tokens tokens(file);
  auto found = tokens.check("Bearer an-example-secret-of-ours");
  ASSERT_TRUE(found);
  EXPECT_EQ(found->scope, access_scope::tune);
}

TEST_F(access_tokens_test, take_nothing_else) {
  write(three);
  access_tokens tokens(file);
  for (auto text :
       {"", "Bearer", "Bearer ", "Bearer    ", "Bearer page-0123456789abcde", "Bearer page-0123456789abcdef0",
        "Bearer Page-0123456789abcdef", "Basic page-0123456789abcdef", "page-0123456789abcdef",
        "Bearerpage-0123456789abcdef", "Bearer\tpage-0123456789abcdef", "Bearer page-0123456789abcdef x",
        "Bearer page-0123456789abcdef, Bearer page-0123456789abcdef", "xBearer page-0123456789abcdef",
        "Bearer BC9BA0EDE8B2EDAFC1C42E3CB43D1B14FD60CDC9DB68F8E3C5C4E8B0C0FDD6D7"})
    EXPECT_FALSE(tokens.check(text)) << text;
  EXPECT_FALSE(tokens.check(std::string_view("Bearer page-0123456789abcdef\0", 29)));
}

TEST_F(access_tokens_test, a_digest_of_nothing_opens_nothing) {
  write("[[token]]\nname='a'\nscope='control'\n"
        "sha256='e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'\n");
  access_tokens tokens(file);
  for (auto text : {"", "Bearer", "Bearer ", "Basic x"}) EXPECT_FALSE(tokens.check(text)) << text;
}

TEST_F(access_tokens_test, refuse_a_file_that_is_not_ours_alone) {
  EXPECT_THAT(complaint(), AllOf(HasSubstr(file), HasSubstr("No such file")));
  for (auto mode : {0640, 0604, 0620, 0660, 0644, 0610}) {
    write(three, static_cast<mode_t>(mode));
    EXPECT_THAT(complaint(), AllOf(HasSubstr(file), HasSubstr("chmod 600"))) << std::oct << mode;
  }
  for (auto mode : {0600, 0400, 0700}) {
    write(three, static_cast<mode_t>(mode));
    EXPECT_EQ(complaint(), "none") << std::oct << mode;
    ::chmod(file.c_str(), 0600);
  }
  file = folder.path();
  EXPECT_THAT(complaint(), AllOf(HasSubstr(file), HasSubstr("no ordinary file")));
  file = folder / "pipe";
  ASSERT_EQ(::mkfifo(file.c_str(), 0600), 0);
  EXPECT_THAT(complaint(), HasSubstr("no ordinary file"));
}

TEST_F(access_tokens_test, refuse_a_file_of_another_user) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a file away";
  write(three);
  ASSERT_EQ(::chown(file.c_str(), 65534, 65534), 0);
  EXPECT_THAT(complaint(), AllOf(HasSubstr(file), HasSubstr("another user")));
}

TEST_F(access_tokens_test, refuse_a_file_that_is_too_large) {
  EXPECT_THAT(complaint(std::string((1 << 20) + 1, '#')), HasSubstr("larger than 1 MiB"));
}

TEST_F(access_tokens_test, name_what_is_wrong_with_a_file_but_no_secret) {
  const std::string start = "[[token]]\nname = \"page\"\nscope = \"view\"\n";
  const std::string good = start + "secret = \"0123456789abcdef\"\n";
  struct {
    std::string text, place, what;
  } cases[] = {
      {"", "", "has no [[token]]"},
      {"# nothing\n", "", "has no [[token]]"},
      {"token = []", "", "has no [[token]]"},
      {"token = 3", "", "has no [[token]]"},
      {"token = [3]", ":1:", "is no table"},
      {"\n[tokens]\n", ":2:", "unknown key"},
      {good + "\nsekret = \"hidden-hidden-hidden\"\n", ":6:", "[[token]] 1 sekret: unknown key"},
      {"[[token]]\nscope = \"view\"\nsecret = \"0123456789abcdef\"\n", ":1:", "name: is missing"},
      {"[[token]]\nname = 3\n", ":2:", "name: is no text"},
      {"[[token]]\nname = \"a\"\nsecret = \"0123456789abcdef\"\n", ":1:", "scope: is missing"},
      {"[[token]]\nname = \"a\"\nscope = \"admin\"\nsecret = \"0123456789abcdef\"\n",
       ":3:", "scope: is neither"},
      {start, ":1:", "[[token]] 1 (page): needs one of secret and sha256"},
      {good + "sha256 = \"00\"\n", ":1:", "needs one of secret and sha256"},
      {start + "secret = \"hidden-hidden-h\"\n", ":4:", "secret: is shorter than 16"},
      {start + "secret = \"hidden hidden hidden\"\n", ":4:", "secret: holds blanks"},
      {start + "secret = \"hidden-hidden-hiddén\"\n", ":4:", "secret: holds blanks"},
      {start + "sha256 = \"hidden\"\n", ":4:", "sha256: is not 64"},
      {start + "sha256 = \"" + std::string(63, 'a') + "g\"\n", ":4:", "sha256: is not 64"},
      {start + "secret = hidden-hidden-hidden\n", ":4:", "is not TOML"},
      {start + "secret = \"hidden-hidden-hidden\n", ":4:", "is not TOML"},
      {good + good, ":5:", "[[token]] 2 (page): has the same secret as [[token]] 1 (page)"},
      {good + start + "sha256 = \"9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f\"\n",
       ":5:", "has the same secret"},
  };
  for (auto& one : cases) {
    auto said = complaint(one.text);
    EXPECT_THAT(said, AllOf(HasSubstr(file + one.place), HasSubstr(one.what))) << one.text;
    EXPECT_THAT(said, testing::Not(HasSubstr("hidden"))) << one.text;
    EXPECT_THAT(said, testing::Not(HasSubstr("0123456789abcdef"))) << one.text;
  }
}

} // namespace
} // namespace dtranspose
