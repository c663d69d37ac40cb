// A case of an ONNX operator: attributes, inputs and outputs by their formal names.
#pragma once

#include "findings.hpp"

#include <initializer_list>
#include <map>
#include <string>

namespace verify {

class onnx_case {
 public:
  /// Throws if the description and the tensors contradict each other.
  onnx_case(const json& description, const tensors& data, findings& found);

  /// Any other attribute or input is a variant that the check does not know.
  void expect_only(std::initializer_list<const char*> attributes, std::initializer_list<const char*> inputs) const;

  index_t integer(const std::string& attribute, index_t otherwise) const;
  double number(const std::string& attribute, double otherwise) const;
  bool has_attribute(const std::string& attribute) const { return attributes_.contains(attribute); }

  /// Null if an optional input was left out.
  const tensor* find(const std::string& input) const;
  const tensor& input(const std::string& input) const;
  /// As spelled by ONNX: float32, float16, bfloat16 (whose values are stored as float32), double, bool, int64.
  const std::string& element_type(const std::string& input) const;

  bool wants(const std::string& output) const { return wanted_.count(output) > 0; }
  void give(const std::string& output, const std::vector<double>& got);
  /// Outputs that were not handed in cannot be judged.
  void finish();

 private:
  findings& found_;
  json attributes_;
  tolerance allowed_;
  std::map<std::string, const tensor*> inputs_;
  std::map<std::string, std::string> types_;
  std::map<std::string, const tensor*> wanted_;
  std::map<std::string, bool> judged_;
};

void check_onnx_attention(onnx_case& one);
void check_onnx_rotary_embedding(onnx_case& one);

/// Calls act<S>() with the storage type of an ONNX type.
template <class Act>
void with_element_type(const std::string& type, Act act) {
  if (type == "float32" || type == "float") return act.template operator()<float>();
  if (type == "float64" || type == "double") return act.template operator()<double>();
  if (type == "float16") return act.template operator()<posenc::f16>();
  if (type == "bfloat16") return act.template operator()<posenc::bf16>();
  throw not_known("the element type " + type + " is not known here");
}

/// Elements, widened.
template <class S>
std::vector<double> widened(const std::vector<S>& values) {
  std::vector<double> wide;
  wide.reserve(values.size());
  for (const S value : values) wide.push_back(static_cast<double>(value));
  return wide;
}

}  // namespace verify
