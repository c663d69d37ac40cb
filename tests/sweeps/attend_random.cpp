// Attention against the reference, over all options of a call.
#include <posenc/attention/attend.hpp>

#include <posenc/attention/reference.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/t5_bias.hpp>
#include <posenc/quantize.hpp>

#include "../attention/random_attention.hpp"
#include "../catch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t most_heads = 9;  // of the random calls: 6, from head 3 on
constexpr index_t dims[] = {1, 3, 16, 31, 40, 64, 64, 80, 96, 128, 256};

random_attention draw_call(random_values& random) {
  random_attention call(random, 260);
  call.head_dim = random.one_of(dims);
  call.value_dim = random.coin() ? call.head_dim : random.one_of(dims);
  return call;
}

/// What roundings do to a row: of sums over keys, and of scores in proportion to the largest that it meets on its way.
/// The products that a score adds up come to sqrt(head_dim) / 4 in size, drawn from -1 to 1 and scaled.
double condition(const reference_head& head, index_t q, index_t head_dim) {
  double size = 1 + std::sqrt(static_cast<double>(head.scaled.cols())) + std::sqrt(static_cast<double>(head_dim)) / 4;
  for (index_t k = 0; k < head.biased.cols(); ++k) {
    if (std::isinf(head.biased(q, k))) continue;
    size = std::max({size, std::abs(head.biased(q, k)), std::abs(head.scaled(q, k))});
  }
  return size;
}

/// Half a step of outputs near one that are narrow, and of weights that may be as narrow then.
template <class O>
constexpr double rounding = std::is_same_v<O, bf16>  ? 0x1p-8
                            : std::is_same_v<O, f16> ? 0x1p-11
                                                     : 0;

/// The largest error in epsilon of T times the row's condition, beside the rounding of narrow outputs and weights.
template <class T, class O>
double error_of(const std::vector<reference_head>& heads, head_view<O> out, lse_view<T> lse, index_t head_dim) {
  double worst = 0;
  for (index_t h = 0; h < out.num_heads; ++h) {
    const reference_head& head = heads[static_cast<std::size_t>(h)];
    for (index_t q = 0; q < out.num_tokens; ++q) {
      const double unit = static_cast<double>(std::numeric_limits<T>::epsilon()) * condition(head, q, head_dim);
      for (index_t d = 0; d < out.head_dim; ++d) {
        const double error = std::abs(widen<double>(out.row(q, h)[d]) - head.out(q, d));
        worst = std::max(worst, (error - rounding<O> * (1 + std::abs(head.out(q, d)))) / unit);
      }
      const auto sum = static_cast<double>(lse.at(q, h));
      if (std::isinf(head.lse[q]))
        worst = std::max(worst, sum == head.lse[q] ? 0 : std::numeric_limits<double>::infinity());
      else
        worst = std::max(worst, std::abs(sum - head.lse[q]) / unit);
    }
  }
  return worst;
}

/// Calls `attend` with any workspace from the least to the best, or with none.
template <class Q, class K, class V, class O, class E>
void attend_somehow(random_values& random, head_view<Q> q, const K& k, const V& v, head_view<O> out, const E& encoding,
                    attend_options<compute_t<Q>> options) {
  using T = compute_t<Q>;
  const auto sizes = detail::tile_sizes_of<Q, O>(q.num_tokens, q.head_dim, k, v, encoding);
  const index_t best = workspace_size(q, k, v, encoding), least = std::min(best, sizes.values_with(sizes.least()));
  const index_t choices[] = {best, best, best + 3, random.whole(least, best), 0};
  std::vector<T> workspace(static_cast<std::size_t>(random.one_of(choices)));
  options.run.workspace = workspace;
  if (workspace.empty() && check_attend(q, k, v, out, encoding, options)) {
    workspace.resize(static_cast<std::size_t>(best));
    options.run.workspace = workspace;
  }
  attend(q, k, v, out, encoding, options);
}

template <class S, class O = compute_t<S>, class Q = S, class E>
void sweep(const char* name, unsigned seed, int num_calls, double bound, const E& encoding, index_t head_dim = 0) {
  using T = compute_t<S>;
  random_values random(seed);
  double worst = 0;
  for (int i = 0; i < num_calls; ++i) {
    random_attention call = draw_call(random);
    if (head_dim > 0) call.head_dim = head_dim;
    const owned_heads<Q> q(random, call.num_queries, call.num_heads, call.head_dim);
    const owned_heads<S> k(random, call.num_keys, call.num_kv_heads, call.head_dim);
    const owned_heads<S> v(random, call.num_keys, call.num_kv_heads, call.value_dim);
    owned_heads<O> out(call.num_queries, call.num_heads, call.value_dim, O(99.0F));
    std::vector<T> lse(static_cast<std::size_t>(call.num_queries * call.num_heads), T(99));
    auto options = call.options<T>();
    options.lse = lse_view<T>(lse.data(), call.num_queries, call.num_heads);
    attend_somehow(random, q.view(), k.view(), v.view(), out.view(), encoding, options);

    const auto wide_q = in_double(q), wide_k = in_double(k), wide_v = in_double(v);
    const double error =
        error_of<T>(attend_reference(wide_q.view(), wide_k.view(), wide_v.view(), encoding, call.options<double>()),
                    out.view(), options.lse, call.head_dim);
    if (!(error <= bound)) {
      CAPTURE(name, seed, i, call.sizes());
      CHECK(error <= bound);
    }
    worst = std::max(worst, error);
  }
  std::printf("%-28s %6d calls: within %6.2f epsilon of the row's condition\n", name, num_calls, worst);
  CHECK(worst > 0);
}

