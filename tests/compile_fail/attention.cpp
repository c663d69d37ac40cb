// What attention() would otherwise silently ignore.
#include <posenc/attention/attention.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/sinusoidal.hpp>

#include <vector>

using namespace posenc;

struct queries_alone {
  template <scalar S>
  void apply_to_queries(head_view<S>, const positions&) const noexcept {}
#if POSENC_MISUSE != 2
  template <scalar S>
  void apply_to_keys(head_view<S>, const positions&) const noexcept {}
#endif
};

int main() {
  std::vector<float> x(16);
  const head_view<float> q(x.data(), 2, 2, 4);
  const sinusoidal waves({.dim = 4});
  const rope rotary(pairing::half, frequencies(std::vector<double>{1, 0.1}));
#if POSENC_MISUSE == 1
  // expect: this encoding acts on embeddings only, and attention sees none. Add it to the embeddings
  attention(q, q, q, q, waves);
#else
  // The caller adds the waves; what else is in there happens here.
  attention(q, q, q, q, combine(waves, rotary));
#endif
  // expect: this encoding has a member apply_to_queries or apply_to_keys, but not both
  attention(q, q, q, q, queries_alone{});
}
