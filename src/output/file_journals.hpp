/// Journals as files of a folder.
#pragma once

#include <filesystem>
#include <memory>

#include "output/journal.hpp"

namespace dtranspose {

/// `folder` is made when the first journal is. Files end in `.journal`.
std::shared_ptr<journal_store> make_file_journals(std::filesystem::path folder);

} // namespace dtranspose
