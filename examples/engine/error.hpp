// Errors about model files, which name the file, the field, its value and the rule.
#pragma once

#include <concepts>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <string_view>

namespace engine {

/// Text from an untrusted file, made safe for a terminal: quoted, escaped, and truncated if long.
std::string escaped(std::string_view text, std::size_t longest = 60);

namespace detail {
inline std::string shown(std::string_view text) { return std::string(text); }
template <std::integral V>
std::string shown(V value) {
  return std::to_string(value);
}
std::string shown(double value);
}  // namespace detail

/// Throws "model.safetensors: header length is 123, expected at most 100".
template <class V>
[[noreturn]] void refuse(std::string_view file, std::string_view field, const V& value, std::string_view rule) {
  throw std::runtime_error(std::string(file) + ": " + std::string(field) + " is " + detail::shown(value) +
                           ", expected " + std::string(rule));
}

}  // namespace engine
