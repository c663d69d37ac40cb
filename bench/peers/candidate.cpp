#include "candidate.hpp"

#include "../thread_pool.hpp"
#include "../version.hpp"

#include <posenc/attention/attend.hpp>
#include <posenc/attention/backward.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/t5_bias.hpp>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace posenc;

using posenc_bench::pool_of;

/// Calls `run(first, count)` for a contiguous share of `total` on each thread.
template <class Run>
void in_shares(index_t total, int num_threads, const Run& run) {
  if (num_threads <= 1) return run(0, total);
  const index_t share = (total + num_threads - 1) / num_threads;
  const auto task = [&](index_t i, index_t) {
    const index_t first = i * share;
    if (first < total) run(first, std::min(share, total - first));
  };
  pool_of(num_threads)(num_threads, task_ref(task));
}

template <scalar S>
void rotate_tokens(S* x, const float* cos, const float* sin, long tokens, long heads, long dim, int interleaved,
                   int threads) {
  const pairing pairs = interleaved != 0 ? pairing::interleaved : pairing::half;
  const index_t num_pairs = dim / 2;
  in_shares(tokens, threads, [&](index_t first, index_t count) {
    const cos_sin_rows<const float> rows(cos + first * num_pairs, sin + first * num_pairs, count, num_pairs);
    rotate(unchecked, rows, pairs, head_view<S>(x + first * heads * dim, count, heads, dim));
  });
}

/// Memory for `attend`, kept between calls as an engine keeps it.
std::span<float> workspace_of(index_t size) {
  static std::vector<float> memory;
  if (std::ssize(memory) < size) memory.resize(static_cast<std::size_t>(size));
  return memory;
}

/// KERPLE's formula as a person writes it.
struct log_bias {
  float bias(index_t, position_t distance) const noexcept {
    return -std::log1p(0.5F * std::abs(static_cast<float>(distance)));
  }
};

t5_bias<float> t5_of(long heads) {
  std::vector<float> table;
  for (long i = 0; i < 32 * heads; ++i) table.push_back(static_cast<float>(std::sin(static_cast<double>(i))));
  return t5_bias<float>(table, {.num_buckets = 32, .max_distance = 128, .bidirectional = false});
}

template <scalar S, class E>
void attend_on(head_view<const S> q, head_view<const S> k, head_view<const S> v, head_view<S> out, const E& encoding,
               attend_options<float> options, int threads) {
  const auto& pool = pool_of(threads);
  if (threads > 1) options.run.threads = parallel_for(pool, pool.size());
  options.run.workspace = workspace_of(workspace_size(q, k, v, encoding, options.run.threads));
  attend(unchecked, q, k, v, out, encoding, options);
}

}  // namespace

const char* cand_version() {
  static const std::string text = posenc_bench::version();
  return text.c_str();
}

void cand_rope_f32(float* x, const float* cos, const float* sin, long tokens, long heads, long dim, int interleaved,
                   int threads) {
  rotate_tokens(x, cos, sin, tokens, heads, dim, interleaved, threads);
}
void cand_rope_bf16(std::uint16_t* x, const float* cos, const float* sin, long tokens, long heads, long dim,
                    int interleaved, int threads) {
  rotate_tokens(reinterpret_cast<bf16*>(x), cos, sin, tokens, heads, dim, interleaved, threads);
}
void cand_rope_f16(std::uint16_t* x, const float* cos, const float* sin, long tokens, long heads, long dim,
                   int interleaved, int threads) {
  rotate_tokens(reinterpret_cast<f16*>(x), cos, sin, tokens, heads, dim, interleaved, threads);
}

void cand_table(float* cos, float* sin, long num_positions, long dim, double base, int threads) {
  const index_t num_pairs = dim / 2;
  const rope rotary(pairing::half, geometric_frequencies(base, num_pairs, static_cast<double>(num_pairs)));
  in_shares(num_positions, threads, [&](index_t first, index_t count) {
    const cos_sin_rows<float> rows(cos + first * num_pairs, sin + first * num_pairs, count, num_pairs);
    fill_cos_sin(rotary, positions(static_cast<position_t>(first), count), rows);
  });
}

