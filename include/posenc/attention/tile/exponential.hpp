// e^x of vectors.
#pragma once

#include <posenc/attention/tile/power_of_two.hpp>

#include <numbers>

namespace posenc::inline POSENC_ISA::detail {

/// e^x for x up to 88, within 2.2 ulp and |x| / 2 ulp more; 0 below half of 2^least_exponent, so also of minus infinity.
/// NaN stays NaN.
template <class V>
[[gnu::always_inline]] inline V exponential(V x) noexcept {
  using T = std::remove_cvref_t<decltype(x[0])>;
  return power_of_two(x * std::numbers::log2e_v<T>);
}

}  // namespace posenc::inline POSENC_ISA::detail
