#include "candidate.hpp"

#include "thread_pool.hpp"

#include <posenc/attention/attend.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/rope.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <span>
#include <vector>

namespace {

using namespace posenc;

const posenc_bench::thread_pool& pool_of(int num_threads) {
  static std::unique_ptr<posenc_bench::thread_pool> pool;
  if (pool == nullptr || pool->size() != num_threads) pool = std::make_unique<posenc_bench::thread_pool>(num_threads);
  return *pool;
}

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

template <class E>
void attend_on(head_view<const float> q, head_view<const float> k, head_view<const float> v, head_view<float> out,
               const E& encoding, attend_options<float> options, int threads) {
  const auto& pool = pool_of(threads);
  if (threads > 1) options.run.threads = parallel_for(pool, pool.size());
  options.run.workspace = workspace_of(workspace_size(q, k, v, encoding, options.run.threads));
  attend(unchecked, q, k, v, out, encoding, options);
}

}  // namespace

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

void cand_decode_f32(const float* q, const float* k, const float* v, float* o, long heads, long kv_heads, long n,
                     long dim, int threads) {
  attend_on(head_view<const float>(q, 1, heads, dim), head_major(k, kv_heads, n, dim), head_major(v, kv_heads, n, dim),
            head_view<float>(o, 1, heads, dim), no_encoding{}, {}, threads);
}
