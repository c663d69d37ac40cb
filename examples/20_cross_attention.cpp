// Cross-attention: the queries of one sequence attend to the keys of another, each with its own positions.
#include <posenc/attention/attention.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

using namespace posenc;

constexpr index_t num_heads = 4, head_dim = 32;

// Heads that own their memory: [num_tokens, num_heads, head_dim].
struct heads {
  std::vector<float> values;
  index_t num_tokens;

  explicit heads(index_t tokens)
      : values(static_cast<std::size_t>(tokens * num_heads * head_dim)), num_tokens(tokens) {}
  heads(index_t tokens, std::mt19937& engine) : heads(tokens) {
    std::normal_distribution<float> normal;
    std::generate(values.begin(), values.end(), [&] { return normal(engine); });
  }
  head_view<float> view() { return {values.data(), num_tokens, num_heads, head_dim}; }
};

int main() {
  std::mt19937 engine(2);
  heads q(3, engine), k(10, engine), v(10, engine), out(3), shifted(3), plain(3);

  // Three words of a translation, placed unevenly along a source text of ten words. No causal band: the whole source is
  // known.
  const std::vector<position_t> target = {0, 4, 9};
  const positions source(0, 10);
  const rope rotary(pairing::half, default_frequencies({.head_dim = head_dim, .rope_theta = 10000}));
  const attend_options<float> where{.positions = {target, source}};
  attention(q.view(), k.view(), v.view(), out.view(), rotary, where);

  // Both sequences may start at any position, as long as they move together.
  const std::vector<position_t> target_later = {5000, 5004, 5009};
  attention(q.view(), k.view(), v.view(), shifted.view(), rotary, {.positions = {target_later, positions(5000, 10)}});
  float moved = 0;
  for (std::size_t i = 0; i < out.values.size(); ++i)
    moved = std::max(moved, std::abs(out.values[i] - shifted.values[i]));

  // A bias of distance takes the same positions: the last word attends most to the end of the source.
  std::fill(k.values.begin(), k.values.end(), 0.0f);  // equal scores, so that only the bias acts
  for (index_t t = 0; t < 10; ++t) std::fill_n(v.view().row(t, 0), head_dim, static_cast<float>(t));
  attention(q.view(), k.view(), v.view(), plain.view(), alibi<float>(num_heads), where);
  const float looks_at[] = {plain.view().row(0, 0)[0], plain.view().row(1, 0)[0], plain.view().row(2, 0)[0]};

  std::printf("5000 positions later: %s\n", moved < 1e-5f ? "the same, to 1e-5" : "different");
  std::printf("target positions 0, 4, 9 look at source positions %.1f, %.1f, %.1f on average\n",
              static_cast<double>(looks_at[0]), static_cast<double>(looks_at[1]), static_cast<double>(looks_at[2]));
  return moved < 1e-5f && looks_at[0] < looks_at[1] && looks_at[1] < looks_at[2] ? 0 : 1;
}

// 5000 positions later: the same, to 1e-5
// target positions 0, 4, 9 look at source positions 2.6, 4.2, 6.4 on average
