// Invariants of attention with any encoding: chunks, parts, padding, masks, heads and memory change nothing.
#pragma once

#include <posenc/attention/merge.hpp>
#include <posenc/testing/laws/refusals.hpp>
#include <posenc/testing/laws/row_block.hpp>
#include <posenc/testing/laws/tiles.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <deque>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// Queries, keys and values of a sequence.
template <scalar S>
struct sequence {
  row_block<S> q, k, v;

  explicit sequence(const trial<S>& t) : sequence(t, t.sizes.num_tokens) {}
  sequence(const trial<S>& t, index_t num_tokens)
      : q(num_tokens, t.sizes.num_heads, t.sizes.head_dim, random_numbers(t.options.seed)),
        k(num_tokens, t.sizes.num_kv_heads, t.sizes.head_dim, random_numbers(t.options.seed + 1)),
        v(num_tokens, t.sizes.num_kv_heads, t.sizes.head_dim, random_numbers(t.options.seed + 2)) {}
};

template <scalar S>
using options_for = attend_options<compute_t<S>>;

/// Runs attention, with the best workspace unless one is given. A refusal violates law `l`.
template <scalar S>
row_block<compute_t<S>> attended(law& l, const trial<S>& t, head_view<const S> q, head_view<const S> k,
                                 head_view<const S> v, const options_for<S>& options = {}) {
  row_block<compute_t<S>> out(q.num_tokens, q.num_heads, v.head_dim, t.random());
  attention_call<S> call{q, k, v, out.view(), options};
  std::vector<compute_t<S>> workspace;
  if (options.run.workspace.empty()) {
    workspace.resize(static_cast<std::size_t>(t.attention.workspace_size(call)));
    call.options.run.workspace = workspace;
  }
  const problem wrong = t.attention.check(call);
  l.expect(!wrong, [&] { return "refused: " + wrong.message(); });
  if (!wrong) t.attention.run(call);
  return out;
}
template <scalar S>
row_block<compute_t<S>> attended(law& l, const trial<S>& t, const sequence<S>& x, const options_for<S>& options = {}) {
  return attended(l, t, x.q.view(), x.k.view(), x.v.view(), options);
}

/// How far rounding alone may move an output: values are below 1 in magnitude, and the relative error of a weight is
/// the absolute error of its score.
template <scalar S>
double rounding_of_attention(const trial<S>& t) {
  double largest = 1;
  for (const auto& hook : t.encoding.scores) {
    for_accepted_tiles<compute_t<S>>(t, hook, [&](const auto& input, const char* list) {
      if (list == std::string("consecutive")) largest = std::max(largest, size_of(biased(hook, input, {})));
    });
  }
  return 64 * rounding_of<compute_t<S>>() * largest;
}

/// Compares `seen` with the rows of `expected` from `first` on.
template <real T>
void expect_rows(law& l, const row_block<T>& seen, const row_block<T>& expected, index_t first, double allowed,
                 const std::string& when) {
  const index_t row = expected.num_heads * expected.num_columns;
  for (index_t i = 0; i < std::ssize(seen.values) && !l.broken(); ++i) {
    l.expect_near(at(seen.values, i), at(expected.values, first * row + i), allowed, [&] {
      return when + ": the output of " + expected.place_of(first * row + i, positions(0, expected.num_tokens));
    });
  }
}

/// Prefill in one pass, in chunks, and token by token, over a growing cache.
template <scalar S>
void check_attention_in_chunks(const trial<S>& t) {
  if (t.options.claims.by_index) return;  // it counts the rows of a call
  law l = t.start("attention: one pass equals chunks equals one by one");
  const sequence<S> x(t);
  const options_for<S> options{.band = causal()};
  const row_block<compute_t<S>> whole = attended(l, t, x, options);
  const double allowed = rounding_of_attention(t);
  for (const index_t chunk : {index_t{1}, index_t{5}, index_t{32}}) {
    for (index_t first = 0; first < x.q.num_tokens; first += chunk) {
      const index_t count = std::min(chunk, x.q.num_tokens - first);
      const auto part = attended(l, t, x.q.view().tokens(first, count), x.k.view().tokens(0, first + count),
                                 x.v.view().tokens(0, first + count), options);
      expect_rows(l, part, whole, first, allowed, "chunks of " + std::to_string(chunk));
    }
  }
}

