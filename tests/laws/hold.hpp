// Runs the laws on an encoding and fails with the text of each violation.
#pragma once

#include <posenc/testing/laws.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <algorithm>
#include <string>
#include <vector>

// Compiled once, in report.cpp, and not in every test.
extern template struct posenc::laws::suite<float>;
extern template struct posenc::laws::suite<double>;
extern template struct posenc::laws::suite<posenc::bf16>;
extern template struct posenc::laws::suite<posenc::f16>;

template <class S, class E>
posenc::law_report laws_hold(const E& encoding, const posenc::law_options& options = {}) {
  const posenc::law_report report = posenc::check_encoding_laws<S>(encoding, options);
  for (const std::string& violation : report.violations) FAIL_CHECK(violation);
  CHECK(!report.checked.empty());
  return report;
}

inline bool ran(const posenc::law_report& report, const std::string& law) {
  return std::find(report.checked.begin(), report.checked.end(), law) != report.checked.end();
}

/// Whether the report says that something is missing, in a text that begins with `what`.
inline bool lacks(const posenc::law_report& report, const std::string& what) {
  return std::any_of(report.lacks.begin(), report.lacks.end(),
                     [&](const std::string& entry) { return entry.rfind(what, 0) == 0; });
}

/// A learned table.
template <class T>
std::vector<T> random_table(posenc::index_t size) {
  return random_values(7).list<T>(size);
}
