// Exact products of integer powers, to decide on which side of a bucket's edge a distance lies.
#pragma once

#include <posenc/error.hpp>  // index_t

#include <algorithm>
#include <cstdint>
#include <vector>

namespace posenc::inline POSENC_ISA::detail {

/// a^m * b^n, exactly: 32-bit digits, least significant first and without leading zeros, so that equal numbers compare
/// equal.
inline std::vector<std::uint32_t> product_of_powers(std::uint32_t a, index_t m, std::uint32_t b, index_t n) {
  std::vector<std::uint32_t> digits{1};
  for (index_t factor = 0; factor < m + n; ++factor) {
    std::uint64_t carry = 0;
    for (std::uint32_t& digit : digits) {
      carry += std::uint64_t{digit} * (factor < m ? a : b);
      digit = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    if (carry != 0) digits.push_back(static_cast<std::uint32_t>(carry));
  }
  return digits;
}

inline bool is_less_than(const std::vector<std::uint32_t>& x, const std::vector<std::uint32_t>& y) {
  if (x.size() != y.size()) return x.size() < y.size();
  return std::lexicographical_compare(x.rbegin(), x.rend(), y.rbegin(), y.rend());
}

}  // namespace posenc::inline POSENC_ISA::detail
