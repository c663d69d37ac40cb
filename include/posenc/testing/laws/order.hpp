// Without positions the order of tokens does not matter; with them it does.
#pragma once

#include <posenc/testing/laws/attention.hpp>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// The tokens of a block, permuted.
template <scalar S>
row_block<S> reordered(const row_block<S>& x, const std::vector<index_t>& order) {
  row_block<S> y = x;
  const index_t row = x.num_heads * x.num_columns;
  for (index_t i = 0; i < x.num_tokens; ++i)
    std::copy_n(x.values.begin() + at(order, i) * row, row, y.values.begin() + i * row);
  return y;
}

template <real T>
double largest_difference(const row_block<T>& a, const row_block<T>& b) {
  double largest = 0;
  for (index_t i = 0; i < std::ssize(a.values); ++i) {
    const double difference = std::abs(static_cast<double>(at(a.values, i)) - static_cast<double>(at(b.values, i)));
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

/// With `no_encoding`, permuting queries permutes outputs, bit for bit; permuting keys changes outputs only by
/// rounding.
template <scalar S>
void check_order_means_nothing(const trial<S>& t) {
  law l = t.start("attention: without positions, order means nothing");
  const sequence<S> x(t);
  random_numbers random = t.random();
  const std::vector<index_t> order = random_order(x.q.num_tokens, random);
  const auto out = attended(l, t, x);
  sequence<S> mixed = x;
  mixed.q = reordered(x.q, order);
  expect_same_bits(l, attended(l, t, mixed), reordered(out, order), positions(0, x.q.num_tokens), "queries reordered");
  mixed = {x};
  mixed.k = reordered(x.k, order);
  mixed.v = reordered(x.v, order);
  expect_rows(l, attended(l, t, mixed), out, 0, rounding_of_attention(t), "keys reordered");
}

/// With positions, permuting the content of queries or of keys while positions stay changes the result.
template <scalar S>
void check_order_means_something(const trial<S>& t) {
  if (t.sizes.num_tokens < 3) return;
  law l = t.start("attention: order means something");
  const sequence<S> x(t);
  random_numbers random = t.random();
  const std::vector<index_t> order = random_order(x.q.num_tokens, random);
  const auto out = attended(l, t, x);
  sequence<S> mixed = x;
  mixed.q = reordered(x.q, order);
  const double by_queries = largest_difference(attended(l, t, mixed), reordered(out, order));
  mixed = x;
  mixed.k = reordered(x.k, order);
  mixed.v = reordered(x.v, order);
  const double by_keys = largest_difference(attended(l, t, mixed), out);
  const double rounding = rounding_of_attention(t);
  l.expect(by_queries > rounding || by_keys > rounding, [&] {
    return "queries in another order move outputs by " + text_of(by_queries) + ", keys by " + text_of(by_keys) +
           ", no more than rounding may, " + text_of(rounding);
  });
}

/// What is added to an embedding depends on its position.
template <scalar S>
void check_embeddings_differ(const trial<S>& t, const row_hook<S>& hook) {
  if (t.sizes.num_tokens < 3) return;
  law l = t.start(std::string(hook.name) + ": order means something");
  const row_block<S> x = block_for(t, hook);
  random_numbers random = t.random();
  const std::vector<index_t> order = random_order(x.num_tokens, random);
  const positions ids(0, x.num_tokens);
  const row_block<S> sorted = applied(hook, x, ids);
  const row_block<S> mixed = applied(hook, reordered(x, order), ids);
  l.expect(!same_bits(mixed.values, reordered(sorted, order).values),
           [] { return std::string("tokens in another order get the same"); });
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
