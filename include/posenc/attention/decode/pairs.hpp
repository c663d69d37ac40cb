// Scores and weighted values, with instructions that multiply pairs of 16-bit numbers and add both products to a 32-bit
// sum.
#pragma once

#include <posenc/attention/decode/widened.hpp>
#include <posenc/kernels/convert.hpp>

#include <bit>
#include <cstdint>
#include <limits>

#if defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && \
    (defined(POSENC_BF16_PAIRS) || defined(__AVX512VNNI__))

#include <immintrin.h>

namespace posenc::inline POSENC_ISA::detail {

#if defined(POSENC_BF16_PAIRS)
/// bf16 as stored; sums are float.
struct bf16_products {
  using stored = bf16;
  using sums = __m512;

  static constexpr bool in_integers = false;

  /// Rounds 16 numbers to bf16, to nearest even.
  [[gnu::always_inline]] static void narrow(const float* from, float, char* to) noexcept {
    kernels::store(to, _mm512_cvtneps_pbh((__m512)kernels::load<kernels::vector<float>>(from)));
  }
  [[gnu::always_inline]] static __m512i load(const bf16* from) noexcept { return kernels::load<__m512i>(from); }
  [[gnu::always_inline]] static sums add(sums sum, __m512i a, __m512i b) noexcept {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
  }
};
#endif

#if defined(__AVX512VNNI__)
/// int8 widened to 16 bits, times 16-bit signed integers; sums are exact 32-bit integers.
struct int8_products {
  using stored = std::int8_t;
  using sums = kernels::vector<std::int32_t>;

  static constexpr bool in_integers = true;

  /// Rounds 16 numbers times `factor` to 16-bit integers.
  [[gnu::always_inline]] static void narrow(const float* from, float factor, char* to) noexcept {
    const __m512 scaled = (__m512)(kernels::load<kernels::vector<float>>(from) * factor);
    kernels::store(to, _mm512_maskz_cvtepi32_epi16(0xffff, _mm512_maskz_cvtps_epi32(0xffff, scaled)));
  }
  [[gnu::always_inline]] static __m512i load(const std::int8_t* from) noexcept {
    return _mm512_cvtepi8_epi16(kernels::load<__m256i>(from));
  }
  [[gnu::always_inline]] static sums add(sums sum, __m512i a, __m512i b) noexcept {
    return (sums)_mm512_dpwssd_epi32((__m512i)sum, a, b);
  }
};
#endif

/// The largest magnitude of `count` numbers, read as whole vectors; infinity or NaN if any is. Compares bits, which are
/// ordered as magnitudes are, because fast math drops NaN.
inline float largest_size(const float* x, index_t count) noexcept {
  using vector = kernels::vector<std::int32_t>;
  vector largest{};
  for (index_t i = 0; i < count; i += kernels::lanes<float>) {
    const vector size = kernels::load<vector>(x + i) & 0x7fff'ffff;
    largest = size > largest ? size : largest;
  }
  return std::bit_cast<float>(largest_lane(largest));
}

/// 1 / step, or 0 if that is not finite.
inline float inverse_of(float step) noexcept { return step >= std::numeric_limits<float>::min() ? 1 / step : 0.0F; }

/// A cache line as groups of 32 elements, each read with one load.
template <class Products>
struct pair_line {
  static constexpr index_t group = 32;
  static constexpr index_t num_elements = line_bytes / static_cast<index_t>(sizeof(typename Products::stored));
  static constexpr index_t num_groups = num_elements / group;
};

/// Keys times packed 16-bit queries. Packed rows are preceded by one factor per row.
template <class Products>
struct pair_keys {
  using S = typename Products::stored;
  using elements = pair_line<Products>;
  static constexpr index_t factors = kernels::lanes<float>;

  static constexpr index_t packed_size(index_t rows, index_t dim) noexcept {
    return factors + rows * padded<elements>(dim) / 2;
  }

