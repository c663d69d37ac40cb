// Shared by all recipes: how many columns rotate, and the powers of theta.
#pragma once

#include <posenc/angles/frequencies.hpp>
#include <posenc/error.hpp>

#include <vector>

namespace posenc::inline POSENC_ISA::detail {

/// The number of columns of a head that rotate: rotary_dim if given, else head_dim * partial_rotary_factor, rounded
/// down.
inline index_t checked_rotary_dim(const char* recipe, index_t head_dim, index_t rotary_dim,
                                  double partial_rotary_factor) {
  require(head_dim >= 1, recipe, "head_dim", head_dim, "at least 1");
  require(is_positive(partial_rotary_factor) && partial_rotary_factor <= 1, recipe, "partial_rotary_factor",
          partial_rotary_factor, "above 0 and at most 1");
  const index_t d =
      rotary_dim != 0 ? rotary_dim : static_cast<index_t>(static_cast<double>(head_dim) * partial_rotary_factor);
  require(d >= 2 && d % 2 == 0, recipe, "rotary_dim", d, "even and at least 2");
  require(d <= head_dim, recipe, "rotary_dim", d, "at most head_dim, #", head_dim);
  return d;
}

inline void require_positive(const char* recipe, const char* parameter, double value) {
  require(is_positive(value), recipe, parameter, value, "above 0 and finite");
}

inline void require_finite(const char* recipe, const char* parameter, double value) {
  require(is_below_two_to(1024, value), recipe, parameter, value, "finite");
}

/// rope_theta^(-2i / dim) for i in [0, dim / 2)
inline std::vector<wide> powers_of_theta(const char* recipe, double rope_theta, index_t dim) {
  require_positive(recipe, "rope_theta", rope_theta);
  return powers(rope_theta, dim / 2, wide(dim) / 2);
}

}  // namespace posenc::inline POSENC_ISA::detail
