#include <mutex>
#include <set>
#include <shared_mutex>
#include <string>

#include "model/type_tag.hpp"

namespace dtranspose {

namespace {

/// A site knows some dozen wire formats; this many is a file that means harm.
constexpr std::size_t max_tags = 4096;
/// Longer than any name of a format, short enough for `max_tags` of them to be small.
constexpr std::size_t max_tag_size = 256;

struct tag_table {
  std::shared_mutex mutex;
  std::set<std::string, std::less<>> tags; // its texts stay where they are as it grows
};

} // namespace

std::string_view intern_type(std::string_view tag) {
  // Never destroyed: threads may still hold tags while the process ends.
  static auto& table = *new tag_table;
  if (tag.size() > max_tag_size) return "other";
  {
    std::shared_lock lock(table.mutex);
    if (auto known = table.tags.find(tag); known != table.tags.end()) return *known;
  }
  std::unique_lock lock(table.mutex);
  if (auto known = table.tags.find(tag); known != table.tags.end()) return *known;
  if (table.tags.size() >= max_tags) return "other";
  return *table.tags.emplace(tag).first;
}

} // namespace dtranspose
