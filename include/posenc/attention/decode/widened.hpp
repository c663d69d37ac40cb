// Scores and weighted values of a few query rows, with elements widened to the compute type.
#pragma once

#include <posenc/attention/decode/lines.hpp>
#include <posenc/attention/decode/sums.hpp>

namespace posenc::inline POSENC_ISA::detail {

/// Most query rows that share the read of a key; two or one at the end.
inline constexpr int max_shared_rows = 4;

/// Keys at a time: enough accumulators to hide multiply-add latency that still fit the registers.
template <int Rows>
inline constexpr int keys_at_once = Rows == 4 && kernels::num_registers < 32 ? 2 : 4;

/// Packed queries are ordered by line, then vector, then row.
template <class S, real T>
struct widened_keys {
  using elements = line<S, T>;
  using vector = typename elements::vector;

  /// Number of values of T for `rows` packed queries.
  static constexpr index_t packed_size(index_t rows, index_t dim) noexcept { return rows * padded<elements>(dim); }

  /// query: [dim, rounded up to whole lines], not scaled, zero-padded.
  template <int Rows>
  static void pack(const T* __restrict query, index_t dim, T scale, int row, T* __restrict packed) noexcept {
    for (index_t first = 0; first < dim; first += elements::num_elements) {
      for_constants<elements::num_vectors>([&](auto p) {
        const T* from = query + first + elements::element(p, 0);
        T* to = packed + first * Rows + (p * Rows + row) * elements::lanes;
        for (index_t l = 0; l < elements::lanes; ++l) to[l] = scale * from[l * elements::elements_a_word];
      });
    }
  }

  /// scores[row * stride + j] = <query row, key j>; up to three columns beyond the last key are written too.
  template <int Rows>
  [[gnu::noinline]] static void score(const cache_rows<S>& keys, index_t dim, const S* zeros,
                                      const T* __restrict packed, T* __restrict scores, index_t stride,
                                      const lines_to_fetch& next) noexcept {
    constexpr int num_keys = keys_at_once<Rows>;
    for (index_t done = 0; done < keys.count;) {
      const index_t apart = rows_apart_at_end<num_keys>(keys.count - done, rows_apart<S, T>);
      const index_t end = done + apart;
      for (index_t j = done; j < end; ++j, done += num_keys) {
        vector sums[Rows * num_keys] = {};
        row_group<num_keys, elements, S>(keys, j, apart, zeros)
            .for_each_line(
                dim, [&](const S* const* key, index_t first, index_t i) __attribute__((always_inline)) {
                  next.fetch<num_keys>(done, i);
                  const T* query = packed + i * elements::num_elements * Rows;
                  for_constants<elements::num_vectors>([&](auto p) __attribute__((always_inline)) {
                    vector x[num_keys];
#pragma GCC unroll 4
                    for (int u = 0; u < num_keys; ++u) {
                      x[u] = elements::template load<p>(key[u] + first);
                      kernels::pin(x[u]);
                    }
#pragma GCC unroll 4
                    for (int g = 0; g < Rows; ++g) {
                      vector y = kernels::load<vector>(query + (p * Rows + g) * elements::lanes);
                      kernels::pin(y);
#pragma GCC unroll 4
                      for (int u = 0; u < num_keys; ++u) sums[g * num_keys + u] += x[u] * y;
                    }
                  });
                });
        T total[Rows * num_keys];
        sum_lanes(sums, total);
#pragma GCC unroll 4
        for (int g = 0; g < Rows; ++g) put_apart<num_keys>(total + g * num_keys, scores + g * stride + j, apart);
      }
    }
  }
};

/// weights *= scales, in whole vectors; a weight of zero stays zero even if its scale is NaN.
template <real T>
void scale_weights(T* weights, index_t count, const T* scales) noexcept {
  using vector = kernels::vector<T>;
  for (index_t j = 0; j < count; j += kernels::lanes<T>) {
    const vector weight = kernels::load<vector>(weights + j);
    const vector product = weight * kernels::load<vector>(scales + j);
    kernels::store(weights + j, weight == vector{} ? vector{} : product);
  }
}

/// Outputs have the layout of packed queries.
template <class S, real T>
struct widened_values {
  using elements = line<S, T>;
  using vector = typename elements::vector;

  static constexpr index_t output_size(index_t rows, index_t dim) noexcept { return rows * padded<elements>(dim); }
  static constexpr index_t extra_size(index_t, index_t) noexcept { return 0; }

  /// row: [dim, rounded up to whole lines].
  template <int Rows>
  static void unpack(const T* __restrict output, index_t dim, int row, T* __restrict to) noexcept {
    for (index_t first = 0; first < dim; first += elements::num_elements) {
      for_constants<elements::num_vectors>([&](auto p) {
        const T* from = output + first * Rows + (p * Rows + row) * elements::lanes;
        T* columns = to + first + elements::element(p, 0);
        for (index_t l = 0; l < elements::lanes; ++l) columns[l * elements::elements_a_word] = from[l];
      });
    }
  }
  /// The inverse of unpack.
  template <int Rows>
  static void repack(const T* __restrict columns, index_t dim, int row, T* __restrict output) noexcept {
    widened_keys<S, T>::template pack<Rows>(columns, dim, T(1), row, output);
  }

  /// Applies scales to the weights, as `add` expects them, and sets those to zero that it reads beyond the last one.
  template <int Rows>
  static void begin(T* weights, index_t stride, index_t count, const T* scales, index_t, T*) noexcept {
    for (int g = 0; g < Rows; ++g) {
      T* row = weights + g * stride;
      if (scales != nullptr) scale_weights(row, count, scales);
      std::fill_n(row + count, keys_at_once<Rows> - 1, T(0));
    }
  }

