/// The page at `/`, which lies packed in the program: what the build made of `web/`. It is public, as it says
/// nothing of any scan; whatever it shows it asks of the routes, with the viewer's token where they want one.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include <httplib.h>

namespace dtranspose {

struct page_file {
  std::string_view path;   ///< `/` is the page itself
  std::string_view type;   ///< its Content-Type
  std::string_view tag;    ///< changes with the content; goes into the header ETag
  std::string_view packed; ///< gzip
};

/// The files that this program was built with; none if the build had no npm. The build writes the source of
/// it.
std::span<const page_file> built_page_files();

/// The file of that path, or null.
const page_file* find_page_file(std::span<const page_file> files, std::string_view path);

/// Answers GET and HEAD with a file, packed to who takes that, or with 304 to who has it. `policy` is its
/// Content-Security-Policy.
void answer_page_file(const httplib::Request& request, httplib::Response& response, const page_file& file,
                      const std::string& policy, bool takes_gzip);

/// What stands in for the page in a program without it: says so, and links to `routes`.
void answer_plain_page(httplib::Response& response, std::span<const std::string_view> routes);

/// What the page may load: its own files; and whom it may ask: this server, and the one with the results.
///
/// `results` is what `config` says of that one, such as `http://node7:5001`, or empty. `host` is the header
/// Host: the page asks that host too, at the port of the results, for who came through a tunnel or by another
/// name. What is no address is left out.
std::string page_policy(std::string_view results, std::string_view host);

} // namespace dtranspose