/// Keys and values as int8, against the numbers that they stand for.
void sweep_int8(unsigned seed, int num_calls, double bound) {
  random_values random(seed);
  const alibi<float> slopes(random.list<float>(most_heads, 0, 1));
  double worst = 0;
  for (int i = 0; i < num_calls; ++i) {
    random_attention call = draw_call(random);
    call.num_queries = std::max<index_t>(call.num_queries, detail::max_decode_queries + 1);  // fewer are decoded
    call.key_ranges.clear();
    call.mask = {};
    call.query_ids.clear();
    const owned_heads<float> q(random, call.num_queries, call.num_heads, call.head_dim);
    struct rows {
      std::vector<std::int8_t> data;
      std::vector<float> scales;
      owned_heads<double> wide;
      rows(random_values& r, index_t tokens, index_t heads, index_t columns) : wide(tokens, heads, columns) {
        for (index_t row = 0; row < tokens * heads; ++row) {
          scales.push_back(static_cast<float>(r.real(0.001, 0.01)));
          for (index_t c = 0; c < columns; ++c) {
            data.push_back(static_cast<std::int8_t>(r.whole(-127, 127)));
            wide.values[data.size() - 1] = static_cast<double>(scales.back()) * data.back();
          }
        }
      }
      quantized_view<const std::int8_t> view() const {
        return {data.data(), scales.data(), wide.num_tokens, wide.num_heads, wide.head_dim};
      }
    };
    const rows k(random, call.num_keys, call.num_kv_heads, call.head_dim);
    const rows v(random, call.num_keys, call.num_kv_heads, call.value_dim);
    owned_heads<float> out(call.num_queries, call.num_heads, call.value_dim, 99.0F);
    std::vector<float> lse(static_cast<std::size_t>(call.num_queries * call.num_heads), 99.0F);
    auto options = call.options<float>();
    options.lse = lse_view<float>(lse.data(), call.num_queries, call.num_heads);
    attend_somehow(random, q.view(), k.view(), v.view(), out.view(), slopes, options);
    const auto wide_q = in_double(q);
    const double error = error_of<float>(attend_reference(wide_q.view(), std::as_const(k.wide).view(),
                                                          std::as_const(v.wide).view(), slopes, call.options<double>()),
                                         out.view(), options.lse, call.head_dim);
    if (!(error <= bound)) {
      CAPTURE(seed, i, call.sizes());
      CHECK(error <= bound);
    }
    worst = std::max(worst, error);
  }
  std::printf("%-28s %6d calls: within %6.2f epsilon of the row's condition\n", "int8, alibi", num_calls, worst);
  CHECK(worst > 0);
}

}  // namespace

TEST_CASE("attend: random calls are the reference's", "[attend]") {
  random_values random(1);
  const alibi<float> slopes(random.list<float>(most_heads, 0, 1));
  const t5_bias<float> buckets(random.list<float>(32 * most_heads));
  const std::vector<float> rates = random.list<float>(2 * most_heads, 0.1, 1);
  const kerple<float> logarithms(kerple_kernel::log, std::span<const float>(rates).first(most_heads),
                                 std::span<const float>(rates).last(most_heads));
  const cope<float> gates(random.list<float>(7 * 24), 24);
  const any_encoding<float, double> some(combine(slopes, buckets));
  constexpr double bound = 8;
  sweep<float>("no encoding", 2, 6000, bound, no_encoding{});
  sweep<float>("alibi", 3, 4000, bound, slopes);
  sweep<float>("t5_bias", 4, 2000, bound, buckets);
  sweep<float>("kerple", 5, 1500, bound, logarithms);
  sweep<float>("alibi and t5_bias, any", 6, 2000, bound, scores_of(some));
  sweep<float>("cope", 7, 1000, 64, gates, 24);  // its carries add up
  sweep<float>("alibi and cope", 8, 500, 64, combine(slopes, gates), 24);
  sweep<double>("no encoding, double", 9, 1500, bound, no_encoding{});
  sweep<double>("alibi, double", 10, 500, bound, alibi<double>(most_heads));
  sweep<bf16>("alibi, bf16", 11, 1000, bound, slopes);
  sweep<bf16, bf16>("no encoding, bf16 to bf16", 14, 3000, bound, no_encoding{});
  sweep<bf16, bf16>("alibi, bf16 to bf16", 15, 1000, bound, slopes);
  sweep<f16>("alibi, f16", 12, 500, bound, slopes);
  sweep<f16, f16>("no encoding, f16 to f16", 16, 1000, bound, no_encoding{});
  sweep<f16>("no encoding, f16", 17, 1000, bound, no_encoding{});
  sweep<bf16, float, float>("bf16 cache", 18, 1000, bound, no_encoding{});
  sweep<f16, float, float>("f16 cache", 19, 1000, bound, no_encoding{});
  sweep_int8(13, 500, bound);
}
