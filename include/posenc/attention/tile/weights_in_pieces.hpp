// The softmax over a tile, in pieces that overlap products.
#pragma once

#include <posenc/attention/online_softmax.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/attention/tile/weight_pairs.hpp>
#include <posenc/attention/tile/work_beside.hpp>
#include <posenc/kernels/vectors.hpp>

#if defined(__AVX512BF16__)

namespace posenc::inline POSENC_ISA::detail {

/// A piece is the weights of two keys for a vector of queries.
template <class Scores, int Parts>
class weights_in_pieces {
 public:
  weights_in_pieces(const softmax_rows<float>& rows, Scores scores, const tile_edges& edges, index_t padded_queries,
                    float scale, const weights_of_tile<Parts>& to) noexcept
      : rows_(rows), scores_(scores), edges_(edges), padded_queries_(padded_queries), scale_(scale), to_(to) {}

  /// Call before the pieces. Returns true if earlier output has to be rescaled.
  bool follow() noexcept {
    bool scaled = false;
    for (index_t q = 0; q < padded_queries_; q += lanes)
      scaled |= rows_.follow(scores_.from(q), q, edges_.keys_of(q, q + lanes), scale_);
    begin_lanes(0);
    return scaled;
  }

  work_beside work(index_t num_calls) noexcept {
    return {[](void* self) noexcept { static_cast<weights_in_pieces*>(self)->put_next(); }, this,
            padded_queries_ / lanes * to_.num_keys / 2, num_calls};
  }

 private:
  using vector = kernels::vector<float>;
  static constexpr index_t lanes = kernels::lanes<float>;

  void begin_lanes(index_t q) noexcept {
    first_query_ = q;
    key_ = 0;
    seen_ = edges_.keys_of(q, q + lanes);
    of_lanes_ = scores_.from(q);
    to_weights_ = {kernels::load<vector>(rows_.largest + q), scale_};
    sum_[0] = sum_[1] = vector{};
  }

  [[gnu::noinline]] void put_next() noexcept {
    const index_t k = key_;
    if (k >= seen_.first && k + 2 <= seen_.end && to_weights_.ordinary)
      put(to_weights_.of_ordinary(of_lanes_.again(k)), to_weights_.of_ordinary(of_lanes_.again(k + 1)));
    else
      put(of_key(k), of_key(k + 1));
    if ((key_ = k + 2) < to_.num_keys) return;
    rows_.add(first_query_, sum_[0] + sum_[1]);
    if (first_query_ + lanes < padded_queries_) begin_lanes(first_query_ + lanes);
  }
  vector of_key(index_t k) const noexcept {
    return k < seen_.first || k >= seen_.end ? vector{} : to_weights_.of_any(of_lanes_.again(k));
  }
  [[gnu::always_inline]] void put(vector lower, vector upper) noexcept {
    sum_[0] += lower;
    sum_[1] += upper;
    to_.put(first_query_, key_, lower, upper);
  }

  softmax_rows<float> rows_;
  Scores scores_;
  const tile_edges& edges_;
  index_t padded_queries_;
  float scale_;
  weights_of_tile<Parts> to_;

  // State of the current lanes.
  index_t first_query_ = 0;
  index_t key_ = 0;
  tile_edges::range seen_{};
  Scores of_lanes_ = scores_;
  scores_to_weights<float> to_weights_{vector{}, 0};
  vector sum_[2] = {};
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
