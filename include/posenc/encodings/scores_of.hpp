// The part of an encoding that acts on scores.
#pragma once

#include <posenc/hooks.hpp>

#include <span>
#include <tuple>

namespace posenc::inline POSENC_ISA {

/// A view of what an encoding does to scores, which is nothing for one that acts elsewhere; made by `scores_of(e)`. `e`
/// must outlive it. Pass it to `attend` if the caller has applied the encoding at its other places already.
template <class E>
class scores_view {
 public:
  using parts = std::tuple<E>;

  explicit scores_view(const E& e) noexcept : encoding_(&e) {}

  template <real T>
  requires score_encoding<E, T>
  void add_to_scores(const score_tile<T>& tile) const noexcept { hooks::add_to_scores(*encoding_, tile); }
  template <real T>
  requires score_encoding<E, T>
  void begin(const score_tile<T>& tile) const noexcept { hooks::begin(*encoding_, tile); }
  bool reads_content() const noexcept { return hooks::reads_content(*encoding_); }
  index_t scratch_size(index_t num_queries) const noexcept { return hooks::scratch_size(*encoding_, num_queries); }

  template <real T>
  bool acts_on_scores() const noexcept {
    return hooks::acts_on_scores<T>(*encoding_);
  }
  template <real T>
  bool has_distance_bias() const noexcept {
    return hooks::has_distance_bias<T>(*encoding_);
  }
  template <real T>
  requires score_encoding<E, T>
  void fill_bias(index_t head, position_t first, index_t count, T* out) const noexcept {
    hooks::fill_bias(*encoding_, head, first, count, out);
  }

  // The encoding checks its own axes.
  index_t num_position_axes() const noexcept { return 0; }

  template <class T>
  problem check_scores(const score_shape& shape, const positions& queries, const positions& keys) const noexcept {
    return hooks::check_scores<T>(*encoding_, shape, queries, keys);
  }

  index_t num_parameters() const noexcept { return hooks::num_parameters(*encoding_); }
  template <real T>
  bool passes_score_gradients() const noexcept {
    return hooks::passes_score_gradients<T>(*encoding_);
  }
  template <real T>
  requires score_encoding<E, T>
  void bias_backward(index_t head, position_t first_distance, std::span<const T> sums,
                     std::span<T> parameters) const noexcept {
    hooks::bias_backward<T>(*encoding_, head, first_distance, sums, parameters);
  }
  template <real T>
  requires score_encoding<E, T>
  void add_to_scores_backward(const score_tile<T>& before, const score_gradients<T>& gradients) const noexcept {
    hooks::add_to_scores_backward(*encoding_, before, gradients);
  }

 private:
  const E* encoding_;
};

template <class E>
scores_view<E> scores_of(const E& e) noexcept {
  return scores_view<E>(e);
}

}  // namespace posenc::inline POSENC_ISA
