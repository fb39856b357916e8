#include "python/host_message.hpp"

#include <algorithm>
#include <cstring>

namespace dtranspose {

namespace {

constexpr std::size_t most_dimensions = 5;
constexpr std::uint32_t tick_flag = 1;
constexpr std::uint32_t released_flag = 1, columns_flag = 2;
constexpr std::uint64_t no_event = ~std::uint64_t{0};
/// Has a blank, so that it is no keyword of anybody's.
constexpr std::string_view pickle_key = "python pickle";

void put(byte_writer& table, const frame_place& place) {
  table.number(place.segment);
  table.number(std::uint32_t{0});
  table.number(place.offset);
  table.number(place.size);
}

/// Adds 1 to the number at that place.
void count_up(byte_writer& table, std::size_t place) {
  std::uint32_t x;
  std::memcpy(&x, table.content().data() + place, sizeof x);
  ++x;
  std::memcpy(table.content().data() + place, &x, sizeof x);
}

} // namespace

void batch_builder::begin_event(std::uint64_t number, std::uint64_t missing, bool tick) {
  event_table_.number(number);
  event_table_.number(missing);
  entries_of_event_ = event_table_.size();
  event_table_.number(std::uint32_t{0});
  event_table_.number(tick ? tick_flag : 0);
  ticks_ |= tick;
  ++events_;
}

void batch_builder::begin_entry(stream_index stream, std::uint16_t type) {
  entry_table_.number(stream.value);
  entry_table_.number(type);
  frames_of_entry_ = entry_table_.size();
  entry_table_.number(std::uint32_t{0});
  entry_table_.number(std::uint32_t{0});
  entry_table_.number(std::uint32_t{0});
  count_up(event_table_, entries_of_event_);
  ++entries_;
}

void batch_builder::add_frame(const frame_place& place) {
  put(frame_table_, place);
  count_up(entry_table_, frames_of_entry_);
  ++frames_;
}

void batch_builder::add_array(dtype type, std::span<const std::size_t> shape, const frame_place& pixels) {
  put(late_frame_table_, pixels);
  array_list_.push_back({type, {shape.begin(), shape.end()}});
  ++arrays_;
  auto place = arrays_;
  std::memcpy(entry_table_.content().data() + frames_of_entry_ + 4, &place, sizeof place);
}

frame_place batch_builder::add_inline(std::span<const std::byte> bytes) {
  frame_place place{0, inline_.size(), bytes.size()};
  inline_.bytes(bytes);
  return place;
}

std::vector<std::byte> batch_builder::finish(std::uint64_t batch, std::uint32_t version) {
  byte_writer arrays;
  for (std::uint32_t i = 0; i < arrays_; ++i) {
    auto& a = array_list_[i];
    arrays.number(frames_ + i);
    arrays.number(a.type);
    arrays.number(static_cast<std::uint8_t>(a.shape.size()));
    arrays.number(std::uint16_t{0});
    for (std::size_t d = 0; d < most_dimensions; ++d)
      arrays.number(std::uint64_t{d < a.shape.size() ? a.shape[d] : 0});
  }
  byte_writer body;
  body.content().reserve(32 + event_table_.size() + entry_table_.size() + frame_table_.size() +
                         late_frame_table_.size() + arrays.size() + inline_.size());
  body.number(batch);
  body.number(version);
  for (auto count : {events_, entries_, frames_ + arrays_, arrays_}) body.number(count);
  body.number(ticks_ ? tick_flag : 0);
  for (auto table : {&event_table_, &entry_table_, &frame_table_, &late_frame_table_, &arrays, &inline_})
    body.bytes(table->content());
  return std::move(body.content());
}

namespace {

/// One element of an array as a value.
value element(dtype type, const std::byte* at) {
  return visit_dtype(type, [&]<class T>(T x) -> value {
    std::memcpy(&x, at, sizeof x);
    return x;
  });
}

struct column {
  std::string_view name;
  const array* cells;
  std::vector<std::size_t> row_shape;
  std::size_t row_bytes;
};

/// Row k of one: an element, or an array that shares the column's memory.
value cell(const column& c, std::size_t k) {
  auto& cells = *c.cells;
  auto at = k * c.row_bytes;
  if (c.row_shape.empty()) return element(cells.type(), cells.bytes().data() + at);
  auto data = std::shared_ptr<const std::byte[]>(cells.buffer(), cells.buffer().get() + at);
  return array(cells.type(), c.row_shape, std::move(data));
}

std::vector<column> columns_of(const value& content, std::size_t rows) {
  auto map = content.as_map();
  if (!map) throw bad_message("columns that are no map");
  std::vector<column> list;
  for (auto& [name, cells] : *map) {
    auto a = cells.as_array();
    if (!a || a->shape().empty() || a->shape().front() != rows)
      throw bad_message("a column that has not a row for each event");
    std::vector<std::size_t> shape(a->shape().begin() + 1, a->shape().end());
    auto bytes = size_of(a->type());
    for (auto extent : shape) bytes *= extent;
    list.push_back({name, a, std::move(shape), bytes});
  }
  return list;
}

void fill_rows(std::vector<host_answer>& answers, const value& content, std::size_t rows) {
  auto columns = columns_of(content, rows);
  std::size_t k = 0;
  for (auto& a : answers) {
    if (a.kind != host_answer_kind::column_row) continue;
    value_map row;
    row.reserve(columns.size());
    for (auto& c : columns) row.set(c.name, cell(c, k));
    a.content = std::move(row);
    a.kind = host_answer_kind::value;
    ++k;
  }
}

void read_answer(byte_reader& in, host_answer& a) {
  switch (a.kind) {
  case host_answer_kind::value:
    a.content = in.get();
    break;
  case host_answer_kind::pickled:
    a.content = pickled_result(in.bytes(in.number<std::uint64_t>()));
    break;
  case host_answer_kind::failed:
    a.text = in.text(in.number<std::uint32_t>());
    break;
  default:
    break;
  }
}

} // namespace

host_answers parse_answers(std::span<const std::byte> body) {
  byte_reader in(body);
  host_answers answers;
  answers.batch = in.number<std::uint64_t>();
  answers.tick_interval = in.number<double>();
  auto count = in.number<std::uint32_t>();
  auto flags = in.number<std::uint32_t>();
  answers.released = (flags & released_flag) != 0;
  auto kinds = in.bytes(count);
  answers.list.resize(count);
  std::size_t rows = 0;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto kind = static_cast<host_answer_kind>(kinds[i]);
    if (kind > host_answer_kind::column_row) throw bad_message("an answer of an unknown kind");
    answers.list[i].kind = kind;
    if (kind == host_answer_kind::column_row) ++rows;
    read_answer(in, answers.list[i]);
  }
  if (flags & columns_flag)
    fill_rows(answers.list, in.get(), rows);
  else if (rows > 0)
    throw bad_message("rows of columns that are not there");
  return answers;
}

