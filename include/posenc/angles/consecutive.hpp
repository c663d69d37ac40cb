// Cosine and sine at consecutive positions: sums of two angles, a third of the work of computing each by itself.
#pragma once

#include <posenc/angles/cos_sin.hpp>
#include <posenc/angles/frequencies.hpp>
#include <posenc/positions.hpp>

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace posenc::inline POSENC_ISA::detail {

// cos and sin of position * inv_freq for one block of pairs, within 2^-50; the sine of a small angle within 2^-50 of
// itself.
template <std::size_t Count>
void cos_sin_in_double(const frequency_table& f, std::size_t first, position_t position, double* __restrict cos,
                       double* __restrict sin) noexcept {
  using bits = whole_numbers;
  remainders<Count> r;
  reduce(f, first, one_position<position_t>{position}, r);
  for (std::size_t i = 0; i < Count; i += lanes_of_double) {
    // Minimax polynomials in t^2: within 2^-55 and 2^-53.
    const auto [t, quadrant] = r.at(i);
    const doubles z = t * t;
    const doubles c =
        1.0 +
        z * (-1.2337005501361697 +
             z * (0.2536695079010467 +
                  z * (-0.02086348076331121 +
                       z * (0.0009192602741831558 +
                            z * (-2.520203677046026e-05 + z * (4.710609726757823e-07 + z * -6.321256869628588e-09))))));
    const doubles s =
        t * (1.5707963267948966 +
             z * (-0.6459640975062443 +
                  z * (0.07969262624604301 +
                       z * (-0.004681754132340976 +
                            z * (0.0001604411507421909 + z * (-3.59864335298231e-06 + z * 5.633933781537854e-08))))));
    const bits swap = ((bits)c ^ (bits)s) & (0 - (quadrant & 1U));
    kernels::store(cos + i, (bits)c ^ swap ^ ((quadrant + 1U) & 2U) << 62);
    kernels::store(sin + i, (bits)s ^ swap ^ (quadrant & 2U) << 62);
  }
}

/// Rows for consecutive positions, in float. With E(p) = cos(p w) + i sin(p w), E(base + offset) is E(base) E(offset),
/// where base is a multiple of 16. Both are computed on first use, in double.
///
/// Accuracy  within 0.5001 ulp, like `cos_sin`: the product is within 2^-48 of the truth, and where it is so near zero
///           that a float would show more than 0.0001 ulp of that, `cos_sin` computes the row. About one float in 10^5
///           is a neighbor of the one that `cos_sin` returns. A row depends on its position alone.
/// Memory    18 KiB of stack.
class consecutive_angles {
 public:
  static constexpr index_t max_pairs = 64;

  /// For at most max_pairs pairs, whatever their axes: all are at the position of the row. Angles are exact:
  /// float32_angles is ignored.
  consecutive_angles(const frequencies& f, index_t first_pair, index_t num_pairs) noexcept
      : f_(f), first_pair_(first_pair), num_pairs_(num_pairs) {}

  /// cos, sin  [num_pairs] for one position
  void row(position_t position, float* cos, float* sin) noexcept {
    const position_t offset = position & (num_offsets - 1);
    prepare(position - offset, offset);
    const bool precise =
        num_pairs_ == max_pairs ? add<max_pairs>(offset, max_pairs, cos, sin) : add<0>(offset, num_pairs_, cos, sin);
    if (precise) return;
    cos_sin_blocks(f_.table(), static_cast<std::size_t>(first_pair_), static_cast<std::size_t>(num_pairs_),
                   one_position<position_t>{position}, cos, sin);
  }

 private:
  static constexpr position_t num_offsets = 16;
  static constexpr auto least = std::bit_cast<std::uint32_t>(0x1p-11F);

  void fill(position_t position, double* cos, double* sin) const noexcept {
    constexpr auto block = static_cast<index_t>(frequency_table::block);
    for (index_t i = 0; i < num_pairs_; i += block)
      cos_sin_in_double<frequency_table::block>(f_.table(), static_cast<std::size_t>(first_pair_ + i), position,
                                                cos + i, sin + i);
  }

  void prepare(position_t base, position_t offset) noexcept {
    if (base != base_) {
      base_ = base;
      fill(base, base_cos_, base_sin_);
      // An angle that is still small may have a small sine: its terms are small too, and do not cancel.
      const double farthest = std::abs(static_cast<double>(base)) + num_offsets;
      for (index_t i = 0; i < num_pairs_; ++i)
        least_sin_[i] = std::abs(f_.inv_freq(first_pair_ + i)) * farthest < 1 ? 0 : least;
    }
    if ((offsets_made_ >> offset & 1U) == 0) fill(offset, offset_cos_[offset], offset_sin_[offset]);
    offsets_made_ |= 1U << offset;
  }

  /// Returns false if a result is too small to be accurate.
  template <index_t Pairs>
  bool add(position_t offset, index_t num_pairs, float* __restrict cos, float* __restrict sin) const noexcept {
    const index_t n = Pairs > 0 ? Pairs : num_pairs;
    const double* const co = offset_cos_[offset];
    const double* const so = offset_sin_[offset];
    std::uint32_t differences = 0;  // bits of magnitudes minus those of the least: negative below it
    for (index_t i = 0; i < n; ++i) {
      cos[i] = static_cast<float>(base_cos_[i] * co[i] - base_sin_[i] * so[i]);
      sin[i] = static_cast<float>(base_sin_[i] * co[i] + base_cos_[i] * so[i]);
      differences |= (std::bit_cast<std::uint32_t>(cos[i]) & 0x7fff'ffffU) - least;
      differences |= (std::bit_cast<std::uint32_t>(sin[i]) & 0x7fff'ffffU) - least_sin_[i];
    }
    return differences >> 31 == 0;
  }

  const frequencies& f_;
  index_t first_pair_, num_pairs_;
  position_t base_ = 1;             // matches no row yet
  std::uint32_t offsets_made_ = 0;  // one bit per offset
  alignas(64) double base_cos_[max_pairs];
  alignas(64) double base_sin_[max_pairs];
  alignas(64) double offset_cos_[num_offsets][max_pairs];
  alignas(64) double offset_sin_[num_offsets][max_pairs];
  alignas(64) std::uint32_t least_sin_[max_pairs];
};

}  // namespace posenc::inline POSENC_ISA::detail
