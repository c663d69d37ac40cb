// How a decoding call is divided into tasks: heads, stretches of keys, and memory.
#pragma once

#include <posenc/attention/decode/pairs.hpp>
#include <posenc/attention/decode/widened.hpp>
#include <posenc/attention/key_source.hpp>
#include <posenc/attention/options.hpp>
#include <posenc/hooks.hpp>

#include <cstdint>
#include <utility>

namespace posenc::inline POSENC_ISA::detail {

/// Selects the kernels for keys and values.
template <class Q, class K>
struct keys_by {
  using type = widened_keys<K, compute_t<Q>>;
};
template <class V, class O>
struct values_by {
  using type = widened_values<V, compute_t<O>>;
};
#if defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(POSENC_BF16_PAIRS)
template <>
struct keys_by<bf16, bf16> {  // other queries would lose bits if rounded to bf16
  using type = pair_keys<bf16_products>;
};
template <>
struct values_by<bf16, bf16> {  // rounding weights to bf16 does not matter if the output is bf16
  using type = pair_values<bf16_products>;
};
#endif
#if defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__) && defined(__AVX512VNNI__)
template <class Q>
requires std::same_as < compute_t<Q>,
float > struct keys_by<Q, std::int8_t> { using type = pair_keys<int8_products>; };
template <class O>
requires std::same_as < compute_t<O>,
float > struct values_by<std::int8_t, O> { using type = pair_values<int8_products>; };
#endif

/// Most queries per call of this path, and most rows (query heads times queries) that share a pass over keys.
inline constexpr index_t max_decode_queries = 12;
inline constexpr index_t max_decode_rows = 32;
/// Bytes of keys in a block. If a token's heads are contiguous, all heads process one block of keys before any goes on:
/// these keys, the next ones and their values must fit L2, assumed smaller on machines with narrower vectors.
inline constexpr index_t bytes_of_keys = index_t{32} * 1024;
inline constexpr index_t bytes_of_all_heads = index_t{kernels::vector_bytes >= 64 ? 128 : 64} * 1024;
/// Most keys in a block: sums of 256 products of 15 bits and int8 fit 32 bits.
inline constexpr index_t max_decode_keys = 256;
/// Columns beyond the last key that kernels may read or write.
inline constexpr index_t spare_columns = 16;
/// Most stretches of keys in a call, and fewest keys in a stretch.
inline constexpr index_t max_splits = 32;
inline constexpr index_t min_keys_a_split = 512;
/// Stack bytes of a task if the caller gives no workspace.
inline constexpr index_t decode_stack_bytes = index_t{64} * 1024;

constexpr index_t round_up(index_t value, index_t unit) noexcept { return (value + unit - 1) / unit * unit; }

/// A task's arrays.
template <real T>
struct decode_memory {
  T* queries;     // [units], packed rows
  T* output;      // [units], rows in the layout of the values' kernel
  T* largest;     // [units, rows]
  T* sum;         // [units, rows]
  T* scratch;     // [units, heads], of the encoding
  T* scores;      // [rows, score_stride]
  T* extra;       // for the values' kernel
  T* zeros;       // a row of zeros
  T* some_rows;   // [max_shared_rows, max(head_dim, value_dim)], in whole lines
  T* not_finite;  // [units, rows]: 0 if the output is finite
  T* key_scales;
  T* value_scales;
  T* content_queries;  // [units, rows, head_dim]
  T* content_keys;     // [keys, head_dim]
};

/// A unit is one key-value head with as many of its query heads as share a pass. All units of a call have the same
/// size.
template <class Q, class K, class V, class O, class E>
class decode_plan {
 public:
  using T = compute_t<Q>;
  using S = key_element_t<K>;
  using R = key_element_t<V>;
  using key_kernel = typename keys_by<std::remove_const_t<Q>, S>::type;
  using value_kernel = typename values_by<R, std::remove_const_t<O>>::type;
  static constexpr index_t lanes = kernels::lanes<T>;

