/// Journals in memory: they outlive the process that wrote them, and can be read as it wrote them.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "output/journal.hpp"

namespace dtranspose::simulation {

struct journal_record {
  std::uint8_t kind;
  std::vector<std::byte> content;
};

class memory_journals final : public journal_store {
 public:
  struct file {
    std::vector<journal_record> records;
    std::size_t safe = 0; ///< so many of them survive the death of the process
  };

  std::unique_ptr<journal> open(const std::string& name, const journal_reader& each) override;
  std::vector<std::string> names() const override;

  /// The process is killed.
  void crash();

  bool full = false;
  /// An injected bug: what is committed is in memory, and written with the next.
  bool pretends = false;
  std::map<std::string, std::shared_ptr<file>> files;
  /// As they were when they were removed.
  std::map<std::string, std::shared_ptr<file>> removed;
};

} // namespace dtranspose::simulation
