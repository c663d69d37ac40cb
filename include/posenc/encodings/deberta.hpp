// DeBERTa's disentangled attention (v2, v3): products of content with learned vectors for buckets of distances.
#pragma once

#include <posenc/concepts.hpp>  // tile_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/exact_powers.hpp>
#include <posenc/relative_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// DeBERTa's bucket of a distance (query minus key): the distance itself up to position_buckets / 2 in magnitude,
/// farther ones in buckets that widen geometrically. There is no last bucket.
///
///     bucket(r) = r                                                                |r| <= mid = position_buckets / 2
///     bucket(r) = sign(r) (mid + ceil((mid - 1) ln(|r|/mid) / ln((max_relative_positions - 1)/mid)))    otherwise
///
/// Exact, whereas a logarithm may fall on the wrong side of an edge. Requires 1 <= mid < max_relative_positions - 1.
inline std::int64_t deberta_bucket(position_t distance, index_t position_buckets, index_t max_relative_positions) {
  const index_t mid = position_buckets / 2;
  const std::int64_t size = distance < 0 ? -std::int64_t{distance} : distance;
  if (size <= mid) return distance;
  const double ratio = static_cast<double>(max_relative_positions - 1) / static_cast<double>(mid);
  const double steps =
      static_cast<double>(mid - 1) * (std::log(static_cast<double>(size) / static_cast<double>(mid)) / std::log(ratio));
  auto rounded = static_cast<std::int64_t>(std::nearbyint(steps));
  if (std::abs(steps - static_cast<double>(rounded)) > 1e-6) {
    rounded = static_cast<std::int64_t>(std::ceil(steps));
  } else if (mid > 1) {
    // One step more if size/mid is above ratio^(rounded/(mid - 1)).
    const auto a = static_cast<std::uint32_t>(size), b = static_cast<std::uint32_t>(mid);
    const auto c = static_cast<std::uint32_t>(max_relative_positions - 1);
    const auto edge = detail::product_of_powers(c, rounded, b, mid - 1);
    if (detail::is_less_than(edge, detail::product_of_powers(a, mid - 1, b, rounded))) ++rounded;
  }
  return distance < 0 ? -(mid + rounded) : mid + rounded;
}

/// Vectors shared by all tokens, projected as queries and keys are, and the buckets that select them.
template <real T>
struct deberta_params {
  index_t num_heads = 0;
  index_t head_dim = 0;
  index_t max_relative_positions = 512;
  index_t position_buckets = 256;  // 0 or less: every distance is its own bucket
  bool clamp_distances = false;   // to max_relative_positions - 1 first, as in the authors' code; transformers does not
  std::span<const T> pos_keys{};  // [num_heads, 2 * span, head_dim]; empty: no content-to-position term
  std::span<const T> pos_queries{};  // the same; empty: no position-to-content term
};

/// Adds the product of the query with a relative key for the distance, and of the key with a relative query.
///
///     score[h, i, j] += scale * (<q[i], pos_keys[h, row]> + <k[j], pos_queries[h, row]>)
///     row = clip(bucket(i - j) + span, 0, 2 span - 1),   span = position_buckets, or max_relative_positions if none
///
/// The model's scale is 1 / sqrt(head_dim * (1 + number of terms)): pass it to `attend`.
///
/// Acts on    scores before the softmax; reads queries (for pos_keys) and keys (for pos_queries).
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    the vectors, and the least distance of each bucket.
/// Errors     heads or head_dim below 1, neither kind of vector, vectors of other sizes, position_buckets of 1, or a
///            max_relative_positions that leaves nothing to widen throw invalid_argument; check_scores reports a
///            different head_dim and heads without vectors.
/// Accuracy   buckets are exact, by integer arithmetic; products of head_dim numbers in the type of the scores.
/// Gradient   of pos_keys, then of pos_queries, of queries and of keys.
/// Source     He et al. 2021, arXiv:2006.03654 and arXiv:2111.09543; transformers' deberta_v2.
template <real T>
class deberta {
 public:
  using scalar_type = T;

  explicit deberta(const deberta_params<T>& params)
      : num_heads_(params.num_heads),
        head_dim_(params.head_dim),
        span_(params.position_buckets > 0 ? params.position_buckets : params.max_relative_positions),
        furthest_(params.clamp_distances ? params.max_relative_positions - 1 : limit) {
    require(num_heads_ >= 1, "deberta", "num_heads", num_heads_, "at least 1");
    require(head_dim_ >= 1, "deberta", "head_dim", head_dim_, "at least 1");
    check_buckets(params);
    const index_t size = num_heads_ * 2 * span_ * head_dim_;
    require(!params.pos_keys.empty() || !params.pos_queries.empty(), "deberta", "size of pos_keys and pos_queries", 0,
            "# of one or both", size);
    if (!params.pos_keys.empty()) append("size of pos_keys", params.pos_keys, size);
    num_of_keys_ = std::ssize(parameters_);
    if (!params.pos_queries.empty()) append("size of pos_queries", params.pos_queries, size);
    if (params.position_buckets > 0) list_first_distances(params);
  }

  index_t num_heads() const noexcept { return num_heads_; }
  index_t span() const noexcept { return span_; }  // half of the rows

  /// The row of vectors for a query `distance` after a key.
  index_t row(position_t distance) const noexcept {
    const index_t size = std::min(distance < 0 ? -index_t{distance} : index_t{distance}, furthest_);
    index_t bucket = std::min(size, num_exact_);
    if (size > num_exact_) {
      const auto above = std::upper_bound(first_distances_.begin(), first_distances_.end(), size);
      bucket += above - first_distances_.begin();
    }
    return distance < 0 ? std::max<index_t>(span_ - bucket, 0) : std::min(span_ + bucket, 2 * span_ - 1);
  }

