// The engine's matrices: float, row-major, one row per token.
#pragma once

#include <posenc/eigen.hpp>  // row_matrix

#include <Eigen/Core>

#include <cstdint>

namespace engine {

using posenc::index_t;

/// A token's index in the vocabulary.
using token_id = std::int32_t;

using matrix = posenc::row_matrix<float>;                    // [num_tokens, columns]
using row_vector = Eigen::Matrix<float, 1, Eigen::Dynamic>;  // [columns]

/// A view of weights in the mapped file or in a converted copy.
using matrix_map = Eigen::Map<const matrix>;
using row_vector_map = Eigen::Map<const row_vector>;

}  // namespace engine
