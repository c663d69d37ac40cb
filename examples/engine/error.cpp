#include "error.hpp"

#include <cstdio>

namespace engine {

std::string escaped(std::string_view text, std::size_t longest) {
  std::string safe = "\"";
  for (const char c : text.substr(0, longest)) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      safe += '\\';
      safe += c;
    } else if (byte < 0x20 || byte >= 0x7f) {  // keeps control sequences away from the terminal
      char code[5];
      std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned>(byte));
      safe += code;
    } else {
      safe += c;
    }
  }
  return safe + (text.size() > longest ? "...\"" : "\"");
}

std::string detail::shown(double value) {
  char digits[32];
  std::snprintf(digits, sizeof digits, "%.9g", value);
  return digits;
}

}  // namespace engine
