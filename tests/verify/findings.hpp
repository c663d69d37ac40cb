// The findings about one case: the largest error of each output against its tolerance, and the verdict.
#pragma once

#include "tensor.hpp"

#include <nlohmann/json.hpp>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace verify {

using json = nlohmann::json;

enum class verdict { passed, failed, unknown, without_weights };

/// Thrown by a check that meets an encoding, a variant or an output that it cannot compute.
struct not_known : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Thrown by a check that needs a trained model's file and has none.
struct no_weights : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// An element passes if |got - want| <= abs + rel * |want| + per_radian * |its angle|; infinities and NaN have to
/// match.
struct tolerance {
  double abs = 0;
  double rel = 0;
  double per_radian = 0;
};

/// Reads `abs`, `rel` and `per_radian`. Throws if one is not a number, is negative or is not finite.
tolerance tolerance_from(const json& description);

class findings {
 public:
  /// Compares an output element by element. `radians`: absolute angles of the elements, empty if there are none.
  void compare(const std::string& output, std::span<const double> got, const tensor& want, const tolerance& allowed,
               std::span<const double> radians = {});
  void compare(const std::string& output, double got, double want, const tolerance& allowed);

  /// Records a condition that must hold.
  void expect(bool holds, const std::string& otherwise);
  void fail(const std::string& why);
  /// Records what could not be judged; the case does not pass unless something else fails it.
  void cannot_judge(const std::string& why);
  void lacks_weights(const std::string& why);
  /// Adds to the text without changing the verdict.
  void remark(const std::string& text);

  verdict result() const;
  /// The largest error against its tolerance, every reason why the case did not pass, and the remarks.
  std::string text() const;

 private:
  struct deviation {
    double error = 0;
    double allowed = 0;
    double share() const;  // of the tolerance; infinite if nothing was allowed
    bool beyond(const deviation& other) const;
  };

  std::vector<std::string> failures_;
  std::vector<std::string> open_;
  std::vector<std::string> remarks_;
  std::string lacking_;
  deviation worst_;
  std::string worst_output_;
  bool compared_ = false;
  bool held_ = false;
};

/// A number as messages show it.
std::string number_text(double value);

}  // namespace verify
