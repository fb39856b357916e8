/// The routes below `/api/v1` of the results server: what the page and scripts read.
#pragma once

#include <string>
#include <string_view>

#include "http/results_answers.hpp"

namespace dtranspose {

/// `route` is the path behind `/api/v1/`. The stream of events is the server's own.
std::string_view results_route_methods(std::string_view route);

/// Throws results_error.
results_answer answer_route(const snapshot_store& store, std::string_view route,
                            const results_request& request);

/// The headers that pages of other origins may read.
inline constexpr std::string_view results_headers =
    "X-Scan, X-Snapshot, X-Shape, X-Full-Shape, X-Rows, X-Columns, X-Range";

/// One server-sent event.
std::string event_text(const snapshot& s);

/// Events per second, of `?rate=`; throws results_error.
double event_rate(const results_request& request);

} // namespace dtranspose
