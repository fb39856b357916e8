/// What went wrong in the small, once per kind: bounded however often it happens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace dtranspose {

class complaint_list {
 public:
  /// Counts a complaint about `subject`. `text` is kept of the first one of its subject.
  void add(std::string_view subject, std::string_view text) {
    auto known = entries_.find(subject);
    if (known != entries_.end())
      ++known->second.more;
    else if (entries_.size() < most_subjects)
      entries_.emplace(subject, entry{std::string(text), 0});
    else
      ++unnamed_;
  }

  /// One line per subject.
  std::vector<std::string> lines() const {
    std::vector<std::string> all;
    for (auto& [subject, entry] : entries_)
      all.push_back(subject + ": " + entry.text +
                    (entry.more ? " (and " + std::to_string(entry.more) + " more times)" : ""));
    if (unnamed_) all.push_back("and " + std::to_string(unnamed_) + " complaints about others");
    return all;
  }

 private:
  static constexpr std::size_t most_subjects = 100;

  struct entry {
    std::string text;
    std::uint64_t more;
  };

  std::map<std::string, entry, std::less<>> entries_;
  std::uint64_t unnamed_ = 0;
};

} // namespace dtranspose
