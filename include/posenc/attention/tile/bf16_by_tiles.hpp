// Products of a tile of bf16 with the AMX matrix unit.
#pragma once

#include <posenc/attention/block_output.hpp>
#include <posenc/attention/key_source.hpp>
#include <posenc/attention/tile/bf16_pairs.hpp>
#include <posenc/attention/tile/transposed_queries.hpp>
#include <posenc/attention/tile/visible_keys.hpp>
#include <posenc/attention/tile/weight_pairs.hpp>
#include <posenc/attention/tile/work_beside.hpp>
#include <posenc/kernels/matrix_registers.hpp>
#include <posenc/kernels/vectors.hpp>

#include <algorithm>
#include <concepts>
#include <utility>

#if defined(POSENC_BF16_TILES)

#include <immintrin.h>

namespace posenc::inline POSENC_ISA::detail {

namespace matrix_products {

namespace registers = kernels::matrix_registers;

/// Rows and columns of a register of sums, and pairs per row of its operands.
inline constexpr index_t side = registers::num_rows;
static_assert(side == pair_rows::side);

/// Calls f.operator()<m, n>() for registers m < M, n < N.
template <int M, int N, class F>
[[gnu::always_inline]] inline void for_each_register(F f) noexcept {
  [&]<int... I>(std::integer_sequence<int, I...>) __attribute__((always_inline)) {
    (f.template operator()<I / N, I % N>(), ...);
  }
  (std::make_integer_sequence<int, M * N>{});
}

inline constexpr int first_of_a = 4, first_of_b = 6;  // registers; those before hold sums

// Two functions, not one with a parameter for the step between registers: compilers would add it again in the loop,
// which costs 3 % of the total.
template <int M, int Part>
[[gnu::always_inline]] inline void load_a(const pair_rows& a, index_t k) noexcept {
  for_each_register<M, 1>([&]<int m, int>() __attribute__((always_inline)) {
    registers::load<first_of_a + m>(a.data + Part * a.part_stride + m * side * a.stride + k * a.pair_step(),
                                    a.row_step() * static_cast<index_t>(sizeof(bf16_pair)));
  });
}
template <int N, int Part>
[[gnu::always_inline]] inline void load_b(const pair_columns& b, index_t k) noexcept {
  for_each_register<N, 1>([&]<int n, int>() __attribute__((always_inline)) {
    registers::load<first_of_b + n>(b.data + Part * b.part_stride + n * b.side_step + k * side,
                                    side * static_cast<index_t>(sizeof(bf16_pair)));
  });
}
template <int M, int N>
[[gnu::always_inline]] inline void add_products() noexcept {
  for_each_register<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
    registers::multiply_pairs<2 * m + n, first_of_a + m, first_of_b + n>();
  });
}

/// Adds products of pairs [k, k + side), of all parts but those below the last place of the whole product. One operand
/// changes at a time where possible. Calls `beside` between products.
template <int M, int N, int PartsA, int PartsB, class Beside>
[[gnu::always_inline]] inline void add_products_of_parts(const pair_rows& a, const pair_columns& b, index_t k,
                                                         Beside& beside) noexcept {
  const auto add = [&]() __attribute__((always_inline)) {
    add_products<M, N>();
    beside();
  };
  load_b<N, 0>(b, k);
  if constexpr (PartsA > 2) {
    load_a<M, 2>(a, k);
    add();
  }
  if constexpr (PartsA > 1) {
    load_a<M, 1>(a, k);
    add();
    if constexpr (PartsB > 1) {
      load_b<N, 1>(b, k);
      add();
    }
  }
  load_a<M, 0>(a, k);
  if constexpr (PartsB > 1) {
    if constexpr (PartsA == 1) load_b<N, 1>(b, k);
    add();
  }
  if constexpr (PartsB > 2) {
    load_b<N, 2>(b, k);
    add();
  }
  if constexpr (PartsB > 1) load_b<N, 0>(b, k);
  add_products<M, N>();
}

