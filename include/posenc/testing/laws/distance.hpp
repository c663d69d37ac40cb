// Laws of encodings that depend on distance alone, keep lengths, or have an inverse.
#pragma once

#include <posenc/testing/laws/row_block.hpp>
#include <posenc/testing/laws/tiles.hpp>

#include <cmath>
#include <string>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

inline constexpr position_t shifts[] = {1, -3, 1000, 1 << 20};

inline std::vector<position_t> shifted(std::vector<position_t> ids, position_t by) {
  for (position_t& id : ids) id += by;
  return ids;
}

/// Whether the ids can be shifted by all of `shifts`.
inline bool can_be_shifted(const std::vector<position_t>& ids) {
  for (const position_t id : ids) {
    if (id > (1 << 30) || id < -(1 << 30)) return false;
  }
  return true;
}

/// Moving all positions by the same amount does not change any score, for unsorted ids too.
template <scalar S, real T>
void check_bias_of_distance(const trial<S>& t, const score_hook<T>& hook) {
  if (!hook.fill_bias && !t.options.claims.distance_only) return;
  law l = t.start("scores: the bias depends on distance alone");
  for_accepted_tiles<T>(t, hook, [&](const tile_input<T>& input, const char* name) {
    if (!can_be_shifted(input.query_positions) || !can_be_shifted(input.key_positions)) return;
    const std::vector<T> here = biased(hook, input, {});
    for (const position_t by : shifts) {
      tile_input<T> moved = input;
      moved.query_positions = shifted(input.query_positions, by);
      moved.key_positions = shifted(input.key_positions, by);
      expect_near_scores(l, biased(hook, moved, {}), here, 8 * rounding_of<T>() * size_of(here), moved,
                         std::string(name) + " ids moved by " + std::to_string(by));
    }
  });
}

template <scalar S>
double product(const row_block<S>& a, index_t token_of_a, const row_block<S>& b, index_t token_of_b) {
  double sum = 0;
  for (index_t d = 0; d < a.num_columns; ++d)
    sum += widen<double>(a.view().row(token_of_a, 0)[d]) * widen<double>(b.view().row(token_of_b, 0)[d]);
  return sum;
}

/// Products of transformed queries and keys do not change when both move by up to 2^20.
template <scalar S>
void check_products_of_distance(const trial<S>& t, const row_hook<S>& queries, const row_hook<S>& keys) {
  if (!t.options.claims.distance_only) return;
  law l = t.start("queries and keys: their product depends on distance alone");
  const row_block<S> q = block_for(t, queries);
  row_block<S> k(q.num_tokens, t.sizes.num_kv_heads, q.num_columns, random_numbers(t.options.seed + 1));
  for_accepted_ids(t, queries, [&](const named_ids& list) {
    if (!can_be_shifted(list.ids)) return;
    const row_block<S> q_here = applied(queries, q, positions(list.ids));
    const row_block<S> k_here = applied(keys, k, positions(list.ids));
    for (const position_t by : shifts) {
      const std::vector<position_t> ids = shifted(list.ids, by);
      if (queries.check(k.view(), positions(ids))) continue;
      const row_block<S> q_moved = applied(queries, q, positions(ids));
      const row_block<S> k_moved = applied(keys, k, positions(ids));
      // Each element of both vectors was rounded to S.
      const double allowed = 8 * rounding_of<S>() * size_of(q_here.values) * size_of(k_here.values) *
                             std::sqrt(static_cast<double>(q.num_columns));
      for (index_t token = 0; token < q.num_tokens; ++token) {
        const index_t other = (7 * token + 3) % q.num_tokens;
        l.expect_near(product(q_moved, token, k_moved, other), product(q_here, token, k_here, other), allowed, [&] {
          return std::string(list.name) + " ids moved by " + std::to_string(by) + ": the product of the query at " +
                 std::to_string(at(ids, token)) + " and the key at " + std::to_string(at(ids, other));
        });
      }
    }
  });
}

/// The hook multiplies the length of every vector by one factor.
template <scalar S>
void check_norms(const trial<S>& t, const row_hook<S>& hook) {
  const double factor = t.options.claims.norm_factor;
  if (factor <= 0 || hook.on_embeddings) return;
  law l = t.start(std::string(hook.name) + ": keeps lengths, times its factor");
  const row_block<S> x = block_for(t, hook);
  for_accepted_ids(t, hook, [&](const named_ids& list) {
    const row_block<S> y = applied(hook, x, positions(list.ids));
    for (index_t token = 0; token < x.num_tokens; ++token) {
      const double before = std::sqrt(product(x, token, x, token));
      const double after = std::sqrt(product(y, token, y, token));
      l.expect_near(after, factor * before, 4 * rounding_of<S>() * factor * before, [&] {
        return std::string(list.name) + ": the length at position " + std::to_string(at(list.ids, token));
      });
    }
  });
}

/// The inverse undoes the hook.
template <scalar S>
void check_inverse(const trial<S>& t, const row_hook<S>& hook) {
  if (!hook.undo) return;
  law l = t.start(std::string(hook.name) + ": unrotate gives the input back");
  const row_block<S> x = block_for(t, hook);
  for_accepted_ids(t, hook, [&](const named_ids& list) {
    row_block<S> y = applied(hook, x, positions(list.ids));
    hook.undo(y.view(), positions(list.ids));
    expect_near(l, y, x, 8 * rounding_of<S>() * size_of(x.values), positions(list.ids), list.name);
  });
}

/// Shifting transformed keys gives keys transformed at their new positions.
template <scalar S>
void check_shift(const trial<S>& t, const row_hook<S>& hook) {
  if (!hook.shift) return;
  law l = t.start(std::string(hook.name) + ": shift moves what was transformed to other positions");
  const row_block<S> x = block_for(t, hook);
  for_accepted_ids(t, hook, [&](const named_ids& list) {
    if (!can_be_shifted(list.ids)) return;
    for (const position_t by : shifts) {
      const std::vector<position_t> ids = shifted(list.ids, by);
      const std::vector<position_t> differences(ids.size(), by);
      row_block<S> moved = applied(hook, x, positions(list.ids));
      hook.shift(moved.view(), positions(differences));
      const row_block<S> expected = applied(hook, x, positions(ids));
      expect_near(l, moved, expected, 8 * rounding_of<S>() * size_of(expected.values), positions(ids),
                  std::string(list.name) + " ids moved by " + std::to_string(by));
    }
  });
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
