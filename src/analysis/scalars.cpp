#include "analysis/scalars.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <optional>
#include <stdexcept>
#include <utility>

#include <fmt/format.h>

#include "analysis/chain.hpp"
#include "analysis/compensated_sum.hpp"
#include "analysis/image.hpp"
#include "protocol/albaem.hpp"
#include "protocol/bluesky.hpp"
#include "protocol/contrast.hpp"
#include "protocol/json_text.hpp"
#include "protocol/lecroy.hpp"
#include "protocol/panda_row.hpp"
#include "protocol/panda_tcp.hpp"
#include "protocol/pcap.hpp"
#include "protocol/raw.hpp"
#include "protocol/sardana.hpp"
#include "protocol/stins.hpp"
#include "protocol/xspress3.hpp"

namespace dtranspose {

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

/// The fields of one entry of a stream.
struct decoded_entry {
  std::function<std::optional<double>(std::string_view)> find;
  std::function<std::vector<std::string>()> names; ///< for people
};

/// What a decoder needs from earlier entries of its stream.
struct stream_memory {
  std::shared_ptr<const panda_header> panda;
  std::vector<std::string> xspress3_tags;
};

std::vector<std::string> keys_of(const value_map& map) {
  std::vector<std::string> keys;
  for (auto& [key, content] : map) keys.push_back(key);
  return keys;
}

/// A number, or an array of one element.
std::optional<double> number_in(const value* field) {
  if (!field) return std::nullopt;
  if (auto truth = field->as_bool()) return *truth ? 1 : 0;
  return contrast_number(*field);
}

decoded_entry fields_in(const std::shared_ptr<const value_map>& map) {
  return {[map](std::string_view field) { return number_in(map->find(field)); },
          [map] { return keys_of(*map); }};
}

decoded_entry fields_in(value_map map) {
  return fields_in(std::make_shared<const value_map>(std::move(map)));
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
  std::uint64_t n = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return n;
}

/// What comes before and behind the first slash.
std::pair<std::string_view, std::string_view> at_slash(std::string_view field) {
  auto slash = field.find('/');
  if (slash == field.npos) return {field, {}};
  return {field.substr(0, slash), field.substr(slash + 1)};
}

/// Sum, mean, min, max and root mean square of numbers.
class statistics {
 public:
  void add(double x) {
    sum_.add(x);
    squares_.add(x * x);
    lowest_ = x < lowest_ || n_ == 0 ? x : lowest_;
    highest_ = x > highest_ || n_ == 0 ? x : highest_;
    ++n_;
  }

  std::optional<double> find(std::string_view name) const {
    auto n = static_cast<double>(n_);
    if (n_ == 0 && name != "sum") return is_name(name) ? std::optional(not_a_number) : std::nullopt;
    if (name == "sum") return sum_.value();
    if (name == "mean") return sum_.value() / n;
    if (name == "min") return lowest_;
    if (name == "max") return highest_;
    if (name == "rms") return std::sqrt(squares_.value() / n);
    return std::nullopt;
  }

  static bool is_name(std::string_view name) {
    auto known = names();
    return std::find(known.begin(), known.end(), name) != known.end();
  }
  static std::vector<std::string> names() { return {"sum", "mean", "min", "max", "rms"}; }

