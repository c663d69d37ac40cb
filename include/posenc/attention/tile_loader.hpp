// Loads the keys and values of a tile in the form that the products read.
#pragma once

#include <posenc/attention/block_and_tile.hpp>
#include <posenc/attention/key_source.hpp>
#include <posenc/attention/tile/bf16_unit.hpp>
#include <posenc/attention/tile/widened_rows.hpp>
#include <posenc/attention/tile_sizes.hpp>
#include <posenc/hooks.hpp>
#include <posenc/kernels/vectors.hpp>
#include <posenc/positions.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

/// The unit with which a call of these types may multiply pairs of bf16, and the number of bf16 parts of each operand.
template <class Q, class K, class V, class O>
struct pairs_of_call {
  using q_t = std::remove_const_t<Q>;
  using o_t = std::remove_const_t<O>;
  static constexpr bool exist =
      std::same_as<compute_t<Q>, float> && bf16_unit::multiplies<q_t, key_element_t<K>, key_element_t<V>, o_t>;
  using unit = std::conditional_t<exist, bf16_unit, void>;
  static constexpr int of_query = num_parts<q_t>, of_key = num_parts<key_element_t<K>>,
                       of_value = num_parts<key_element_t<V>>, of_weight = num_parts<o_t>;
  /// Operands have several parts. Numbers that are not ordinary are detected and multiplied in T.
  static constexpr bool of_parts = exist && std::max({of_query, of_key, of_value}) > 1;
  /// Operands are bf16 themselves, multiplied in pairs even by the careful walk over values that are not finite.
  static constexpr bool of_whole = exist && !of_parts;
};

inline bf16_pair* as_pairs(float* memory) noexcept { return reinterpret_cast<bf16_pair*>(memory); }

/// Loads tiles for `attend`. Memory holds `block.tiles_at_once` of them; `i` selects one.
template <class Q, class K, class V, class O, class E>
struct tile_loader {
  using T = compute_t<Q>;
  using sizes_t = tile_sizes<T, E>;
  using key_tile = detail::key_tile<T>;
  using memory = tile_memory<T>;
  using pairs = pairs_of_call<Q, K, V, O>;
  using unit = typename pairs::unit;

  const K& keys;
  const V& values;
  const sizes_t& sizes;
  const block_sizes& block;
  const positions& key_positions;
  index_t num_heads;  // of queries

  index_t kv_head_of(index_t head) const noexcept { return head / (num_heads / keys.num_heads); }
  index_t key_stride() const noexcept { return sizes_t::row_stride(sizes.row_size()); }
  index_t value_stride() const noexcept { return sizes_t::row_stride(values.head_dim); }
  /// Rows of a tile in memory.
  index_t padded_keys() const noexcept { return sizes.padded_keys(block.num_keys); }
  auto values_of(const memory& m) const noexcept {
    return typename unit::template values<pairs::of_value>{
        as_pairs(m.values), value_stride(), sizes_t::padded(values.head_dim), block.tiles_at_once, padded_keys()};
  }

  /// If `Careful`, rows of values that are not finite are loaded as zeros.
  template <bool Careful>
  void load(key_tile& tile, index_t i, index_t head, const memory& m) const noexcept {
    if constexpr (pairs::of_whole) {
      if (sizes.in_pairs) {
        load_keys_in_pairs(tile, i, head, m);
        load_values_in_pairs<Careful>(tile, i, head, m);
        return;
      }
    }
    load_positions(tile);
    load_keys(tile, kv_head_of(head), m);
    load_values<Careful>(tile, kv_head_of(head), m);
  }

  void load_keys_in_pairs(key_tile& tile, index_t i, index_t head, const memory& m) const noexcept {
    tile.keys_loaded = true;
    tile.keys_not_ordinary = 0;
    load_positions(tile);
    const index_t rows = sizes.padded_keys(tile.count), num_pairs = sizes.row_size(), kv_head = kv_head_of(head);
    if (as_pairs_lie(keys, kv_head, tile.first, tile.count, rows, num_pairs, tile.key_pairs)) return;
    const index_t part = padded_keys() * key_stride();
    bf16_pair* const to = as_pairs(m.keys) + i * pairs::of_key * part;
    tile.key_pairs = {to, key_stride(), part, unit::takes_squares};
    constexpr bool asked = pairs::of_key > 1;  // bf16 keys are exact and may be read in place
    if (!load_key_pairs<asked>(keys, kv_head, tile.first, tile.count, rows, num_pairs, to, tile.key_pairs))
      tile.keys_not_ordinary = rows_that_are_not_ordinary(keys, kv_head, tile.first, tile.count);
  }

  template <bool Careful>
  void load_values_in_pairs(key_tile& tile, index_t i, index_t head, const memory& m) const noexcept {
    tile.values_loaded = true;
    const index_t kv_head = kv_head_of(head);
    if constexpr (Careful)
      tile.values_not_finite = rows_that_are_not_finite(values, kv_head, tile.first, tile.count);
    else
      tile.values_not_finite = 0;
    tile.values_not_ordinary = 0;
    const auto load_but = [&](std::uint64_t left_out) {
      return values_of(m).template load<pairs::of_parts>(i, values, kv_head, tile.first, tile.count, left_out);
    };
    if (load_but(tile.values_not_finite)) return;
    tile.values_not_ordinary = rows_that_are_not_ordinary(values, kv_head, tile.first, tile.count);
    load_but(tile.values_not_ordinary);
  }

  /// Prefetches part i of `count` of a tile while other tiles are multiplied.
  void fetch_share(index_t number, index_t head, index_t i, index_t count) const noexcept {
    const index_t begin = number * block.num_keys, first = begin + block.num_keys * i / count;
    const index_t num_rows = begin + block.num_keys * (i + 1) / count - first;
    fetch_rows(keys, kv_head_of(head), first, num_rows);
    fetch_rows(values, kv_head_of(head), first, num_rows);
  }

 private:
  void load_positions(key_tile& tile) const noexcept {
    if constexpr (score_encoding<E, T>) {
      for (index_t k = 0; k < tile.count; ++k) tile.key_positions[k] = key_positions[tile.first + k];
    }
  }

  void load_keys(key_tile& tile, index_t kv_head, const memory& m) const noexcept {
    tile.keys_loaded = true;
    if (as_they_lie(keys, kv_head, tile.first, tile.count, tile.keys)) return fetch(tile.keys, tile.count);
    widen_rows(keys, kv_head, tile.first, tile.count, m.keys, key_stride());
    tile.keys = {m.keys, key_stride()};
  }

  template <bool Careful>
  void load_values(key_tile& tile, index_t kv_head, const memory& m) const noexcept {
    tile.values_loaded = true;
    if (!Careful && values.head_dim % kernels::lanes<T> == 0 &&
        as_they_lie(values, kv_head, tile.first, tile.count, tile.values))
      return fetch(tile.values, tile.count);
    widen_rows(values, kv_head, tile.first, tile.count, m.values, value_stride());
    tile.values = {m.values, value_stride()};
    if constexpr (Careful)
      tile.values_not_finite = clear_rows_that_are_not_finite(m.values, value_stride(), tile.count);
  }

  // Prefetched, because products jump between rows and would stall on every line that is not in cache.
  static void fetch(const tile_rows<T>& rows, index_t count) noexcept {
    kernels::fetch_lines(rows.data, count * rows.stride * static_cast<index_t>(sizeof(T)));
  }
};

}  // namespace posenc::inline POSENC_ISA::detail
