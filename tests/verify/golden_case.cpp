#include "golden_case.hpp"

#include <cmath>

namespace verify {

namespace {

// "cos_exact" and "cos_f32" are both "cos": one table in two precisions.
std::string stem_of(const std::string& role) {
  for (const std::string ending : {"_f32", "_f64", "_exact"}) {
    if (role.size() > ending.size() && role.ends_with(ending)) return role.substr(0, role.size() - ending.size());
  }
  return role;
}

std::string remarks_of(const json& description) {
  std::string text;
  if (description.contains("reference") && description.at("reference").is_object())
    text = description.at("reference").value("path", "");
  if (description.contains("note") && description.at("note").is_string())
    text += "\n" + description.at("note").get<std::string>();
  return text;
}

void check_shape(const std::string& role, const json& description, const tensor& x) {
  const auto shape = description.at("shape").get<std::vector<index_t>>();
  const auto dtype = description.at("dtype").get<std::string>();
  if (shape != x.shape || dtype != x.dtype) {
    throw std::runtime_error(role + " is described as " + dtype + " " + shape_text(shape) + ", the file holds " +
                             x.dtype + " " + shape_text(x.shape));
  }
}

}  // namespace

golden_case::golden_case(const json& description, const tensors& data, findings& found)
    : found_(found),
      encoding_(description.at("encoding").get<std::string>()),
      remarks_(remarks_of(description)),
      parameters_(description.value("parameters", json::object())) {
  const json& tolerances = description.at("tolerance");
  for (const auto& [role, where] : description.at("tensors").items()) {
    const auto name = where.at("tensor").get<std::string>();
    const auto stored = data.find(name);
    if (stored == data.end()) throw std::runtime_error("the file holds no tensor " + name);
    check_shape(role, where, stored->second);
    if (!tolerances.contains(role)) {
      inputs_[role] = &stored->second;
      continue;
    }
    output& one = outputs_[role];
    one.want = &stored->second;
    one.allowed = tolerance_from(tolerances.at(role));
    if (tolerances.at(role).contains("f32")) one.allowed_in_float = tolerance_from(tolerances.at(role).at("f32"));
  }
  for (const auto& [role, allowed] : tolerances.items()) {
    if (outputs_.count(role) == 0) throw std::runtime_error("there is a tolerance but no tensor for " + role);
  }
  if (outputs_.empty()) throw std::runtime_error("the case has no output");
}

bool golden_case::has_parameter(const std::string& name) const {
  return parameters_.contains(name) && !parameters_.at(name).is_null();
}

const json& golden_case::parameter(const std::string& name) const {
  if (!has_parameter(name)) throw std::runtime_error("parameter " + name + " is missing");
  return parameters_.at(name);
}

double golden_case::number(const std::string& name) const {
  const json& value = parameter(name);
  if (!value.is_number()) throw std::runtime_error("parameter " + name + " is " + value.dump() + ", expected a number");
  return value.get<double>();
}
double golden_case::number(const std::string& name, double otherwise) const {
  return has_parameter(name) ? number(name) : otherwise;
}

index_t golden_case::count(const std::string& name) const {
  const double value = number(name);
  if (value != std::floor(value) || std::abs(value) > 0x1p53)
    throw std::runtime_error("parameter " + name + " is " + number_text(value) + ", expected an integer");
  return static_cast<index_t>(value);
}
index_t golden_case::count(const std::string& name, index_t otherwise) const {
  return has_parameter(name) ? count(name) : otherwise;
}

bool golden_case::flag(const std::string& name, bool otherwise) const {
  if (!has_parameter(name)) return otherwise;
  const json& value = parameter(name);
  if (value.is_boolean()) return value.get<bool>();
  return number(name) != 0;
}

std::string golden_case::text(const std::string& name, const std::string& otherwise) const {
  if (!has_parameter(name)) return otherwise;
  const json& value = parameter(name);
  if (!value.is_string()) throw std::runtime_error("parameter " + name + " is " + value.dump() + ", expected a text");
  return value.get<std::string>();
}

bool golden_case::mentions(const std::string& text) const { return remarks_.find(text) != std::string::npos; }

const tensor& golden_case::input(const std::string& role) const {
  const auto found = inputs_.find(role);
  if (found == inputs_.end()) throw std::runtime_error("input " + role + " is missing");
  return *found->second;
}

const tensor& golden_case::input(const std::string& role, const std::vector<index_t>& shape) const {
  const tensor& x = input(role);
  if (x.shape != shape) {
    throw std::runtime_error("input " + role + " has shape " + shape_text(x.shape) + ", expected " + shape_text(shape));
  }
  return x;
}

const tensor* golden_case::find(const std::string& role) const {
  if (const auto in = inputs_.find(role); in != inputs_.end()) return in->second;
  if (const auto out = outputs_.find(role); out != outputs_.end()) return out->second.want;
  return nullptr;
}

bool golden_case::wants(const std::string& stem) const {
  for (const auto& [role, one] : outputs_) {
    if (role == stem || stem_of(role) == stem) return true;
  }
  return false;
}

const tensor& golden_case::wanted(const std::string& stem) const {
  for (const auto& [role, one] : outputs_) {
    if (role == stem || stem_of(role) == stem) return *one.want;
  }
  throw std::runtime_error("output " + stem + " is missing");
}

void golden_case::give_as(const std::string& stem, const std::vector<double>& got, bool in_float,
                          std::span<const double> radians) {
  for (auto& [role, one] : outputs_) {
    if (role != stem && stem_of(role) != stem) continue;
    if (one.want->is_integer() || (one.want->dtype == "F64") != in_float) {
      found_.compare(role, got, *one.want, one.allowed, radians);
      one.judged = true;
    } else if (in_float && one.allowed_in_float) {
      found_.compare(role + " in float32", got, *one.want, *one.allowed_in_float, radians);
    }
  }
}

const tensor* golden_case::judge_by_hand(const std::string& role) {
  const auto one = outputs_.find(role);
  if (one == outputs_.end()) return nullptr;
  one->second.judged = true;
  return one->second.want;
}

void golden_case::finish() {
  for (const auto& [role, one] : outputs_) {
    if (!one.judged) found_.cannot_judge("the output " + role + " is not one that is known here");
  }
}

}  // namespace verify
