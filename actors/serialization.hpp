/// How types of `src/model` cross the wire between processes. The bytes of frames are written and read
/// once, as blocks.
#pragma once

#include <caf/deserializer.hpp>
#include <caf/meta/type_name.hpp>
#include <caf/serializer.hpp>
#include <type_traits>

#include "model/event_joiner.hpp"
#include "model/frame.hpp"
#include "model/ids.hpp"
#include "model/scan_id.hpp"
#include "model/value.hpp"
#include "model/value_follower.hpp"

namespace dtranspose {

caf::error save(caf::serializer& sink, const stream_data& x);
caf::error load(caf::deserializer& source, stream_data& x);
caf::error save(caf::serializer& sink, const value& x);
caf::error load(caf::deserializer& source, value& x);

/// For types that are written by hand; any other inspector sees their name only.
template <class Inspector, class T>
typename Inspector::result_type inspect_by_hand(Inspector& f, T& x, const char* name) {
  if constexpr (std::is_base_of_v<caf::serializer, Inspector>)
    return save(f, x);
  else if constexpr (std::is_base_of_v<caf::deserializer, Inspector>)
    return load(f, x);
  else
    return f(caf::meta::type_name(name));
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, stream_data& x) {
  return inspect_by_hand(f, x, "stream_data");
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, value& x) {
  return inspect_by_hand(f, x, "value");
}

template <class Inspector, class Tag, class T>
typename Inspector::result_type inspect(Inspector& f, id<Tag, T>& x) {
  return f(x.value);
}

caf::error save(caf::serializer& sink, const arm_place& x);
caf::error load(caf::deserializer& source, arm_place& x);

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, arm_place& x) {
  return inspect_by_hand(f, x, "arm_place");
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, scan_id& x) {
  return f(caf::meta::type_name("scan_id"), x.high, x.low);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, event_run& x) {
  return f(caf::meta::type_name("event_run"), x.first, x.count, x.stride);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, event_range& x) {
  return f(caf::meta::type_name("event_range"), x.first, x.end);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, slot_run& x) {
  return f(caf::meta::type_name("slot_run"), x.events, x.first_slot, x.slots);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, stream_run& x) {
  return f(caf::meta::type_name("stream_run"), x.events, x.targets, x.for_everyone, x.keep);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, repeat_run& x) {
  return f(caf::meta::type_name("repeat_run"), x.events, x.target, x.dispatch, x.to_look_at);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, binding_run& x) {
  return f(caf::meta::type_name("binding_run"), x.worker, x.count);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, position_range& x) {
  return f(caf::meta::type_name("position_range"), x.first, x.count);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, leader_news& x) {
  return f(caf::meta::type_name("leader_news"), x.entries, x.runs, x.decided);
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, worker_run& x) {
  return f(caf::meta::type_name("worker_run"), x.events, x.worker, x.first_slot, x.slots, x.streams,
           x.for_everyone);
}

caf::error save(caf::serializer& sink, const outgoing_entry& x);
caf::error load(caf::deserializer& source, outgoing_entry& x);

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, outgoing_entry& x) {
  return inspect_by_hand(f, x, "outgoing_entry");
}

template <class Inspector>
typename Inspector::result_type inspect(Inspector& f, unmappable& x) {
  return f(caf::meta::type_name("unmappable"), x.slots, x.how, x.cause, x.worker);
}

} // namespace dtranspose