  bool reads_content() const noexcept { return true; }

  template <real U>
  void add_to_scores(const score_tile<U>& tile) const noexcept {
    using detail::tile_side;
    if (num_of_keys_ > 0)
      add_products<tile_side::queries>(tile, detail::vectors_of<tile_side::queries>(tile), parameters_.data(), U(1));
    if (num_of_keys_ == std::ssize(parameters_)) return;
    detail::for_each_turned_block(tile, [&](const score_tile<U>& part, const kernels::strided_vectors<U>& keys) {
      add_products<tile_side::keys>(part, keys, parameters_.data() + num_of_keys_, part.scale);
    });
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    if (shape.head_dim != head_dim_)
      return problem::invalid("attend", "head_dim", shape.head_dim, "#, the width of the vectors", head_dim_);
    return check_heads(shape, num_heads_);
  }

  std::span<T> parameters() noexcept { return parameters_; }  // [pos_keys | pos_queries]
  std::span<const T> parameters() const noexcept { return parameters_; }

  template <real U>
  void add_to_scores_backward(const score_tile<U>& before, const score_gradients<U>& gradients) const noexcept {
    detail::for_each_gradient(before, gradients, [&](index_t q, index_t k, U gradient) {
      const index_t begin = begin_of(before.head, row(before.distance(q, k)));
      if (num_of_keys_ > 0) {
        for (index_t d = 0; d < head_dim_; ++d) {
          gradients.parameters[at(begin + d)] += gradient * before.query(q, d);
          gradients.queries[q * before.query_token_stride + d * before.query_dim_stride] +=
              gradient * static_cast<U>(parameters_[at(begin + d)]);
        }
      }
      if (num_of_keys_ < std::ssize(parameters_)) {
        const U scaled = before.scale * gradient;
        for (index_t d = 0; d < head_dim_; ++d) {
          gradients.parameters[at(num_of_keys_ + begin + d)] += scaled * before.key(k, d);
          gradients.keys[k * before.key_token_stride + d] +=
              scaled * static_cast<U>(parameters_[at(num_of_keys_ + begin + d)]);
        }
      }
    });
  }

 private:
  static constexpr index_t limit = std::numeric_limits<position_t>::max();

  static std::size_t at(index_t i) noexcept { return static_cast<std::size_t>(i); }
  index_t begin_of(index_t head, index_t r) const noexcept { return (head * 2 * span_ + r) * head_dim_; }

  void append(const char* name, std::span<const T> values, index_t size) {
    require(std::ssize(values) == size, "deberta", name, std::ssize(values), "#", size);
    parameters_.insert(parameters_.end(), values.begin(), values.end());
  }

  void check_buckets(const deberta_params<T>& params) const {
    const index_t most = params.max_relative_positions;
    require(most >= 1 && most <= limit, "deberta", "max_relative_positions", most, "at least 1 and below 2^31");
    if (params.position_buckets <= 0) return;
    require(params.position_buckets >= 2, "deberta", "position_buckets", params.position_buckets,
            "at least 2, or 0 for none");
    require(most > params.position_buckets / 2 + 1, "deberta", "max_relative_positions", most, "above #",
            params.position_buckets / 2 + 1);
  }

  /// score(q, k) += factor * <x of query q or key k, row of the distance>
  template <detail::tile_side Side, real U>
  void add_products(const score_tile<U>& tile, const kernels::strided_vectors<U>& x, const T* vectors,
                    U factor) const noexcept {
    detail::add_relative_products<Side>(
        tile, [this](position_t distance) { return row(distance); },
        [&](const index_t* rows, index_t num_rows, index_t first, index_t count, U* out, index_t out_stride) {
          const T* of_rows[kernels::max_rows];
          for (index_t r = 0; r < num_rows; ++r) of_rows[r] = vectors + begin_of(tile.head, rows[r]);
          kernels::multiply_by_rows(x, first, count, of_rows, num_rows, out, out_stride);
          for (index_t r = 0; r < num_rows; ++r) {
            for (index_t i = 0; i < count; ++i) out[r * out_stride + i] *= factor;
          }
        });
  }

  /// The least distance of each bucket beyond the exact ones, up to the bucket of the last row.
  void list_first_distances(const deberta_params<T>& params) {
    const index_t mid = params.position_buckets / 2;
    num_exact_ = mid;
    const auto bucket = [&](index_t size) {
      return deberta_bucket(static_cast<position_t>(size), params.position_buckets, params.max_relative_positions);
    };
    for (index_t b = mid + 1; b <= span_; ++b) {
      index_t below = first_distances_.empty() ? mid : first_distances_.back() - 1;  // its bucket is less than b
      index_t size = limit;
      if (bucket(size) < b) return;
      while (size - below > 1) {
        const index_t middle = below + (size - below) / 2;
        (bucket(middle) < b ? below : size) = middle;
      }
      first_distances_.push_back(size);
    }
  }

  std::vector<T> parameters_;
  std::vector<index_t> first_distances_;  // ascending
  index_t num_heads_;
  index_t head_dim_;
  index_t span_;
  index_t furthest_;
  index_t num_exact_ = limit;  // distances up to this are their own buckets
  index_t num_of_keys_ = 0;    // parameters that are pos_keys
};

static_assert(tile_bias<deberta<float>, float> && tile_bias<deberta<float>, double>);

}  // namespace posenc::inline POSENC_ISA
