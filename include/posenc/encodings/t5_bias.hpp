// T5's relative position bias: one learned number per head and bucket of distances.
#pragma once

#include <posenc/concepts.hpp>  // relative_bias, real, index_t, position_t
#include <posenc/error.hpp>     // require
#include <posenc/exact_powers.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct t5_params {
  index_t num_buckets = 32;
  index_t max_distance = 128;  // from here on all distances share the last bucket
  bool bidirectional = true;   // half of the buckets for keys after the query: encoders; false for decoders
};

/// Adds a learned number that depends on the head and on the bucket of the distance.
///
///     score[h, i, j] += table[bucket(i - j), h]
///
/// With B buckets per direction, E = B / 2 of them (rounded down) hold one distance each, the others widen
/// geometrically:
///
///     bucket(r) = r                                                     r < E
///     bucket(r) = min(E + floor((B - E) ln(r/E) / ln(max_distance/E)), B - 1)   otherwise
///
/// Causal: B = num_buckets, r = max(i - j, 0). Bidirectional: B = num_buckets / 2, r = |i - j|, and keys after the
/// query use the second half of the table.
///
/// Acts on    scores before the softmax; queries and keys are unchanged. T5 itself does not scale scores: pass scale 1.
/// Positions  any 32-bit; only differences count, which must fit 32 bits too.
/// Storage    the table, and one number per distance up to max_distance.
/// Errors     a table whose size is not a multiple of num_buckets, num_buckets < 2 (bidirectional: < 4) or a
///            max_distance within the exact buckets throws invalid_argument; check_scores reports heads without a
///            column.
/// Accuracy   buckets are exact (integers): a logarithm may fall short where r is a power. The bias is a copy.
/// Gradient   of the table.
/// Source     Raffel et al. 2020, arXiv:1910.10683; transformers' t5.
template <real T>
class t5_bias {
 public:
  using scalar_type = T;

  explicit t5_bias(std::vector<T> table, const t5_params& params = {})  // [num_buckets, num_heads]
      : table_(checked(std::move(table), params)),
        bucket_of_distance_(make_buckets(params)),
        num_heads_(std::ssize(table_) / params.num_buckets),
        max_distance_(static_cast<position_t>(params.max_distance)) {}

  index_t num_heads() const noexcept { return num_heads_; }

  /// The row of the table for a query `distance` after a key.
  index_t bucket(position_t distance) const noexcept {
    const index_t clamped = std::clamp(distance, -max_distance_, max_distance_);
    return bucket_of_distance_[static_cast<std::size_t>(clamped + max_distance_)];
  }

  T bias(index_t head, position_t distance) const noexcept {
    return table_[static_cast<std::size_t>(bucket(distance) * num_heads_ + head)];
  }

  /// out[i] = bias(head, first_distance + i)
  template <real U>
  void fill_bias(index_t head, position_t first_distance, index_t count, U* out) const noexcept {
    // Up to -max_distance and from max_distance on there is one value each, and most distances are there.
    const index_t first = std::clamp<index_t>(index_t{-max_distance_} - first_distance, 0, count);
    const index_t last = std::clamp<index_t>(index_t{max_distance_} - first_distance, 0, count);
    std::fill(out, out + first, static_cast<U>(bias(head, -max_distance_)));
    for (index_t i = first; i < last; ++i) {
      out[i] = static_cast<U>(bias(head, static_cast<position_t>(first_distance + i)));
    }
    std::fill(out + last, out + count, static_cast<U>(bias(head, max_distance_)));
  }

  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return check_heads(shape, num_heads_);
  }

  std::span<T> parameters() noexcept { return table_; }  // [num_buckets, num_heads]
  std::span<const T> parameters() const noexcept { return table_; }

  /// parameter_gradients[bucket(first_distance + i), head] += sums[i]
  template <real U>
  void bias_backward(index_t head, position_t first_distance, std::span<const U> sums,
                     std::span<U> parameter_gradients) const noexcept {
    index_t distance = first_distance;
    for (const U sum : sums) {
      const index_t row = bucket(static_cast<position_t>(distance++));
      parameter_gradients[static_cast<std::size_t>(row * num_heads_ + head)] += sum;
    }
  }

 private:
  static index_t directions(const t5_params& params) { return params.bidirectional ? 2 : 1; }

  static std::vector<T> checked(std::vector<T> table, const t5_params& params) {
    const index_t num_exact = params.num_buckets / directions(params) / 2;
    require(num_exact >= 1, "t5_bias", "num_buckets", params.num_buckets, "at least #", 2 * directions(params));
    require(params.max_distance > num_exact, "t5_bias", "max_distance", params.max_distance,
            "above #, the buckets of one distance", num_exact);
    require(params.max_distance <= std::numeric_limits<position_t>::max(), "t5_bias", "max_distance",
            params.max_distance, "below 2^31");
    require(!table.empty() && std::ssize(table) % params.num_buckets == 0, "t5_bias", "size of the table",
            std::ssize(table), "a multiple of num_buckets, #", params.num_buckets);
    return table;
  }

  /// The bucket of each distance in [-max_distance, max_distance].
  static std::vector<std::int32_t> make_buckets(const t5_params& params) {
    const index_t num_buckets = params.num_buckets / directions(params);
    std::vector<std::int32_t> one_way(static_cast<std::size_t>(params.max_distance) + 1);
    const auto first_of = first_distances(num_buckets, params.max_distance);
    std::int32_t bucket = 0;
    for (index_t r = 0; r <= params.max_distance; ++r) {
      while (bucket + 1 < num_buckets && r >= first_of[static_cast<std::size_t>(bucket) + 1]) ++bucket;
      one_way[static_cast<std::size_t>(r)] = bucket;
    }

    std::vector<std::int32_t> both_ways;
    for (auto r = one_way.rbegin(); r != one_way.rend() - 1; ++r) {
      both_ways.push_back(params.bidirectional ? *r + static_cast<std::int32_t>(num_buckets) : 0);
    }
    both_ways.insert(both_ways.end(), one_way.begin(), one_way.end());
    return both_ways;
  }

  /// The least distance of each bucket. The j-th wide one begins where (r/E)^n >= (max_distance/E)^j, n = B - E.
  static std::vector<index_t> first_distances(index_t num_buckets, index_t max_distance) {
    const index_t num_exact = num_buckets / 2;
    const index_t num_wide = num_buckets - num_exact;
    const auto exact = static_cast<std::uint32_t>(num_exact);
    const auto furthest = static_cast<std::uint32_t>(max_distance);
    std::vector<index_t> first_of;
    for (index_t r = 0; r <= num_exact; ++r) first_of.push_back(r);
    for (index_t j = 1; j < num_wide; ++j) {
      const double estimate =
          static_cast<double>(num_exact) * std::pow(static_cast<double>(max_distance) / static_cast<double>(num_exact),
                                                    static_cast<double>(j) / static_cast<double>(num_wide));
      // Certainly below the answer; from there the integers decide.
      auto r = static_cast<index_t>(estimate) - 1;
      const auto bound = detail::product_of_powers(furthest, j, exact, num_wide - j);
      while (detail::is_less_than(detail::product_of_powers(static_cast<std::uint32_t>(r), num_wide, 1, 0), bound)) ++r;
      first_of.push_back(r);
    }
    return first_of;
  }

  std::vector<T> table_;                          // [num_buckets, num_heads]
  std::vector<std::int32_t> bucket_of_distance_;  // [2 * max_distance + 1]
  index_t num_heads_;
  position_t max_distance_;
};

static_assert(relative_bias<t5_bias<float>, float>);

}  // namespace posenc::inline POSENC_ISA
