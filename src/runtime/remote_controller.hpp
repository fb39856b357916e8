/// A running system's REST interface, as its user.
#pragma once

#include <memory>
#include <optional>
#include <string>

namespace dtranspose {

struct progress;

/// How a running system is reached.
struct controller_access {
  std::string url = "http://127.0.0.1:5000";
  std::string token_file; ///< empty: no token
  std::string authority;  ///< empty: those that the system trusts
};

class remote_controller {
 public:
  explicit remote_controller(const controller_access& access);
  ~remote_controller();

  struct posting {
    bool wrap = true;         ///< puts start and end events around the map
    unsigned min_workers = 1; ///< waits until so many are there
    double patience = 60;     ///< seconds to wait for the system to take the map
  };

  /// Posts the map until it is taken; false on a signal. Throws std::runtime_error, with the last reason,
  /// when it never is.
  bool post(const std::string& map, const posting& how);

  /// Nothing where there is no answer.
  std::optional<progress> ask_progress();

 private:
  std::string try_post(const std::string& map, const posting& how);
  std::string missing_workers(const posting& how);

  struct client;
  std::string url_;
  std::unique_ptr<client> client_;
};

} // namespace dtranspose