void cand_add_f32(float* x, const float* rows, long tokens, long dim, int threads) {
  const learned_view<float> table(token_view<const float>(rows, tokens, dim));
  in_shares(tokens, threads, [&](index_t first, index_t count) {
    add_to(unchecked, table, token_view<float>(x + first * dim, count, dim), positions(first, count));
  });
}

void cand_attention_f32(const float* q, const float* k, const float* v, float* o, long heads, long n, long dim,
                        int causal_only, const float* slopes, int threads) {
  attend_options<float> options;
  if (causal_only != 0) options.band = causal();
  const auto queries = head_major(q, heads, n, dim), keys = head_major(k, heads, n, dim),
             values = head_major(v, heads, n, dim);
  const auto out = head_major(o, heads, n, dim);
  if (slopes == nullptr) return attend_on(queries, keys, values, out, no_encoding{}, options, threads);
  const alibi<float> bias(std::span(slopes, static_cast<std::size_t>(heads)));
  attend_on(queries, keys, values, out, bias, options, threads);
}

void cand_attention_bf16(const std::uint16_t* q, const std::uint16_t* k, const std::uint16_t* v, std::uint16_t* o,
                         long heads, long n, long dim, int causal_only, int threads) {
  attend_options<float> options;
  if (causal_only != 0) options.band = causal();
  const auto view = [=](const std::uint16_t* x) { return head_major(reinterpret_cast<const bf16*>(x), heads, n, dim); };
  attend_on(view(q), view(k), view(v), head_major(reinterpret_cast<bf16*>(o), heads, n, dim), no_encoding{}, options,
            threads);
}

void cand_attention_biased_f32(const float* q, const float* k, const float* v, float* o, long heads, long n, long dim,
                               int bias, int threads) {
  const auto run = [&](const auto& encoding) {
    attend_on(head_major(q, heads, n, dim), head_major(k, heads, n, dim), head_major(v, heads, n, dim),
              head_major(o, heads, n, dim), encoding, {.band = causal()}, threads);
  };
  if (bias == 1) return run(alibi<float>(heads));
  if (bias == 2) return run(log_bias{});
  if (bias == 3) return run(t5_of(heads));
  run(no_encoding{});
}

void cand_attention_backward_f32(const float* q, const float* k, const float* v, float* o, const float* d_o, float* lse,
                                 float* dq, float* dk, float* dv, long heads, long n, long dim, int causal_only,
                                 int forward, int threads) {
  const auto queries = head_major(q, heads, n, dim), keys = head_major(k, heads, n, dim),
             values = head_major(v, heads, n, dim);
  const auto out = head_major(o, heads, n, dim);
  attend_options<float> options{.lse = {lse, n, heads}};
  if (causal_only != 0) options.band = causal();
  if (forward != 0) return attend_on(queries, keys, values, out, no_encoding{}, options, threads);
  for (float* gradient : {dq, dk, dv}) std::fill_n(gradient, heads * n * dim, 0.0F);
  const auto& pool = pool_of(threads);
  if (threads > 1) options.run.threads = parallel_for(pool, pool.size());
  options.run.workspace = workspace_of(backward_workspace_size(queries, keys, values, no_encoding{}, options));
  attend_backward(unchecked, queries, keys, values, out, head_major(d_o, heads, n, dim),
                  {.queries = head_major(dq, heads, n, dim),
                   .keys = head_major(dk, heads, n, dim),
                   .values = head_major(dv, heads, n, dim)},
                  no_encoding{}, options);
}

void cand_decode_f32(const float* q, const float* k, const float* v, float* o, long heads, long kv_heads, long n,
                     long dim, int threads) {
  attend_on(head_view<const float>(q, 1, heads, dim), head_major(k, kv_heads, n, dim), head_major(v, kv_heads, n, dim),
            head_view<float>(o, 1, heads, dim), no_encoding{}, {}, threads);
}
