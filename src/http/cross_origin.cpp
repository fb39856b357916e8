#include "http/cross_origin.hpp"

#include <string>

namespace dtranspose {

void allow_origin(const httplib::Request& request, httplib::Response& response, bool with_tokens,
                  std::string_view readable) {
  if (!readable.empty()) response.set_header("Access-Control-Expose-Headers", std::string(readable));
  if (with_tokens) return response.set_header("Access-Control-Allow-Origin", "*");
  response.set_header("Vary", "Origin");
  if (!request.has_header("Origin")) return;
  response.set_header("Access-Control-Allow-Origin", request.get_header_value("Origin"));
  response.set_header("Access-Control-Allow-Credentials", "true");
}

void answer_preflight(const httplib::Request& request, httplib::Response& response, bool with_tokens) {
  response.status = 204;
  response.set_header("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
  response.set_header("Access-Control-Max-Age", "600");
  auto headers = request.get_header_value("Access-Control-Request-Headers");
  if (with_tokens) headers += headers.empty() ? "authorization, content-type" : ", authorization";
  if (!headers.empty()) response.set_header("Access-Control-Allow-Headers", headers);
}

} // namespace dtranspose
