// Adds RoPE to an engine that has pointers and a KV cache but no matrix class: two calls per step.
#include <posenc/attention/attend.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/llama3.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <random>
#include <vector>

using namespace posenc;

constexpr index_t num_heads = 8, num_kv_heads = 2, head_dim = 64, max_tokens = 64;

// One layer of an engine. The projections (not shown) write new keys and values to the end of the cache.
struct layer {
  std::vector<float> keys = std::vector<float>(max_tokens * num_kv_heads * head_dim);
  std::vector<float> values = std::vector<float>(max_tokens * num_kv_heads * head_dim);

  float* end_of(std::vector<float>& cache, index_t past) { return cache.data() + past * num_kv_heads * head_dim; }

  // q: [num_tokens, num_heads, head_dim], for tokens [past, past + num_tokens); overwritten with the output.
  void attention(const rope& rotary, float* q, index_t past, index_t num_tokens, position_t first_position) {
    const head_view<float> queries{q, num_tokens, num_heads, head_dim};
    const head_view<float> new_keys{end_of(keys, past), num_tokens, num_kv_heads, head_dim};
    rotate(rotary, queries, new_keys, positions(first_position + past, num_tokens));  // in place, once per token

    const head_view<const float> all_keys{keys.data(), past + num_tokens, num_kv_heads, head_dim};
    const head_view<const float> all_values{values.data(), past + num_tokens, num_kv_heads, head_dim};
    attend(queries, all_keys, all_values, queries, no_encoding{}, {.band = causal()});
  }
};

// Feeds 48 tokens in steps of `chunk` and returns the attention output of the last token.
std::vector<float> last_output(const rope& rotary, index_t chunk, position_t first_position) {
  constexpr index_t num_tokens = 48;
  constexpr auto query_size = static_cast<std::size_t>(num_heads * head_dim);
  std::mt19937 engine(1);
  std::normal_distribution<float> normal;
  std::vector<float> q(query_size * num_tokens), k(q.size() / 4), v(q.size() / 4);
  for (auto* x : {&q, &k, &v}) std::generate(x->begin(), x->end(), [&] { return normal(engine); });

  layer one;
  for (index_t past = 0; past < num_tokens; past += chunk) {
    const index_t step = std::min(chunk, num_tokens - past);
    const index_t first = past * num_kv_heads * head_dim;
    const index_t size = step * num_kv_heads * head_dim;
    std::copy_n(k.begin() + first, size, one.end_of(one.keys, past));  // in place of the projections
    std::copy_n(v.begin() + first, size, one.end_of(one.values, past));
    one.attention(rotary, q.data() + past * num_heads * head_dim, past, step, first_position);
  }
  return {q.end() - num_heads * head_dim, q.end()};
}

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

int main() {
  // Once per model, from its config.json. The pairing has no default: with the wrong one, output stays fluent for about
  // twenty tokens.
  const rope rotary(pairing::half, llama3_frequencies({.head_dim = head_dim,
                                                       .rope_theta = 500000,
                                                       .factor = 8,
                                                       .low_freq_factor = 1,
                                                       .high_freq_factor = 4,
                                                       .original_max_position_embeddings = 8192}));

  const auto one_pass = last_output(rotary, 48, 0);
  const float chunks = largest_difference(one_pass, last_output(rotary, 7, 0));
  const float one_by_one = largest_difference(one_pass, last_output(rotary, 1, 0));
  const float moved = largest_difference(one_pass, last_output(rotary, 48, 1'000'000));
  std::printf("one pass against chunks of 7:             %s\n", chunks < 1e-5f ? "equal to 1e-5" : "different");
  std::printf("one pass against one token at a time:     %s\n", one_by_one < 1e-5f ? "equal to 1e-5" : "different");
  std::printf("the same text a million positions later:  %s\n", moved < 1e-5f ? "equal to 1e-5" : "different");
  return chunks < 1e-5f && one_by_one < 1e-5f && moved < 1e-5f ? 0 : 1;
}

// one pass against chunks of 7:             equal to 1e-5
// one pass against one token at a time:     equal to 1e-5
// the same text a million positions later:  equal to 1e-5
