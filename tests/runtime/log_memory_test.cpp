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

} // namespace
} // namespace dtranspose