 private:
  compensated_sum sum_, squares_;
  double lowest_ = not_a_number, highest_ = not_a_number;
  std::size_t n_ = 0;
};

statistics statistics_of(const image_view& image) {
  statistics found;
  visit_dtype(image.type, [&]<class T>(T) {
    for (auto& blob : image.blobs)
      for (std::size_t i = 0; i < blob.size() / sizeof(T); ++i) {
        T x;
        std::memcpy(&x, blob.data() + i * sizeof(T), sizeof(T));
        found.add(static_cast<double>(x));
      }
  });
  return found;
}

// ---- one decoder per type: nothing for starts and ends --------------------------------------------------

std::optional<decoded_entry> decode_albaem(const stream_data& data, stream_memory&) {
  if (albaem_kind(data) != entry_kind::data) return std::nullopt;
  return fields_in(albaem_keys(data));
}

std::optional<decoded_entry> decode_pcap(const stream_data& data, stream_memory&) {
  if (pcap_kind(data) != entry_kind::data) return std::nullopt;
  auto row = parse_pcap_row(data);
  if (!row) return std::nullopt;
  value_map fields;
  fields.set("frame_number", row->frame_number);
  for (auto& [name, content] : row->columns) fields.set(name, content);
  return fields_in(std::move(fields));
}

std::optional<decoded_entry> decode_panda(const stream_data& data, stream_memory& memory) {
  if (auto header = parse_panda_header(data)) {
    memory.panda = std::make_shared<const panda_header>(std::move(*header));
    return std::nullopt;
  }
  if (parse_panda_end(data)) return std::nullopt;
  auto row = parse_panda_row(data);
  if (!row && !memory.panda)
    throw std::runtime_error("a row of a PandABox whose header was not seen: set the option header_in_rows");
  if (!row) row = parse_panda_row(memory.panda, data);
  if (!row) throw std::runtime_error("a row of a PandABox that does not fit the columns of its header");
  auto shared = std::make_shared<const panda_row>(std::move(*row));
  return decoded_entry{[shared](std::string_view field) { return shared->scaled(field); },
                       [shared] {
                         std::vector<std::string> names;
                         for (auto& column : shared->header().columns) names.push_back(column.key);
                         return names;
                       }};
}

std::optional<decoded_entry> decode_contrast(const stream_data& data, stream_memory&) {
  auto point = parse_contrast_point(data);
  if (!point) return std::nullopt;
  auto shared = std::make_shared<const contrast_point>(std::move(*point));
  return decoded_entry{[shared](std::string_view field) -> std::optional<double> {
                         if (field == "dt") return shared->dt;
                         if (auto whole = shared->number(field)) return whole;
                         auto [name, inner] = at_slash(field);
                         return inner.empty() ? std::nullopt : shared->number(name, inner);
                       },
                       [shared] { return keys_of(shared->fields); }};
}

std::optional<decoded_entry> decode_sardana(const stream_data& data, stream_memory&) {
  auto record = parse_sardana_record(data);
  if (!record) return std::nullopt;
  record->columns.set("timestamp", record->timestamp);
  if (record->point_nb) record->columns.set("point_nb", *record->point_nb);
  return fields_in(std::move(record->columns));
}

std::optional<decoded_entry> decode_bluesky(const stream_data& data, stream_memory&) {
  auto found = parse_bluesky_event(data);
  if (!found) return std::nullopt;
  auto fields = std::move(found->data);
  if (!fields.find("time")) fields.set("time", found->time);
  if (!fields.find("seq_num")) fields.set("seq_num", found->seq_num);
  return fields_in(std::move(fields));
}

std::optional<decoded_entry> decode_lecroy(const stream_data& data, stream_memory&) {
  auto sequence = parse_lecroy_sequence(data);
  if (!sequence) return std::nullopt;
  auto shared = std::make_shared<const lecroy_sequence>(std::move(*sequence));
  return decoded_entry{[shared](std::string_view field) -> std::optional<double> {
                         auto [channel, what] = at_slash(field);
                         auto number = whole_number(channel);
                         auto traces = number ? shared->find(*number) : nullptr;
                         if (!traces) return std::nullopt;
                         if (what == "ts") return traces->ts;
                         if (!statistics::is_name(what)) return std::nullopt;
                         statistics found;
                         for (std::size_t i = 0; i < traces->samples.size(); ++i)
                           found.add(traces->samples.at<double>(i));
                         return found.find(what);
                       },
                       [shared] {
                         std::vector<std::string> names;
                         for (auto& traces : shared->traces)
                           for (auto& what : statistics::names())
                             names.push_back(fmt::format("{}/{}", traces.channel, what));
                         return names;
                       }};
}

std::optional<decoded_entry> decode_xspress3(const stream_data& data, stream_memory& memory) {
  if (auto header = parse_xspress3_header(data)) memory.xspress3_tags = std::move(header->extra_tags);
  auto image = parse_xspress3_image(data);
  if (!image) return std::nullopt;
  auto meta =
      std::make_shared<const std::optional<xspress3_meta>>(parse_xspress3_meta(data, memory.xspress3_tags));
  auto find = [meta, data, exptime = image->exptime](std::string_view field) -> std::optional<double> {
    if (field == "exptime") return exptime;
    if (field == "sum") return statistics_of(*image_of(data)).find(field);
    auto [name, element] = at_slash(field);
    auto place = whole_number(element);
    auto numbers = *meta && place ? (*meta)->numbers(name) : std::nullopt;
    if (!numbers || *place >= numbers->size()) return std::nullopt;
    return (*numbers)[*place];
  };
  return decoded_entry{find, [meta] {
                         std::vector<std::string> names{"exptime", "sum"};
                         if (!*meta) return names;
                         for (auto& counter : (*meta)->counters)
                           for (std::size_t i = 0; i < counter.values.size(); ++i)
                             names.push_back(fmt::format("{}/{}", counter.name, i));
                         return names;
                       }};
}

std::optional<decoded_entry> decode_image(const stream_data& data, stream_memory&) {
  auto keys = std::make_shared<const value_map>(stins_keys(data));
  if (data.type() == stins_type_tag && stins_kind(data) != entry_kind::data) return std::nullopt;
  auto image = image_of(data);
  if (!image && keys->empty()) return std::nullopt;
  auto find = [keys, image](std::string_view field) -> std::optional<double> {
    if (image && statistics::is_name(field)) return statistics_of(*image).find(field);
    return number_in(keys->find(field));
  };
  return decoded_entry{find, [keys] {
                         auto names = statistics::names();
                         for (auto& key : keys_of(*keys)) names.push_back(key);
                         return names;
                       }};
}

const value* at_path(const value_map& header, std::string_view dotted) {
  if (auto whole = header.find(dotted)) return whole;
  const value_map* map = &header;
  while (true) {
    auto dot = dotted.find('.');
    auto found = map->find(dotted.substr(0, dot));
    if (!found || dot == dotted.npos) return found;
    map = found->as_map();
    if (!map) return nullptr;
    dotted.remove_prefix(dot + 1);
  }
}

/// Whatever has a JSON header.
std::optional<decoded_entry> decode_other(const stream_data& data, stream_memory&) {
  auto message = parse_raw_message(data);
  if (!message) return std::nullopt;
  auto header = std::make_shared<const value_map>(std::move(message->header));
  return decoded_entry{[header](std::string_view field) { return number_in(at_path(*header, field)); },
                       [header] { return keys_of(*header); }};
}

/// What a step of a chain found; a number that is none has no form in JSON.
std::optional<decoded_entry> decode_step_result(const stream_data& data, stream_memory&) {
  auto message = parse_raw_message(data);
  if (!message) return std::nullopt;
  auto numbers = std::make_shared<const value_map>(std::move(message->header));
  return decoded_entry{[numbers](std::string_view field) -> std::optional<double> {
                         auto found = numbers->find(field);
                         return found && found->is_null() ? not_a_number : number_in(found);
                       },
                       [numbers] { return keys_of(*numbers); }};
}

using decoder = std::optional<decoded_entry> (*)(const stream_data&, stream_memory&);

decoder decoder_for(std::string_view type) {
  if (type == albaem_type_tag) return decode_albaem;
  if (type == pcap_type_tag) return decode_pcap;
  if (type == panda_tcp_type_tag) return decode_panda;
  if (type == contrast_type_tag) return decode_contrast;
  if (type == sardana_type_tag) return decode_sardana;
  if (type == bluesky_type_tag) return decode_bluesky;
  if (type == lecroy_type_tag) return decode_lecroy;
  if (type == xspress3_type_tag) return decode_xspress3;
  if (type == step_result_type_tag) return decode_step_result;
  return carries_images(type) ? decode_image : decode_other;
}

/// At most as many names as a message is read with.
std::string listed(std::vector<std::string> names) {
  constexpr std::size_t most = 40;
  auto more = names.size() > most ? names.size() - most : 0;
  names.resize(names.size() - more);
  auto text = fmt::format("{}", fmt::join(names, ", "));
  if (more > 0) text += fmt::format(" and {} more", more);
  return text.empty() ? "none" : text;
}

} // namespace

