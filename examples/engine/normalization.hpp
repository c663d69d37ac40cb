// LayerNorm and RMSNorm, per token.
#pragma once

#include "matrix.hpp"

#include <cmath>

namespace engine {

enum class norm_kind { layer, rms };

/// Normalizes each row, then scales and shifts its columns.
///
///     layer   y = (x - mean) / sqrt(variance + eps) * weight + bias
///     rms     y = x / sqrt(mean of squares + eps) * weight
struct normalization {
  norm_kind kind = norm_kind::layer;
  float eps = 0;
  const float* weight = nullptr;  // [hidden_size]
  const float* bias = nullptr;    // [hidden_size], or null

  matrix operator()(const matrix& x) const {
    matrix y = x;
    for (auto row : y.rowwise()) {
      if (kind == norm_kind::layer) row.array() -= row.mean();
      row *= 1 / std::sqrt(row.squaredNorm() / static_cast<float>(row.size()) + eps);
      row.array() *= row_vector_map(weight, row.size()).array();
      if (bias != nullptr) row += row_vector_map(bias, row.size());
    }
    return y;
  }
};

}  // namespace engine
