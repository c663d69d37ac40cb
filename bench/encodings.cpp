// What does an encoding add to attention?
//
// `of_none`: the same attention without any encoding, beside it, over attention with it. Prefill is causal, 2048 tokens
// of one head of 128; decoding is one token of 32 heads on 8 over 4096 keys. A sliding window is beside attention to
// all that came before, by the time of a pair that is let through. Encodings that act before attention are timed as one
// layer pays for them: on the queries and keys of all heads, or on the embeddings, and then attention.
#include "attention_call.hpp"
#include "beside.hpp"

#include <posenc/posenc.hpp>

#include <cmath>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <string>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr index_t num_heads = 32, num_kv_heads = 8, head_dim = 128, dim = num_heads * head_dim;
constexpr index_t num_tokens = 2048, num_cached = 4096, longest = num_cached;

std::vector<float> numbers(index_t count) {
  const pages<float> some(count);
  std::vector<float> out(some.data(), some.data() + count);
  for (float& x : out) x *= 0.05F;
  return out;
}
std::vector<float> rates() {
  std::vector<float> positive = numbers(num_heads);
  for (float& x : positive) x = 0.01F + std::abs(x);
  return positive;
}

template <class E>
void prefill(benchmark::State& state, const E& encoding, const attend_options<float>& options) {
  attention_call<float> none({}), with({});
  const index_band whole = options.band.first == 0 ? causal() : index_band{};
  beside(state, work{with.flops(options.band), [&] { with(encoding, options); }}, "none",
         work{none.flops(whole), [&] { none(no_encoding{}, {.band = whole}); }});
}

template <class E>
void decode(benchmark::State& state, const E& encoding, const attend_options<float>& options) {
  const attention_sizes one_token{1, num_cached, head_dim, num_heads, num_kv_heads, true};
  attention_call<float> none(one_token), with(one_token);
  beside(state, work{with.flops(options.band), [&] { with(encoding, options); }}, "none",
         work{none.flops(), [&] { none(no_encoding{}, {}); }});
}

/// An encoding is held for as long as the benchmarks live.
template <class E>
void compare_prefill(const std::string& name, E encoding, const attend_options<float>& options) {
  const auto held = std::make_shared<const E>(std::move(encoding));
  benchmark::RegisterBenchmark(("prefill/" + name).c_str(), [=](benchmark::State& s) {
    prefill(s, *held, options);
  })->UseManualTime();
}

/// Prefill and decoding.
template <class E>
void compare(const std::string& name, E encoding, const attend_options<float>& options = {.band = causal()}) {
  compare_prefill(name, encoding, options);
  const auto held = std::make_shared<const E>(std::move(encoding));
  benchmark::RegisterBenchmark(("decode/" + name).c_str(), [=](benchmark::State& s) {
    decode(s, *held, options);
  })->UseManualTime();
}

// ---- On scores ----

/// KERPLE as a person writes it, with a logarithm for every distance.
struct logarithm {
  float rate;
  float bias(index_t, position_t distance) const noexcept {
    return -rate * std::log1p(0.5F * static_cast<float>(std::abs(distance)));
  }
};

void compare_biases() {
  constexpr index_t width = 32;
  const std::vector<float> of_heads = rates();
  compare("alibi", alibi<float>(num_heads));
  compare("two_sided_alibi", two_sided_alibi<float>(of_heads, of_heads));
  compare("falcon_alibi", falcon_alibi<float>({.num_heads = num_heads, .scale = 0.088}));
  compare("t5_bias", t5_bias<float>(numbers(32 * num_heads)));
  compare("kerple", kerple<float>(kerple_kernel::log, of_heads, of_heads));
  compare("own_formula", logarithm{0.5F});
  compare("sandwich", sandwich({.num_heads = num_heads}));
  compare("mlp_bias", mlp_bias<float>(numbers(2 * width + width * (width + 1) + num_heads * (width + 1)),
                                      {.num_heads = num_heads, .mlp_width = width}));
  compare("tabulated_bias", tabulated_bias<float>(numbers(num_heads * (2 * longest - 1)), num_heads, longest - 1));
  static const any_encoding<float> chosen(alibi<float>{num_heads});
  compare("any_encoding", scores_of(chosen));
  const std::vector<float> w1 = numbers(width), w2 = numbers(num_heads * width);
  compare("fire", fire<float>({.num_heads = num_heads, .w1 = w1, .b1 = w1, .w2 = w2, .b2 = of_heads}));
  static const std::vector<float> sums = numbers(num_heads * longest);
  compare("forgetting", forgetting<float>(sums.data(), {.num_heads = num_heads, .num_tokens = longest}));
}

