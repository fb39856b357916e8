/// Immutable snapshots of what a reducer publishes, for whoever looks on. Readers hold what they read and
/// wait for nobody; who publishes waits for no reader.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/value.hpp"
#include "output/result_tree.hpp"

namespace dtranspose {

/// The tree as it was at one moment. Does not change.
class snapshot {
 public:
  std::string scan;
  std::uint64_t number = 0;  ///< from 1 in its scan
  double seconds = 0;        ///< since 1970, UTC
  std::uint64_t results = 0; ///< that were folded
  bool finished = false;     ///< nothing of this scan follows
  value tree;                ///< a map

  /// Its objects; made when somebody asks for the first time, in the thread that asks.
  const result_tree& objects() const {
    std::call_once(made_, [this] { objects_ = std::make_unique<const result_tree>(tree); });
    return *objects_;
  }

 private:
  mutable std::once_flag made_;
  mutable std::unique_ptr<const result_tree> objects_;
};

struct snapshot_limits {
  std::size_t per_scan = 64;
  std::size_t scans = 4;
  /// Of all arrays and texts together, each counted once however many snapshots share it. The latest snapshot
  /// is kept whatever its size.
  std::size_t bytes = std::size_t{256} << 20;
};

/// The trees before and after, with everything large of `now` that equals `before` replaced by the latter.
value shared_with(const value& before, const value& now);

/// Keeps the latest snapshots of the latest scans, and of each scan some that are spread evenly over its
/// life.
class snapshot_store {
 public:
  using handle = std::shared_ptr<const snapshot>;

  explicit snapshot_store(snapshot_limits limits = {});
  snapshot_store(const snapshot_store&) = delete;
  snapshot_store& operator=(const snapshot_store&) = delete;

  /// Adds the latest snapshot of `scan`, and makes that the latest scan if it is another. Without a tree it
  /// is an empty one.
  void publish(const std::string& scan, double seconds, std::uint64_t results, bool finished,
               const value& tree);

  /// Of the latest scan; null before the first.
  handle latest() const;
  /// Null for a scan that is not kept.
  handle latest(std::string_view scan) const;
  /// Null for one that is not kept.
  handle find(std::string_view scan, std::uint64_t number) const;

  /// The latest one of each scan that is kept, newest scan first.
  std::vector<handle> scans() const;
  /// All of one scan, oldest first.
  std::vector<handle> all(std::string_view scan) const;

  /// How many were published.
  std::uint64_t published() const;
  /// Waits until more than `seen` were published; returns how many are.
  std::uint64_t wait(std::uint64_t seen, std::chrono::nanoseconds patience) const;

  /// Bytes of what is kept.
  std::size_t bytes() const;

 private:
  using scan_snapshots = std::vector<handle>; ///< oldest first, never empty
  using shelf = std::vector<scan_snapshots>;  ///< oldest scan first

  /// Counts every node once, however often it is kept.
  class inventory {
   public:
    void add(const value& tree) { count(tree, 1); }
    void remove(const value& tree) { count(tree, -1); }
    std::size_t bytes() const { return bytes_; }

   private:
    void count(const value& x, int by);

    std::unordered_map<const void*, std::int64_t> owners_;
    std::size_t bytes_ = 0;
  };

  std::shared_ptr<const shelf> look() const;
  void keep_within_limits(shelf& scans);
  void drop(scan_snapshots& from, std::size_t i);

  snapshot_limits limits_;
  std::mutex publishing_; ///< one at a time; guards `inventory_`
  inventory inventory_;

  mutable std::mutex mutex_; ///< held for a moment; guards what follows
  mutable std::condition_variable news_;
  std::shared_ptr<const shelf> shelf_;
  std::uint64_t published_ = 0;
  std::size_t bytes_ = 0;
};

} // namespace dtranspose
