// A call of attention with random sizes and options, and its data in any element type.
#pragma once

#include <posenc/attention/options.hpp>

#include "../random_values.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// Sizes and options; owns the memory of the options.
struct random_attention {
  posenc::index_t num_queries, num_keys, num_kv_heads, num_heads, head_dim, value_dim;
  posenc::index_band band{};
  std::optional<posenc::index_t> query_offset{};
  std::optional<double> scale{};
  double softcap = 0;
  posenc::index_t first_head = 0;
  std::vector<double> sinks{};
  std::vector<float> sinks_in_float{};
  std::vector<posenc::key_range> key_ranges{};
  std::unique_ptr<bool[]> mask_memory{};
  posenc::bool_mask mask{};
  std::vector<posenc::position_t> query_ids{}, key_ids{};

  explicit random_attention(random_values& random, posenc::index_t largest = 150, posenc::index_t most_queries = 150) {
    const posenc::index_t lengths[] = {
        0, 1, 2, 7, 8, 9, 63, 64, 65, random.whole(0, largest), random.whole(0, largest)};
    const posenc::index_t dims[] = {1, 3, 16, 64};
    const posenc::index_t groups[] = {1, 2, 3};
    num_queries = std::min({largest, most_queries, random.one_of(lengths)});
    num_keys = std::min(largest, random.one_of(lengths));
    num_kv_heads = random.whole(1, 2);
    num_heads = num_kv_heads * random.one_of(groups);
    head_dim = random.one_of(dims);
    value_dim = random.one_of(dims);
    const auto width = random.whole(1, 70);
    const posenc::index_band bands[] = {{},
                                        posenc::causal(),
                                        posenc::sliding_window(width),
                                        posenc::symmetric_window(width),
                                        posenc::beyond_window(width),
                                        {-width, 2}};
    band = random.one_of(bands);
    if (random.coin()) query_offset = random.whole(-20, num_keys + 20);
    if (random.coin()) scale = random.real(-1, 1);
    if (random.coin()) softcap = random.real(0.5, 5);
    if (random.coin()) first_head = random.whole(0, 3);
    if (random.coin()) draw_sinks(random);
    if (random.whole(0, 3) == 0) draw_key_ranges(random);
    if (random.whole(0, 3) == 0) draw_mask(random);
    if (random.coin()) draw_ids(random);
  }

  template <posenc::real T>
  posenc::attend_options<T> options() const {
    posenc::attend_options<T> o;
    o.band = band;
    o.query_offset = query_offset;
    o.scale = scale;
    o.softcap = softcap;
    if constexpr (std::is_same_v<T, float>)
      o.sinks = sinks_in_float;
    else
      o.sinks = sinks;
    o.more = {.key_ranges = key_ranges, .allowed = mask, .first_head = first_head};
    if (!query_ids.empty()) o.positions.queries = query_ids;
    if (!key_ids.empty()) o.positions.keys = key_ids;
    return o;
  }

  /// For tests to print.
  std::string sizes() const {
    std::string text;
    for (const posenc::index_t size : {num_queries, num_keys, num_heads, num_kv_heads, head_dim, value_dim})
      text += std::to_string(size) + " ";
    return text;
  }

 private:
  void draw_sinks(random_values& random) {
    sinks_in_float = random.list<float>(num_heads, -3, 3);
    sinks.assign(sinks_in_float.begin(), sinks_in_float.end());
  }
  void draw_key_ranges(random_values& random) {  // some of them empty, some beyond the keys
    for (posenc::index_t q = 0; q < num_queries; ++q) {
      const auto first = random.whole(-5, num_keys + 5);
      key_ranges.push_back({first, first + random.whole(-5, num_keys + 5)});
    }
  }
  void draw_mask(random_values& random) {  // perhaps the same for all heads or queries, perhaps for fewer keys
    const posenc::index_t heads = random.coin() ? num_heads : 1;
    const posenc::index_t queries = random.coin() ? num_queries : 1;
    mask.num_keys = random.coin() ? num_keys : random.whole(0, num_keys);
    mask.query_stride = queries > 1 ? mask.num_keys : 0;
    mask.head_stride = heads > 1 ? queries * mask.num_keys : 0;
    mask_memory = std::make_unique<bool[]>(static_cast<std::size_t>(heads * queries * mask.num_keys + 1));
    for (posenc::index_t i = 0; i < heads * queries * mask.num_keys; ++i)
      mask_memory[static_cast<std::size_t>(i)] = random.coin();
    mask.data = mask_memory.get();
  }
  void draw_ids(random_values& random) {  // unsorted, repeated, negative
    for (posenc::index_t q = 0; q < num_queries; ++q)
      query_ids.push_back(static_cast<posenc::position_t>(random.whole(-50, 50)));
    for (posenc::index_t k = 0; k < num_keys; ++k)
      key_ids.push_back(static_cast<posenc::position_t>(random.whole(-50, 50)));
  }
};

/// The same numbers in double, for the reference.
template <posenc::scalar S>
owned_heads<double> in_double(const owned_heads<S>& x) {
  owned_heads<double> wide(x.num_tokens, x.num_heads, x.head_dim, 0.0);
  for (std::size_t i = 0; i < x.values.size(); ++i) wide.values[i] = posenc::widen<double>(x.values[i]);
  return wide;
}
