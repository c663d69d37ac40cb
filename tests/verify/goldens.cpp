// A file of goldens: one group, its cases, and the tensors beside it.
#include "formats.hpp"
#include "groups.hpp"

#include <functional>
#include <map>

namespace verify {

namespace {

using check = std::function<void(golden_case&)>;

const std::map<std::string, check>& checks() {
  static const std::map<std::string, check> by_group{
      {"sinusoidal", check_sinusoidal}, {"learned", check_learned},     {"rope_tables", check_rope_tables},
      {"rope_apply", check_rope_apply}, {"alibi", check_alibi},         {"score_bias", check_score_bias},
      {"attention", check_attention},   {"exactness", check_exactness}, {"int8", check_int8},
  };
  return by_group;
}

void run_case(const json& description, const tensors& data, const std::string& group, findings& found) {
  golden_case one(description, data, found);
  const auto known = checks().find(group);
  if (known == checks().end()) throw not_known("the group " + group + " is not known here");
  known->second(one);
  one.finish();
}

}  // namespace

bool verify_goldens(const json& content, const std::filesystem::path& file, report& to) {
  if (!content.contains("group")) return false;
  const auto group = content.at("group").get<std::string>();
  const auto data_name = content.contains("file") ? std::filesystem::path(content.at("file").get<std::string>())
                                                  : file.filename().replace_extension(".safetensors");
  const tensors data = read_tensors(file.parent_path() / data_name);
  if (content.at("cases").empty()) throw std::runtime_error("holds no cases");
  for (const json& description : content.at("cases")) {
    const std::string name = description.is_object() ? description.value("name", "unnamed") : "unnamed";
    to.run(group + "/" + name, [&](findings& found) { run_case(description, data, group, found); });
  }
  return true;
}

}  // namespace verify
