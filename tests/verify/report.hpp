// Prints one line per case, and the counts in the last line.
#pragma once

#include "findings.hpp"

#include <functional>
#include <string>

namespace verify {

class report {
 public:
  /// Runs one case and prints its line. An exception from the check is the verdict: not_known is unknown, no_weights is
  /// without weights, any other is a failure.
  void run(const std::string& name, const std::function<void(findings&)>& check);

  /// Counts a file or path that could not be used as one failure.
  void reject(const std::string& name, const std::string& why);

  /// "N passed, N failed, N unknown, N without weights".
  std::string totals() const;
  int num_cases() const { return passed_ + failed_ + unknown_ + without_weights_; }
  int num_failed() const { return failed_; }

 private:
  void add(const std::string& name, const findings& found);

  int passed_ = 0;
  int failed_ = 0;
  int unknown_ = 0;
  int without_weights_ = 0;
};

}  // namespace verify