value pickled_result(std::span<const std::byte> pickle) {
  return value_map{{std::string(pickle_key), value_bytes(pickle.begin(), pickle.end())}};
}

const value_bytes* find_pickle(const value& content) {
  auto map = content.as_map();
  if (!map || map->size() != 1) return nullptr;
  auto found = map->find(pickle_key);
  return found ? found->as_bytes() : nullptr;
}

void results_builder::add(std::optional<event_number> event, std::size_t events, worker_index worker,
                          std::uint32_t version, const value& content) {
  auto pickle = find_pickle(content);
  auto offset = inline_.size();
  if (pickle)
    inline_.bytes(*pickle);
  else
    inline_.put(content);
  rows_.number(event ? event->value : no_event);
  rows_.number(static_cast<std::uint32_t>(events));
  rows_.number(worker.value);
  rows_.number(version);
  rows_.number(static_cast<std::uint32_t>(pickle ? host_answer_kind::pickled : host_answer_kind::value));
  rows_.number(std::uint32_t{0});
  rows_.number(std::uint32_t{0});
  rows_.number(std::uint64_t{offset});
  rows_.number(std::uint64_t{inline_.size() - offset});
  ++count_;
}

std::vector<std::byte> results_builder::finish(std::uint64_t number) {
  byte_writer body;
  body.content().reserve(16 + rows_.size() + inline_.size());
  body.number(number);
  body.number(count_);
  body.number(std::uint32_t{0});
  body.bytes(rows_.content());
  body.bytes(inline_.content());
  return std::move(body.content());
}

std::vector<folded_failure> parse_folded(std::span<const std::byte> body, std::uint64_t number,
                                         std::uint32_t count) {
  byte_reader in(body);
  if (in.number<std::uint64_t>() != number) throw bad_message("it is of other results");
  auto failures = in.number<std::uint32_t>();
  if (failures > count) throw bad_message("more failures than results");
  std::vector<folded_failure> list(failures);
  for (auto& f : list) {
    f.place = in.number<std::uint32_t>();
    f.text = in.text(in.number<std::uint32_t>());
    if (f.place >= count) throw bad_message("a failure of no result");
  }
  return list;
}

} // namespace dtranspose
