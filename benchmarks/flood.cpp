#include "flood.hpp"

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <iostream>
#include <memory>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <zmq.h>

#include "instrument/pace.hpp"
#include "instrument/sent_ns.hpp"

namespace dtranspose::benchmarks {

namespace {

void check(int result, const char* what) {
  if (result < 0) throw std::runtime_error(std::string(what) + ": " + zmq_strerror(zmq_errno()));
}

/// Part 0 of an image: only the numbers are written anew.
class image_header {
 public:
  explicit image_header(std::size_t size)
      : middle_(R"(,"shape":[)" + std::to_string(size) +
                R"(],"type":"uint8","compression":"none","msg_number":)") {}

  std::string_view write(std::uint64_t frame, bool stamped) {
    text_ = R"({"htype":"image","frame":)";
    append(frame);
    text_ += middle_;
    append(frame + 1);
    if (stamped) {
      text_ += R"(,"sent_ns":)";
      append(static_cast<std::uint64_t>(realtime_ns()));
    }
    text_ += '}';
    return text_;
  }

 private:
  void append(std::uint64_t number) {
    char digits[20];
    text_.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
  }

  std::string middle_, text_;
};

struct end_context {
  void operator()(void* context) const { zmq_ctx_term(context); }
};

/// A PUSH socket.
class push {
 public:
  push(void* context, const flood_options& options) : socket_(zmq_socket(context, ZMQ_PUSH)) {
    if (options.connect)
      check(zmq_connect(socket_, options.url.c_str()), options.url.c_str());
    else
      check(zmq_bind(socket_, options.url.c_str()), options.url.c_str());
  }
  ~push() { zmq_close(socket_); }
  push(const push&) = delete;
  push& operator=(const push&) = delete;

  std::string address() const {
    char text[256];
    std::size_t size = sizeof text;
    check(zmq_getsockopt(socket_, ZMQ_LAST_ENDPOINT, text, &size), "address");
    return text;
  }

  void send_text(std::string_view text, int flags) {
    check(zmq_send(socket_, text.data(), text.size(), flags), "send");
  }

  /// Without a copy: `pixels` outlives this.
  void send_pixels(std::vector<char>& pixels) {
    zmq_msg_t part;
    check(zmq_msg_init_data(
              &part, pixels.data(), pixels.size(), [](void*, void*) {}, nullptr),
          "part");
    check(zmq_msg_send(&part, socket_, 0), "send");
  }

 private:
  void* socket_;
};

std::uint64_t number_of(std::string_view text) {
  std::uint64_t number = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size())
    throw std::runtime_error("no number: " + std::string(text));
  return number;
}

flood_options parse(int argc, char** argv) {
  flood_options options;
  for (int i = 1; i < argc; ++i) {
    std::string_view key = argv[i];
    auto next = [&] {
      if (++i == argc) throw std::runtime_error(std::string(key) + " takes a value");
      return std::string_view(argv[i]);
    };
    if (key == "--url")
      options.url = next();
    else if (key == "--size")
      options.size = number_of(next());
    else if (key == "--frames")
      options.frames = number_of(next());
    else if (key == "--rate")
      options.rate = std::stod(std::string(next()));
    else if (key == "--streams")
      options.streams = number_of(next());
    else if (key == "--connect")
      options.connect = true;
    else if (key == "--wait")
      options.wait = true;
    else
      throw std::runtime_error("unknown option " + std::string(key));
  }
  if (options.url.empty()) throw std::runtime_error("--url is missing");
  return options;
}

} // namespace

void flood(const flood_options& options) {
  std::vector<char> pixels(options.size, 1);
  // Its end waits for what was sent.
  std::unique_ptr<void, end_context> context(zmq_ctx_new());
  std::deque<push> sockets;
  for (std::size_t i = 0; i < options.streams; ++i) sockets.emplace_back(context.get(), options);
  std::cout << "ready";
  for (auto& socket : sockets) std::cout << " " << socket.address();
  std::cout << std::endl;
  if (std::string line; options.wait && !std::getline(std::cin, line))
    throw std::runtime_error("standard input ended before the start");
  image_header header(options.size);
  for (auto& socket : sockets)
    socket.send_text(R"({"htype":"header","filename":"flood.h5","msg_number":0})", 0);
  pace due(options.rate);
  for (std::uint64_t frame = 0; frame < options.frames; ++frame) {
    due.wait(frame, {});
    for (auto& socket : sockets) {
      socket.send_text(header.write(frame, options.rate > 0), ZMQ_SNDMORE);
      socket.send_pixels(pixels);
    }
  }
  auto number = std::to_string(options.frames + 1);
  for (auto& socket : sockets) socket.send_text(R"({"htype":"series_end","msg_number":)" + number + "}", 0);
  // The pixels are not copied: they stay until the last of them has left.
  sockets.clear();
  context.reset();
}

int flood_main(int argc, char** argv) {
  try {
    flood(parse(argc, argv));
    return EXIT_SUCCESS;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "flood: %s\n", error.what());
    return EXIT_FAILURE;
  }
}

} // namespace dtranspose::benchmarks