/// With the smallest workspace there are the most tiles; without one, blocks that fit the stack.
template <scalar S>
void check_workspaces(const trial<S>& t) {
  using T = compute_t<S>;
  law l = t.start("attention: any workspace gives the same");
  const sequence<S> x(t);
  options_for<S> options{.band = causal()};
  const row_block<T> expected = attended(l, t, x, options);
  const double allowed = rounding_of_attention(t);
  row_block<T> out = expected;
  attention_call<S> call{x.q.view(), x.k.view(), x.v.view(), out.view(), options};
  if (!t.attention.check(call)) {
    t.attention.run(call);
    expect_rows(l, out, expected, 0, allowed, "without workspace");
  }
  const auto best = static_cast<std::size_t>(t.attention.workspace_size(call));
  std::vector<T> workspace(1);
  const auto refused = [&] {
    call.options.run.workspace = workspace;
    return static_cast<bool>(t.attention.check(call));
  };
  while (workspace.size() < best && refused()) workspace.resize(workspace.size() + 1);
  const std::size_t least = workspace.size();
  for (const std::size_t size : {least, 3 * least, best, 2 * best}) {
    workspace.assign(size, std::numeric_limits<T>::quiet_NaN());
    options.run.workspace = workspace;
    expect_rows(l, attended(l, t, x, options), expected, 0, allowed, std::to_string(size) + " values of workspace");
  }
}

/// A window merged with the keys outside of it gives attention over all keys.
template <scalar S>
void check_merged_bands(const trial<S>& t) {
  using T = compute_t<S>;
  for (const auto& hook : t.encoding.scores) {
    if (hook.scratch_size(1) == 0) continue;
    t.report.lacks.push_back("an independent bias for each key: it keeps scratch, so keys may not be split");
    return;
  }
  law l = t.start("attention: two bands merged equal one");
  const sequence<S> x(t);
  const index_t rows = x.q.num_tokens * x.q.num_heads;
  std::array<std::vector<T>, 3> lse;
  for (auto& values : lse) values.resize(static_cast<std::size_t>(rows));
  const auto part = [&](const index_band& band, std::vector<T>& its_lse) {
    options_for<S> options{.band = band};
    options.lse = lse_view<T>(its_lse.data(), x.q.num_tokens, x.q.num_heads);
    return attended(l, t, x, options);
  };
  const row_block<T> whole = part(causal(), lse[0]);
  const double allowed = rounding_of_attention(t);
  for (const index_t width : {index_t{1}, index_t{7}, index_t{40}}) {
    const row_block<T> near = part(sliding_window(width), lse[1]);
    const row_block<T> far = part(beyond_window(width), lse[2]);
    const auto view_of = [&](std::vector<T>& values) {
      return lse_view<T>(values.data(), x.q.num_tokens, x.q.num_heads);
    };
    const std::array<partial_attention<T>, 2> parts{{{near.view(), view_of(lse[1])}, {far.view(), view_of(lse[2])}}};
    row_block<T> merged = whole;
    std::vector<T> merged_lse(static_cast<std::size_t>(rows));
    merge(std::span<const partial_attention<T>>(parts), merged.view(), {.lse = view_of(merged_lse)});
    expect_rows(l, merged, whole, 0, allowed, "a window of " + std::to_string(width) + " and the rest");
    for (index_t i = 0; i < rows; ++i) {
      l.expect_near(at(merged_lse, i), at(lse[0], i), allowed * 4, [&] {
        return "a window of " + std::to_string(width) + " and the rest: the log-sum-exp of row " + std::to_string(i);
      });
    }
  }
}