/// to[m][n] = sum over pairs k of a[m][k] * b[k][n], plus what is there if `adds`, for M x N registers of sums. b is in
/// squares. `for_each_side` calls its argument with the first of every `side` pairs. A sum is rounded no more often
/// than if numbers had not been split, because the unit rounds it once per 32 of them.
template <int M, int N, int PartsA, int PartsB, class ForEachSide, class Beside>
[[gnu::always_inline]] inline void multiply(const pair_rows& a, const pair_columns& b, ForEachSide for_each_side,
                                            bool adds, float* to, index_t to_stride, Beside& beside) noexcept {
  constexpr index_t bytes = sizeof(float);
  for_each_register<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
    if (adds)
      registers::load<2 * m + n>(to + m * side * to_stride + n * side, to_stride * bytes);
    else
      registers::clear<2 * m + n>();
  });
  for_each_side([&](index_t k) __attribute__((always_inline)) {
    add_products_of_parts<M, N, PartsA, PartsB>(a, b, k, beside);
    beside();
  });
  for_each_register<M, N>([&]<int m, int n>() __attribute__((always_inline)) {
    registers::store<2 * m + n>(to + m * side * to_stride + n * side, to_stride * bytes);
    if constexpr (m == 0 && n + 1 == N && M > 1) beside();  // stores all at once would wait for one another
  });
}
template <int M, int N, int PartsA, int PartsB, class ForEachSide>
[[gnu::always_inline]] inline void multiply(const pair_rows& a, const pair_columns& b, ForEachSide for_each_side,
                                            bool adds, float* to, index_t to_stride) noexcept {
  nothing_beside nothing;
  multiply<M, N, PartsA, PartsB>(a, b, for_each_side, adds, to, to_stride, nothing);
}

/// Calls f.operator()<2>(first) for every two sides of [first, end), and f.operator()<1>(first) for a single last one.
template <class F>
[[gnu::always_inline]] inline void for_sides(index_t first, index_t end, F f) noexcept {
  for (; first + side < end; first += 2 * side) f.template operator()<2>(first);
  if (first < end) f.template operator()<1>(first);
}

}  // namespace matrix_products

struct bf16_unit {
  static constexpr bool exists = true;
  static bool usable() noexcept { return kernels::matrix_registers::permitted(); }
  using in_use = kernels::matrix_registers::in_use;

  template <class Q, class K, class V, class O>
  static constexpr bool multiplies = sum_of_bf16<Q>&& sum_of_bf16<K>&& sum_of_bf16<V>;
  /// Least number of queries for which splitting numbers into parts pays.
  static constexpr index_t min_queries_of_parts = 32;

  /// Pairs of a row that are multiplied at once: rows and columns are padded to multiples of it.
  static constexpr index_t pairs_at_once = matrix_products::side;

  // Products are so fast that they wait for operands from L2. A block of 32 queries stays in L1 beside its scores, and
  // outputs are read and written once for two tiles of keys.
  static constexpr index_t max_queries = 2 * matrix_products::side;
  static constexpr index_t max_tiles_at_once = 2;

  /// How often the products of a tile call `beside`.
  static constexpr index_t num_calls(index_t num_pairs, index_t num_columns, index_t num_keys, int products_of_scores,
                                     int products_of_values) noexcept {
    using namespace matrix_products;
    const auto sides = [](index_t count, index_t of) { return (count + of - 1) / of; };
    return sides(num_keys, 2 * side) * sides(num_pairs, side) * products_of_scores +
           sides(num_columns, 2 * side) * sides(num_keys, 2 * side) * products_of_values;
  }

  /// scores[k][q] = sum over d < 2 num_pairs of keys[k][d] * queries[d][q].
  template <int PartsOfKeys, int PartsOfQueries, class Beside>
  [[gnu::noinline]] static void multiply_keys(const pair_rows& keys, index_t num_pairs, const pair_columns& queries,
                                              float* scores, index_t stride, index_t padded_queries,
                                              const tile_edges& edges, Beside& beside) noexcept {
    using namespace matrix_products;
    const auto columns = [num_pairs](auto f) __attribute__((always_inline)) {
      for (index_t k = 0; k < num_pairs; k += side) f(k);
    };
    for_sides(
        0, padded_queries, [&]<int N>(index_t q) __attribute__((always_inline)) {
          const auto seen = edges.keys_of(q, q + N * side);
          for_sides(
              seen.first / side * side, seen.end, [&]<int M>(index_t k) __attribute__((always_inline)) {
                multiply<M, N, PartsOfKeys, PartsOfQueries>(keys.from(k * keys.stride), queries.from(0, q), columns,
                                                            false, scores + k * stride + q, stride, beside);
              });
        });
  }

  // Values are transposed, once for all queries that meet them, so that weights are an operand as the softmax stores
  // them.
  static constexpr bool sums_columns = true;  // outputs are columns

  template <int Parts>
  using weights = weight_pairs<Parts>;

  static constexpr bool takes_squares = true;  // keys are in squares
  static pair_columns columns(bf16_pair* memory, index_t num_pairs, index_t num_columns, index_t /*stride*/) noexcept {
    return pair_columns::in_squares(memory, num_pairs, num_columns);
  }