  /// output += weights * values; weights beyond the last value, up to a multiple of four, are multiplied by zeros.
  template <int Rows>
  [[gnu::noinline]] static void add(const cache_rows<S>& values, index_t dim, const S* zeros,
                                    const T* __restrict weights, index_t stride, index_t, T* __restrict output, T*,
                                    const lines_to_fetch& next) noexcept {
    if constexpr (sums_fit<Rows>)
      add_by_lines<Rows>(values, dim, weights, stride, output, next);
    else
      add_by_rows<Rows>(values, dim, zeros, weights, stride, output, next);
  }

  template <int Rows>
  static void end(index_t, index_t, T*, T*) noexcept {}

 private:
  /// Whether the sums of a line are kept in registers: with few registers, keeping weights instead would cover too few
  /// values to amortize loading and storing the sums.
  template <int Rows>
  static constexpr bool sums_fit = kernels::num_registers < 32 && Rows* elements::num_vectors <= 8;

  /// Adds a few values at a time, with their weights in registers.
  template <int Rows>
  static void add_by_rows(const cache_rows<S>& values, index_t dim, const S* zeros, const T* __restrict weights,
                          index_t stride, T* __restrict output, const lines_to_fetch& next) noexcept {
    constexpr int num_values = keys_at_once<Rows>;
    for (index_t j = 0; j < values.count; j += num_values) {
      vector weight[Rows][num_values];
#pragma GCC unroll 4
      for (int g = 0; g < Rows; ++g) {
#pragma GCC unroll 4
        for (int u = 0; u < num_values; ++u) {
          weight[g][u] = weights[g * stride + j + u] - vector{};
          kernels::pin(weight[g][u]);
        }
      }
      row_group<num_values, elements, S>(values, j, 1, zeros)
          .for_each_line(
              dim, [&](const S* const* value, index_t first, index_t i) __attribute__((always_inline)) {
                next.fetch<num_values>(j, i);
                T* to = output + i * elements::num_elements * Rows;
                for_constants<elements::num_vectors>([&](auto p) __attribute__((always_inline)) {
                  vector x[num_values];
#pragma GCC unroll 4
                  for (int u = 0; u < num_values; ++u) {
                    x[u] = elements::template load<p>(value[u] + first);
                    kernels::pin(x[u]);
                  }
#pragma GCC unroll 4
                  for (int g = 0; g < Rows; ++g) {
                    T* row = to + (p * Rows + g) * elements::lanes;
                    vector sum = kernels::load<vector>(row);
#pragma GCC unroll 4
                    for (int u = 0; u < num_values; ++u) sum += x[u] * weight[g][u];
                    kernels::store(row, sum);
                  }
                });
              });
    }
  }

  /// Adds all values, one line at a time.
  template <int Rows>
  static void add_by_lines(const cache_rows<S>& values, index_t dim, const T* __restrict weights, index_t stride,
                           T* __restrict output, const lines_to_fetch& next) noexcept {
    const index_t num_lines = dim / elements::num_elements, left = dim % elements::num_elements;
    lines_in_order ahead(next, dim * static_cast<index_t>(sizeof(S)));
    for (index_t i = 0; i < num_lines; ++i) {
      const cache_rows<S> line{values.first + i * elements::num_elements, values.stride, values.count};
      add_line<Rows>(line, weights, stride, output + i * elements::num_elements * Rows, ahead);
    }
    if (left == 0) return;
    constexpr index_t num_copies = 16;
    S copies[num_copies][elements::num_elements] = {};  // zero-padded to a whole line
    for (index_t first = 0; first < values.count; first += num_copies) {
      const index_t count = std::min(values.count - first, num_copies);
      for (index_t j = 0; j < count; ++j) {
        std::memcpy(static_cast<void*>(copies[j]), values[first + j] + num_lines * elements::num_elements,
                    static_cast<std::size_t>(left) * sizeof(S));
      }
      add_line<Rows>(cache_rows<S>{copies[0], elements::num_elements, count}, weights + first, stride,
                     output + num_lines * elements::num_elements * Rows, ahead);
    }
  }

  template <int Rows>
  [[gnu::always_inline]] static void add_line(const cache_rows<S>& line, const T* __restrict weights, index_t stride,
                                              T* __restrict output, lines_in_order& ahead) noexcept {
    constexpr index_t num_vectors = elements::num_vectors;
    vector sums[num_vectors][Rows];
    const auto each_sum = [&](auto f) __attribute__((always_inline)) {
#pragma GCC unroll 8
      for (index_t p = 0; p < num_vectors; ++p) {
#pragma GCC unroll 4
        for (int g = 0; g < Rows; ++g) f(sums[p][g], output + (p * Rows + g) * elements::lanes);
      }
    };
    each_sum([](vector & sum, const T* at) __attribute__((always_inline)) { sum = kernels::load<vector>(at); });
    const S* value = line.first;
    for (index_t j = 0; j < line.count; ++j, value += line.stride) {
      ahead.fetch();
      vector x[num_vectors];
      for_constants<num_vectors>([&](auto p) __attribute__((always_inline)) {
        x[p] = elements::template load<p>(value);
        kernels::pin(x[p]);
      });
#pragma GCC unroll 4
      for (int g = 0; g < Rows; ++g) {
        const vector weight = weights[g * stride + j] - vector{};
#pragma GCC unroll 8
        for (index_t p = 0; p < num_vectors; ++p) sums[p][g] += x[p] * weight;
      }
    }
    each_sum([](const vector& sum, T* at) __attribute__((always_inline)) { kernels::store(at, sum); });
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
