#include "simulation/journals.hpp"

namespace dtranspose::simulation {

namespace {

class memory_journal final : public journal {
 public:
  memory_journal(memory_journals& store, std::string name)
      : store_(store), name_(std::move(name)), file_(store.files.at(name_)) {}

  void append(std::uint8_t kind, std::span<const std::byte> content) override {
    pending_.push_back({kind, {content.begin(), content.end()}});
  }
  void commit() override {
    if (store_.full) throw journal_full("there is no room");
    auto before = file_->records.size();
    for (auto& record : pending_) file_->records.push_back(std::move(record));
    file_->safe = store_.pretends && !pending_.empty() ? before : file_->records.size();
    pending_.clear();
  }
  void sync() override { commit(); }
  void remove() override {
    store_.removed[name_] = file_;
    store_.files.erase(name_);
  }

 private:
  memory_journals& store_;
  std::string name_;
  std::shared_ptr<memory_journals::file> file_;
  std::vector<journal_record> pending_;
};

} // namespace

std::unique_ptr<journal> memory_journals::open(const std::string& name, const journal_reader& each) {
  auto& f = files[name];
  if (!f) f = std::make_shared<file>();
  if (each)
    for (auto& record : f->records) each(record.kind, record.content);
  return std::make_unique<memory_journal>(*this, name);
}

std::vector<std::string> memory_journals::names() const {
  std::vector<std::string> list;
  for (auto& [name, f] : files) list.push_back(name);
  return list;
}

void memory_journals::crash() {
  for (auto& [name, f] : files) f->records.resize(f->safe);
}

} // namespace dtranspose::simulation
