/// An analysis that publishes one of everything that a tree may hold: what viewers can be tested with. The
/// tree is that of NeXus, with an NXdata group by default.
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

#include <dtranspose/analysis/plugin.hpp>

namespace {

using namespace dtranspose;

class publishing_worker final : public worker_part {
 public:
  answer process_event(const event& e, const parameters&, bool) override {
    return answer::result(value_map{{"number", e.number().value}});
  }
};

class publishing_reducer final : public reducer_part {
 public:
  void process_result(const folded_result& result, const parameters&) override { events_ += result.events; }

  value published() const override {
    std::vector<float> map(6, std::numeric_limits<float>::quiet_NaN());
    map[0] = static_cast<float>(events_);
    return value_map{
        {"_attrs", value_map{{"NX_class", "NXroot"}, {"default", "entry"}}},
        {"entry_attrs", value_map{{"NX_class", "NXentry"}, {"default", "data"}}},
        {"entry",
         value_map{{"data", value_map{{"map", array::of(std::span<const float>(map), {2, 3})},
                                      {"map_attrs", value_map{{"long_name", "counts of the \xc2\xb5-beam"}}},
                                      {"x", array::of(std::vector<double>{0.5, 1.5, 2.5})},
                                      {"x_attrs", value_map{{"units", "mm"}}}}},
                   {"data_attrs", value_map{{"NX_class", "NXdata"},
                                            {"signal", "map"},
                                            {"axes", value_list{".", "x"}},
                                            {"offset", 1.25},
                                            {"shape", value_list{2, 3}},
                                            {"whole", true}}}}},
        {"events", events_},
        {"signed", std::int64_t{-3}},
        {"flag", true},
        {"title", "gr\xc3\xbc\xc3\x9f dich"},
        {"names", value_list{"I", "q"}},
        {"a name with blanks", 1},
        {"bytes", value_bytes{std::byte(1), std::byte(255)}},
        {"counts", array::of(std::vector<std::uint16_t>{1, 2, 65535})},
        {"nothing", value()},
    };
  }

 private:
  std::uint64_t events_ = 0;
};

class publishing final : public analysis {
 public:
  std::string_view name() const override { return "publishing_plugin"; }
  std::vector<result_description> describe_results(const parameters&) const override {
    return {{.name = "number", .type = dtype::uint32, .unit = "1"}};
  }
  std::unique_ptr<worker_part> make_worker(const parameters&) const override {
    return std::make_unique<publishing_worker>();
  }
  std::unique_ptr<reducer_part> make_reducer(const parameters&) const override {
    return std::make_unique<publishing_reducer>();
  }
};

} // namespace

DTRANSPOSE_ANALYSIS(publishing)
