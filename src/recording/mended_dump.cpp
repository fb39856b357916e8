#include "recording/mended_dump.hpp"

#include <utility>
#include <vector>

#include "recording/dump_writer.hpp"

namespace dtranspose {

void mend_dump(const std::filesystem::path& path, packing how, const std::function<void(dump_item&&)>& show) {
  auto file = mapped_file::open(path);
  dump_reader reader(file);
  std::size_t end = 0;
  std::vector<dump_item> behind; // the last whole member of a packed file
  while (auto item = reader.next()) {
    end = item->end_offset;
    if (file->packed() && end > file->whole_size()) behind.push_back(*item);
    show(std::move(*item));
  }
  if (reader.cut_off().empty()) return;
  if (!file->packed()) return std::filesystem::resize_file(path, end);
  std::filesystem::resize_file(path, file->whole_packed());
  dump_writer again(path, how);
  for (auto& item : behind) again.append(item.event, item.streams, item.created_at);
  again.sync();
}

} // namespace dtranspose
