// A progress bar for long-running work.
#pragma once

#include <chrono>
#include <cstdint>

namespace engine {

/// Drawn on standard error, only if that is a terminal and the work has taken half a second; erased at the end.
///
///     [############                    ]  384/1024  48.2/s
class progress_bar {
 public:
  explicit progress_bar(std::int64_t total);
  progress_bar(const progress_bar&) = delete;
  progress_bar& operator=(const progress_bar&) = delete;
  ~progress_bar();

  void update(std::int64_t done);

 private:
  using clock = std::chrono::steady_clock;

  std::int64_t total_;
  bool is_terminal_;
  bool drawn_ = false;
  clock::time_point start_ = clock::now();
  clock::time_point next_draw_;
};

}  // namespace engine
