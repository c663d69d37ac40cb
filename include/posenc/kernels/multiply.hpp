// Multiplies the heads of a token by a number.
#pragma once

#include <posenc/scalar.hpp>
#include <posenc/view.hpp>

#include <concepts>

namespace posenc::inline POSENC_ISA::kernels {

/// x[t, :, :] *= factor, in the compute type, rounded once.
template <scalar S>
void multiply(head_view<S> x, index_t token, compute_t<S> factor) noexcept {
  for (index_t h = 0; h < x.num_heads; ++h) {
    S* row = x.row(token, h);
    for (index_t d = 0; d < x.head_dim; ++d) row[d] = narrow<S>(widen<compute_t<S>>(row[d]) * factor);
  }
}

}  // namespace posenc::inline POSENC_ISA::kernels
