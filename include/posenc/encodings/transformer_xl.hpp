// Transformer-XL's and XLNet's relative attention: projected sinusoids of distance, and two learned query biases.
#pragma once

#include <posenc/angles/cos_sin.hpp>
#include <posenc/concepts.hpp>  // tile_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/relative_rows.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The distances that a table of relative keys holds, one row each, and what happens to others.
struct relative_range {
  position_t first = 0;  // of row 0. Causal: 0. XLNet: minus the number of queries
  position_t last = 0;
  bool clamp = false;  // a distance outside counts as the nearest inside (clamp_len); otherwise it is an error

  index_t size() const noexcept { return index_t{last} - first + 1; }
};

/// The relative keys of Transformer-XL and XLNet: a projection of the sinusoidal encoding of each distance.
///
///     keys[h, r, d] = sum over c of weights[h * head_dim + d, c] [sin(r w_0), sin(r w_1), ..., cos(r w_0), ...][c]
///     w_j = 10000^(-2j / dim)
///
/// weights [num_heads * head_dim, dim], as in torch.nn.Linear. XLNet's r, [dim, num_heads, head_dim], is their
/// transpose. Returns [num_heads, range.size(), head_dim]. Errors: sizes that do not fit, an odd dim, an empty range:
/// invalid_argument.
template <real T>
std::vector<T> transformer_xl_keys(std::span<const T> weights, index_t num_heads, index_t head_dim, index_t dim,
                                   const relative_range& range);

/// Adds the gradient of the weights, given dL/dkeys, to `weight_gradients`.
template <real T>
void transformer_xl_keys_backward(std::span<const T> key_gradients, index_t num_heads, index_t head_dim, index_t dim,
                                  const relative_range& range, std::span<T> weight_gradients);

/// Adds the products of queries with relative keys, and of two learned vectors with keys and relative keys.
///
///     score[h, i, j] = scale * (<q[i] + u[h], k[j]> + <q[i] + v[h], r[h, i - j]>)
///
/// u is r_w_bias, v is r_r_bias of the authors' code.
///
/// Acts on    scores before the softmax; reads queries and keys.
/// Positions  any 32-bit; only distances count: those of the table, and others if it clamps. A table that begins at 0
///            accepts keys after the query too: they use row 0 until a causal mask hides them.
/// Storage    (range.size() + 2) * num_heads * head_dim scalars.
/// Errors     an empty range, heads or head_dim below 1, lists of other sizes throw invalid_argument; check_scores
///            reports a different head_dim, heads without keys and distances outside a table that does not clamp.
/// Accuracy   that of products of head_dim numbers in the type of the scores.
/// Gradient   of u, of v, of the relative keys (transformer_xl_keys_backward propagates those), queries and keys.
/// Source     Dai et al. 2019, arXiv:1901.02860; Yang et al. 2019, arXiv:1906.08237; transformers' xlnet. rel_shift is
///            only how they lay out the second product.
template <real T>
class transformer_xl {
 public:
  using scalar_type = T;

  transformer_xl(std::span<const T> u, std::span<const T> v,  // [num_heads, head_dim] each
                 std::span<const T> keys,                     // [num_heads, range.size(), head_dim]
                 index_t num_heads, const relative_range& range)
      : range_(range), num_heads_(num_heads) {
    require(num_heads >= 1, "transformer_xl", "num_heads", num_heads, "at least 1");
    require(range.last >= range.first, "transformer_xl", "range.last", range.last, "at least #, range.first",
            range.first);
    require(!u.empty() && std::ssize(u) % num_heads == 0, "transformer_xl", "size of u", std::ssize(u),
            "a multiple of num_heads, #", num_heads);
    head_dim_ = std::ssize(u) / num_heads;
    require(v.size() == u.size(), "transformer_xl", "size of v", std::ssize(v), "#, that of u", std::ssize(u));
    const index_t size = std::ssize(u) * range.size();
    require(std::ssize(keys) == size, "transformer_xl", "size of keys", std::ssize(keys), "#", size);
    for (const std::span<const T> part : {u, v, keys}) parameters_.insert(parameters_.end(), part.begin(), part.end());
  }

