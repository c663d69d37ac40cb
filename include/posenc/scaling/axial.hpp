// Frequencies for grids: each pair rotates with one axis of the position.
#pragma once

#include <posenc/angles/frequencies.hpp>

#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Each axis has a run of pairs, whose frequencies fall from 1 as those of a whole head do.
///
///     inv_freq[pair j of axis a] = rope_theta^(-2j / dims[a])
///
///     axial_frequencies(10000, {32, 32})       Qwen2-VL vision, EVA: a head of 64, half for rows, half for columns
///     axial_frequencies(100, {32, 32})         DINOv3, rope-vit
///     axial_frequencies(10000, {16, 24, 24})   CogVideoX: frame, row, column
///
/// Layouts   pairing::half if the model concatenates the angles of the axes and rotates halves (Qwen2-VL, DINOv3),
///           pairing::interleaved if pairs are adjacent (EVA, Llama 4 vision, CogVideoX, rotary-embedding-torch).
/// Errors    no dims, an odd one or one below 2, rope_theta not above 0: invalid_argument.
/// Accuracy  that of `frequencies`.
/// Source    Heo et al. 2024, arXiv:2403.13298; Wang et al. 2024, arXiv:2409.12191; Yang et al. 2024, arXiv:2408.06072.
inline frequencies axial_frequencies(double rope_theta, const std::vector<index_t>& dims) {
  require(!dims.empty(), "axial_frequencies", "number of dims", std::ssize(dims), "at least 1, one for each axis");
  require(detail::is_positive(rope_theta), "axial_frequencies", "rope_theta", rope_theta, "above 0 and finite");
  std::vector<wide> inv_freq;
  std::vector<index_t> axes;
  for (index_t axis = 0; axis < std::ssize(dims); ++axis) {
    const index_t dim = dims[static_cast<std::size_t>(axis)];
    require(dim >= 2 && dim % 2 == 0, "axial_frequencies", "a dim", dim, "even and at least 2");
    const std::vector<wide> of_axis = detail::powers(rope_theta, dim / 2, wide(static_cast<double>(dim) / 2));
    inv_freq.insert(inv_freq.end(), of_axis.begin(), of_axis.end());
    axes.insert(axes.end(), of_axis.size(), axis);
  }
  return frequencies(inv_freq).with_axes(axes);
}

/// The frequencies of one head, divided between row and column: the even ones rotate with the row, the odd ones with
/// the column, row pairs first (pairing::half).
///
///     inv_freq[j] = rope_theta^(-4j / head_dim)              axis 0, j < head_dim / 4
///     inv_freq[j] = rope_theta^(-(4j + 2) / head_dim)        axis 1
///
/// Errors    head_dim not a multiple of 4 or below 4, rope_theta not above 0: invalid_argument.
/// Source    transformers' PixtralRotaryEmbedding.
inline frequencies pixtral_frequencies(double rope_theta, index_t head_dim) {
  require(head_dim >= 4 && head_dim % 4 == 0, "pixtral_frequencies", "head_dim", head_dim, "a multiple of 4");
  require(detail::is_positive(rope_theta), "pixtral_frequencies", "rope_theta", rope_theta, "above 0 and finite");
  const std::vector<wide> all = detail::powers(rope_theta, head_dim / 2, wide(static_cast<double>(head_dim) / 2));
  std::vector<wide> inv_freq;
  std::vector<index_t> axes;
  for (index_t axis = 0; axis < 2; ++axis) {
    for (index_t pair = axis; pair < head_dim / 2; pair += 2) {
      inv_freq.push_back(all[static_cast<std::size_t>(pair)]);
      axes.push_back(axis);
    }
  }
  return frequencies(inv_freq).with_axes(axes);
}

/// Evenly spaced frequencies for positions from -1 to 1 (grid_corners), one run of pairs per axis.
///
///     inv_freq[pair j of an axis] = pi * (1 + j (max_freq / 2 - 1) / (num_pairs - 1))
///
/// Errors    num_pairs or num_axes below 1, max_freq not finite: invalid_argument.
/// Source    rotary-embedding-torch, freqs_for = 'pixel'; timm's pixel_freq_bands.
inline frequencies pixel_frequencies(double max_freq, index_t num_pairs, index_t num_axes = 1) {
  require(num_pairs >= 1, "pixel_frequencies", "num_pairs", num_pairs, "at least 1, for each axis");
  require(num_axes >= 1, "pixel_frequencies", "num_axes", num_axes, "at least 1");
  require(detail::is_below_two_to(60, max_freq), "pixel_frequencies", "max_freq", max_freq,
          "finite, below 2^60 in size");
  std::vector<wide> inv_freq;
  std::vector<index_t> axes;
  for (index_t axis = 0; axis < num_axes; ++axis) {
    for (index_t pair = 0; pair < num_pairs; ++pair) {
      const wide share = num_pairs > 1 ? wide(static_cast<double>(pair)) / static_cast<double>(num_pairs - 1) : wide(0);
      inv_freq.push_back(wide::pi() * (1 + share * (wide(max_freq) / 2 - 1)));
      axes.push_back(axis);
    }
  }
  return frequencies(inv_freq).with_axes(axes);
}

}  // namespace posenc::inline POSENC_ISA
