#include "json.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace engine {

namespace {

constexpr int deepest = 16;  // real configurations reach 4

// Tracks a parse: its depth, and the names that each open object has used.
class structure_check {
 public:
  explicit structure_check(std::string_view file_name) : file_name_(file_name) {}

  void operator()(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& parsed) {
    using parse_event = nlohmann::json::parse_event_t;
    if (depth > deepest) refuse(file_name_, "depth of the JSON", depth, "at most " + std::to_string(deepest));
    if (event == parse_event::object_start) {
      names_.emplace_back();
    } else if (event == parse_event::object_end) {
      names_.pop_back();
    } else if (event == parse_event::key) {
      const auto& name = parsed.get_ref<const std::string&>();
      if (!names_.back().insert(name).second) refuse(file_name_, "field " + escaped(name), "there twice", "once");
    }
  }

 private:
  std::string_view file_name_;
  std::vector<std::set<std::string>> names_;
};

// A value as shown in a message; subtrees are abbreviated.
std::string shown(const nlohmann::json& value) {
  if (value.is_null()) return "absent";
  if (value.is_string()) return escaped(value.get_ref<const std::string&>());
  if (value.is_structured()) return value.is_array() ? "a list" : "an object";
  return value.dump();
}

std::string range_rule(const char* what, const std::string& least, const std::string& largest) {
  return std::string(what) + " from " + least + " to " + largest;
}

// The parser has three number types; an unsigned number beyond index_t is not an index, and neither is 2.0.
bool is_index(const nlohmann::json& value, index_t least, index_t largest) {
  if (!value.is_number_integer()) return false;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX)) return false;
  const auto number = value.get<std::int64_t>();
  return number >= least && number <= largest;
}

bool is_real(const nlohmann::json& value, double least, double largest) {
  if (!value.is_number()) return false;
  const auto number = value.get<double>();
  return number >= least && number <= largest;  // 1e999 is parsed as infinity, which is beyond every range
}

}  // namespace

nlohmann::json parse_json(std::string_view text, std::string_view file_name) {
  structure_check check(file_name);
  try {
    return nlohmann::json::parse(text, [&](int depth, auto event, nlohmann::json& parsed) {
      check(depth, event, parsed);
      return true;
    });
  } catch (const nlohmann::json::exception& error) {
    // Its message quotes the last token read, which may be anything.
    throw std::runtime_error(std::string(file_name) + ": not valid JSON: " + escaped(error.what(), 200));
  }
}

json_fields::json_fields(nlohmann::json object, std::string file_name, std::string path)
    : object_(std::move(object)), file_name_(std::move(file_name)), path_(std::move(path)) {
  if (object_.is_object()) return;
  const std::string field = path_.empty() ? "content" : path_.substr(0, path_.size() - 1);
  refuse(file_name_, field, shown(object_), "an object");
}

bool json_fields::has_only(names fields) const {
  for (const auto& [name, value] : object_.items()) {
    if (!value.is_null() && std::ranges::find(fields, std::string_view(name)) == fields.end()) return false;
  }
  return true;
}

const nlohmann::json* json_fields::find(names spellings) const {
  const nlohmann::json* value = nullptr;
  for (const char* name : spellings) {
    const auto found = object_.find(name);
    if (found == object_.end() || found->is_null()) continue;
    if (value != nullptr && *value != *found)
      refuse(file_name_, path(name), shown(*found), shown(*value) + ", as under its other name");
    value = &*found;
  }
  return value;
}

std::string json_fields::spelling(names spellings) const {
  for (const char* name : spellings) {
    if (object_.contains(name)) return path(name);
  }
  return path(*spellings.begin());
}

void json_fields::refuse_field(names spellings, std::string_view rule) const {
  const nlohmann::json* const value = find(spellings);
  refuse(file_name_, spelling(spellings), value != nullptr ? shown(*value) : "absent", rule);
}

index_t json_fields::integer(names spellings, index_t least, index_t largest) const {
  const nlohmann::json* const value = find(spellings);
  if (value == nullptr || !is_index(*value, least, largest))
    refuse_field(spellings, range_rule("a whole number", std::to_string(least), std::to_string(largest)));
  return value->get<index_t>();
}

index_t json_fields::integer(names spellings, index_t least, index_t largest, index_t if_absent) const {
  return has(spellings) ? integer(spellings, least, largest) : if_absent;
}

double json_fields::number(names spellings, double least, double largest) const {
  const nlohmann::json* const value = find(spellings);
  if (value == nullptr || !is_real(*value, least, largest))
    refuse_field(spellings, range_rule("a number", detail::shown(least), detail::shown(largest)));
  return value->get<double>();
}

double json_fields::number(names spellings, double least, double largest, double if_absent) const {
  return has(spellings) ? number(spellings, least, largest) : if_absent;
}

bool json_fields::boolean(names spellings, bool if_absent) const {
  const nlohmann::json* const value = find(spellings);
  if (value == nullptr) return if_absent;
  if (!value->is_boolean()) refuse_field(spellings, "true or false");
  return value->get<bool>();
}

std::string json_fields::text(names spellings) const {
  const nlohmann::json* const value = find(spellings);
  if (value == nullptr || !value->is_string()) refuse_field(spellings, "a text");
  return value->get<std::string>();
}

std::string json_fields::text(names spellings, std::string_view if_absent) const {
  return has(spellings) ? text(spellings) : std::string(if_absent);
}

std::vector<index_t> json_fields::integers(names spellings, index_t least, index_t largest) const {
  const std::string rule = range_rule("a list of whole numbers", std::to_string(least), std::to_string(largest));
  const nlohmann::json* const list = find(spellings);
  if (list == nullptr || !list->is_array()) refuse_field(spellings, rule);
  std::vector<index_t> values;
  for (const nlohmann::json& value : *list) {
    if (!is_index(value, least, largest))
      refuse(file_name_, spelling(spellings) + "[" + std::to_string(values.size()) + "]", shown(value), rule);
    values.push_back(value.get<index_t>());
  }
  return values;
}

std::vector<double> json_fields::numbers(names spellings, double least, double largest) const {
  const std::string rule = range_rule("a list of numbers", detail::shown(least), detail::shown(largest));
  const nlohmann::json* const list = find(spellings);
  if (list == nullptr || !list->is_array()) refuse_field(spellings, rule);
  std::vector<double> values;
  for (const nlohmann::json& value : *list) {
    if (!is_real(value, least, largest))
      refuse(file_name_, spelling(spellings) + "[" + std::to_string(values.size()) + "]", shown(value), rule);
    values.push_back(value.get<double>());
  }
  return values;
}

std::string json_fields::json(names spellings) const {
  const nlohmann::json* const value = find(spellings);
  return value != nullptr ? value->dump(-1, ' ', true) : "null";
}

json_fields json_fields::object(names spellings) const {
  const nlohmann::json* const value = find(spellings);
  if (value == nullptr || !value->is_object()) refuse_field(spellings, "an object");
  return json_fields(*value, file_name_, spelling(spellings) + ".");
}

}  // namespace engine
