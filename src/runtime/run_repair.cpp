#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "output/file_mending.hpp"
#include "runtime/commands.hpp"

namespace dtranspose {

namespace {

std::string_view name_of(mending what) {
  constexpr std::string_view names[] = {"cleared", "sound", "in use", "hopeless"};
  return names[static_cast<std::size_t>(what)];
}

std::string sentence_of(const mended_file& file) {
  auto readable = fmt::format("{} data sets can be read", file.data_sets);
  switch (file.what) {
  case mending::cleared:
    return "it was marked as being written; it is not any more, and " + readable;
  case mending::sound:
    return "nothing was to be done; " + readable;
  case mending::in_use:
    return "a process is writing it: left alone";
  case mending::hopeless:
    break;
  }
  return "cannot be repaired: " + file.reason;
}

} // namespace

int run_repair(const repair_command& command) {
  auto list = nlohmann::ordered_json::array();
  bool all = true;
  for (auto& path : command.files) {
    auto file = mend_file(path);
    all = all && (file.what == mending::cleared || file.what == mending::sound);
    list.push_back({{"file", path}, {"what", name_of(file.what)}, {"data_sets", file.data_sets}});
    if (!file.reason.empty()) list.back()["reason"] = file.reason;
    if (!command.json) fmt::print("{}: {}\n", path, sentence_of(file));
  }
  if (command.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"files", list}}.dump(
                           -1, ' ', false, nlohmann::ordered_json::error_handler_t::replace));
  return all ? 0 : 1;
}

} // namespace dtranspose
