#include "http/metrics.hpp"

#include <cmath>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace dtranspose {

namespace {

using nlohmann::json;

std::string escaped(const std::string& text) {
  std::string out;
  for (auto c : text) {
    if (c == '\\' || c == '"') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out;
}

/// Families of numbers, each with its lines together, as the form demands.
class page_of_metrics {
 public:
  void begin(const char* name, const char* kind, const char* help) {
    name_ = name;
    kind_ = kind;
    help_ = help;
    begun_ = false;
  }

  /// `labels` are written out; empty: none.
  void add(const std::string& labels, const json& number, const char* part = "") {
    double x = 0;
    if (number.is_boolean())
      x = number.get<bool>() ? 1 : 0;
    else if (number.is_number())
      x = number.get<double>();
    else
      return;
    if (!std::exchange(begun_, true))
      text_ += fmt::format("# HELP dtranspose_{0} {1}\n# TYPE dtranspose_{0} {2}\n", name_, help_, kind_);
    text_ += fmt::format("dtranspose_{}{}{} {}\n", name_, part, labels.empty() ? "" : "{" + labels + "}", x);
  }

  /// One for each member of `group` that has `key`.
  void add_each(const json& group, const char* label, const char* key) {
    for (auto& [name, member] : group.items())
      if (member.is_object() && member.contains(key)) add(label_of(label, name), member[key]);
  }

  /// One for each entry of the map `key` of each member.
  void add_map(const json& group, const char* label, const char* key, const char* inner) {
    for (auto& [name, member] : group.items())
      if (member.is_object() && member.contains(key))
        for (auto& [entry, number] : member[key].items())
          add(label_of(label, name) + "," + label_of(inner, entry), number);
  }

  /// `histogram` as the status of a stream has its `latency`.
  void add_histogram(const std::string& labels, const json& histogram) {
    auto ends = histogram.value("up_to", json()), counts = histogram.value("counts", json());
    if (!ends.is_array() || !counts.is_array() || counts.size() != ends.size() + 1) return;
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) {
      sum += counts[i].get<std::uint64_t>();
      auto end = i < ends.size() ? fmt::format("{}", ends[i].get<double>()) : std::string("+Inf");
      add(labels + "," + label_of("le", end), sum, "_bucket");
    }
    add(labels, histogram.value("sum", json()), "_sum");
    add(labels, sum, "_count");
  }

  static std::string label_of(const char* label, const std::string& name) {
    return fmt::format("{}=\"{}\"", label, escaped(name));
  }

  std::string take() { return std::move(text_); }

 private:
  const char *name_ = "", *kind_ = "", *help_ = "";
  bool begun_ = false;
  std::string text_;
};

json object_of(std::string_view text) {
  auto parsed = json::parse(text, nullptr, false);
  return parsed.is_object() ? parsed : json::object();
}

const json& member(const json& of, const char* key) {
  static const json nothing = json::object();
  auto found = of.find(key);
  return found != of.end() && found->is_object() ? *found : nothing;
}

} // namespace

std::string metrics_text(std::string_view progress_text, std::string_view status_text) {
  auto progress = object_of(progress_text), status = object_of(status_text);
  page_of_metrics page;
  auto one = [&](const char* key, const char* name, const char* kind, const char* help) {
    page.begin(name, kind, help);
    if (progress.contains(key)) page.add("", progress[key]);
  };
  one("total_events", "scan_events", "gauge", "events of the scan in hand or the last one");
  one("last_assigned", "scan_assigned_events", "gauge", "events that workers were found for");
  one("completed_events", "scan_completed_events", "gauge", "events that have a fate");
  one("finished", "scan_finished", "gauge", "is the scan over");
  one("seconds", "scan_seconds", "gauge", "time of the scan");
  page.begin("scan_fates", "gauge", "events of the scan by fate");
  for (auto& [fate, count] : member(progress, "fates").items())
    page.add(page_of_metrics::label_of("fate", fate), count);

  auto& streams = member(status, "streams");
  auto of_streams = [&](const char* key, const char* name, const char* kind, const char* help) {
    page.begin(name, kind, help);
    page.add_each(streams, "stream", key);
  };
  of_streams("packets", "stream_packets_total", "counter", "messages received since the process began");
  of_streams("packets_per_second", "stream_packets_per_second", "gauge", "rate of about the last second");
  of_streams("bytes_per_second", "stream_bytes_per_second", "gauge", "rate of about the last second");
  of_streams("connected", "stream_connected", "gauge", "is its instrument connected");
  of_streams("held_bytes", "stream_held_bytes", "gauge", "frames that are kept until their events are done");
  of_streams("fill", "stream_fill", "gauge", "part of the stream's budget that is used");
  of_streams("discarded", "stream_discarded", "gauge", "frames of the scan that the map sends to nobody");
  page.begin("stream_verdicts", "gauge", "entries of the scan by what their number says");
  page.add_map(streams, "stream", "verdicts", "verdict");
  page.begin("stream_faults", "gauge", "messages of the scan that cannot be used");
  page.add_map(streams, "stream", "faults", "fault");
  page.begin("stream_latency_seconds", "histogram",
             "from the receipt of entries of the scan until their events were folded and committed");
  for (auto& [stream, s] : streams.items())
    if (s.is_object() && s.contains("latency"))
      page.add_histogram(page_of_metrics::label_of("stream", stream), s["latency"]);
  page.begin("recording_behind_bytes", "gauge", "bytes that wait to be recorded");
  for (auto& [stream, s] : streams.items())
    for (auto kind : {"recording", "wire_recording"})
      if (s.is_object() && s.contains(kind))
        page.add(page_of_metrics::label_of("stream", stream), s[kind].value("behind_bytes", json()));

  auto& workers = member(status, "workers");
  page.begin("worker_events_total", "counter", "events mapped since the process began");
  page.add_each(workers, "worker", "events");
  page.begin("worker_unaccepted_results", "gauge", "messages that the reducer has not accepted yet");
  page.add_each(workers, "worker", "unaccepted_results");
  page.begin("worker_busy_seconds", "gauge", "time in analysis code during the scan");
  for (auto& [worker, times] : member(status, "processing_times").items())
    if (times.is_object())
      for (auto& [event, entry] : times.items())
        if (entry.is_object())
          page.add(page_of_metrics::label_of("worker", worker), entry.value("custom_code", json()));

  auto& assemblers = member(status, "assemblers");
  page.begin("assembler_open_events", "gauge", "events that are not complete or not processed");
  page.add_each(assemblers, "process", "open_events");
  page.begin("assembler_open_bytes", "gauge", "bytes of those events");
  page.add_each(assemblers, "process", "open_bytes");
  auto& reducers = member(status, "reducers");
  page.begin("reducer_folded", "gauge", "results folded in the scan");
  page.add_each(reducers, "process", "folded");
  page.begin("reducer_duplicates", "gauge", "results of the scan that had been folded before");
  page.add_each(reducers, "process", "duplicates");
  page.begin("reducer_unsynced_bytes", "gauge", "bytes of the journal that are not on disk yet");
  page.add_each(reducers, "process", "unsynced_bytes");
  return page.take();
}

} // namespace dtranspose
