// Inputs of the laws: sizes that the encoding accepts, and positions of every kind.
#pragma once

#include <posenc/testing/laws/numbers.hpp>
#include <posenc/testing/laws/subject.hpp>
#include <posenc/testing/report.hpp>

#include <algorithm>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Properties of an encoding that its type does not show.
struct law_claims {
  bool distance_only = false;   // scores depend on distance alone (rotary); implied for a bias of distance
  double norm_factor = 0;       // above 0: the factor by which lengths of queries and keys change
  bool by_index = false;        // uses indices of rows and keys instead of positions: dense_bias
  bool learned_angles = false;  // positions multiply the parameters, so that steps are small only near position 0
  bool turns_by_head = false;   // rotations depend on the head, so that a head cannot be run in its own call
};

/// Sizes left 0 are set to the first that the encoding's checks accept.
struct law_options {
  index_t num_tokens = 0;
  index_t dim = 0;  // of embeddings
  index_t num_heads = 0;
  index_t head_dim = 0;
  std::uint64_t seed = 1;
  law_claims claims{};
};

namespace laws {

struct law_sizes {
  index_t num_tokens = 0;
  index_t dim = 0;
  index_t num_heads = 0;
  index_t num_kv_heads = 0;
  index_t head_dim = 0;
};

/// Everything that a law needs.
template <scalar S>
struct trial {
  const subject<S>& encoding;
  attention_functions<S> attention;
  law_sizes sizes;
  law_options options;
  law_report& report;

  law start(const std::string& name) const { return law(report, name, options.seed); }
  random_numbers random() const { return random_numbers(options.seed); }
  index_t heads_of(const row_hook<S>& hook) const {
    if (hook.on_embeddings) return 1;
    return std::string(hook.name) == "apply_to_keys" ? sizes.num_kv_heads : sizes.num_heads;
  }
  index_t columns_of(const row_hook<S>& hook) const { return hook.on_embeddings ? sizes.dim : sizes.head_dim; }
};

// ---- Sizes ----

/// `given` alone, or the `first` ones to try, then all others up to `last`.
inline std::vector<index_t> candidates(index_t given, std::initializer_list<index_t> first, index_t last) {
  if (given > 0) return {given};
  std::vector<index_t> all(first);
  for (index_t i = 1; i <= last; ++i) all.push_back(i);
  return all;
}

/// Why the encoding refuses these sizes, if it does, at positions 0, 1, ...
template <scalar S>
problem refusal_of(const subject<S>& encoding, const law_sizes& sizes, bool embeddings) {
  const positions ids(0, sizes.num_tokens);
  for (const auto& hook : encoding.rows) {
    if (hook.on_embeddings != embeddings) continue;
    for (const index_t num_heads : {sizes.num_heads, sizes.num_kv_heads}) {
      const head_view<S> x(nullptr, sizes.num_tokens, embeddings ? 1 : num_heads,
                           embeddings ? sizes.dim : sizes.head_dim);
      if (const problem wrong = hook.check(x, ids)) return wrong;
    }
  }
  if (embeddings) return {};
  for (const auto& hook : encoding.scores) {
    if (const problem wrong =
            hook.check({sizes.num_tokens, sizes.num_tokens, sizes.num_heads, sizes.head_dim, 0}, ids, ids))
      return wrong;
  }
  return {};
}

/// Odd sizes first, to exercise the tails of kernels. 67 tokens are more than a block of any kernel; four heads on two
/// key-value heads are more than one group.
template <scalar S>
problem find_sizes(const subject<S>& encoding, const law_options& options, law_sizes& sizes) {
  problem wrong;
  const auto find_dim = [&] {
    for (const index_t dim : candidates(options.dim, {17, 33, 65}, 16384)) {
      sizes.dim = dim;
      if (!(wrong = refusal_of(encoding, sizes, true))) return true;
    }
    return false;
  };
  const auto find_heads = [&] {
    for (const index_t num_heads : candidates(options.num_heads, {4, 3, 2, 1}, 128)) {
      for (const index_t head_dim : candidates(options.head_dim, {9, 17, 33, 65, 129}, 1024)) {
        sizes.num_heads = num_heads;
        sizes.head_dim = head_dim;
        const index_t group = num_heads % 3 == 0 ? 3 : num_heads % 2 == 0 ? 2 : 1;
        for (const index_t num_kv_heads : {num_heads / group, num_heads}) {
          sizes.num_kv_heads = num_kv_heads;
          if (!(wrong = refusal_of(encoding, sizes, false))) return true;
        }
      }
    }
    return false;
  };
  for (const index_t num_tokens : candidates(options.num_tokens, {67, 19, 7}, 3)) {
    sizes.num_tokens = num_tokens;
    if (find_dim() && find_heads()) return {};
  }
  return wrong;
}

// ---- Positions ----

struct named_ids {
  const char* name;
  std::vector<position_t> ids;
};

/// Lists of `count` ids, from easy to hard. An encoding may refuse any of them.
inline std::vector<named_ids> lists_of_ids(index_t count, random_numbers random) {
  constexpr position_t last = std::numeric_limits<position_t>::max();
  std::vector<named_ids> lists{{"consecutive", {}}, {"unsorted and repeated", {}}, {"negative", {}},
                               {"beyond 2^24", {}}, {"at the end of 32 bits", {}}, {"at both ends of 32 bits", {}}};
  for (index_t t = 0; t < count; ++t) {
    const auto i = static_cast<position_t>(t);
    lists[0].ids.push_back(i);
    lists[1].ids.push_back(static_cast<position_t>(random.below(count)));
    lists[2].ids.push_back(static_cast<position_t>(-1 - random.below(3 * count)));
    lists[3].ids.push_back((1 << 24) + 1 + 3 * i);
    lists[4].ids.push_back(last - i);
    lists[5].ids.push_back(i % 2 == 0 ? last - i : -last - 1 + i);
  }
  return lists;
}

/// The place of an element: "token 3 (position 17), head 1, column 4".
inline std::string place(index_t token, position_t position, index_t head, index_t column) {
  return "token " + std::to_string(token) + " (position " + std::to_string(position) + "), head " +
         std::to_string(head) + ", column " + std::to_string(column);
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
