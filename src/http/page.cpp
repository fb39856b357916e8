#include "http/page.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "recording/gzip.hpp"

namespace dtranspose {
namespace {

using std::string_view;

/// Unpacked, the page is far smaller.
constexpr std::size_t largest_file = std::size_t{64} << 20;

/// Parts of a header's list, without the blanks around them.
template <class Visit>
void for_each_part(string_view list, Visit visit) {
  while (!list.empty()) {
    auto comma = std::min(list.find(','), list.size());
    auto part = list.substr(0, comma);
    while (part.starts_with(' ')) part.remove_prefix(1);
    while (part.ends_with(' ')) part.remove_suffix(1);
    visit(part);
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
}

bool has_it_already(const httplib::Request& request, string_view tag) {
  bool has = false;
  for_each_part(request.get_header_value("If-None-Match"), [&](string_view part) {
    if (part.starts_with("W/")) part.remove_prefix(2);
    has = has || part == "*" || part == tag;
  });
  return has;
}

std::string unzipped(string_view packed) {
  auto content = unpack_gzip(std::as_bytes(std::span(packed)), largest_file);
  return {reinterpret_cast<const char*>(content.memory.get()), content.size};
}

void set_common_headers(httplib::Response& response, const std::string& policy) {
  response.set_header("Content-Security-Policy", policy);
  response.set_header("X-Content-Type-Options", "nosniff");
  response.set_header("Referrer-Policy", "no-referrer");
}

bool is_of(string_view text, string_view characters) {
  return !text.empty() && text.find_first_not_of(characters) == string_view::npos;
}

struct web_address {
  string_view scheme, host, port; ///< port may be empty
};

/// HOST or HOST:PORT, with brackets around an IPv6 address.
std::optional<web_address> parse_host(string_view text) {
  constexpr string_view digits = "0123456789";
  constexpr string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_";
  web_address address;
  auto end = text.starts_with('[') ? text.find(']') + 1 : std::min(text.find(':'), text.size());
  address.host = text.substr(0, end);
  auto port = text.substr(end);
  if (!port.empty() && (port[0] != ':' || !is_of(port.substr(1), digits))) return std::nullopt;
  if (!port.empty()) address.port = port.substr(1);
  auto name = address.host;
  bool six = name.starts_with('[') && name.ends_with(']') && name.size() > 2;
  if (!(six ? is_of(name.substr(1, name.size() - 2), "0123456789abcdefABCDEF:.") : is_of(name, letters)))
    return std::nullopt;
  return address;
}

std::optional<web_address> parse_url(string_view url) {
  for (string_view scheme : {"http", "https"}) {
    auto rest = url;
    if (!rest.starts_with(scheme)) continue;
    rest.remove_prefix(scheme.size());
    if (!rest.starts_with("://")) continue;
    rest.remove_prefix(3);
    auto address = parse_host(rest.substr(0, rest.find('/')));
    if (address) address->scheme = scheme;
    return address;
  }
  return std::nullopt;
}

std::string origin_of(string_view scheme, string_view host, string_view port) {
  return fmt::format(" {}://{}{}{}", scheme, host, port.empty() ? "" : ":", port);
}

} // namespace

const page_file* find_page_file(std::span<const page_file> files, string_view path) {
  auto found = std::ranges::find(files, path, &page_file::path);
  return found == files.end() ? nullptr : &*found;
}

void answer_page_file(const httplib::Request& request, httplib::Response& response, const page_file& file,
                      const std::string& policy, bool takes_gzip) {
  auto tag = fmt::format("\"{}\"", file.tag);
  set_common_headers(response, policy);
  response.set_header("ETag", "W/" + tag);
  response.set_header("Cache-Control", "no-cache"); // may be kept, and is asked for again
  response.set_header("Vary", "Accept-Encoding");
  std::string type(file.type);
  if (has_it_already(request, tag)) {
    response.status = 304;
    return;
  }
  response.status = 200;
  if (!takes_gzip) return response.set_content(unzipped(file.packed), type);
  response.set_header("Content-Encoding", "gzip");
  response.set_content(file.packed.data(), file.packed.size(), type);
}

void answer_plain_page(httplib::Response& response, std::span<const string_view> routes) {
  std::string links;
  for (auto& route : routes) links.append(fmt::format("<li><a href=\"{0}\">{0}</a></li>\n", route));
  set_common_headers(response,
                     "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'");
  response.status = 200;
  response.set_content("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">"
                       "<meta name=\"viewport\" content=\"width=device-width\"><title>dtranspose</title>\n"
                       "<h1>dtranspose</h1>\n<p>This program was built without its live page: the build "
                       "found no npm, or npm could "
                       "not fetch the packages of the page. Install npm and build again. What the page would "
                       "show is here:</p>\n"
                       "<ul>\n" +
                           links + "</ul>\n</html>\n",
                       "text/html; charset=utf-8");
}

std::string page_policy(string_view results, string_view host) {
  std::string origins;
  if (auto server = parse_url(results)) {
    origins = origin_of(server->scheme, server->host, server->port);
    if (auto own = parse_host(host); own && own->host != server->host)
      origins.append(origin_of(server->scheme, own->host, server->port));
  }
  return fmt::format("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
                     "connect-src 'self'{}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                     origins);
}

} // namespace dtranspose
