// How much memory a worker of `attend` needs, and the largest blocks that fit into what it has.
#pragma once

#include <posenc/attention/key_source.hpp>
#include <posenc/attention/options.hpp>
#include <posenc/hooks.hpp>

#include <algorithm>
#include <concepts>

namespace posenc::inline POSENC_ISA::detail {

/// Rows and columns of a tile at most: 64 x 64 scores stay in L1.
inline constexpr index_t max_block = 64;

/// What a worker keeps on its stack when the caller gives no workspace: 32 KiB of float.
inline constexpr index_t stack_values = 8192;

struct block_sizes {
  index_t num_queries = 0;
  index_t num_keys = 0;
};

template <class E>
class tile_sizes {
 public:
  index_t num_queries = 0;  // of the call
  index_t num_keys = 0;
  index_t head_dim = 0;
  index_t value_dim = 0;
  bool copies_keys = false;  // into the compute type: narrow keys, and those that an encoding looks at
  bool copies_values = false;
  const E* encoding = nullptr;

  /// Values for a block: scaled queries, output, maxima and sums, scores, copies of keys and values, scratch.
  index_t values_with(index_t block_queries, index_t block_keys) const noexcept {
    const index_t q = std::clamp<index_t>(num_queries, 1, block_queries);
    const index_t k = std::clamp<index_t>(num_keys, 1, block_keys);
    return q * (head_dim + value_dim + 2 + k) + k * ((copies_keys ? head_dim : 0) + (copies_values ? value_dim : 0)) +
           hooks::scratch_size(*encoding, q);
  }

  /// The largest blocks that fit; no queries if none do.
  block_sizes fit(index_t available) const noexcept {
    block_sizes b{std::clamp<index_t>(num_queries, 1, max_block), std::clamp<index_t>(num_keys, 1, max_block)};
    while (values_with(b.num_queries, b.num_keys) > available) {
      if (b.num_queries == 1 && b.num_keys == 1) return {};
      // Copies grow with the keys, all else with the queries: halve whichever is the longer where both matter.
      const bool halve_keys =
          b.num_queries == 1 || ((copies_keys || copies_values) && b.num_keys >= b.num_queries && b.num_keys > 1);
      if (halve_keys)
        b.num_keys = (b.num_keys + 1) / 2;
      else
        b.num_queries = (b.num_queries + 1) / 2;
    }
    return b;
  }

  template <real T>
  static index_t values_a_worker(const run_options<T>& run) noexcept {
    return run.workspace.empty() ? stack_values : std::ssize(run.workspace) / run.threads.num_workers();
  }

  template <real T>
  problem check(const run_options<T>& run) const noexcept {
    if (run.threads.num_workers() < 1)
      return problem::invalid("attend", "run.threads.num_workers()", run.threads.num_workers(), "at least 1");
    const index_t available = values_a_worker(run);
    if (fit(available).num_queries > 0) return {};
    return problem::invalid(
        "attend",
        run.workspace.empty() ? "run.workspace (none given, so the stack's)" : "run.workspace (for each worker)",
        available, "at least # values; workspace_size tells", values_with(1, 1));
  }
};

template <class T, class K, class V, class E>
tile_sizes<E> tile_sizes_of(index_t num_queries, index_t head_dim, const K& keys, const V& values,
                            const E& encoding) noexcept {
  tile_sizes<E> sizes;
  sizes.num_queries = num_queries;
  sizes.num_keys = keys.num_tokens;
  sizes.head_dim = head_dim;
  sizes.value_dim = values.head_dim;
  sizes.copies_keys = !std::same_as<key_element_t<K>, T> || hooks::reads_content(encoding);
  sizes.copies_values = !std::same_as<key_element_t<V>, T>;
  sizes.encoding = &encoding;
  return sizes;
}

}  // namespace posenc::inline POSENC_ISA::detail