void compare_content() {
  compare("shaw", shaw<float>(numbers(129 * head_dim), {.left_max = 64, .right_max = 64, .head_dim = head_dim}));
  const std::vector<float> vectors = numbers(num_heads * head_dim);
  compare("transformer_xl", transformer_xl<float>(vectors, vectors, numbers(num_heads * 513 * head_dim), num_heads,
                                                  {.first = 0, .last = 512, .clamp = true}));
  const std::vector<float> buckets = numbers(num_heads * 512 * head_dim);
  compare("deberta", deberta<float>({.num_heads = num_heads, .head_dim = head_dim, .pos_keys = buckets}));
  compare("cope", cope<float>(numbers(64 * head_dim), head_dim));
}

// Foreign rows of a bias for each query, and what is no encoding at all.
void compare_others() {
  static const std::vector<float> matrix = numbers(num_tokens * num_tokens);
  compare_prefill("dense_bias", dense_bias<float>(matrix.data(), {.num_queries = num_tokens, .num_keys = num_tokens}),
                  {.band = causal()});
  compare("sliding_window", no_encoding{}, {.band = sliding_window(512)});
  compare("softcap", no_encoding{}, {.band = causal(), .softcap = 30});
}

/// All patches of one window of 32 x 64, which see each other.
void compare_windows() {
  constexpr index_t width = 512;
  const patch_window window{.height = 32, .width = 64};
  compare_prefill("window_bias", window_bias<float>(numbers(window.num_offsets()), window), {});
  const std::vector<float> w1 = numbers(2 * width), b1 = numbers(width), w2 = numbers(width);
  compare_prefill("swin_v2_bias", swin_v2_bias<float>({window, 1, width, w1, b1, w2}), {});
}

// ---- On queries, keys and embeddings: one layer of 32 heads on 8, 512 tokens ----

template <class Apply>
void before_attention(const std::string& name, Apply apply, index_t kv_heads = num_kv_heads) {
  benchmark::RegisterBenchmark(("layer/" + name).c_str(), [=](benchmark::State& state) {
    const attention_sizes layer{512, 512, head_dim, num_heads, kv_heads, true};
    attention_call<float> none(layer), with(layer);
    const double flops = none.flops(causal());
    beside(state,
           work{flops,
                [&] {
                  apply(with);
                  with(no_encoding{}, {.band = causal()});
                }},
           "none", work{flops, [&] { none(no_encoding{}, {.band = causal()}); }});
  })->UseManualTime();
}

const positions line(0, 512);

template <class E>
void compare_rotation(const std::string& name, E encoding, const positions& at = line,
                      index_t kv_heads = num_kv_heads) {
  const auto held = std::make_shared<const E>(std::move(encoding));
  const auto apply = [=](attention_call<float>& call) {
    apply_to_queries(*held, call.queries(), at);
    apply_to_keys(*held, call.keys(), at);
  };
  before_attention(name, apply, kv_heads);
}

template <class E>
void compare_embedding(const std::string& name, E encoding, const positions& at = line) {
  const auto held = std::make_shared<const E>(std::move(encoding));
  before_attention(name, [=](attention_call<float>& call) {
    add_to(*held, token_view<float>(call.q.data(), call.of.num_queries, dim), at);
  });
}

void compare_before_attention() {
  const auto list = default_frequencies({.head_dim = head_dim});
  compare_rotation("rope", rope(pairing::half, list));
  compare_rotation("xpos", xpos(rope(pairing::half, list), {}));
  compare_rotation("fope", fope<float>(list, numbers(2 * list.size() * list.size()), {.rotary_dim = head_dim}));
  compare_rotation("llama4_temperature", llama4_temperature(llama4_temperature_params{}));
  compare_rotation("log_n_scaling", log_n_scaling(256));
  compare_embedding("sinusoidal", sinusoidal({.dim = dim}));
  compare_embedding("scaled_sinusoidal", scaled_sinusoidal<float>({.dim = dim}));
  compare_embedding("learned", learned<float>(numbers(512 * dim), dim));
}

void compare_on_a_grid() {
  static const std::vector<position_t> ids = grid_positions({.sizes = {16, 32}});
  const positions grid(ids, 2);
  compare_rotation("rope_pixtral", rope(pairing::half, pixtral_frequencies(10000, head_dim)), grid);
  compare_rotation(
      "mixed_rope",
      mixed_rope<float>(pairing::interleaved, numbers(2 * num_heads * head_dim / 2), {.num_heads = num_heads}), grid,
      num_heads);
  compare_rotation("liere", liere<float>(numbers(2 * 4 * 32 * 31 / 2), {.num_blocks = 4, .block_dim = 32}), grid);
  compare_embedding("sinusoidal_grid", sinusoidal_grid({.dim = dim}), grid);
  compare_embedding("learned_grid", learned_grid<float>(numbers((16 + 32) * dim), {.sizes = {16, 32}, .dim = dim}),
                    grid);
}

const bool registered = [] {
  compare_biases();
  compare_windows();
  compare_on_a_grid();
  compare_content();
  compare_others();
  compare_before_attention();
  return true;
}();

}  // namespace
}  // namespace posenc_bench
