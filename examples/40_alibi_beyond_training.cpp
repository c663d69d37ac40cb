// ALiBi beyond the trained length: what a query sees of its neighborhood does not change, however long the text.
#include <posenc/attention/attend.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/sinusoidal.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

using namespace posenc;

constexpr index_t num_heads = 4, head_dim = 16, dim = num_heads * head_dim, trained = 128, longest = 64 * trained;

// Attention output of the last of `length` tokens; the text always ends with the same 128 words.
template <class E>
std::vector<float> last_output(const E& encoding, index_t length) {
  std::mt19937 engine(3);
  std::normal_distribution<float> normal;
  std::vector<float> words(static_cast<std::size_t>(longest * dim));
  std::generate(words.rbegin(), words.rend(), [&] { return normal(engine) / 4; });
  float* const text = words.data() + (longest - length) * dim;

  add_to(encoding, token_view<float>(text, length, dim), positions(0, length));
  const head_view<const float> keys(text, length, num_heads, head_dim);  // identity projections
  const head_view<const float> query = keys.tokens(length - 1, 1);
  std::vector<float> out(dim);
  attend(query, keys, keys, head_view<float>(out.data(), 1, num_heads, head_dim), scores_of(encoding),
         {.band = causal()});
  return {out.begin(), out.begin() + head_dim};  // the first head, whose slope is the steepest
}

template <class E>
float change(const E& encoding, index_t times) {
  const auto trained_output = last_output(encoding, trained);
  const auto longer_output = last_output(encoding, times * trained);
  float largest = 0;
  for (std::size_t i = 0; i < trained_output.size(); ++i)
    largest = std::max(largest, std::abs(trained_output[i] - longer_output[i]));
  return largest;
}

int main() {
  const alibi<float> biased(num_heads);
  const sinusoidal added({.dim = dim});
  std::printf("length      change of the last token's output with\n");
  std::printf("            ALiBi     sinusoids\n");
  bool holds = true;
  for (index_t times = 2; times <= 64; times *= 2) {
    const float with_alibi = change(biased, times);
    const float with_sinusoids = change(added, times);
    std::printf("%2tdx %6td   %-8s  %.2f\n", times, times * trained, with_alibi < 1e-6f ? "< 1e-6" : "more",
                static_cast<double>(with_sinusoids));
    holds = holds && with_alibi < 1e-6f && with_sinusoids > 0.1f;
  }
  return holds ? 0 : 1;
}

// length      change of the last token's output with
//             ALiBi     sinusoids
//  2x    256   < 1e-6    0.44
//  4x    512   < 1e-6    0.37
//  8x   1024   < 1e-6    0.32
// 16x   2048   < 1e-6    0.33
// 32x   4096   < 1e-6    0.30
// 64x   8192   < 1e-6    0.31
