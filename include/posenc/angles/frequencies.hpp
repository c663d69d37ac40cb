// How fast each pair of columns rotates with position, exactly.
#pragma once

#include <posenc/angles/wide.hpp>
#include <posenc/error.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <ranges>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace detail {

// Decided on the bits: under fast math a comparison may take NaN for any number.
inline bool is_positive(double value) noexcept {  // and finite
  return std::bit_cast<std::uint64_t>(value) - 1 < 0x7fef'ffff'ffff'ffffU;
}
inline bool is_below_two_to(int power, double value) noexcept {  // in magnitude
  return static_cast<int>(std::bit_cast<std::uint64_t>(value) >> 52 & 0x7ffU) < 1023 + power;
}

// What cos_sin reads, one entry per pair.
struct frequency_table {
  std::vector<double> inv_freq;
  std::vector<wide::fixed_point> turns;  // per position
  // The fractions of `turns` in quarter turns, from -2 to 2, each as a sum of three doubles.
  std::vector<double> high, middle, low;
  std::vector<index_t> axis;
  bool fraction_only = false;  // a pair makes half a turn or more per position: the doubles serve integers only

  // All but inv_freq are read in blocks that may begin at any pair, so the last pair is followed by zeros.
  static constexpr std::size_t block = 32;

  explicit frequency_table(std::span<const wide> exact) {
    const std::size_t padded = exact.size() + block - 1;
    turns.resize(padded);
    axis.resize(padded);
    for (std::vector<double>* part : {&high, &middle, &low}) part->resize(padded);
    const wide turns_per_radian = 1 / (2 * wide::pi());
    for (std::size_t pair = 0; pair < exact.size(); ++pair) {
      inv_freq.push_back(static_cast<double>(exact[pair]));
      turns[pair] = (exact[pair] * turns_per_radian).to_fixed_point();
      const wide all = wide::from_fixed_point(turns[pair]);
      const wide whole = floor(all + 0.5);
      fraction_only = fraction_only || whole != 0;
      wide rest = 4 * (all - whole);
      for (std::vector<double>* part : {&high, &middle, &low}) {
        (*part)[pair] = static_cast<double>(rest);
        rest = rest - (*part)[pair];
      }
    }
  }
  bool operator==(const frequency_table&) const = default;
};

}  // namespace detail

/// The frequencies of an encoding: pair i rotates by inv_freq(i) radians per position. An immutable value, made by a
/// recipe (default_frequencies, llama3_frequencies, ...) or from a list.
///
///     const frequencies powers = geometric_frequencies(10000, 64, 64);   // 10000^(-i/64)
///     const frequencies listed(std::vector<float>{1.0f, 0.1f, 0.0f});    // these floats, taken as exact
///
/// A pair of frequency zero does not rotate, one of negative frequency rotates backwards.
///
/// Storage    72 bytes per pair: turns per position with 192 bits after the point, and what else cos_sin needs.
/// Errors     a frequency that is not finite, or of magnitude 2^62 or more, throws invalid_argument.
/// Accuracy   2^-193 of a turn; inv_freq() is the nearest double.
class frequencies {
 public:
  /// A contiguous range of float, double or wide, in radians per position.
  template <std::ranges::contiguous_range R>
  requires(std::ranges::sized_range<R>&& std::convertible_to<std::ranges::range_value_t<R>, wide>) explicit frequencies(
      const R& inv_freq)
      : table_(checked(inv_freq)) {}

  index_t size() const noexcept { return std::ssize(table_.inv_freq); }  // pairs
  double inv_freq(index_t pair) const noexcept { return table_.inv_freq[static_cast<std::size_t>(pair)]; }

  /// The position axis that a pair rotates with: 0 unless set by with_axes.
  index_t axis(index_t pair) const noexcept { return table_.axis[static_cast<std::size_t>(pair)]; }
  index_t num_axes() const noexcept { return num_axes_; }

  /// Factor for cosine and sine (YaRN, LongRoPE), which cos_sin leaves to its caller.
  double attention_factor() const noexcept { return attention_factor_; }
  /// Factor for the softmax scale (DeepSeek).
  double softmax_multiplier() const noexcept { return softmax_multiplier_; }

