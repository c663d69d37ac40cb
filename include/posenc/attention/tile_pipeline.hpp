// Products of tiles in bf16 parts, overlapped with the softmax of other tiles.
#pragma once

#include <posenc/attention/block_and_tile.hpp>
#include <posenc/attention/tile/bf16_unit.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/attention/tile/weights_in_pieces.hpp>
#include <posenc/attention/tile_sizes.hpp>

namespace posenc::inline POSENC_ISA::detail {

template <class Call>
class tile_pipeline;

#if defined(POSENC_BF16_TILES)

/// A block of queries meets a tile in three steps: scores, softmax, values. The softmax of one meeting overlaps the
/// score products of the next and the value products of the previous one. `Call` is an `attend_call`.
template <class Call>
class tile_pipeline {
 public:
  using block = typename Call::block;
  using key_tile = typename Call::key_tile;
  using memory = typename Call::memory;

  /// Meetings in flight, whose tile descriptors are kept. Not their memory: keys are overwritten when the next tile is
  /// met, values when the next tile's values are loaded.
  static constexpr index_t depth = 3;

  tile_pipeline(const Call& call, const memory& m) noexcept : call_(call), m_(m) {}

  void meet(block& b, key_tile& tile) noexcept { advance(&b, &tile); }
  void finish() noexcept {
    advance(nullptr, nullptr);
    advance(nullptr, nullptr);
  }

 private:
  using T = typename Call::T;
  using pairs = typename Call::pairs;
  using unit = typename pairs::unit;
  using weights = typename unit::template weights<pairs::of_weight>;

  struct meeting {
    block* b = nullptr;
    key_tile* tile = nullptr;
    tile_edges edges;
  };

  void advance(block* b, key_tile* tile) noexcept {
    const index_t i = num_begun_++;
    meeting& begins = under_way_[i % depth];
    const meeting &scored = under_way_[(i + 2) % depth], &weighed = under_way_[(i + 1) % depth];
    begins.b = b;
    begins.tile = tile;
    if (begins.b != nullptr) begin(begins);
    if (weighed.b != nullptr) load_values(weighed);
    const auto multiply = [&](auto& beside) {
      if (begins.b != nullptr) multiply_keys(begins, i, beside);
      if (weighed.b != nullptr) add_values(weighed, i, beside);
    };
    if (scored.b != nullptr) {
      if (weigh_beside(multiply, scored, i + 1)) call_.output_of(*scored.b).scale(scored.b->memory_of.factor);
    } else {
      nothing_beside nothing;
      multiply(nothing);
    }
  }

  void begin(meeting& of) const noexcept {
    block& b = *of.b;
    key_tile& tile = *of.tile;
    if (!tile.keys_loaded) call_.tiles_.load_keys_in_pairs(tile, 0, b.head, m_);
    b.not_ordinary |= call_.queries_that_see(tile.keys_not_ordinary, b, tile);
    b.visible.find_edges(tile.first, tile.count, of.edges);
  }
  void load_values(const meeting& of) const noexcept {
    block& b = *of.b;
    key_tile& tile = *of.tile;
    if (!tile.values_loaded) call_.tiles_.template load_values_in_pairs<false>(tile, 0, b.head, m_);
    b.not_ordinary |= call_.queries_that_see(tile.values_not_ordinary, b, tile);
  }

  // `i` selects the memory of a meeting: consecutive meetings alternate between two.

  template <class Beside>
  void multiply_keys(const meeting& of, index_t i, Beside& beside) const noexcept {
    const block& b = *of.b;
    unit::template multiply_keys<pairs::of_key, pairs::of_query>(
        of.tile->key_pairs, call_.sizes_.row_size(), call_.query_pairs(b), m_.scores[i % 2], call_.query_stride_,
        b.padded_queries(), of.edges, beside);
  }
  template <class Beside>
  void add_values(const meeting& of, index_t i, Beside& beside) const noexcept {
    block& b = *of.b;
    const key_range seen = b.visible.seen_of(of.tile->first, of.tile->count);
    unit::add_values(weights_of(i, b), &seen, 0, 1, call_.tiles_.values_of(m_), call_.output_of(b), b.has_output,
                     b.padded_queries(), of.edges, beside);
    b.has_output = true;
  }

  /// Returns true if the output has to be rescaled.
  template <class Multiply>
  bool weigh_beside(Multiply multiply, const meeting& of, index_t i) const noexcept {
    const block& b = *of.b;
    const auto softmax = [&](auto biased, T factor) {
      weights_in_pieces<decltype(biased), pairs::of_weight> pieces(
          call_.softmax_of(b), biased, of.edges, b.padded_queries(), factor, weights_of(i, b).of_tile(0));
      const bool scales = pieces.follow();
      work_beside beside = pieces.work(num_calls());
      multiply(beside);
      beside.finish();
      return scales;
    };
    return call_.scores_.bias_before(softmax, b, *of.tile, m_.scores[i % 2], m_, of.edges, call_.scale_);
  }
  index_t num_calls() const noexcept {
    return unit::num_calls(call_.sizes_.row_size(), Call::sizes_t::padded(call_.values_.head_dim),
                           call_.tiles_.padded_keys(), products_of_parts(pairs::of_key, pairs::of_query),
                           products_of_parts(pairs::of_value, pairs::of_weight));
  }

  weights weights_of(index_t i, const block& b) const noexcept {
    return {unit::columns(as_pairs(m_.weight_pairs[i % 2]), call_.tiles_.padded_keys() / 2, b.padded_queries(),
                          call_.query_stride_),
            call_.tiles_.padded_keys()};
  }

  const Call& call_;
  const memory& m_;
  meeting under_way_[depth];
  index_t num_begun_ = 0;
};

#endif

}  // namespace posenc::inline POSENC_ISA::detail
