#include "findings.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>

namespace verify {

namespace {

double infinity() { return std::numeric_limits<double>::infinity(); }

// Zero where both are the same infinity or both are no number.
double distance(double got, double want) {
  if (std::isnan(got) || std::isnan(want)) return std::isnan(got) && std::isnan(want) ? 0 : infinity();
  if (std::isinf(got) || std::isinf(want)) return got == want ? 0 : infinity();
  return std::abs(got - want);
}

double allowance(double want, const tolerance& allowed, double radians) {
  if (!std::isfinite(want)) return 0;
  return allowed.abs + allowed.rel * std::abs(want) + allowed.per_radian * radians;
}

std::string place(index_t element, const std::vector<index_t>& shape) {
  std::string text;
  for (auto extent = shape.rbegin(); extent != shape.rend(); ++extent) {
    text = std::to_string(element % *extent) + (text.empty() ? "" : ", ") + text;
    element /= *extent;
  }
  return "[" + text + "]";
}

}  // namespace

std::string number_text(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.3g", value);
  return digits;
}

tolerance tolerance_from(const json& description) {
  const auto number = [&](const char* name) {
    const double value = description.contains(name) ? description.at(name).get<double>() : 0.0;
    if (!(value >= 0) || std::isinf(value))
      throw std::runtime_error(std::string("tolerance ") + name + " is " + number_text(value));
    return value;
  };
  if (!description.contains("abs") && !description.contains("rel")) throw std::runtime_error("a tolerance is empty");
  return {number("abs"), number("rel"), number("per_radian")};
}

double findings::deviation::share() const {
  if (error == 0) return 0;
  return allowed > 0 ? error / allowed : infinity();
}

bool findings::deviation::beyond(const deviation& other) const {
  return share() > other.share() || (share() == other.share() && error > other.error);
}

void findings::compare(const std::string& output, std::span<const double> got, const tensor& want,
                       const tolerance& allowed, std::span<const double> radians) {
  if (got.size() != want.values.size()) {
    fail(output + " has " + std::to_string(got.size()) + " elements, wanted " + shape_text(want.shape));
    return;
  }
  std::size_t misses = 0;
  std::size_t worst_at = 0;
  deviation worst;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const deviation here{distance(got[i], want.values[i]),
                         allowance(want.values[i], allowed, radians.size() == got.size() ? radians[i] : 0)};
    if (!(here.error <= here.allowed)) ++misses;
    if (i > 0 && !here.beyond(worst)) continue;
    worst = here;
    worst_at = i;
  }
  if (!compared_ || worst.beyond(worst_)) {
    worst_ = worst;
    worst_output_ = output;
  }
  compared_ = true;
  if (misses == 0) return;
  fail(output + ": " + std::to_string(misses) + " of " + std::to_string(got.size()) + " off, worst at " +
       place(static_cast<index_t>(worst_at), want.shape) + ": got " + number_text(got[worst_at]) + ", wanted " +
       number_text(want.values[worst_at]) + ", error " + number_text(worst.error) + " of " +
       number_text(worst.allowed));
}

void findings::compare(const std::string& output, double got, double want, const tolerance& allowed) {
  compare(output, {&got, 1}, {"F64", {1}, {want}}, allowed);
}

void findings::expect(bool holds, const std::string& otherwise) {
  held_ = true;
  if (!holds) fail(otherwise);
}

void findings::fail(const std::string& why) {
  // Two ways to one output fail alike.
  if (std::find(failures_.begin(), failures_.end(), why) == failures_.end()) failures_.push_back(why);
}
void findings::cannot_judge(const std::string& why) { open_.push_back(why); }
void findings::lacks_weights(const std::string& why) { lacking_ = why; }
void findings::remark(const std::string& text) { remarks_.push_back(text); }

verdict findings::result() const {
  if (!failures_.empty()) return verdict::failed;
  if (!lacking_.empty()) return verdict::without_weights;
  if (!open_.empty()) return verdict::unknown;
  // Nothing looked at is nothing proved.
  return compared_ || held_ ? verdict::passed : verdict::failed;
}

std::string findings::text() const {
  std::string text;
  const auto add = [&](const std::string& part) { text += (text.empty() ? "" : "; ") + part; };
  if (compared_) {
    add("largest error " + number_text(worst_.error) + " of " + number_text(worst_.allowed) + " (" + worst_output_ +
        ")");
  }
  for (const std::string& why : failures_) add(why);
  for (const std::string& why : open_) add(why);
  if (!lacking_.empty()) add(lacking_);
  for (const std::string& remark : remarks_) add(remark);
  if (text.empty()) text = held_ ? "as it should be" : "nothing was compared";
  return text;
}

}  // namespace verify
