// An adjoint of the score hook that is almost right, or belongs to another form of it.
#include <posenc/attention/backward.hpp>

#include <span>
#include <vector>

using namespace posenc;

struct decay {
  float rate = 1;
  std::span<const float> parameters() const noexcept { return {&rate, 1}; }
  float bias(index_t, position_t distance) const noexcept { return rate * static_cast<float>(distance); }
#if POSENC_MISUSE == 1
  // expect: this encoding has a member bias_backward that cannot be called as it must be: either void bias_backward(
  void bias_backward(index_t, position_t, position_t, float, std::span<float>) const noexcept {}
#elif POSENC_MISUSE == 2
  // expect: position_t first_distance, std::span<const T> sums, std::span<T> parameter_gradients) const noexcept
  void bias_backward(index_t, position_t, std::span<float>, std::span<float>) const noexcept {}
#elif POSENC_MISUSE == 3
  // expect: this encoding has a member bias_backward that cannot be called as it must be
  void bias_backward(index_t, position_t, std::span<const float>, std::span<float>) const {}
#else
  void bias_backward(index_t, position_t, std::span<const float>, std::span<float>) const noexcept {}
#endif
#if POSENC_MISUSE == 4
  // expect: this encoding has a member add_to_scores_backward that cannot be called as it must be, beside add_to_scores
  void add_to_scores_backward(const score_tile<float>&, const score_gradients<float>&) const noexcept {}
#endif
};

struct by_tile {
  void add_to_scores(const score_tile<float>&) const noexcept {}
#if POSENC_MISUSE == 5
  // expect: this encoding has a member add_to_scores_backward that cannot be called as it must be
  void add_to_scores_backward(const score_tile<float>&, score_gradients<float>&) const noexcept {}
#else
  void add_to_scores_backward(const score_tile<float>&, const score_gradients<float>&) const noexcept {}
#endif
#if POSENC_MISUSE == 6
  // expect: this encoding has a member bias_backward that cannot be called as it must be
  void bias_backward(index_t, position_t, std::span<const float>, std::span<float>) const noexcept {}
#endif
};

template <class E>
problem check(const E& encoding) {
  std::vector<float> x(12);
  const head_view<float> q(x.data(), 2, 2, 3);
  return check_attend_backward(q, q, q, q, q, {q, q, q}, encoding, {});
}

int main() { return check(decay{}) && check(by_tile{}) ? 1 : 0; }