struct scalar_reader::state {
  /// A stream with all that is wanted of it.
  struct wanted_stream {
    std::string name;
    std::vector<std::pair<std::string, std::size_t>> fields; ///< and their places among the readings
    stream_memory memory;
  };
  std::vector<wanted_stream> streams;
  std::vector<scalar> readings;

  void set(const wanted_stream& stream, scalar what) {
    for (auto& [field, place] : stream.fields) readings[place] = what;
  }

  void read(wanted_stream& stream, const event& e) {
    auto data = e.find(stream.name);
    if (!data) {
      auto missing = e.missing();
      bool is_missing = std::find(missing.begin(), missing.end(), stream.name) != missing.end();
      return set(stream, {is_missing ? scalar::state::missing : scalar::state::absent, not_a_number});
    }
    std::optional<decoded_entry> entry;
    try {
      entry = decoder_for(data->type())(*data, stream.memory);
    } catch (const std::exception& error) {
      throw std::runtime_error(fmt::format("stream '{}': {}", stream.name, error.what()));
    }
    if (!entry) return set(stream, {scalar::state::message, not_a_number});
    for (auto& [field, place] : stream.fields) {
      auto number = entry->find(field);
      if (!number)
        throw std::runtime_error(fmt::format("stream '{}': no number '{}'; there are {}", stream.name, field,
                                             listed(entry->names())));
      readings[place] = {scalar::state::number, *number};
    }
  }
};

void check_scalar_name(std::string_view parameter, std::string_view name, bool may_be_empty) {
  if (name.empty() && may_be_empty) return;
  auto colon = name.find(':');
  if (colon == name.npos || colon == 0 || colon + 1 == name.size())
    throw std::invalid_argument(fmt::format(
        "parameter '{}': '{}' names no number of a stream; examples are alba:channel1 and contrast:sx",
        parameter, name));
}

scalar_reader::scalar_reader(std::vector<std::string> names) : state_(std::make_unique<state>()) {
  state_->readings.resize(names.size(), {scalar::state::absent, not_a_number});
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i].empty()) continue;
    check_scalar_name("scalar", names[i]);
    auto colon = names[i].find(':');
    auto stream = names[i].substr(0, colon);
    auto same = [&](auto& s) { return s.name == stream; };
    auto found = std::find_if(state_->streams.begin(), state_->streams.end(), same);
    if (found == state_->streams.end())
      found = state_->streams.insert(found, {.name = stream, .fields = {}, .memory = {}});
    found->fields.emplace_back(names[i].substr(colon + 1), i);
  }
}

scalar_reader::scalar_reader(scalar_reader&&) noexcept = default;
scalar_reader& scalar_reader::operator=(scalar_reader&&) noexcept = default;
scalar_reader::~scalar_reader() = default;

const std::vector<scalar>& scalar_reader::read(const event& e) {
  for (auto& stream : state_->streams) state_->read(stream, e);
  return state_->readings;
}

} // namespace dtranspose