  index_t num_heads() const noexcept { return num_heads_; }
  index_t head_dim() const noexcept { return head_dim_; }
  const relative_range& range() const noexcept { return range_; }

  bool reads_content() const noexcept { return true; }

  template <real U>
  void add_to_scores(const score_tile<U>& tile) const noexcept {
    add_by_key(tile);
    const auto queries = detail::vectors_of<detail::tile_side::queries>(tile);
    detail::add_relative_products<detail::tile_side::queries>(
        tile, [this](position_t distance) { return row(distance); },
        [&](const index_t* rows, index_t num_rows, index_t first, index_t count, U* out, index_t out_stride) {
          const T* of_rows[kernels::max_rows];
          for (index_t r = 0; r < num_rows; ++r) of_rows[r] = keys(tile.head, rows[r]);
          kernels::multiply_by_rows(queries, first, count, of_rows, num_rows, out, out_stride);
          for (index_t r = 0; r < num_rows; ++r) {
            const T of_v = kernels::product(v(tile.head), of_rows[r], head_dim_);
            for (index_t i = 0; i < count; ++i) out[r * out_stride + i] += tile.scale * static_cast<U>(of_v);
          }
        });
  }

  problem check_scores(const score_shape& shape, const positions& queries, const positions& keys) const noexcept {
    if (shape.head_dim != head_dim_)
      return problem::invalid("attend", "head_dim", shape.head_dim, "#, the width of the relative keys", head_dim_);
    if (const problem wrong = check_heads(shape, num_heads_)) return wrong;
    if (range_.clamp || queries.size() <= 0 || keys.size() <= 0) return {};
    const auto q = queries.bounds();
    const auto k = keys.bounds();
    if (q.largest - k.least > range_.last)
      return problem::out_of_range("attend", "distance from query to key", q.largest - k.least,
                                   "at most #, the last of the relative keys", range_.last);
    if (range_.first != 0 && q.least - k.largest < range_.first)
      return problem::out_of_range("attend", "distance from query to key", q.least - k.largest,
                                   "at least #, the first of the relative keys", range_.first);
    return {};
  }

  std::span<T> parameters() noexcept { return parameters_; }  // [u | v | keys]
  std::span<const T> parameters() const noexcept { return parameters_; }

  template <real U>
  void add_to_scores_backward(const score_tile<U>& before, const score_gradients<U>& gradients) const noexcept {
    const T* u_of_head = u(before.head);
    const T* v_of_head = v(before.head);
    U* const sums = gradients.parameters.data();
    detail::for_each_gradient(before, gradients, [&](index_t q, index_t k, U gradient) {
      const T* key = keys(before.head, row(before.distance(q, k)));
      const U scaled = before.scale * gradient;
      for (index_t d = 0; d < head_dim_; ++d) {
        const U r = static_cast<U>(key[d]);
        sums[offset(u_of_head + d)] += scaled * before.key(k, d);
        sums[offset(v_of_head + d)] += scaled * r;
        sums[offset(key + d)] += gradient * before.query(q, d) + scaled * static_cast<U>(v_of_head[d]);
        gradients.queries[q * before.query_token_stride + d * before.query_dim_stride] += gradient * r;
        gradients.keys[k * before.key_token_stride + d] += scaled * static_cast<U>(u_of_head[d]);
      }
    });
  }

 private:
  const T* u(index_t head) const noexcept { return parameters_.data() + head * head_dim_; }
  const T* v(index_t head) const noexcept { return u(num_heads_ + head); }
  const T* keys(index_t head, index_t r) const noexcept { return u(2 * num_heads_ + head * range_.size() + r); }
  index_t offset(const T* parameter) const noexcept { return parameter - parameters_.data(); }

  index_t row(position_t distance) const noexcept {
    return index_t{std::clamp(distance, range_.first, range_.last)} - range_.first;
  }

