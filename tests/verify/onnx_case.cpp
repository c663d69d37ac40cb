#include "onnx_case.hpp"

#include "formats.hpp"

#include <algorithm>

namespace verify {

namespace {

// [dtype, shape] as ONNX spells it, against what the file holds. It has no bfloat16, so float32 stands in.
void check_description(const std::string& name, const json& description, const tensor& x) {
  static const std::map<std::string, std::string> stored_as{{"float32", "F32"},  {"float", "F32"},   {"float16", "F16"},
                                                            {"bfloat16", "F32"}, {"float64", "F64"}, {"double", "F64"},
                                                            {"bool", "BOOL"},    {"int64", "I64"},   {"int32", "I32"}};
  const auto type = description.at(0).get<std::string>();
  const auto shape = description.at(1).get<std::vector<index_t>>();
  const auto stored = stored_as.find(type);
  if (stored == stored_as.end()) throw not_known("the element type " + type + " is not known here");
  if (x.shape == shape && (x.dtype == stored->second || (type == "bfloat16" && x.dtype == "BF16"))) return;
  throw std::runtime_error(name + " is described as " + type + " " + shape_text(shape) + ", the file holds " + x.dtype +
                           " " + shape_text(x.shape));
}

bool one_of(const std::string& name, std::initializer_list<const char*> names) {
  return std::any_of(names.begin(), names.end(), [&](const char* known) { return name == known; });
}

}  // namespace

onnx_case::onnx_case(const json& description, const tensors& data, findings& found)
    : found_(found),
      attributes_(description.value("attributes", json::object())),
      allowed_(tolerance_from(description.at("tolerance"))) {
  for (const auto& [name, what] : description.at("tensors").items()) {
    const auto stored = data.find(name);
    if (stored == data.end()) throw std::runtime_error("the file holds no tensor " + name);
    check_description(name, what, stored->second);
    if (name.starts_with("in.")) {
      inputs_[name.substr(3)] = &stored->second;
      types_[name.substr(3)] = what.at(0).get<std::string>();
    } else if (name.starts_with("out.")) {
      wanted_[name.substr(4)] = &stored->second;
    } else {
      throw std::runtime_error("the tensor " + name + " is neither in nor out");
    }
  }
  if (wanted_.empty()) throw std::runtime_error("the case has no output");
}

void onnx_case::expect_only(std::initializer_list<const char*> attributes,
                            std::initializer_list<const char*> inputs) const {
  for (const auto& [name, value] : attributes_.items()) {
    if (!one_of(name, attributes)) throw not_known("the attribute " + name + " is not known here");
  }
  for (const auto& [name, x] : inputs_) {
    if (!one_of(name, inputs)) throw not_known("the input " + name + " is not known here");
  }
}

index_t onnx_case::integer(const std::string& attribute, index_t otherwise) const {
  return attributes_.contains(attribute) ? attributes_.at(attribute).get<index_t>() : otherwise;
}

double onnx_case::number(const std::string& attribute, double otherwise) const {
  return attributes_.contains(attribute) ? attributes_.at(attribute).get<double>() : otherwise;
}

const tensor* onnx_case::find(const std::string& input) const {
  const auto found = inputs_.find(input);
  return found == inputs_.end() ? nullptr : found->second;
}

const tensor& onnx_case::input(const std::string& input) const {
  const tensor* found = find(input);
  if (found == nullptr) throw std::runtime_error("input " + input + " is missing");
  return *found;
}

const std::string& onnx_case::element_type(const std::string& input) const { return types_.at(input); }

void onnx_case::give(const std::string& output, const std::vector<double>& got) {
  const auto want = wanted_.find(output);
  if (want == wanted_.end()) return;
  found_.compare(output, got, *want->second, allowed_);
  judged_[output] = true;
}

void onnx_case::finish() {
  for (const auto& [output, want] : wanted_) {
    if (!judged_[output]) found_.cannot_judge("the output " + output + " is not one that is known here");
  }
}

namespace {

void run_operator(const json& content, const tensors& data, findings& found) {
  const auto op = content.at("op").get<std::string>();
  onnx_case one(content, data, found);
  if (op == "Attention")
    check_onnx_attention(one);
  else if (op == "RotaryEmbedding")
    check_onnx_rotary_embedding(one);
  else
    throw not_known("the operator " + op + " is not known here");
  one.finish();
}

}  // namespace

bool verify_onnx(const json& content, const std::filesystem::path& file, report& to) {
  if (!content.contains("op")) return false;
  const std::string name = content.value("case", file.stem().string());
  to.run("onnx/" + name, [&](findings& found) {
    auto data_file = file;
    run_operator(content, read_tensors(data_file.replace_extension(".safetensors")), found);
  });
  return true;
}

}  // namespace verify
