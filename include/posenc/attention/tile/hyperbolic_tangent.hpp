// Vectorized tanh, for the soft-cap.
#pragma once

#include <posenc/attention/tile/power_of_two.hpp>

#include <cmath>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

/// tanh(x), within 3 ulp; NaN stays NaN.
template <class V>
[[gnu::always_inline]] inline V hyperbolic_tangent(V x) noexcept {
  if constexpr (std::is_same_v<V, kernels::vector<float>>) {
    const V size = x < 0.0F ? -x : x;
    // Near zero, the odd polynomial of Cephes, because 1 - 2 / (e^2x + 1) cancels there.
    const V square = x * x;
    V p = square * -5.70498872745E-3F + 2.06390887954E-2F;
    p = p * square - 5.37397155531E-2F;
    p = p * square + 1.33314422036E-1F;
    p = p * square - 3.33332819422E-1F;
    const V near = x + x * square * p;
    const V bounded = size > 20.0F ? V{} + 20.0F : size;  // tanh rounds to 1 from 10 on
    const V far = 1.0F - 2.0F / (power_of_two(bounded * 2.88539008F) + 1.0F);
    return size < 0.625F ? near : x < 0.0F ? -far : far;
  } else {
    for (index_t l = 0; l < static_cast<index_t>(sizeof x / sizeof x[0]); ++l) x[l] = std::tanh(x[l]);
    return x;
  }
}

}  // namespace posenc::inline POSENC_ISA::detail
