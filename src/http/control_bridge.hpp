/// Answers the REST interface by asking the controller.
#pragma once

#include <caf/actor.hpp>
#include <caf/fwd.hpp>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "http/control_server.hpp"

namespace dtranspose {

class control_bridge final : public control_interface {
 public:
  /// Where the log is read.
  struct log_reader {
    std::function<std::string(const std::string& level)> last;              ///< a JSON list
    std::function<std::vector<std::string>(std::uint64_t& position)> since; ///< JSON objects
  };

  /// `arming`: how long a scan may take to start.
  control_bridge(caf::actor_system& system, caf::actor controller, std::chrono::nanoseconds arming,
                 log_reader logs = {})
      : system_(system), controller_(std::move(controller)), arming_(arming), logs_(std::move(logs)) {}

  http_answer set_sequence(std::string_view body, bool all_wrap) override;
  http_answer sequence() override;
  http_answer progress() override;
  http_answer config() override;
  http_answer status() override;
  http_answer ledger() override;
  http_answer decisions(std::uint64_t since) override;
  http_answer stop() override;
  http_answer streams() override;
  http_answer health() override;
  http_answer metrics() override;
  http_answer logs(const std::string& level) override;
  std::vector<std::string> logs_since(std::uint64_t& position) override;
  http_answer load(const std::vector<std::uint64_t>& intervals, bool scan) override;
  http_answer sardana_hook(std::string_view body) override;
  http_answer reload_analysis() override;
  http_answer parameters() override;
  http_answer parameter(const std::string& name) override;
  http_answer set_parameter(const std::string& name, std::string_view written, bool lenient) override;

 private:
  std::vector<std::string> streams_there();

  template <class Answer, class... Question>
  http_answer ask(std::chrono::nanoseconds patience, std::function<std::string(const Answer&)> to_body,
                  Question... question);

  caf::actor_system& system_;
  caf::actor controller_;
  std::chrono::nanoseconds arming_;
  log_reader logs_;
};

} // namespace dtranspose
