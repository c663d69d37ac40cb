// What does position cost a cache of int8?
//
// `error` is the largest difference of a score from its value in float, as a share of the largest score: for keys that
// are quantised after their rotation, as posenc stores them, and for keys that are quantised first and rotated when
// read, which a scale a row allows as well. Tables: the error of sinusoids and learned rows held in int8.
#include "beside.hpp"
#include "limits.hpp"
#include "memory.hpp"

#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/rope_cache.hpp>
#include <posenc/encodings/rope_to.hpp>
#include <posenc/encodings/sinusoidal.hpp>
#include <posenc/quantize.hpp>
#include <posenc/scaling/default.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace posenc_bench {
namespace {

using namespace posenc;

constexpr index_t head_dim = 128, num_heads = 8, num_tokens = 4096;

struct int8_rows {
  std::vector<std::int8_t> data;
  std::vector<float> scales;

  explicit int8_rows(index_t num_rows, index_t columns)
      : data(static_cast<std::size_t>(num_rows * columns)), scales(static_cast<std::size_t>(num_rows)) {}
  quantized_view<std::int8_t> view(index_t tokens, index_t heads) {
    return {data.data(), scales.data(), tokens, heads, std::ssize(data) / (tokens * heads)};
  }
};

struct keys {
  pages<float> x{num_tokens * num_heads * head_dim};
  rope rotary{pairing::half, default_frequencies({.head_dim = head_dim})};
  int8_rows stored{num_tokens * num_heads, head_dim};

  // A few columns are much larger than the others, as in trained models.
  keys() {
    for (index_t row = 0; row < num_tokens * num_heads; ++row) {
      for (const index_t column : {5, 40, 69, 104}) x.data()[row * head_dim + column] *= 12;
    }
  }
  head_view<float> view() const { return {x.data(), num_tokens, num_heads, head_dim}; }
};

/// Scores of head 0's first key, turned to each position, with all keys of the head.
std::vector<double> scores_of(head_view<const float> rotated) {
  std::vector<double> scores;
  for (index_t t = 0; t < rotated.num_tokens; ++t) {
    double sum = 0;
    for (index_t d = 0; d < head_dim; ++d)
      sum += static_cast<double>(rotated.row(t, 0)[d]) * static_cast<double>(rotated.row(0, 1)[d]);
    scores.push_back(sum);
  }
  return scores;
}
double largest_error(const std::vector<double>& is, const std::vector<double>& expected) {
  double error = 0, largest = 0;
  for (std::size_t i = 0; i < is.size(); ++i) {
    error = std::max(error, std::abs(is[i] - expected[i]));
    largest = std::max(largest, std::abs(expected[i]));
  }
  return error / largest;
}

void int8_keys_quantised_after_rotation(benchmark::State& state) {
  keys k;
  const pages<float> exact(k.x.count()), again(k.x.count());
  const head_view<float> rotated(exact.data(), num_tokens, num_heads, head_dim);
  const head_view<float> read(again.data(), num_tokens, num_heads, head_dim);
  const positions at(0, num_tokens);
  rotate_to(k.rotary, k.view(), rotated, at);
  const auto stored = k.stored.view(num_tokens, num_heads);
  const double bytes = 1.25 * k.x.bytes();
  beside(state, work{bytes, [&] { rotate_to(unchecked, k.rotary, k.view(), stored, at); }}, "in_two_passes",
         work{bytes, [&] {
                rotate_to(unchecked, k.rotary, k.view(), read, at);
                quantize(unchecked, read, stored);
              }});
  dequantize(stored, read);
  state.counters["error"] = largest_error(scores_of(read), scores_of(rotated));
}
void int8_keys_quantised_before_rotation(benchmark::State& state) {
  keys k;
  const pages<float> exact(k.x.count()), again(k.x.count());
  const head_view<float> rotated(exact.data(), num_tokens, num_heads, head_dim);
  const head_view<float> read(again.data(), num_tokens, num_heads, head_dim);
  const positions at(0, num_tokens);
  rotate_to(k.rotary, k.view(), rotated, at);
  const auto stored = k.stored.view(num_tokens, num_heads);
  quantize(k.view(), stored);
  const double bytes = 1.25 * k.x.bytes();  // what every read of the cache then pays
  beside(state,
         work{bytes,
              [&] {
                dequantize(unchecked, stored, read);
                rotate(unchecked, k.rotary, read, at);
              }},
         "reading_rotated", work{bytes, [&] { dequantize(unchecked, stored, read); }});
  state.counters["error"] = largest_error(scores_of(read), scores_of(rotated));
}
BENCHMARK(int8_keys_quantised_after_rotation)->UseManualTime();
BENCHMARK(int8_keys_quantised_before_rotation)->UseManualTime();

/// A table of rows as int8 with a scale a row, beside the floats.
void print_table_error(benchmark::State& state, const std::vector<float>& table, index_t dim) {
  const index_t rows = std::ssize(table) / dim;
  std::vector<float> copy(table), again(table.size());
  int8_rows stored(rows, dim);
  const head_view<float> from(copy.data(), rows, 1, dim), to(again.data(), rows, 1, dim);
  const double bytes = 1.25 * static_cast<double>(table.size()) * sizeof(float);
  beside(state, work{bytes, [&] { dequantize(unchecked, stored.view(rows, 1), to); }}, "memcpy",
         work{bytes, [&] { posenc_bench::copy(copy.data(), again.data(), table.size() * sizeof(float) * 5 / 8); }});
  quantize(from, stored.view(rows, 1));
  dequantize(stored.view(rows, 1), to);
  double error = 0, largest = 0;
  for (std::size_t i = 0; i < table.size(); ++i) {
    error = std::max(error, static_cast<double>(std::abs(again[i] - table[i])));
    largest = std::max(largest, static_cast<double>(std::abs(table[i])));
  }
  state.counters["error"] = error / largest;
}
void int8_sinusoidal_table(benchmark::State& state) {
  std::vector<float> table(512 * 768, 0.0F);
  add_to(sinusoidal({.dim = 768}), token_view<float>(table.data(), 512, 768), positions(0, 512));
  print_table_error(state, table, 768);
}
void int8_learned_table(benchmark::State& state) {
  const pages<float> table(512 * 768);
  print_table_error(state, std::vector<float>(table.data(), table.data() + table.size()), 768);
}
BENCHMARK(int8_sinusoidal_table)->UseManualTime();
BENCHMARK(int8_learned_table)->UseManualTime();

}  // namespace
}  // namespace posenc_bench
