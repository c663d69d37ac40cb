// Vectorized e^x.
#pragma once

#include <posenc/attention/tile/power_of_two.hpp>

#include <numbers>

namespace posenc::inline POSENC_ISA::detail {

/// e^x for x up to 88, within 2.2 + |x| / 2 ulp; 0 if e^x is below half of 2^least_exponent, so also for minus
/// infinity. NaN stays NaN.
template <class V>
[[gnu::always_inline]] inline V exponential(V x) noexcept {
  using T = std::remove_cvref_t<decltype(x[0])>;
  return power_of_two(x * std::numbers::log2e_v<T>);
}

}  // namespace posenc::inline POSENC_ISA::detail
