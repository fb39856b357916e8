/// Dumps that go on after a crash.
#pragma once

#include <filesystem>
#include <functional>

#include "recording/dump.hpp"
#include "recording/gathering_file.hpp"

namespace dtranspose {

/// Shows all whole items of a dump. What is cut off within an item would hide what is written behind it, and
/// is cut away; of a packed file, what is whole in a member that is cut off is packed anew. Throws
/// std::runtime_error, naming the file.
void mend_dump(const std::filesystem::path& path, packing how, const std::function<void(dump_item&&)>& show);

} // namespace dtranspose
