#include "file_journals.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>

#include "output/record_log.hpp"

namespace dtranspose {

namespace {

constexpr std::string_view ending = ".journal";

class file_journal final : public journal {
 public:
  file_journal(std::filesystem::path path, const std::string& label, const journal_reader& each)
      : log_(std::move(path), label, [&](const record_log::record& r) {
          if (each) each(r.kind, r.content);
        }) {
    if (log_.damaged())
      spdlog::error("{}: damaged: {} bytes from there on are left out", log_.path().string(),
                    log_.recovered());
    else if (log_.recovered() > 0)
      spdlog::info("{}: {} bytes that were not written to their end are left out", log_.path().string(),
                   log_.recovered());
  }

  void append(std::uint8_t kind, std::span<const std::byte> content) override { log_.append(kind, content); }
  void commit() override {
    in_full([this] { log_.commit(); });
  }
  void sync() override {
    in_full([this] { log_.sync(); });
  }
  void remove() override { log_.remove(); }

 private:
  template <class F>
  static void in_full(F&& f) {
    try {
      f();
    } catch (const record_log_full& e) {
      throw journal_full(e.what());
    }
  }

  record_log log_;
};

class file_journals final : public journal_store {
 public:
  explicit file_journals(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::unique_ptr<journal> open(const std::string& name, const journal_reader& each) override {
    auto label = fmt::format("dtranspose {}", name.substr(0, name.find('-')));
    return std::make_unique<file_journal>(folder_ / (name + std::string(ending)), label, each);
  }

  std::vector<std::string> names() const override {
    std::vector<std::string> list;
    std::error_code none;
    for (auto& entry : std::filesystem::directory_iterator(folder_, none))
      if (entry.path().extension() == ending) list.push_back(entry.path().stem().string());
    std::sort(list.begin(), list.end());
    return list;
  }

 private:
  std::filesystem::path folder_;
};

} // namespace

std::shared_ptr<journal_store> make_file_journals(std::filesystem::path folder) {
  return std::make_shared<file_journals>(std::move(folder));
}

} // namespace dtranspose