  index_t num_queries, head_dim, value_dim, num_heads;
  index_t heads_a_unit, num_units, units_a_kv_head, rows;  // rows per unit
  index_t block_keys;
  key_range range;  // keys that any query sees
  index_t num_splits = 1, keys_a_split = 0;
  index_t units_a_task = 1;
  bool token_major = false;

  decode_plan(head_view<Q> q, const K& keys, const V& values, const E& encoding, const key_range& seen) noexcept
      : num_queries(q.num_tokens),
        head_dim(q.head_dim),
        value_dim(values.head_dim),
        num_heads(q.num_heads),
        range(seen),
        encoding_(&encoding) {
    const index_t group = keys.num_heads > 0 ? num_heads / keys.num_heads : 0;
    heads_a_unit =
        std::clamp<index_t>(max_decode_rows / std::max<index_t>(num_queries, 1), 1, std::max<index_t>(group, 1));
    while (group % heads_a_unit != 0) --heads_a_unit;
    num_units = num_heads / heads_a_unit;
    units_a_kv_head = std::max<index_t>(group / heads_a_unit, 1);
    rows = heads_a_unit * num_queries;
    token_major = is_token_major(keys) && is_token_major(values);
    block_keys =
        keys_in(token_major ? std::min(bytes_of_keys, bytes_of_all_heads / std::max<index_t>(keys.num_heads, 1))
                            : bytes_of_keys);
    reads_content_ = hooks::reads_content(encoding);
    scratch_ = hooks::scratch_size(encoding, num_queries);
    units_a_task = num_units;
    packed_queries_ = packed_queries_before(rows_padded());
    split();
  }

  /// Whether the call has few queries.
  static bool suits(index_t num_queries) noexcept { return num_queries <= max_decode_queries; }

  index_t num_tasks() const noexcept { return num_splits * (num_units / units_a_task); }
  index_t score_stride() const noexcept { return block_keys + spare_columns; }
  index_t rows_padded() const noexcept { return rows % max_shared_rows == 3 ? rows + 1 : rows; }
  index_t row_size() const noexcept { return round_up(std::max(head_dim, value_dim), line_bytes); }
  bool reads_content() const noexcept { return reads_content_; }
  index_t scratch() const noexcept { return scratch_; }
  /// Whether blocks of keys are visited from the first to the last, which hardware prefetchers follow up to a fifth faster
  /// than the other way. An encoding with scratch sees them from the last to the first.
  bool ascending() const noexcept { return scratch_ == 0; }
  index_t blocks_of(const key_range& keys) const noexcept {
    return (keys.end - keys.first + block_keys - 1) / block_keys;
  }

  /// Number of values per worker and, below, for all partial results.
  index_t values_a_worker() const noexcept {
    index_t count = lanes;
    cut([&](index_t values) {
      count += values;
      return static_cast<T*>(nullptr);
    });
    return count;
  }
  index_t part_size() const noexcept { return value_dim + 2; }
  index_t values_of_parts() const noexcept {
    return num_splits > 1 ? num_splits * num_heads * num_queries * part_size() : 0;
  }
  /// Number of values for any call of these shapes, including those that see fewer keys.
  index_t most_values(index_t num_workers) const noexcept {
    decode_plan most = *this;
    most.units_a_task = token_major ? num_units : 1;
    if (scratch_ == 0)
      most.num_splits = std::min(max_splits, (range.end - range.first + min_keys_a_split - 1) / min_keys_a_split);
    return most.values_of_parts() + num_workers * most.values_a_worker();
  }

  /// Chooses the largest pieces that fit `available` values for `num_workers`; false if none do.
  bool fit(index_t available, index_t num_workers) noexcept {
    units_a_task = token_major ? num_units : 1;
    if (values_of_parts() + num_workers * values_a_worker() <= available) return true;
    return fit_unsplit(available / num_workers, num_workers);
  }

