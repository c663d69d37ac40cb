#include <posenc/scaling/llama3.hpp>

#include <posenc/scaling/default.hpp>
#include <posenc/scaling/ntk_by_parts.hpp>

#include "catch.hpp"

#include <algorithm>
#include <array>

using namespace posenc;

namespace {

llama3_frequencies_params llama(index_t head_dim, double factor) {
  return {.head_dim = head_dim,
          .rope_theta = 500000,
          .factor = factor,
          .low_freq_factor = 1,
          .high_freq_factor = 4,
          .original_max_position_embeddings = 8192};
}

/// How many pairs are kept, blended and divided.
std::array<int, 3> sorts(index_t head_dim, double factor) {
  const frequencies plain = default_frequencies({.head_dim = head_dim, .rope_theta = 500000});
  const frequencies f = llama3_frequencies(llama(head_dim, factor));
  std::array<int, 3> count{};
  for (index_t i = 0; i < f.size(); ++i) {
    const bool is_kept = f.inv_freq(i) == plain.inv_freq(i);
    const bool is_divided = f.inv_freq(i) == plain.inv_freq(i) / factor;
    ++count[is_kept ? 0 : is_divided ? 2 : 1];
  }
  return count;
}

}  // namespace

TEST_CASE("llama3_frequencies: Llama 3.1 keeps 29 pairs, blends 6 and divides 29", "[scaling]") {
  CHECK(sorts(128, 8) == std::array{29, 6, 29});
}

TEST_CASE("llama3_frequencies: Llama 3.2 1B keeps 15 pairs, blends 3 and divides 14", "[scaling]") {
  CHECK(sorts(64, 32) == std::array{15, 3, 14});
}

TEST_CASE("llama3_frequencies: the same as parts by turns, with its two factors as betas", "[scaling]") {
  CHECK(llama3_frequencies(llama(128, 8)) == ntk_by_parts_frequencies({.head_dim = 128,
                                                                       .rope_theta = 500000,
                                                                       .factor = 8,
                                                                       .original_max_position_embeddings = 8192,
                                                                       .beta_fast = 4,
                                                                       .beta_slow = 1}));
}

TEST_CASE("llama3_frequencies: errors name argument, value and rule", "[scaling]") {
  llama3_frequencies_params p = llama(64, 8);
  p.low_freq_factor = 4;
  CHECK_THROWS_WITH(llama3_frequencies(p), "llama3_frequencies: high_freq_factor is 4, expected above low_freq_factor");
  p.low_freq_factor = 0;
  CHECK_THROWS_WITH(llama3_frequencies(p), "llama3_frequencies: low_freq_factor is 0, expected above 0 and finite");
  p = llama(64, 8);
  p.original_max_position_embeddings = 0;
  CHECK_THROWS_WITH(llama3_frequencies(p),
                    "llama3_frequencies: original_max_position_embeddings is 0, expected at least 1");
  CHECK_THROWS_AS(llama3_frequencies(llama(64, -8)), std::invalid_argument);
}