  /// score(q, k) += scale * <u, k[k]>
  template <real U>
  void add_by_key(const score_tile<U>& tile) const noexcept {
    constexpr index_t block = 64;
    for (index_t first = 0; first < tile.num_keys; first += block) {
      const index_t count = std::min(block, tile.num_keys - first);
      U addends[block];
      for (index_t k = 0; k < count; ++k) {
        const U* key = tile.keys + (first + k) * tile.key_token_stride;
        addends[k] = tile.scale * kernels::product(key, u(tile.head), head_dim_);
      }
      if (tile.query_stride == 1) {
        for (index_t k = 0; k < count; ++k) {
          for (index_t q = 0; q < tile.num_queries; ++q) tile.score(q, first + k) += addends[k];
        }
      } else {
        for (index_t q = 0; q < tile.num_queries; ++q) {
          for (index_t k = 0; k < count; ++k) tile.score(q, first + k) += addends[k];
        }
      }
    }
  }

  std::vector<T> parameters_;
  relative_range range_;
  index_t num_heads_;
  index_t head_dim_ = 0;
};

static_assert(tile_bias<transformer_xl<float>, float> && tile_bias<transformer_xl<float>, double>);

namespace detail {

/// The sinusoidal encodings of all distances of a range: [range.size(), dim].
template <real T>
std::vector<T> sinusoids_of_distance(index_t num_weights, index_t num_heads, index_t head_dim, index_t dim,
                                     const relative_range& range) {
  require(num_heads >= 1, "transformer_xl_keys", "num_heads", num_heads, "at least 1");
  require(head_dim >= 1, "transformer_xl_keys", "head_dim", head_dim, "at least 1");
  require(dim >= 2 && dim % 2 == 0, "transformer_xl_keys", "dim", dim, "even and at least 2");
  require(range.last >= range.first, "transformer_xl_keys", "range.last", range.last, "at least #, range.first",
          range.first);
  require(num_weights == num_heads * head_dim * dim, "transformer_xl_keys", "size of the weights", num_weights, "#",
          num_heads * head_dim * dim);
  const index_t half = dim / 2;
  const frequencies inv_freq = geometric_frequencies(10000, half, static_cast<double>(half));
  std::vector<T> all(static_cast<std::size_t>(range.size() * dim));
  for (index_t r = 0; r < range.size(); ++r) {
    const auto distance = static_cast<position_t>(range.first + r);
    T* row = all.data() + r * dim;
    cos_sin(inv_freq, &distance, 0, half, row + half, row);
  }
  return all;
}

}  // namespace detail

template <real T>
std::vector<T> transformer_xl_keys(std::span<const T> weights, index_t num_heads, index_t head_dim, index_t dim,
                                   const relative_range& range) {
  const std::vector<T> sinusoids =
      detail::sinusoids_of_distance<T>(std::ssize(weights), num_heads, head_dim, dim, range);
  std::vector<T> keys(static_cast<std::size_t>(num_heads * range.size() * head_dim));
  T* key = keys.data();
  for (index_t h = 0; h < num_heads; ++h) {
    for (index_t r = 0; r < range.size(); ++r) {
      for (index_t d = 0; d < head_dim; ++d)
        *key++ = kernels::product(weights.data() + (h * head_dim + d) * dim, sinusoids.data() + r * dim, dim);
    }
  }
  return keys;
}

template <real T>
void transformer_xl_keys_backward(std::span<const T> key_gradients, index_t num_heads, index_t head_dim, index_t dim,
                                  const relative_range& range, std::span<T> weight_gradients) {
  const std::vector<T> sinusoids =
      detail::sinusoids_of_distance<T>(std::ssize(weight_gradients), num_heads, head_dim, dim, range);
  require(std::ssize(key_gradients) == num_heads * range.size() * head_dim, "transformer_xl_keys_backward",
          "size of key_gradients", std::ssize(key_gradients), "#", num_heads * range.size() * head_dim);
  const T* gradient = key_gradients.data();
  for (index_t h = 0; h < num_heads; ++h) {
    for (index_t r = 0; r < range.size(); ++r) {
      const T* sinusoid = sinusoids.data() + r * dim;
      for (index_t d = 0; d < head_dim; ++d, ++gradient) {
        T* sums = weight_gradients.data() + (h * head_dim + d) * dim;
        for (index_t c = 0; c < dim; ++c) sums[c] += *gradient * sinusoid[c];
      }
    }
  }
}

}  // namespace posenc::inline POSENC_ISA
