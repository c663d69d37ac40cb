// The report of a run of the laws, and how a law writes to it.
#pragma once

#include <posenc/scalar.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The result of `check_encoding_laws`.
struct law_report {
  std::vector<std::string> violations;  // at most one per law: law, place, actual and allowed values, seed
  std::vector<std::string> lacks;       // hooks that the encoding does not have, and what therefore went unchecked
  std::vector<std::string> checked;     // laws that ran
};

namespace laws {

inline std::string text_of(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  return digits;
}

/// One law while it is checked. Only its first violation is reported; later ones would be more of the same.
///
/// `where` and `what` are functions that return the text, called only on a violation.
class law {
 public:
  law(law_report& report, std::string name, std::uint64_t seed)
      : report_(&report), name_(std::move(name)), seed_(seed) {
    report.checked.push_back(name_);
  }

  template <class What>
  void expect(bool holds, What what) {
    if (holds || broken_) return;
    broken_ = true;
    report_->violations.push_back(name_ + ": " + what() + " (seed " + std::to_string(seed_) + ")");
  }

  /// Equal infinities count as near; NaN is near nothing.
  template <real T, class Where>
  void expect_near(T seen, T expected, double allowed, Where where) {
    const double difference = std::abs(static_cast<double>(seen) - static_cast<double>(expected));
    expect(seen == expected || difference <= allowed, [&] {
      return where() + " is " + text_of(static_cast<double>(seen)) + ", expected " +
             text_of(static_cast<double>(expected)) + (allowed > 0 ? " within " + text_of(allowed) : " exactly");
    });
  }

  bool broken() const noexcept { return broken_; }

 private:
  law_report* report_;
  std::string name_;
  std::uint64_t seed_;
  bool broken_ = false;
};

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
