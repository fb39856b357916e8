#include "python/host_message.hpp"

#include <cmath>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>

namespace dtranspose {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

using bytes = std::vector<std::byte>;

bytes of_hex(const std::string& text) {
  std::istringstream in(text);
  bytes all;
  for (std::string pair; in >> pair;) all.push_back(static_cast<std::byte>(std::stoi(pair, nullptr, 16)));
  return all;
}

/// The example of that name in the description of the protocol.
bytes example(const std::string& name) {
  std::ifstream in(DTRANSPOSE_SOURCE_DIR "/docs/python_host.md");
  std::string text{std::istreambuf_iterator<char>(in), {}};
  auto begin = text.find("```hex " + name + "\n");
  if (begin == std::string::npos) throw std::runtime_error("no example " + name);
  begin = text.find('\n', begin);
  return of_hex(text.substr(begin, text.find("```", begin) - begin));
}

bytes encoded(const value& x) {
  byte_writer out;
  out.put(x);
  return out.content();
}

value table() { return value_map{{"mean", 2.5}, {"n", array::of(std::vector<std::uint16_t>{1, 2})}}; }

TEST(host_value, is_written_as_the_protocol_says) { EXPECT_EQ(encoded(table()), example("value")); }

TEST(host_value, is_read_as_the_protocol_says) { EXPECT_EQ(value_in(example("value")), table()); }

TEST(host_value, every_kind_comes_back) {
  std::vector<double> none;
  value all = value_list{{},
                         true,
                         false,
                         std::int64_t{-1},
                         std::uint64_t{1} << 63,
                         -0.5,
                         "text",
                         value_bytes(3, std::byte{7}),
                         array(dtype::float32, {0, 3}, nullptr),
                         array::of(none),
                         value_list{},
                         value_map{{"", 1}, {"a", value()}}};
  EXPECT_EQ(value_in(encoded(all)), all);
}

TEST(host_value, bytes_cut_short_are_refused) {
  auto whole = encoded(value_map{{"a", table()}, {"b", value_list{1, "x", value_bytes(2)}}});
  for (std::size_t size = 0; size < whole.size(); ++size)
    EXPECT_THROW(value_in(std::span(whole).first(size)), bad_message) << size;
}

TEST(host_value, sizes_that_cannot_be_are_refused_before_memory_is_taken) {
  struct {
    const char* what;
    const char* hex;
  } const cases[] = {
      {"an unknown tag", "0b"},
      {"a text of 4 GiB", "06 ff ff ff ff"},
      {"bytes beyond all", "07 ff ff ff ff ff ff ff ff"},
      {"a list of 4 billion", "09 ff ff ff ff 00"},
      {"a map of 4 billion", "0a ff ff ff ff 00"},
      {"an unknown element type", "08 0a 01 00 00 00 00 00 00 00 00"},
      {"an array whose size overflows", "08 09 02 00 00 00 00 01 00 00 00 00 00 00 00 01 00 00 00"},
  };
  for (auto& c : cases) EXPECT_THROW(value_in(of_hex(c.hex)), bad_message) << c.what;
}

TEST(host_value, nesting_has_an_end) {
  bytes deep;
  for (int i = 0; i < 1000; ++i)
    for (auto b : {9, 1, 0, 0, 0}) deep.push_back(static_cast<std::byte>(b));
  EXPECT_THROW(value_in(deep), bad_message);
}

TEST(batch_builder, writes_what_the_protocol_says) {
  batch_builder batch;
  batch.begin_event(7, 0, true);
  batch.begin_entry(stream_index(0), 3);
  std::string_view header = "{}";
  batch.add_frame(batch.add_inline(std::as_bytes(std::span(header))));
  batch.add_frame({1, 4096, 200});
  auto expected = example("batch");
  expected.erase(expected.begin(), expected.begin() + host_header_size);
  EXPECT_EQ(batch.finish(12, 1), expected);
}

TEST(batch_builder, pixels_lie_behind_all_frames) {
  batch_builder batch;
  std::size_t shape[] = {2, 3};
  for (std::uint64_t event : {4, 5}) {
    batch.begin_event(event, 0, false);
    batch.begin_entry(stream_index(1), 0);
    batch.add_frame({1, 64 * event, 10});
    batch.add_array(dtype::uint16, shape, {2, 64 * event, 12});
  }
  auto body = batch.finish(1, 1);
  byte_reader in(body);
  in.bytes(12);
  EXPECT_EQ(in.number<std::uint32_t>(), 2u); // events
  EXPECT_EQ(in.number<std::uint32_t>(), 2u); // entries
  EXPECT_EQ(in.number<std::uint32_t>(), 4u); // frames
  EXPECT_EQ(in.number<std::uint32_t>(), 2u); // arrays
  in.bytes(4 + 2 * 24);
  in.bytes(16);
  auto second = in.bytes(16);
  std::uint32_t place = 0;
  std::memcpy(&place, second.data() + 8, sizeof place);
  EXPECT_EQ(place, 2u);
  std::vector<std::uint32_t> segments;
  for (int i = 0; i < 4; ++i) {
    segments.push_back(in.number<std::uint32_t>());
    in.bytes(20);
  }
  EXPECT_THAT(segments, ElementsAre(1, 1, 2, 2));
  EXPECT_EQ(in.number<std::uint32_t>(), 2u);
  in.bytes(44);
  EXPECT_EQ(in.number<std::uint32_t>(), 3u);
}

TEST(parse_answers, reads_what_the_protocol_says) {
  auto answers = parse_answers(example("answers"));
  EXPECT_EQ(answers.batch, 12u);
  EXPECT_EQ(answers.tick_interval, 1.0);
  EXPECT_TRUE(answers.released);
  ASSERT_THAT(answers.list, SizeIs(3));
  EXPECT_EQ(answers.list[0].kind, host_answer_kind::empty);
  EXPECT_EQ(answers.list[1].content, value(2.5));
  EXPECT_EQ(answers.list[2].kind, host_answer_kind::failed);
  EXPECT_EQ(answers.list[2].text, "no");
}

bytes answers_of(std::initializer_list<int> kinds, std::uint32_t flags, const std::optional<value>& columns) {
  byte_writer out;
  out.number(std::uint64_t{1});
  out.number(std::nan(""));
  out.number(static_cast<std::uint32_t>(kinds.size()));
  out.number(flags);
  for (auto kind : kinds) out.number(static_cast<std::uint8_t>(kind));
  if (columns) out.put(*columns);
  return out.content();
}

TEST(parse_answers, rows_of_columns_go_to_their_events) {
  value columns = value_map{
      {"mean", array::of(std::vector<double>{1.5, 2.5})},
      {"sum", array::of(std::span<const std::uint32_t>(std::vector<std::uint32_t>{1, 2, 3, 4}), {2, 2})}};
  auto answers = parse_answers(answers_of({5, 0, 5}, 2, columns));
  EXPECT_FALSE(answers.released);
  EXPECT_TRUE(std::isnan(answers.tick_interval));
  EXPECT_EQ(answers.list[0].content,
            value(value_map{{"mean", 1.5}, {"sum", array::of(std::vector<std::uint32_t>{1, 2})}}));
  EXPECT_EQ(answers.list[1].kind, host_answer_kind::empty);
  EXPECT_EQ(answers.list[2].content,
            value(value_map{{"mean", 2.5}, {"sum", array::of(std::vector<std::uint32_t>{3, 4})}}));
}

TEST(parse_answers, what_does_not_fit_is_refused) {
  value two = value_map{{"mean", array::of(std::vector<double>{1.5, 2.5})}};
  EXPECT_THROW(parse_answers(answers_of({5}, 2, two)), bad_message);         // rows without an event
  EXPECT_THROW(parse_answers(answers_of({5, 5, 5}, 2, two)), bad_message);   // events without a row
  EXPECT_THROW(parse_answers(answers_of({5, 5}, 0, {})), bad_message);       // no columns at all
  EXPECT_THROW(parse_answers(answers_of({5, 5}, 2, value(1))), bad_message); // no map
  EXPECT_THROW(parse_answers(answers_of({6}, 0, {})), bad_message);          // an unknown kind
  EXPECT_THROW(parse_answers(answers_of({2}, 0, {})), bad_message);          // no pickle
}

TEST(pickled_result, is_known_for_one) {
  bytes pickle(3, std::byte{9});
  auto content = pickled_result(pickle);
  ASSERT_NE(find_pickle(content), nullptr);
  EXPECT_EQ(*find_pickle(content), pickle);
  EXPECT_EQ(find_pickle(table()), nullptr);
  EXPECT_EQ(find_pickle(value(pickle)), nullptr);
}

TEST(results_builder, values_and_pickles_lie_behind_the_table) {
  results_builder results;
  bytes pickle(3, std::byte{9});
  results.add(event_number(5), 1, worker_index(2), 7, table());
  results.add(std::nullopt, 0, worker_index(2), 7, pickled_result(pickle));
  auto body = results.finish(3);
  byte_reader in(body);
  EXPECT_EQ(in.number<std::uint64_t>(), 3u);
  EXPECT_EQ(in.number<std::uint32_t>(), 2u);
  in.bytes(4);
  EXPECT_EQ(in.number<std::uint64_t>(), 5u);
  for (std::uint32_t expected : {1, 2, 7, 1, 0, 0}) EXPECT_EQ(in.number<std::uint32_t>(), expected);
  EXPECT_EQ(in.number<std::uint64_t>(), 0u);
  auto size = in.number<std::uint64_t>();
  EXPECT_EQ(in.number<std::uint64_t>(), ~std::uint64_t{0});
  for (std::uint32_t expected : {0, 2, 7, 2, 0, 0}) EXPECT_EQ(in.number<std::uint32_t>(), expected);
  EXPECT_EQ(in.number<std::uint64_t>(), size);
  EXPECT_EQ(in.number<std::uint64_t>(), 3u);
  EXPECT_EQ(value_in(in.bytes(size)), table());
  EXPECT_EQ(bytes(in.rest().begin(), in.rest().end()), pickle);
}

bytes folded_message(std::uint64_t number, std::initializer_list<std::uint32_t> places) {
  byte_writer out;
  out.number(number);
  out.number(static_cast<std::uint32_t>(places.size()));
  for (auto place : places) {
    out.number(place);
    out.number(std::uint32_t{2});
    out.text("no");
  }
  return out.content();
}

TEST(parse_folded, tells_failures_by_place) {
  EXPECT_THAT(parse_folded(folded_message(4, {}), 4, 2), IsEmpty());
  auto failures = parse_folded(folded_message(4, {1}), 4, 2);
  ASSERT_THAT(failures, SizeIs(1));
  EXPECT_EQ(failures[0].place, 1u);
  EXPECT_EQ(failures[0].text, "no");
  EXPECT_THROW(parse_folded(folded_message(5, {}), 4, 2), bad_message);
  EXPECT_THROW(parse_folded(folded_message(4, {2}), 4, 2), bad_message);
  EXPECT_THROW(parse_folded(folded_message(4, {0, 1, 0}), 4, 2), bad_message);
}

} // namespace
} // namespace dtranspose
