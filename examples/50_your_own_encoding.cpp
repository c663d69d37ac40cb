// Your own encoding: one struct, accepted by everything in the library.
#include <posenc/attention/attention.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>
#include <posenc/testing/laws.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

using namespace posenc;

// A bias that falls with the logarithm of distance. distance = query position - key position.
struct log_decay {
  float rate;
  float bias(index_t /*head*/, position_t distance) const noexcept {
    return -rate * std::log1p(static_cast<float>(std::abs(distance)));
  }
};
static_assert(positional_encoding<log_decay>);

int main() {
  constexpr index_t num_tokens = 256, num_heads = 4, head_dim = 32;
  std::mt19937 engine(4);
  std::normal_distribution<float> normal;
  std::vector<float> x(num_tokens * num_heads * head_dim);
  std::generate(x.begin(), x.end(), [&] { return normal(engine); });
  const head_view<const float> qkv(x.data(), num_tokens, num_heads, head_dim);

  const auto attended = [&](const auto& encoding) {
    std::vector<float> out(x.size());
    attention(qkv, qkv, qkv, head_view<float>(out.data(), num_tokens, num_heads, head_dim), encoding,
              {.band = causal()});
    return out;
  };

  // The tiled kernel runs it as fast as its own; any_encoding can hold it; it combines with other encodings.
  const log_decay mine{0.5f};
  const rope rotary(pairing::half, default_frequencies({.head_dim = head_dim, .rope_theta = 10000}));
  const bool same_behind_a_choice = attended(mine) == attended(any_encoding<float>(mine));
  const bool combines = attended(combine(rotary, mine)) != attended(rotary);

  // The library's laws, checked on your own type: permutation, shift, chunks, ...
  const auto report = check_encoding_laws(mine);
  for (const auto& violation : report.violations) std::printf("violated: %s\n", violation.c_str());

  std::printf("behind any_encoding: %s\n", same_behind_a_choice ? "the same bits" : "different");
  std::printf("combined with RoPE:  %s\n", combines ? "both act" : "one is lost");
  std::printf("laws violated:       %zu\n", report.violations.size());
  return same_behind_a_choice && combines && report.violations.empty() ? 0 : 1;
}

// behind any_encoding: the same bits
// combined with RoPE:  both act
// laws violated:       0