/// A left-padded sequence, with the positions and the mask that padding implies.
template <scalar S>
void check_left_padding(const trial<S>& t) {
  if (t.options.claims.by_index) return;  // padding moves every index
  law l = t.start("attention: left-padded equals unpadded");
  constexpr index_t padding = 4;
  const sequence<S> padded(t);
  const index_t num_tokens = padded.q.num_tokens - padding;
  if (num_tokens < 1) return;
  const options_for<S> causal_only{.band = causal()};
  const auto unpadded =
      attended(l, t, padded.q.view().tokens(padding, num_tokens), padded.k.view().tokens(padding, num_tokens),
               padded.v.view().tokens(padding, num_tokens), causal_only);

  std::deque<bool> mask;
  for (index_t k = 0; k < padded.q.num_tokens; ++k) mask.push_back(k >= padding);
  const std::vector<position_t> ids = positions_from_mask(mask);
  const auto allowed_keys = std::make_unique<bool[]>(mask.size());
  std::copy(mask.begin(), mask.end(), allowed_keys.get());
  options_for<S> options{.band = causal(), .positions = {positions(ids), positions(ids)}};
  options.more.allowed = {.data = allowed_keys.get(), .num_keys = padded.q.num_tokens};
  const auto out = attended(l, t, padded, options);

  row_block<compute_t<S>> rest = unpadded;
  std::copy(out.values.end() - std::ssize(rest.values), out.values.end(), rest.values.begin());
  expect_rows(l, rest, unpadded, 0, rounding_of_attention(t), "4 tokens of padding");
}

/// Keys that a query may not attend to do not affect it, whatever they hold.
template <scalar S>
void check_masked_keys(const trial<S>& t) {
  law l = t.start("attention: masked keys have no influence");
  const sequence<S> x(t);
  const options_for<S> options{.band = causal()};
  const auto expected = attended(l, t, x, options);
  sequence<S> poisoned = x;
  const index_t first = x.q.num_tokens / 2;
  for (row_block<S>* block : {&poisoned.k, &poisoned.v}) {
    const auto begin = block->values.begin() + first * block->num_heads * block->num_columns;
    std::fill(begin, block->values.end(), narrow<S>(std::numeric_limits<compute_t<S>>::quiet_NaN()));
  }
  row_block<compute_t<S>> seen = attended(l, t, poisoned, options);
  seen.values.resize(static_cast<std::size_t>(first * seen.num_heads * seen.num_columns));
  expect_rows(l, seen, expected, 0, rounding_of_attention(t), "NaN behind the mask");
}

/// Each head in its own call, identified by first_head, as with tensor parallelism.
template <scalar S>
void check_heads_apart(const trial<S>& t) {
  if (t.options.claims.turns_by_head) return;
  law l = t.start("attention: heads apart equal heads together");
  const sequence<S> x(t);
  const auto together = attended(l, t, x);
  const index_t group = x.q.num_heads / x.k.num_heads;
  for (index_t head = 0; head < x.q.num_heads; ++head) {
    options_for<S> options;
    options.more.first_head = head;
    const auto alone = attended(l, t, x.q.view().heads(head, 1), x.k.view().heads(head / group, 1),
                                x.v.view().heads(head / group, 1), options);
    row_block<compute_t<S>> expected = alone;
    for (index_t i = 0; i < std::ssize(alone.values); ++i)
      at(expected.values, i) = together.view().row(alone.token_of(i), head)[i % alone.num_columns];
    expect_rows(l, alone, expected, 0, rounding_of_attention(t), "head " + std::to_string(head) + " alone");
  }
}

/// The output may overwrite the queries.
template <scalar S>
void check_output_in_place(const trial<S>& t) {
  using T = compute_t<S>;
  if constexpr (std::same_as<S, T>) {
    law l = t.start("attention: the output may be the queries");
    sequence<S> x(t);
    const auto expected = attended(l, t, x);
    attention_call<S> call{x.q.view(), x.k.view(), x.v.view(), x.q.view(), {}};
    std::vector<T> workspace(static_cast<std::size_t>(t.attention.workspace_size(call)));
    call.options.run.workspace = workspace;
    if (!l.broken()) t.attention.run(call);
    expect_rows(l, x.q, expected, 0, 0, "in place");
  }
}

