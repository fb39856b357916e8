/// What is written down before it counts, so that who is started again knows it. Behind it is a file, or
/// memory in tests.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace dtranspose {

/// There is no room: what was appended is kept, and may be tried again.
class journal_full : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class journal {
 public:
  virtual ~journal() = default;

  /// Takes a record; it is written by the next `commit` or `sync`.
  virtual void append(std::uint8_t kind, std::span<const std::byte> content) = 0;
  /// What was appended survives the death of the process. Throws journal_full, or std::runtime_error.
  virtual void commit() = 0;
  /// What was appended survives the death of the machine. Throws as `commit` does.
  virtual void sync() = 0;
  /// It is of no use any more.
  virtual void remove() = 0;
};

/// Takes a whole record.
using journal_reader = std::function<void(std::uint8_t kind, std::span<const std::byte> content)>;

/// Where the journals of a process are kept, by name.
class journal_store {
 public:
  virtual ~journal_store() = default;

  /// Opens that journal, or makes it; `each` gets every whole record that it has, in order. Throws
  /// std::runtime_error.
  virtual std::unique_ptr<journal> open(const std::string& name, const journal_reader& each) = 0;
  /// The names of those that are there.
  virtual std::vector<std::string> names() const = 0;
};

} // namespace dtranspose