  /// query: [dim, rounded up to whole lines], not scaled, zero-padded.
  template <int Rows>
  static void pack(const float* query, index_t dim, float scale, int row, float* packed) noexcept {
    const auto most = static_cast<float>(std::min<index_t>(32767, 0x7fff'ff00 / (128 * std::max<index_t>(dim, 1))));
    const float step = Products::in_integers ? largest_size(query, padded<elements>(dim)) / most : 1.0F;
    packed[row] = scale * step;
    char* to = reinterpret_cast<char*>(packed + factors) + row * line_bytes;
    for (index_t first = 0; first < padded<elements>(dim); first += kernels::lanes<float>) {
      const index_t group = first / elements::group;
      Products::narrow(query + first, inverse_of(step), to + group * Rows * line_bytes + first % elements::group * 2);
    }
  }

  template <int Rows>
  [[gnu::noinline]] static void score(const cache_rows<S>& keys, index_t dim, const S* zeros,
                                      const float* __restrict packed, float* __restrict scores, index_t stride,
                                      const lines_to_fetch& next) noexcept {
    constexpr int num_keys = 4;
    using sums = typename Products::sums;
    float factor[Rows * num_keys];
    for (int i = 0; i < Rows * num_keys; ++i) factor[i] = packed[i / num_keys];
    const char* queries = reinterpret_cast<const char*>(packed + factors);
    for (index_t j = 0; j < keys.count; j += num_keys) {
      sums sum[Rows * num_keys] = {};
      row_group<num_keys, elements, S>(keys, j, 1, zeros)
          .for_each_line(
              dim, [&](const S* const* key, index_t first, index_t i) __attribute__((always_inline)) {
                next.fetch<num_keys>(j, i);
                for_constants<elements::num_groups>([&](auto p) __attribute__((always_inline)) {
                  const char* query = queries + (i * elements::num_groups + p) * Rows * line_bytes;
                  __m512i x[num_keys];
#pragma GCC unroll 4
                  for (int u = 0; u < num_keys; ++u) {
                    x[u] = Products::load(key[u] + first + p * elements::group);
                    kernels::pin(x[u]);
                  }
#pragma GCC unroll 4
                  for (int g = 0; g < Rows; ++g) {
                    __m512i y = kernels::load<__m512i>(query + g * line_bytes);
                    kernels::pin(y);
#pragma GCC unroll 4
                    for (int u = 0; u < num_keys; ++u)
                      sum[g * num_keys + u] = Products::add(sum[g * num_keys + u], x[u], y);
                  }
                });
              });
      using number = std::conditional_t<Products::in_integers, std::int32_t, float>;
      number total[Rows * num_keys];
      sum_lanes(sum, total);
      float scaled[Rows * num_keys];
      for (int i = 0; i < Rows * num_keys; ++i) scaled[i] = static_cast<float>(total[i]) * factor[i];
#pragma GCC unroll 4
      for (int g = 0; g < Rows; ++g)
        std::memcpy(scores + g * stride + j, scaled + g * num_keys, num_keys * sizeof(float));
    }
  }
};

/// Values times 16-bit weights. Each 32 columns are stored in the order in which unpacking pairs of rows leaves them:
/// the low halves of their four quarters, then the high halves.
template <class Products>
struct pair_values {
  using S = typename Products::stored;
  using elements = pair_line<Products>;
  static constexpr bool in_integers = Products::in_integers;
  static constexpr index_t half = elements::group / 2;
  static constexpr int num_pairs = 4;
  static constexpr int num_values = 2 * num_pairs;  // at a time

  static constexpr index_t output_size(index_t rows, index_t dim) noexcept { return rows * padded<elements>(dim); }
  /// 16-bit weights of four rows, their factors, and integer sums.
  static constexpr index_t extra_size(index_t stride, index_t dim) noexcept {
    return max_shared_rows * (stride / 2 + (in_integers ? padded<elements>(dim) : 0)) + kernels::lanes<float>;
  }

  template <int Rows>
  static void unpack(const float* output, index_t dim, int row, float* to) noexcept {
    each_four<Rows>(dim, row,
                    [&](index_t place, index_t d) { std::memcpy(to + d, output + place, 4 * sizeof(float)); });
  }
  template <int Rows>
  static void repack(const float* columns, index_t dim, int row, float* output) noexcept {
    each_four<Rows>(dim, row,
                    [&](index_t place, index_t d) { std::memcpy(output + place, columns + d, 4 * sizeof(float)); });
  }

  template <int Rows>
  static void begin(float* weights, index_t stride, index_t count, const float* scales, index_t dim,
                    float* extra) noexcept {
    for (int g = 0; g < Rows; ++g) {
      float* row = weights + g * stride;
      char* narrow = narrow_weights(extra) + g * stride * 2;
      if constexpr (in_integers) {
        scale_weights(row, count, scales);
        extra[g] = largest_size(row, count) / 32767;  // not finite, and so is the row, if a scale in use is not
      }
      index_t j = 0;
      for (; j < count; j += kernels::lanes<float>)
        Products::narrow(row + j, in_integers ? inverse_of(extra[g]) : 1.0F, narrow + 2 * j);
      std::memset(narrow + 2 * j, 0, 2 * num_values);  // of the values that `add` takes for zeros
    }
    if constexpr (in_integers)
      std::memset(integer_sums(extra, stride), 0, static_cast<std::size_t>(output_size(Rows, dim)) * 4);
  }

  template <int Rows>
  [[gnu::noinline]] static void add(const cache_rows<S>& values, index_t dim, const S* zeros, const float*,
                                    index_t stride, index_t offset, float* __restrict output, float* __restrict extra,
                                    const lines_to_fetch& next) noexcept {
    using sums = typename Products::sums;
    const char* narrow = narrow_weights(extra) + 2 * offset;
    char* into = in_integers ? integer_sums(extra, stride) : reinterpret_cast<char*>(output);
    for (index_t j = 0; j < values.count; j += num_values) {
      __m512i weight[Rows][num_pairs];
#pragma GCC unroll 4
      for (int g = 0; g < Rows; ++g) {
#pragma GCC unroll 4
        for (int u = 0; u < num_pairs; ++u) {
          std::int32_t pair;
          std::memcpy(&pair, narrow + 2 * (g * stride + j + 2 * u), sizeof pair);
          weight[g][u] = _mm512_set1_epi32(pair);
          kernels::pin(weight[g][u]);
        }
      }
      row_group<num_values, elements, S>(values, j, 1, zeros)
          .for_each_line(
              dim, [&](const S* const* value, index_t first, index_t i) __attribute__((always_inline)) {
                next.fetch<num_values>(j, i);
                for_constants<elements::num_groups>([&](auto part) __attribute__((always_inline)) {
                  char* to = into + (i * elements::num_groups + part) * Rows * 2 * line_bytes;
                  __m512i x[2][num_pairs];
#pragma GCC unroll 4
                  for (int u = 0; u < num_pairs; ++u) {
                    const __m512i even = Products::load(value[2 * u] + first + part * elements::group);
                    const __m512i odd = Products::load(value[2 * u + 1] + first + part * elements::group);
                    x[0][u] = _mm512_unpacklo_epi16(even, odd);
                    x[1][u] = _mm512_unpackhi_epi16(even, odd);
                    kernels::pin(x[0][u]);
                    kernels::pin(x[1][u]);
                  }
#pragma GCC unroll 2
                  for (int h = 0; h < 2; ++h) {
#pragma GCC unroll 4
                    for (int g = 0; g < Rows; ++g) {
                      char* row = to + (h * Rows + g) * line_bytes;
                      sums sum = kernels::load<sums>(row);
#pragma GCC unroll 4
                      for (int u = 0; u < num_pairs; ++u) sum = Products::add(sum, x[h][u], weight[g][u]);
                      kernels::store(row, sum);
                    }
                  }
                });
              });
    }
  }

  template <int Rows>
  static void end(index_t dim, index_t stride, float* output, float* extra) noexcept {
    if constexpr (in_integers) {
      using vector = kernels::vector<float>;
      const char* from = integer_sums(extra, stride);
      for (index_t i = 0; i < output_size(Rows, dim); i += half) {
        const auto sum = kernels::load<kernels::vector<std::int32_t>>(from + 4 * i);
        const float factor = extra[i / half % Rows];
        kernels::store(output + i, kernels::load<vector>(output + i) + factor * __builtin_convertvector(sum, vector));
      }
    }
  }

 private:
  // The place of columns d to d + 3 of a row in the output.
  template <int Rows, class F>
  static void each_four(index_t dim, int row, F f) noexcept {
    for (index_t first = 0; first < dim; first += elements::group) {
      for (index_t four = 0; four < elements::group / 4; ++four)
        f(first * Rows + (four % 2 * Rows + row) * half + four / 2 * 4, first + 4 * four);
    }
  }

  static char* narrow_weights(float* extra) noexcept { return reinterpret_cast<char*>(extra + kernels::lanes<float>); }
  static char* integer_sums(float* extra, index_t stride) noexcept {
    return narrow_weights(extra) + max_shared_rows * stride * 2;
  }
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
