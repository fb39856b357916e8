/// Images as instruments send them, and analyses that look at them.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gmock/gmock.h>

#include "analysis/registry.hpp"
#include "protocol/stins.hpp"

namespace dtranspose::test {

template <class T>
std::vector<std::byte> bytes_of(const std::vector<T>& pixels) {
  auto bytes = std::as_bytes(std::span(pixels));
  return {bytes.begin(), bytes.end()};
}

/// A file of NumPy, uint8.
inline std::string npy(const std::string& shape, const std::vector<std::uint8_t>& bytes) {
  std::string header = "{'descr': '|u1', 'fortran_order': False, 'shape': " + shape + ", }\n";
  std::string file("\x93NUMPY\1\0", 8);
  file += static_cast<char>(header.size());
  file += '\0';
  return file + header + std::string(bytes.begin(), bytes.end());
}

/// What pixels may be.
using pixel_types = testing::Types<std::uint8_t, std::int8_t, std::uint16_t, std::int16_t, std::uint32_t,
                                   std::int32_t, std::uint64_t, std::int64_t, float, double>;

inline std::vector<std::byte> image_header(std::vector<std::size_t> shape, std::string_view type,
                                           std::string_view compression = "none") {
  std::string text;
  write_stins_image(text, 1,
                    {.frame = 0, .shape = std::move(shape), .type = type, .compression = compression});
  auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

inline stream_data message(std::vector<std::vector<std::byte>> parts) {
  return stream_data(std::make_unique<memory_frames>(std::move(parts)), stins_type_tag);
}

template <class T>
stream_data image(std::vector<std::size_t> shape, const std::vector<T>& pixels) {
  return message({image_header(std::move(shape), name_of(dtype_for<T>())), bytes_of(pixels)});
}

/// An image in a blob for each row, each at an odd address.
template <class T>
stream_data image_in_rows(std::size_t rows, std::size_t columns, const std::vector<T>& pixels) {
  auto kept = std::make_shared<std::vector<std::vector<std::byte>>>();
  kept->push_back(image_header({rows, columns}, name_of(dtype_for<T>())));
  auto bytes = bytes_of(pixels);
  auto length = static_cast<std::ptrdiff_t>(columns * sizeof(T));
  for (auto at = bytes.begin(); at != bytes.end(); at += length) {
    kept->emplace_back(1);
    kept->back().insert(kept->back().end(), at, at + length);
  }
  std::vector<frame> views{frame(kept->front())};
  for (std::size_t i = 1; i < kept->size(); ++i)
    views.emplace_back((*kept)[i].data() + 1, (*kept)[i].size() - 1);
  return stream_data(std::make_unique<borrowed_frames>(std::move(views), kept), stins_type_tag);
}

/// One worker and the reducer of an analysis.
class scan_of {
 public:
  using settings = std::map<std::string, std::string>;

  scan_of(std::unique_ptr<analysis> what, const settings& set)
      : analysis_(std::move(what)), parameters_(complete_parameters(*analysis_, set)),
        results_(analysis_->describe_results(parameters_)), worker_(analysis_->make_worker(parameters_)),
        reducer_(analysis_->make_reducer(parameters_)) {}

  const std::vector<result_description>& results() const { return results_; }

  answer process(stream_data data, std::uint64_t number = 0) {
    static const stream_names names{"det"};
    std::vector<stream_entry> entries{{stream_index(0), std::move(data)}};
    return worker_->process_event(event(event_number(number), entries, names), parameters_, false);
  }
  /// Why the event fails; empty when it does not.
  std::string failure(stream_data data) {
    try {
      process(std::move(data));
      return {};
    } catch (const std::exception& e) {
      return e.what();
    }
  }

  void fold(const value& content, std::optional<std::uint64_t> event = {}, std::size_t events = 1) {
    std::optional<event_number> number;
    if (event) number = event_number(*event);
    reducer_->process_result({number, events, worker_index(0), content}, parameters_);
  }
  /// Maps and folds one event.
  answer see(stream_data data, std::uint64_t number = 0) {
    auto a = process(std::move(data), number);
    if (a.what() == answer::kind::result) fold(a.content(), number);
    return a;
  }

  /// Does the reducer go on with these parameters?
  bool goes_on(const settings& set) {
    return reducer_->change_parameters(complete_parameters(*analysis_, set));
  }

  value flush() { return worker_->flush(); }
  value last() { return worker_->finish(parameters_); }
  void finish() { reducer_->finish(parameters_); }
  std::vector<decision> decisions() { return reducer_->take_decisions(); }
  value published() const { return reducer_->published(); }

 private:
  std::unique_ptr<analysis> analysis_;
  parameters parameters_;
  std::vector<result_description> results_;
  std::unique_ptr<worker_part> worker_;
  std::unique_ptr<reducer_part> reducer_;
};

inline double number(const value& tree, std::string_view name) {
  auto found = tree.find(name);
  return found ? found->as_number().value_or(-12345) : -54321;
}

template <class T = double>
std::vector<T> numbers(const value& tree, std::string_view name) {
  auto found = tree.find(name);
  auto elements = found ? found->as_array() : nullptr;
  if (!elements || elements->type() != dtype_for<T>()) {
    ADD_FAILURE() << "no array " << name << " of " << name_of(dtype_for<T>());
    return {};
  }
  return {elements->elements<T>().begin(), elements->elements<T>().end()};
}

/// A group opens as a plot: signal and axes are there, and their lengths agree.
inline void expect_plot(const value& group) {
  auto attributes = group.find("_attrs");
  ASSERT_TRUE(attributes);
  ASSERT_TRUE(attributes->find("NX_class") && attributes->find("NX_class")->as_text());
  EXPECT_EQ(*attributes->find("NX_class")->as_text(), "NXdata");
  ASSERT_TRUE(attributes->find("signal") && attributes->find("signal")->as_text());
  auto signal = group.find(*attributes->find("signal")->as_text());
  ASSERT_TRUE(signal && signal->as_array());
  auto axes = attributes->find("axes")->as_list();
  ASSERT_TRUE(axes);
  auto& shape = signal->as_array()->shape();
  ASSERT_EQ(axes->size(), shape.size());
  for (std::size_t i = 0; i < shape.size(); ++i) {
    auto name = (*axes)[i].as_text();
    ASSERT_TRUE(name);
    if (*name == ".") continue;
    auto axis = group.find(*name);
    ASSERT_TRUE(axis && axis->as_array()) << *name;
    EXPECT_EQ(axis->as_array()->shape(), std::vector{shape[i]}) << *name;
  }
}

/// What is refused, and why; empty if it is not.
inline std::string refusal(const analysis& what, const scan_of::settings& set) {
  try {
    what.describe_results(complete_parameters(what, set));
    return {};
  } catch (const std::invalid_argument& e) {
    return e.what();
  }
}

} // namespace dtranspose::test