  /// The same without splitting keys; `available` is per worker.
  bool fit_unsplit(index_t available, index_t num_workers) noexcept {
    num_splits = 1;
    keys_a_split = range.end - range.first;
    units_a_task = token_major && num_workers == 1 ? num_units : 1;
    if (values_a_worker() > available) units_a_task = 1;
    while (values_a_worker() > available && block_keys > spare_columns)
      block_keys = round_up(block_keys / 2, spare_columns);
    return values_a_worker() <= available;
  }

  decode_memory<T> cut(T* memory) const noexcept {
    return cut([&](index_t values) { return std::exchange(memory, memory + values); });
  }

 private:
  template <class Source>
  static bool is_token_major(const Source& source) noexcept {
    if (source.num_tokens <= 0) return false;
    const auto piece = source.block(0, 1);
    if constexpr (requires { piece.head_stride < piece.token_stride; })
      return piece.head_stride < piece.token_stride;
    else
      return false;
  }

  index_t keys_in(index_t bytes) const noexcept {
    const index_t row = std::max<index_t>(
        1, std::max(head_dim * static_cast<index_t>(sizeof(S)), value_dim * static_cast<index_t>(sizeof(R))));
    return std::clamp(bytes / row / spare_columns * spare_columns, spare_columns, max_decode_keys);
  }

  // Depends only on shapes, so that results do not depend on the number of workers, as long as what is planned fits the
  // workspace (`fit`). An encoding with scratch must see all blocks in order, so its keys are not split.
  void split() noexcept {
    const index_t num_keys = range.end - range.first;
    keys_a_split = num_keys;
    if (scratch_ > 0 || num_keys < 2 * min_keys_a_split) return;
    keys_a_split = round_up(std::max(min_keys_a_split, (num_keys + max_splits - 1) / max_splits), block_keys);
    num_splits = (num_keys + keys_a_split - 1) / keys_a_split;
  }

  template <class Take>
  decode_memory<T> cut(Take take_values) const noexcept {
    const auto take = [&](index_t count) { return take_values(round_up(count, lanes)); };
    decode_memory<T> m;
    m.queries = take(units_a_task * packed_queries());
    m.output = take(units_a_task * packed_output());
    m.largest = take(units_a_task * rows_padded());
    m.sum = take(units_a_task * rows_padded());
    m.scratch = take(units_a_task * heads_a_unit * scratch_);
    m.scores = take(rows_padded() * score_stride());
    m.extra = take(value_kernel::extra_size(score_stride(), value_dim));
    m.zeros = take(std::max(head_dim, value_dim));
    m.some_rows = take(max_shared_rows * row_size());
    m.not_finite = take(units_a_task * rows_padded());
    m.key_scales = take(score_stride());
    m.value_scales = take(score_stride());
    m.content_queries = take(reads_content_ ? units_a_task * rows * head_dim : 0);
    m.content_keys = take(reads_content_ ? block_keys * head_dim : 0);
    return m;
  }

 public:
  /// Number of values of a unit's packed queries, and of its first `row` rows.
  index_t packed_queries() const noexcept { return packed_queries_; }
  index_t packed_queries_before(index_t row) const noexcept {
    index_t size = 0;
    for_row_groups(row,
                   [&](auto group, index_t) { size += round_up(key_kernel::packed_size(group, head_dim), lanes); });
    return size;
  }
  index_t packed_output() const noexcept { return packed_output_before(rows_padded()); }
  index_t packed_output_before(index_t row) const noexcept { return value_kernel::output_size(row, value_dim); }

  /// Calls f(integral_constant<int, count>, first) for groups of four rows, then two or one; three left over count as
  /// four.
  template <class F>
  static void for_row_groups(index_t count, F f) noexcept {
    index_t first = 0;
    for (; first + 3 <= count; first += 4) f(std::integral_constant<int, 4>{}, first);
    if (count - first == 2) f(std::integral_constant<int, 2>{}, first);
    if (count - first == 1) f(std::integral_constant<int, 1>{}, first);
  }

 private:
  const E* encoding_;
  bool reads_content_ = false;
  index_t scratch_ = 0;
  index_t packed_queries_ = 0;
};

}  // namespace posenc::inline POSENC_ISA::detail
