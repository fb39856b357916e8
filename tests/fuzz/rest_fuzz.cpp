/// Bodies that people and control systems post: the trigger map, as whoever posts it may have made it.
#include <string_view>

#include "fuzz/fuzz.hpp"
#include "model/assigner.hpp"
#include "model/trigger_map.hpp"

using namespace dtranspose;

namespace {

/// Events of a map that are bound in one run: a body of a few bytes may ask for very many.
constexpr std::uint64_t most_events = 2000;

void bind_events(const std::shared_ptr<const trigger_map>& map) {
  assigner bindings(map);
  bindings.add_worker({"generic"});
  bindings.add_worker({"generic", "gpu"});
  for (std::uint32_t w : {0, 1}) bindings.grant(worker_index(w), most_events);
  bound_event bound;
  for (std::uint64_t i = 0; i < most_events && bindings.next(bound); ++i) continue;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  std::string_view body(reinterpret_cast<const char*>(data) + 1, size - 1);
  auto map = trigger_map::parse(body, data[0] & 1);
  if (!map) return 0;
  (*map)->to_json();
  bind_events(*map);
  return 0;
}

std::vector<std::vector<std::uint8_t>> fuzz_seeds() {
  std::vector<std::vector<std::uint8_t>> seeds;
  for (
      std::string_view body :
      {R"({"parts":{"main":{"det":[[{"constraint":0}],[{"constraint":1}],null,[]]}},"sequence":["main","main"]})",
       R"({"parts":{"a":{"x":[[{"tags":["gpu"],"constraint":null}]],"y":[[{"constraint":2},{"constraint":3}]]},)"
       R"("b":{"y":[null]}},"sequence":["a","b","a"]})",
       R"({"parts":{},"sequence":[]})"})
    for (char wrap : {0, 1}) {
      auto& seed = seeds.emplace_back(1, static_cast<std::uint8_t>(wrap));
      seed.insert(seed.end(), body.begin(), body.end());
    }
  return seeds;
}
