/// The analysis of the simulation, a plug-in: a result is the number of that result, the parameter `tone`,
/// and of each event that it covers the number, how many streams there were, and the index and hash of each.
#include <span>
#include <utility>

#include "analysis/plugin.hpp"
#include "simulation/witness.hpp"

namespace {

using namespace dtranspose;
using simulation::answers;

simulation::witness_book book;

std::uint64_t hash_of(const stream_data& data) {
  auto hash = simulation::hash_seed;
  for (auto& part : data.frames())
    for (auto byte : part.bytes()) hash = simulation::hash_step(hash, static_cast<std::uint8_t>(byte));
  return hash;
}

class witness_worker final : public worker_part {
 public:
  explicit witness_worker(answers mode) : mode_(mode) {}

  answer process_event(const event& e, const parameters& settings, bool) override {
    auto tone = static_cast<std::uint64_t>(settings.integer("tone"));
    if (!held_.empty() && tone != tone_) ++book.mixed_up;
    tone_ = tone;
    auto mixed = mode_ == answers::mixed;
    if (mixed && simulation::gives_nothing(e.number().value)) return answer::nothing();
    if (mode_ == answers::deferred || (mixed && e.number().value % 3 == 0)) {
      write(held_, e);
      return answer::deferred();
    }
    std::vector<std::uint64_t> one{++book.last_result, tone_};
    write(one, e);
    return answer::result(array::of(one));
  }

  value flush() override {
    auto all = std::exchange(held_, {});
    all.insert(all.begin(), {++book.last_result, tone_});
    return array::of(all);
  }

  /// Where it cannot, another one takes its place.
  bool change_parameters(const parameters&) override { return mode_ == answers::mixed; }

 private:
  static void write(std::vector<std::uint64_t>& to, const event& e) {
    to.push_back(e.number().value);
    to.push_back(e.streams().size());
    for (auto& entry : e.streams()) {
      to.push_back(entry.stream.value);
      to.push_back(hash_of(entry.data));
    }
  }

  answers mode_;
  std::uint64_t tone_ = 0;
  std::vector<std::uint64_t> held_;
};

class witness_reducer final : public reducer_part {
 public:
  witness_reducer() : folds_(book.folds.emplace_back()) {}

  bool change_parameters(const parameters&) override { return true; }

  void process_result(const folded_result& result, const parameters& settings) override {
    auto numbers = result.content.as_array();
    if (numbers &&
        numbers->elements<std::uint64_t>()[1] != static_cast<std::uint64_t>(settings.integer("tone")))
      ++book.mixed_up;
    folds_.push_back(numbers ? numbers->elements<std::uint64_t>()[0] : 0);
  }

 private:
  std::vector<std::uint64_t>& folds_;
};

class witness final : public analysis {
 public:
  std::string_view name() const override { return "fold witness"; }
  std::vector<parameter_description> describe_parameters() const override {
    return {{"mode", parameter_type::integer, "0", "each, deferred or mixed"},
            {"tone", parameter_type::integer, "0", "is in every result"}};
  }
  std::unique_ptr<worker_part> make_worker(const parameters& settings) const override {
    return std::make_unique<witness_worker>(static_cast<answers>(settings.integer("mode")));
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters&) const override {
    return std::make_unique<witness_reducer>();
  }
};

} // namespace

DTRANSPOSE_ANALYSIS(witness)

extern "C" __attribute__((visibility("default"))) dtranspose::simulation::witness_book* dtranspose_witness();
extern "C" dtranspose::simulation::witness_book* dtranspose_witness() { return &book; }
