// A linear layer on weights as stored in the file.
#pragma once

#include "matrix.hpp"

namespace engine {

/// Layout of the weights of linear layers: [out, in], or [in, out] (GPT-2's Conv1D).
enum class weight_layout { out_in, in_out };

/// y = x W + b.
struct linear {
  index_t num_inputs = 0;
  index_t num_outputs = 0;
  weight_layout layout = weight_layout::out_in;
  const float* weight = nullptr;  // [num_outputs, num_inputs], or transposed
  const float* bias = nullptr;    // [num_outputs], or null

  /// `y` may be a range of columns of a wider matrix.
  void apply(const matrix& x, Eigen::Ref<matrix, 0, Eigen::OuterStride<>> y) const {
    if (layout == weight_layout::out_in)
      y.noalias() = x * matrix_map(weight, num_outputs, num_inputs).transpose();
    else
      y.noalias() = x * matrix_map(weight, num_inputs, num_outputs);
    if (bias != nullptr) y.rowwise() += row_vector_map(bias, num_outputs);
  }
  matrix operator()(const matrix& x) const {
    matrix y(x.rows(), num_outputs);
    apply(x, y);
    return y;
  }
};

}  // namespace engine
