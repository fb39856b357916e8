#include "runtime/log_memory.hpp"

#include <gmock/gmock.h>
#include <spdlog/spdlog.h>

namespace dtranspose {
namespace {

TEST(log_memory, keeps_the_last_records_of_each_level) {
  auto before = spdlog::default_logger();
  auto logger = std::make_shared<spdlog::logger>("test");
  spdlog::set_default_logger(logger);
  auto memory = log_memory::attach();
  logger->set_level(spdlog::level::debug);
  logger->debug("small");
  logger->info("usual {}", 1);
  logger->warn("odd");
  spdlog::set_default_logger(before);
  auto texts = [&](const char* level) {
    std::vector<std::string> list;
    for (auto& r : memory->last(level)) list.push_back(r.level + " " + r.text);
    return list;
  };
  EXPECT_THAT(texts("debug"), testing::ElementsAre("DEBUG small", "INFO usual 1", "WARNING odd"));
  EXPECT_THAT(texts("INFO"), testing::ElementsAre("INFO usual 1", "WARNING odd"));
  EXPECT_THAT(texts("no level"), texts("info"));
  EXPECT_THAT(texts("Warning"), testing::ElementsAre("WARNING odd"));
  EXPECT_GT(memory->last("info")[0].time, 1.6e9);
  for (std::size_t i = 0; i < 2 * log_memory::most_records; ++i) logger->info("{}", i);
  EXPECT_EQ(memory->last("info").size(), log_memory::most_records);
  EXPECT_EQ(memory->last("info").back().text, std::to_string(2 * log_memory::most_records - 1));
}

/// A logger with a memory, for as long as a test lives.
class log_memory_test : public testing::Test {
 protected:
  log_memory_test() {
    spdlog::set_default_logger(logger);
    memory = log_memory::attach();
  }
  ~log_memory_test() override { spdlog::set_default_logger(before); }

  static std::vector<std::string> texts(const std::vector<log_memory::record>& records) {
    std::vector<std::string> list;
    for (auto& r : records) list.push_back(r.component + ":" + r.level + " " + r.text);
    return list;
  }

  std::shared_ptr<spdlog::logger> before = spdlog::default_logger(),
                                  logger = std::make_shared<spdlog::logger>("test");
  std::shared_ptr<log_memory> memory;
};

TEST_F(log_memory_test, tells_what_is_new) {
  logger->info("old");
  std::uint64_t position = 0, other = 0;
  EXPECT_THAT(memory->since(position), testing::IsEmpty());
  logger->info("a");
  logger->warn("b");
  EXPECT_THAT(texts(memory->since(position)), testing::ElementsAre(":INFO a", ":WARNING b"));
  EXPECT_THAT(memory->since(position), testing::IsEmpty());
  EXPECT_THAT(memory->since(other), testing::IsEmpty());
  for (std::size_t i = 0; i < log_memory::most_records + 5; ++i) logger->info("{}", i);
  EXPECT_EQ(memory->since(other).size(), log_memory::most_records);
  std::uint64_t beyond = 1'000'000'000;
  EXPECT_THAT(memory->since(beyond), testing::IsEmpty());
}

TEST_F(log_memory_test, hands_warnings_to_another) {
  logger->info("usual");
  logger->warn("odd");
  logger->error(std::string(2 * log_memory::longest_warning, 'x'));
  log_memory elsewhere;
  elsewhere.add_of_others("worker@node7", memory->take_warnings());
  EXPECT_THAT(texts(elsewhere.last("info")),
              testing::ElementsAre("worker@node7:WARNING odd",
                                   "worker@node7:ERROR " + std::string(log_memory::longest_warning, 'x')));
  EXPECT_TRUE(memory->take_warnings().empty());
  EXPECT_TRUE(elsewhere.take_warnings().empty()) << "what came from others goes no further";
  for (std::size_t i = 0; i < 2 * log_memory::most_warnings; ++i) logger->warn("{}", i);
  auto some = memory->take_warnings();
  EXPECT_EQ(some.size(), log_memory::most_warnings);
  EXPECT_EQ(*some.back().find("text")->as_text(), std::to_string(2 * log_memory::most_warnings - 1));
}

TEST_F(log_memory_test, takes_records_alone) {
  value_map good{{"time", 1.5}, {"level", "ERROR"}, {"text", "t"}};
  auto odd = good;
  odd.set("text", 3);
  memory->add_of_others("p", value());
  memory->add_of_others("p", value_list(log_memory::most_warnings + 1, good));
  memory->add_of_others("p", value_list{3, odd, value_map{}, good});
  EXPECT_THAT(texts(memory->last("error")), testing::ElementsAre("p:ERROR t"));
}

} // namespace
} // namespace dtranspose
