#include "http/page.hpp"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <httplib.h>

#include "http/http_listener.hpp"

namespace dtranspose {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// "hello" as gzip writes it.
constexpr std::string_view packed_hello("\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\x07\x00"
                                        "\x86\xa6\x10\x36\x05\x00\x00\x00",
                                        25);

constexpr page_file hello{"/hello.js", "text/javascript; charset=utf-8", "0123456789abcdef", packed_hello};

/// Answers everything with one file.
class file_server : public http_listener {
 public:
  file_server() : http_listener({}) {}
  ~file_server() override { stop_and_join(); }

 private:
  void answer(const httplib::Request& request, httplib::Response& response,
              const httplib::ContentReader*) override {
    answer_page_file(request, response, hello, "default-src 'none'", client_takes_gzip());
  }
};

class page_test : public testing::Test {
 protected:
  page_test() {
    server.bind("127.0.0.1", 0);
    server.start();
  }

  httplib::Result get(const httplib::Headers& headers) {
    httplib::Client client("127.0.0.1", server.port());
    client.set_decompress(false);
    return client.Get("/hello.js", headers);
  }

  file_server server;
};

TEST_F(page_test, goes_out_as_it_is_packed) {
  auto answer = get({{"Accept-Encoding", "gzip, deflate, br"}});
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->body, packed_hello);
  EXPECT_EQ(answer->get_header_value("Content-Encoding"), "gzip");
  EXPECT_EQ(answer->get_header_value("Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(answer->get_header_value("Vary"), "Accept-Encoding");
  EXPECT_EQ(answer->get_header_value("Cache-Control"), "no-cache");
  EXPECT_EQ(answer->get_header_value("Content-Security-Policy"), "default-src 'none'");
  EXPECT_EQ(answer->get_header_value("X-Content-Type-Options"), "nosniff");
}

TEST_F(page_test, is_unpacked_for_who_takes_no_gzip) {
  for (auto accepted : {"", "identity", "br, deflate"}) {
    auto answer = get({{"Accept-Encoding", accepted}});
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->body, "hello") << accepted;
    EXPECT_FALSE(answer->has_header("Content-Encoding")) << accepted;
  }
}

TEST_F(page_test, is_not_sent_to_who_has_it) {
  auto tag = get({{"Accept-Encoding", "gzip"}})->get_header_value("ETag");
  EXPECT_THAT(tag, HasSubstr("\"0123456789abcdef\""));
  for (auto& known : {tag, std::string("\"0123456789abcdef\""), "\"other\", " + tag, std::string("*")}) {
    auto answer = get({{"Accept-Encoding", "gzip"}, {"If-None-Match", known}});
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 304) << known;
    EXPECT_EQ(answer->body, "") << known;
    EXPECT_EQ(answer->get_header_value("ETag"), tag);
  }
  for (auto unknown : {"", "\"other\"", "0123456789abcdef"})
    EXPECT_EQ(get({{"Accept-Encoding", "gzip"}, {"If-None-Match", unknown}})->status, 200) << unknown;
}

TEST(page, finds_files_by_path) {
  const page_file files[] = {{"/", "text/html", "1", ""}, hello};
  EXPECT_EQ(find_page_file(files, "/hello.js"), &files[1]);
  EXPECT_EQ(find_page_file(files, "/"), &files[0]);
  EXPECT_EQ(find_page_file(files, "/hello"), nullptr);
  EXPECT_EQ(find_page_file({}, "/"), nullptr);
}

/// What comes after connect-src.
std::string connects_to(std::string_view results, std::string_view host) {
  auto policy = page_policy(results, host);
  auto begin = policy.find("connect-src ") + 12;
  return policy.substr(begin, policy.find(';', begin) - begin);
}

TEST(page_policy, lets_the_page_ask_this_server_and_the_results) {
  EXPECT_EQ(connects_to("", "127.0.0.1:5000"), "'self'");
  EXPECT_EQ(connects_to("http://127.0.0.1:5001", "127.0.0.1:5000"), "'self' http://127.0.0.1:5001");
  EXPECT_EQ(connects_to("https://node7.example:5001", "node1.example:5000"),
            "'self' https://node7.example:5001 https://node1.example:5001");
  EXPECT_EQ(connects_to("http://0.0.0.0:5001/", "node1"), "'self' http://0.0.0.0:5001 http://node1:5001");
  EXPECT_EQ(connects_to("http://[::1]:5001", "[::1]:5000"), "'self' http://[::1]:5001");
  EXPECT_EQ(connects_to("http://node7", "localhost:5000"), "'self' http://node7 http://localhost");
}

TEST(page_policy, takes_no_words_from_a_header_or_an_address) {
  for (auto host : {"evil; script-src *", "a b", "a'b", "", "[::1", "[x]", "a:b", "a:", "*"})
    EXPECT_EQ(connects_to("http://node7:5001", host), "'self' http://node7:5001") << host;
  for (auto results :
       {"ftp://node7", "node7:5001", "http://a b", "http://; script-src *", "http://*:5001", "null"})
    EXPECT_EQ(connects_to(results, "node1"), "'self'") << results;
  EXPECT_THAT(page_policy("", ""), StartsWith("default-src 'none'; script-src 'self'; style-src 'self';"));
  EXPECT_THAT(page_policy("http://x'unsafe-inline'", ""), Not(HasSubstr("unsafe")));
}

TEST(plain_page, says_what_is_missing_and_links_the_routes) {
  httplib::Response response;
  const std::string_view routes[] = {"/api/v1/progress", "/api/v1/ledger"};
  answer_plain_page(response, routes);
  EXPECT_EQ(response.status, 200);
  EXPECT_THAT(response.body, HasSubstr("npm"));
  EXPECT_THAT(response.body, HasSubstr("href=\"/api/v1/progress\""));
  EXPECT_THAT(response.body, HasSubstr("href=\"/api/v1/ledger\""));
  EXPECT_THAT(response.get_header_value("Content-Type"), HasSubstr("text/html"));
  EXPECT_THAT(response.get_header_value("Content-Security-Policy"), StartsWith("default-src 'none'"));
}

TEST(built_page_files, are_whole) {
  if (built_page_files().empty()) GTEST_SKIP() << "this program was built without its page";
  auto page = find_page_file(built_page_files(), "/");
  ASSERT_TRUE(page);
  for (auto& file : built_page_files()) {
    httplib::Request request;
    httplib::Response response;
    answer_page_file(request, response, file, "", false);
    EXPECT_EQ(response.status, 200) << file.path;
    EXPECT_GT(response.body.size(), 100) << file.path;
    EXPECT_NE(file.type, "") << file.path;
    EXPECT_EQ(file.tag.size(), 16) << file.path;
  }
}

} // namespace
} // namespace dtranspose
