// Position lists for training: several texts in one row, and lengths that a model has not seen.
#pragma once

#include <posenc/error.hpp>
#include <posenc/positions.hpp>

#include <algorithm>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Sequences packed one after the other, each counted from 0.
///
/// cu_seqlens  [num_sequences + 1]: where each sequence begins, and where the last one ends
/// Errors      not starting with 0, or decreasing: invalid_argument.
inline std::vector<position_t> packed_positions(std::span<const position_t> cu_seqlens) {
  require(!cu_seqlens.empty() && cu_seqlens.front() == 0, "packed_positions", "first of cu_seqlens",
          cu_seqlens.empty() ? -1 : cu_seqlens.front(), "0");
  std::vector<position_t> ids;
  for (std::size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    require(cu_seqlens[s + 1] >= cu_seqlens[s], "packed_positions", "one of cu_seqlens", cu_seqlens[s + 1],
            "at least #, the one before", cu_seqlens[s]);
    for (position_t p = 0; p < cu_seqlens[s + 1] - cu_seqlens[s]; ++p) ids.push_back(p);
  }
  return ids;
}

/// Distinct positions below max_positions, drawn at random and sorted: a model can learn only their order, so that it
/// meets the positions of longer texts in training already.
///
/// Errors  num_tokens below 0 or above max_positions, max_positions above 2^31 - 1: invalid_argument.
/// Source  Ruoss et al. 2023, arXiv:2305.16843.
template <std::uniform_random_bit_generator G>
std::vector<position_t> randomized_positions(index_t num_tokens, index_t max_positions, G& random) {
  require(max_positions <= std::numeric_limits<position_t>::max(), "randomized_positions", "max_positions",
          max_positions, "below 2^31");
  require(num_tokens >= 0 && num_tokens <= max_positions, "randomized_positions", "num_tokens", num_tokens,
          "from 0 to #, the positions there are", max_positions);
  // Position p is taken with probability (still wanted) / (still left): one pass, in order.
  std::vector<position_t> ids;
  for (index_t p = 0; std::ssize(ids) < num_tokens; ++p) {
    const index_t wanted = num_tokens - std::ssize(ids);
    if (std::uniform_int_distribution<index_t>(0, max_positions - p - 1)(random) < wanted)
      ids.push_back(static_cast<position_t>(p));
  }
  return ids;
}

/// A text in chunks of consecutive positions, each shifted by a random skip, so that a short text covers the distances
/// of a long one.
///
/// num_chunks     of random lengths, at least one token each
/// target_length  positions are below it; the first chunk starts at 0
/// Errors         num_chunks below 1 or above num_tokens, target_length below num_tokens or above 2^31 - 1:
///                invalid_argument.
/// Source         Zhu et al. 2024 (PoSE), arXiv:2309.10400: skips never decrease from one chunk to the next.
template <std::uniform_random_bit_generator G>
std::vector<position_t> pose_positions(index_t num_tokens, index_t target_length, index_t num_chunks, G& random) {
  require(num_chunks >= 1 && num_chunks <= num_tokens, "pose_positions", "num_chunks", num_chunks,
          "from 1 to #, the number of tokens", num_tokens);
  require(target_length >= num_tokens, "pose_positions", "target_length", target_length,
          "at least #, the number of tokens", num_tokens);
  require(target_length <= std::numeric_limits<position_t>::max(), "pose_positions", "target_length", target_length,
          "below 2^31");
  std::vector<position_t> starts = randomized_positions(num_chunks - 1, num_tokens - 1, random);  // minus one
  std::vector<position_t> ids;
  index_t skip = 0;
  std::size_t next = 0;
  for (index_t t = 0; t < num_tokens; ++t) {
    if (next < starts.size() && t == starts[next] + 1) {
      skip = std::uniform_int_distribution<index_t>(skip, target_length - num_tokens)(random);
      ++next;
    }
    ids.push_back(static_cast<position_t>(t + skip));
  }
  return ids;
}

}  // namespace posenc::inline POSENC_ISA