  /// Columns of values in squares, with pairs of keys along the columns.
  template <int Parts>
  struct values {
    bf16_pair* memory;    // [parts, columns, tiles, keys of a tile / 2]
    index_t stride;       // of rows of values; not used for columns
    index_t num_columns;  // padded
    index_t num_tiles;
    index_t num_keys;  // of a tile, padded

    /// Rows with a bit in `left_out`, and rows from `count` on, become zeros. Returns false if a number is not
    /// ordinary.
    template <bool Asked, class Source>
    bool load(index_t tile, const Source& source, index_t head, index_t first, index_t count,
              std::uint64_t left_out) const noexcept {
      using element = key_element_t<Source>;
      const element* rows[block_keys] = {};
      for_each_row(source, head, first, count,
                   [&](index_t k, const element* row) { rows[k] = (left_out >> k & 1) == 0 ? row : nullptr; });
      ordinary_so_far<Asked> ordinary;
      for (index_t k = 0; k < num_keys; k += 2 * matrix_products::side) {
        for (index_t c = 0; c < num_columns; c += matrix_products::side)
          load_square(rows + k, count == num_keys && left_out == 0, c, source.head_dim,
                      memory + c * column_stride() + (tile * num_keys + k) / 2 * pair_rows::side, ordinary);
      }
      return ordinary.all();
    }

    pair_rows columns() const noexcept { return {memory, column_stride(), part_stride(), true}; }

   private:
    index_t column_stride() const noexcept { return num_tiles * num_keys / 2; }
    index_t part_stride() const noexcept { return num_columns * column_stride(); }

    /// Loads two sides of rows by one side of columns. Even rows are transposed, then odd ones, which pair with them.
    template <class S, bool Asked>
    void load_square(const S* const* rows, bool all_there, index_t column, index_t num_columns_of_row, bf16_pair* to,
                     ordinary_so_far<Asked>& ordinary) const noexcept {
      using vector = kernels::vector<float>;
      constexpr index_t side = matrix_products::side;
      vector columns[side];
      alignas(kernels::line_bytes) float first[side * side];
      load_columns([=](index_t i) { return rows[2 * i]; }, all_there, column, num_columns_of_row, columns, ordinary);
#pragma GCC unroll 16
      for (index_t i = 0; i < side; ++i) kernels::store(first + i * side, columns[i]);
      load_columns([=](index_t i) { return rows[2 * i + 1]; }, all_there, column, num_columns_of_row, columns,
                   ordinary);
#pragma GCC unroll 16
      for (index_t i = 0; i < side; ++i)
        store_parts<Parts>(kernels::load<vector>(first + i * side), columns[i], to + i * side, part_stride());
    }
  };

  /// output[c][q] = sum over the keys of tiles [first, end) that the block sees of values[k][c] * weights[k][q], plus
  /// what is there if `adds`.
  template <int PartsOfWeights, int PartsOfValues, class Beside>
  [[gnu::noinline]] static void add_values(const weight_pairs<PartsOfWeights>& weights, const key_range* seen,
                                           index_t first, index_t end, const values<PartsOfValues>& values,
                                           const block_output<float>& output, bool adds, index_t padded_queries,
                                           const tile_edges& /*of_one_tile*/, Beside& beside) noexcept {
    using namespace matrix_products;
    index_t sides[max_tiles_at_once * block_keys / (2 * side)];
    index_t num_sides = 0;
    for (index_t i = first; i < end; ++i) {
      for (index_t k = seen[i].first / (2 * side) * (2 * side); k < seen[i].end; k += 2 * side)
        sides[num_sides++] = (i * weights.num_keys + k) / 2;
    }
    const auto keys = [&sides, num_sides ](auto f) __attribute__((always_inline)) {
      for (index_t i = 0; i < num_sides; ++i) f(sides[i]);
    };
    const pair_rows columns = values.columns();
    for_sides(
        0, padded_queries, [&]<int N>(index_t q) __attribute__((always_inline)) {
          for_sides(
              0, values.num_columns, [&]<int M>(index_t c) __attribute__((always_inline)) {
                multiply<M, N, PartsOfValues, PartsOfWeights>(
                    columns.from(c * columns.stride), weights.pairs.from(0, q), keys, adds,
                    output.data + c * output.stride + q, output.stride, beside);
              });
        });
  }
};

}  // namespace posenc::inline POSENC_ISA::detail

#endif
