// Selects the instructions that multiply tiles of bf16, if any are faster than widening.
#pragma once

#include <posenc/isa.hpp>

#if defined(POSENC_BF16_TILES)
#include <posenc/attention/tile/bf16_by_tiles.hpp>
#elif defined(POSENC_BF16_PAIRS)
#include <posenc/attention/tile/bf16_by_pairs.hpp>
#else
#include <posenc/attention/tile/bf16_pairs.hpp>
#include <posenc/attention/tile/visible_keys.hpp>  // block_queries

namespace posenc::inline POSENC_ISA::detail {

struct bf16_unit {
  static constexpr bool exists = false;
  static bool usable() noexcept { return false; }
  template <class Q, class K, class V, class O>
  static constexpr bool multiplies = false;
  static constexpr index_t min_queries_of_parts = 0;
  static constexpr index_t pairs_at_once = 1;
  static constexpr index_t max_queries = block_queries;
  static constexpr index_t max_tiles_at_once = 1;
  static constexpr bool sums_columns = false;
  struct in_use {
    explicit in_use(bool) noexcept {}
  };
};

}  // namespace posenc::inline POSENC_ISA::detail
#endif
