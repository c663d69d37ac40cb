// Parses untrusted JSON, and reads fields of an object with errors that name file, field, value and rule.
#pragma once

#include "error.hpp"
#include "matrix.hpp"  // index_t

#include <nlohmann/json.hpp>

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

namespace engine {

/// Parses a complete JSON text. Throws std::runtime_error if it is malformed, nested deeper than any model file, or has
/// duplicate field names (which parsers resolve silently and differently).
nlohmann::json parse_json(std::string_view text, std::string_view file_name);

/// The fields of one JSON object, each read with a type and a range.
///
/// A field may have several names, because model families differ; if an object uses two of them, the values must agree.
/// Null counts as absent.
class json_fields {
 public:
  using names = std::initializer_list<const char*>;

  /// `path` stands before field names in messages: "rope_scaling.". Throws unless `object` is an object.
  json_fields(nlohmann::json object, std::string file_name, std::string path = "");

  /// An empty object, in place of one that `around` lacks.
  static json_fields empty(const json_fields& around) {
    return json_fields(nlohmann::json::object(), around.file_name_, around.path_);
  }

  const std::string& file_name() const noexcept { return file_name_; }
  std::string path(std::string_view field) const { return path_ + std::string(field); }
  bool has(names spellings) const { return find(spellings) != nullptr; }

  /// Whether the object has no fields other than these.
  bool has_only(names fields) const;

  /// An integer in [least, largest].
  index_t integer(names spellings, index_t least, index_t largest) const;
  index_t integer(names spellings, index_t least, index_t largest, index_t if_absent) const;
  /// A finite number in [least, largest].
  double number(names spellings, double least, double largest) const;
  double number(names spellings, double least, double largest, double if_absent) const;
  bool boolean(names spellings, bool if_absent) const;
  std::string text(names spellings) const;
  std::string text(names spellings, std::string_view if_absent) const;
  /// A list of integers in [least, largest].
  std::vector<index_t> integers(names spellings, index_t least, index_t largest) const;
  /// A list of finite numbers in [least, largest].
  std::vector<double> numbers(names spellings, double least, double largest) const;
  /// A field as JSON text.
  std::string json(names spellings) const;
  /// A nested object.
  json_fields object(names spellings) const;

  /// Throws about a field: "config.json: rope_scaling.factor is -1, expected ...".
  [[noreturn]] void refuse_field(names spellings, std::string_view rule) const;

 private:
  const nlohmann::json* find(names spellings) const;
  std::string spelling(names spellings) const;  // the name used, or the first

  nlohmann::json object_;
  std::string file_name_;
  std::string path_;
};

}  // namespace engine
