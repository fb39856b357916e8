/// Whose pages may use our servers from a browser.
#pragma once

#include <string_view>

#include <httplib.h>

namespace dtranspose {

/// Without tokens: pages of any origin, with what their browser knows of the person. With tokens: those of
/// any origin that were given one, which they send themselves; what the browser knows is not asked for, so
/// that no page can use somebody else's access. `readable`: headers of answers that they may read.
void allow_origin(const httplib::Request& request, httplib::Response& response, bool with_tokens,
                  std::string_view readable = {});

/// Answers the question of a browser whether a page may send such a request.
void answer_preflight(const httplib::Request& request, httplib::Response& response, bool with_tokens);

} // namespace dtranspose