  /// The same frequencies, with pair i on position axis axis_of_pair[i]: M-RoPE, grids, video.
  frequencies with_axes(std::span<const index_t> axis_of_pair) const {
    require(std::ssize(axis_of_pair) == size(), "frequencies", "number of axes listed", std::ssize(axis_of_pair),
            "#, one for each pair", size());
    frequencies changed = *this;
    std::ranges::copy(axis_of_pair, changed.table_.axis.begin());
    changed.num_axes_ = 1;
    for (index_t pair = 0; pair < size(); ++pair) {
      const index_t axis = changed.axis(pair);
      if (axis < 0) raise(problem::invalid("frequencies", "axis_of_pair", axis, "at least 0").at(pair));
      changed.num_axes_ = std::max(changed.num_axes_, axis + 1);
    }
    return changed;
  }
  frequencies with_attention_factor(double factor) const {
    require(detail::is_positive(factor), "frequencies", "attention_factor", factor, "above 0 and finite");
    frequencies changed = *this;
    changed.attention_factor_ = factor;
    return changed;
  }
  frequencies with_softmax_multiplier(double multiplier) const {
    require(detail::is_positive(multiplier), "frequencies", "softmax_multiplier", multiplier, "above 0 and finite");
    frequencies changed = *this;
    changed.softmax_multiplier_ = multiplier;
    return changed;
  }
  /// Every frequency times `factor`, such as the scale of a timestep.
  frequencies scaled(double factor) const {
    require(detail::is_below_two_to(62, factor), "frequencies", "factor", factor, "finite and less than 2^62 in size");
    const wide radians = 2 * wide::pi() * factor;
    std::vector<wide> inv_freq;
    for (std::size_t pair = 0; pair < table_.inv_freq.size(); ++pair) {
      inv_freq.push_back(wide::from_fixed_point(table_.turns[pair]) * radians);
    }
    frequencies changed = *this;
    changed.table_ = detail::frequency_table(checked(inv_freq));
    changed.table_.axis = table_.axis;
    return changed;
  }

  /// Angles as a float32 reference computes them: inv_freq rounded to float, and its product with the position, also a
  /// float, rounded to float. They are off by up to 1e-7 of the angle, 0.01 radians at position 131071; a model trained
  /// with them may need them. Three things may still differ in the last bit: a reference's own powers may be a float
  /// away from the nearest one, so pass its list if you have it; its cosine and sine may be a float away from the
  /// nearest ones, which cos_sin returns; and scaled recipes round in between.
  frequencies with_float32_angles() const {
    std::vector<float> rounded;
    for (const double value : table_.inv_freq) rounded.push_back(static_cast<float>(value));
    frequencies changed = *this;
    changed.table_ = detail::frequency_table(checked(rounded));
    changed.table_.axis = table_.axis;
    changed.float32_angles_ = true;
    return changed;
  }
  bool float32_angles() const noexcept { return float32_angles_; }

  bool operator==(const frequencies&) const = default;

  const detail::frequency_table& table() const noexcept { return table_; }  // for cos_sin

 private:
  template <class R>
  static std::vector<wide> checked(const R& inv_freq) {
    std::vector<wide> exact;
    exact.reserve(std::ranges::size(inv_freq));
    for (const auto& value : inv_freq) {
      const auto nearest = static_cast<double>(value);
      if (!detail::is_below_two_to(62, nearest)) {
        raise(problem::invalid("frequencies", "inv_freq", nearest, "finite and less than 2^62 in size")
                  .at(std::ssize(exact)));
      }
      exact.push_back(value);
    }
    return exact;
  }

  detail::frequency_table table_;
  index_t num_axes_ = 1;
  bool float32_angles_ = false;
  double attention_factor_ = 1;
  double softmax_multiplier_ = 1;
};

namespace detail {

/// base^(-i / denominator) for i from 0 to num_pairs - 1. By repeated multiplication: a hundred thousand pairs lose 17
/// of 250 bits.
inline std::vector<wide> powers(const wide& base, index_t num_pairs, const wide& denominator) {
  std::vector<wide> inv_freq(1, wide(1));
  if (num_pairs == 1) return inv_freq;
  const wide ratio = pow(base, -1 / denominator);
  for (index_t pair = 1; pair < num_pairs; ++pair) inv_freq.push_back(inv_freq.back() * ratio);
  return inv_freq;
}

}  // namespace detail

/// base^(-i / denominator) for pair i: the frequencies of sinusoidal tables, whose denominator is half the width or, by
/// another convention, one less.
///
/// Errors     base not above 0, num_pairs < 1, or denominator not above 0 with more than one pair: invalid_argument.
/// Source     Vaswani et al. 2017, arXiv:1706.03762, section 3.5.
inline frequencies geometric_frequencies(double base, index_t num_pairs, double denominator) {
  require(detail::is_positive(base), "geometric_frequencies", "base", base, "above 0 and finite");
  require(num_pairs >= 1, "geometric_frequencies", "num_pairs", num_pairs, "at least 1");
  require(num_pairs == 1 || detail::is_positive(denominator), "geometric_frequencies", "denominator", denominator,
          "above 0 and finite");
  return frequencies(detail::powers(base, num_pairs, denominator));
}

}  // namespace posenc::inline POSENC_ISA
