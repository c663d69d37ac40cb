// One case of a group of goldens: parameters, inputs by role, and the outputs to reproduce.
#pragma once

#include "findings.hpp"

#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace verify {

class golden_case {
 public:
  /// Throws if the description and the tensors contradict each other.
  golden_case(const json& description, const tensors& data, findings& found);

  const std::string& encoding() const { return encoding_; }
  findings& found() const { return found_; }

  // ---- Parameters; null counts as absent ----

  bool has_parameter(const std::string& name) const;
  const json& parameter(const std::string& name) const;
  double number(const std::string& name) const;
  double number(const std::string& name, double otherwise) const;
  index_t count(const std::string& name) const;
  index_t count(const std::string& name, index_t otherwise) const;
  bool flag(const std::string& name, bool otherwise) const;
  std::string text(const std::string& name, const std::string& otherwise) const;
  /// Whether the reference's path or the note contains this text, for facts that are no parameter.
  bool mentions(const std::string& text) const;

  // ---- Inputs ----

  bool has(const std::string& role) const { return inputs_.count(role) > 0; }
  const tensor& input(const std::string& role) const;
  /// An input that must have this shape.
  const tensor& input(const std::string& role, const std::vector<index_t>& shape) const;
  /// Any tensor, including outputs: for the angles behind a tolerance.
  const tensor* find(const std::string& role) const;

  // ---- Outputs ----

  /// Whether any output has this role in some precision: `stem` itself, or with _f32, _f64 or _exact appended.
  bool wants(const std::string& stem) const;
  /// The shape of the first output of that stem.
  const tensor& wanted(const std::string& stem) const;

  /// Hands in an output computed in T. A float value judges float32 outputs, and float64 ones by their tolerance for
  /// float32, if they have one; a double judges float64 outputs. Integers are judged by either.
  template <posenc::real T>
  void give(const std::string& stem, const std::vector<T>& got, std::span<const double> radians = {}) {
    give_as(stem, {got.begin(), got.end()}, sizeof(T) == sizeof(float), radians);
  }
  void give_integers(const std::string& stem, const std::vector<position_t>& got) {
    give_as(stem, {got.begin(), got.end()}, false, {});
  }

  /// The expected output, for a check that judges it in its own way; null if the case has no such output.
  const tensor* judge_by_hand(const std::string& role);
  /// Outputs that were not handed in cannot be judged.
  void finish();

 private:
  struct output {
    const tensor* want = nullptr;
    tolerance allowed;
    std::optional<tolerance> allowed_in_float;
    bool judged = false;
  };

  void give_as(const std::string& stem, const std::vector<double>& got, bool in_float, std::span<const double> radians);

  findings& found_;
  std::string encoding_;
  std::string remarks_;  // the reference's path, and the note
  json parameters_;
  std::map<std::string, const tensor*> inputs_;
  std::map<std::string, output> outputs_;
};

}  // namespace verify
