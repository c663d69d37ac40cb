// What attend would otherwise silently ignore.
#include <posenc/attention/attend.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/sinusoidal.hpp>

#include <vector>

using namespace posenc;

struct nothing_known {};

int main() {
  std::vector<float> x(16);
  const head_view<float> q(x.data(), 2, 2, 4);
  const rope rotary(pairing::half, frequencies(std::vector<double>{1, 0.1}));
  const sinusoidal waves({.dim = 4});
  const learned<float> table(std::vector<float>(8), 4);
#if POSENC_MISUSE == 1
  // expect: attend takes keys as they lie in the cache, already rotated, and encodings that act on scores only
  attend(q, q, q, q, rotary);
#elif POSENC_MISUSE == 2
  // expect: attend takes encodings that act on scores only; this one acts on embeddings. Add it to the embeddings
  attend(q, q, q, q, waves);
#elif POSENC_MISUSE == 3
  // expect: attend takes encodings that act on scores only; this one acts on embeddings
  attend(q, q, q, q, table);
#elif POSENC_MISUSE == 4
  // expect: this is no positional encoding: it has none of the hooks that concepts.hpp lists
  attend(q, q, q, q, nothing_known{});
#elif POSENC_MISUSE == 5
  // expect: queries, keys, values and output must share one compute type
  std::vector<double> wide(16);
  attend(q, q, head_view<double>(wide.data(), 2, 2, 4), q, no_encoding{});
#elif POSENC_MISUSE == 6
  // expect: attend takes keys as they lie in the cache, already rotated
  const problem wrong = check_attend(q, q, q, q, rotary);
  return wrong ? 1 : 0;
#else
  attend(q, q, q, q, scores_of(rotary));
  attend(q, q, q, q, scores_of(waves));
  attend(q, q, q, q, scores_of(table));
  attend(q, q, q, q, no_encoding{});
#endif
}
