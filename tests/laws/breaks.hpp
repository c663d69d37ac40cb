// Tests that a wrong encoding breaks the laws that it is meant to break, and no others.
#pragma once

#include "hold.hpp"

#include <cstddef>
#include <string>
#include <vector>

/// Whether the violations are of exactly these laws, in this order; each begins with the law's name.
inline bool breaks(const posenc::law_report& report, const std::vector<std::string>& laws) {
  bool exactly = report.violations.size() == laws.size();
  for (std::size_t i = 0; exactly && i < laws.size(); ++i) exactly = report.violations[i].rfind(laws[i] + ": ", 0) == 0;
  if (exactly) return true;
  for (const std::string& violation : report.violations) WARN(violation);
  return false;
}

/// Adds `bias_of(q, k)` to the score of each pair of a tile.
template <class T, class Bias>
void add_to_pairs(const posenc::score_tile<T>& tile, Bias bias_of) noexcept {
  for (posenc::index_t q = 0; q < tile.num_queries; ++q) {
    for (posenc::index_t k = 0; k < tile.num_keys; ++k) tile.score(q, k) += static_cast<T>(bias_of(q, k));
  }
}