/// No queries, and no keys.
template <scalar S>
void check_attention_of_nothing(const trial<S>& t) {
  using T = compute_t<S>;
  law l = t.start("attention: no queries give nothing, no keys give zeros");
  const sequence<S> x(t);
  options_for<S> from_zero;
  from_zero.query_offset = 0;  // by default queries without keys would have negative positions
  attended(l, t, x.q.view().tokens(0, 0), x.k.view(), x.v.view());
  const row_block<T> out = attended(l, t, x.q.view(), x.k.view().tokens(0, 0), x.v.view().tokens(0, 0), from_zero);
  for (const T value : out.values)
    l.expect(value == T(0), [&] { return "an output without keys is " + text_of(static_cast<double>(value)); });
}

/// Permuted tokens with their positions give the same outputs, permuted.
template <scalar S>
void check_unsorted_positions(const trial<S>& t) {
  if (t.options.claims.by_index || t.sizes.num_tokens < 3) return;
  for (const auto& hook : t.encoding.scores) {
    if (hook.scratch_size(1) > 0) return;  // a running sum depends on the order of the keys
  }
  law l = t.start("attention: tokens in another order, each with its position, are the same tokens");
  const sequence<S> x(t);
  const auto sorted = attended(l, t, x);
  random_numbers random = t.random();
  const std::vector<index_t> order = random_order(x.q.num_tokens, random);
  sequence<S> mixed = x;
  std::vector<position_t> ids;
  for (index_t i = 0; i < x.q.num_tokens; ++i) {
    ids.push_back(static_cast<position_t>(at(order, i)));
    const auto take = [&](row_block<S>& to, const row_block<S>& from) {
      const auto row = from.values.begin() + at(order, i) * from.num_heads * from.num_columns;
      std::copy_n(row, from.num_heads * from.num_columns, to.values.begin() + i * from.num_heads * from.num_columns);
    };
    take(mixed.q, x.q), take(mixed.k, x.k), take(mixed.v, x.v);
  }
  options_for<S> options;
  options.positions = {positions(ids), positions(ids)};
  const auto out = attended(l, t, mixed, options);
  row_block<compute_t<S>> expected = out;
  for (index_t i = 0; i < std::ssize(out.values); ++i)
    at(expected.values, i) =
        sorted.view().row(at(order, out.token_of(i)), i / out.num_columns % out.num_heads)[i % out.num_columns];
  expect_rows(l, out, expected, 0, rounding_of_attention(t), "mixed");
}

/// A wrong number of positions, and heads that the encoding does not have, are refused before anything is written.
template <scalar S>
void check_refused_attention(const trial<S>& t) {
  using T = compute_t<S>;
  law l = t.start("attention: refuses before anything is written");
  const sequence<S> x(t);
  const auto expect_untouched = [&](const options_for<S>& options, const std::string& when) {
    row_block<T> out(x.q.num_tokens, x.q.num_heads, x.v.num_columns, t.random());
    const row_block<T> before = out;
    const problem wrong = t.attention.check({x.q.view(), x.k.view(), x.v.view(), out.view(), options});
    if (!wrong) return false;
    const std::string message = error_of(
        [&] {
          t.attention.run({x.q.view(), x.k.view(), x.v.view(), out.view(), options});
        },
        wrong);
    l.expect(message == wrong.message(), [&] {
      return when + ": raised \"" + message + "\", but the check has found \"" + wrong.message() + "\"";
    });
    l.expect(same_bits(out.values, before.values), [&] { return when + ": something was written before the error"; });
    return true;
  };
  options_for<S> options;
  options.positions.keys = positions(0, x.k.num_tokens + 1);
  l.expect(expect_untouched(options, "one position too many"), [] { return std::string("too many positions pass"); });
  options = {};
  options.more.first_head = index_t{1} << 40;
  expect_untouched(options, "heads from 2^40 on");
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
