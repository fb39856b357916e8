#include "recording/mended_dump.hpp"

#include "recording/dump_writer.hpp"

namespace dtranspose {

std::vector<dump_item> mend_dump(const std::filesystem::path& path, packing how) {
  auto file = mapped_file::open(path);
  dump_reader reader(file);
  std::vector<dump_item> items;
  while (auto item = reader.next()) items.push_back(std::move(*item));
  if (reader.cut_off().empty()) return items;
  if (!file->packed()) {
    std::filesystem::resize_file(path, items.empty() ? 0 : items.back().end_offset);
    return items;
  }
  std::filesystem::resize_file(path, file->whole_packed());
  dump_writer again(path, how);
  for (auto& item : items)
    if (item.end_offset > file->whole_size()) again.append(item.event, item.streams, item.created_at);
  again.sync();
  return items;
}

} // namespace dtranspose
