// What attention at remapped positions would otherwise leave out in silence.
#include <posenc/attention/remapped.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/sinusoidal.hpp>

#include <span>
#include <vector>

using namespace posenc;

struct decay {
#if POSENC_MISUSE == 5
  // A misspelled bias is not "no bias".
  float bias(index_t, float distance) const noexcept { return -distance; }
#endif
  template <scalar S, token_positions P>
  void apply_to_queries(head_view<S>, const P&) const noexcept {}
  template <scalar S, token_positions P>
  void apply_to_keys(head_view<S>, const P&) const noexcept {}
};

int main() {
  std::vector<float> x(16);
  const head_view<float> q(x.data(), 2, 2, 4);
  const std::vector<head_view<float>> keys(2, q);
  const rope rotary(pairing::half, frequencies(std::vector<double>{1, 0.1}));
  const alibi<float> slopes(2);
  const auto parts = rerope({.window = 1}, {2, 2, 0});
#if POSENC_MISUSE == 1
  // expect: remapped positions reach queries and keys alone, and this encoding acts on scores
  attention_remapped(q, q, q, q, combine(rotary, slopes), std::span(parts));
#elif POSENC_MISUSE == 2
  // expect: remapped positions reach queries and keys alone, and this encoding acts on scores
  attend_remapped(q, std::span<const head_view<float>>(keys), q, q, slopes, std::span(parts));
#elif POSENC_MISUSE == 3
  // expect: remapped positions reach queries and keys alone, and this encoding acts on scores
  const problem wrong =
      check_remapped(q, std::span<const head_view<float>>(keys), q, q, scores_of(slopes), std::span(parts));
  return wrong ? 1 : 0;
#elif POSENC_MISUSE == 4
  // expect: this encoding acts on embeddings only, and attention sees none. Add it to the embeddings
  attention_remapped(q, q, q, q, sinusoidal({.dim = 4}), std::span(parts));
#else
  // The caller adds the waves, and what is chosen at run time is checked then.
  attention_remapped(q, q, q, q, combine(sinusoidal({.dim = 4}), rotary), std::span(parts));
  attend_remapped(q, std::span<const head_view<float>>(keys), q, q, any_encoding<float>(rotary), std::span(parts));
#endif
  // expect: this encoding has a member bias that cannot be called as it must be
  attention_remapped(q, q, q, q, decay{}, std::span(parts));
}
