#include <posenc/attention/remapped.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/rope.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t head_dim = 8, value_dim = 5;

rope rotary() { return rope(pairing::half, frequencies(std::vector<float>{1.0F, 0.3F, 0.1F, 0.01F})); }

/// softmax(q R(distance(m, n)) k / sqrt(head_dim)) v over n <= m in double, from an explicit matrix of distances.
template <class Distance>
std::vector<double> by_distances(const owned_heads<double>& q, const owned_heads<double>& k,
                                 const owned_heads<double>& v, index_t query_offset, double sink, Distance distance) {
  std::vector<double> out;
  for (index_t i = 0; i < q.num_tokens; ++i) {
    for (index_t h = 0; h < q.num_heads; ++h) {
      const index_t kv_head = h / (q.num_heads / k.num_heads);
      const index_t m = query_offset + i;
      double sum = std::exp(sink);
      std::vector<double> row(value_dim);
      for (index_t n = 0; n <= std::min(m, k.num_tokens - 1); ++n) {
        std::vector<double> turned(q.view().row(i, h), q.view().row(i, h) + head_dim);
        const std::vector<double> at{static_cast<double>(distance(m, n))};
        apply_to_queries(rotary(), head_view<double>(turned.data(), 1, 1, head_dim), real_positions(at));
        double score = 0;
        for (std::size_t d = 0; d < turned.size(); ++d) score += turned[d] * k.view().row(n, kv_head)[d];
        const double weight = std::exp(score / std::sqrt(static_cast<double>(head_dim)));
        sum += weight;
        for (std::size_t d = 0; d < row.size(); ++d) row[d] += weight * v.view().row(n, kv_head)[d];
      }
      for (const double x : row) out.push_back(x / sum);
    }
  }
  return out;
}

struct call {
  owned_heads<double> q, k, v;
  index_t query_offset;

  call(random_values& random, index_t num_queries, index_t num_keys)
      : q(random, num_queries, 4, head_dim),
        k(random, num_keys, 2, head_dim),
        v(random, num_keys, 2, value_dim),
        query_offset(num_keys - num_queries) {}

  remapped_tokens tokens() const { return {q.num_tokens, k.num_tokens, query_offset}; }

  template <class Distance>
  void is(const std::vector<remapped_part>& parts, Distance distance) const {
    const std::vector<double> sinks(4, -0.5);
    owned_heads<double> out(q.num_tokens, 4, value_dim, 99.0);
    attention_remapped(q.view(), k.view(), v.view(), out.view(), rotary(), std::span(parts),
                       {.band = causal(), .sinks = sinks});
    const std::vector<double> expected = by_distances(q, k, v, query_offset, sinks[0], distance);
    double worst = 0;
    for (std::size_t i = 0; i < expected.size(); ++i) worst = std::max(worst, std::abs(expected[i] - out.values[i]));
    CHECK(worst < 1e-13);
  }
};

}  // namespace

TEST_CASE("remapped: Self-Extend counts far distances in groups", "[remapped]") {
  random_values random(1);
  CAPTURE(random.seed());
  const index_t g = GENERATE(1, 4, 5), w = GENERATE(1, 7, 100);
  for (const index_t num_queries : {1, 30}) {
    const call x(random, num_queries, 50);
    x.is(self_extend({.group_size = g, .neighbor_window = w}, x.tokens()),
         [=](index_t m, index_t n) { return m - n < w ? m - n : m / g + w - w / g - n / g; });
  }
}

TEST_CASE("remapped: ReRoPE holds far distances, the leaky form slows them down", "[remapped]") {
  random_values random(2);
  CAPTURE(random.seed());
  const double slowdown = GENERATE(0.0, 1.0, 3.0);
  const call x(random, 30, 50);
  x.is(rerope({.window = 6, .slowdown = slowdown}, x.tokens()), [=](index_t m, index_t n) {
    const double past = static_cast<double>(m - n - 6);
    return m - n < 6 ? static_cast<double>(m - n) : 6 + (slowdown == 0 ? 0 : past / slowdown);
  });
}

TEST_CASE("remapped: dual chunk attention counts within chunks, from the one before, and from older ones",
          "[remapped]") {
  random_values random(3);
  CAPTURE(random.seed());
  const index_t local = GENERATE(0, 2);
  const index_t length = 12 - local;
  for (const index_t num_queries : {1, 45}) {
    const call x(random, num_queries, 50);
    x.is(dual_chunk({.chunk_size = 12, .local_size = local}, x.tokens()), [=](index_t m, index_t n) {
      if (m / length == n / length) return m - n;
      if (m / length == n / length + 1) return std::min<index_t>(m % length + length, 12) - n % length;
      return std::min<index_t>(2 * length - 1, 12) - n % length;
    });
  }
}

TEST_CASE("remapped: a cache that holds keys twice gives the same as unrotated ones", "[remapped]") {
  random_values random(4);
  CAPTURE(random.seed());
  const owned_heads<float> q(random, 2, 4, head_dim), k(random, 40, 2, head_dim), v(random, 40, 2, value_dim);
  owned_heads<float> near_keys = k, far_keys = k, out(2, 4, value_dim), from_cache(2, 4, value_dim);
  std::vector<position_t> groups(40);
  for (std::size_t n = 0; n < 40; ++n) groups[n] = static_cast<position_t>(n / 4);
  apply_to_keys(rotary(), near_keys.view(), positions(0, 40));
  apply_to_keys(rotary(), far_keys.view(), groups);
  const auto parts = self_extend({.group_size = 4, .neighbor_window = 8}, {2, 40, 38});
  std::vector<float> lse(8), lse_from_cache(8);
  attention_remapped(q.view(), k.view(), v.view(), out.view(), rotary(), std::span(parts),
                     {.band = causal(), .lse = {lse.data(), 2, 4}});
  const std::vector<head_view<const float>> keys{near_keys.view(), far_keys.view()};
  attend_remapped(q.view(), std::span<const head_view<const float>>(keys), v.view(), from_cache.view(), rotary(),
                  std::span(parts), {.band = causal(), .lse = {lse_from_cache.data(), 2, 4}});
  CHECK(from_cache.values == out.values);
  CHECK(lse_from_cache == lse);
}

TEST_CASE("remapped: the caller's band holds beside the parts'", "[remapped]") {
  random_values random(5);
  CAPTURE(random.seed());
  const call x(random, 10, 30);
  owned_heads<double> out(10, 4, value_dim), near_only(10, 4, value_dim);
  const auto parts = rerope({.window = 6}, x.tokens());
  attention_remapped(x.q.view(), x.k.view(), x.v.view(), out.view(), rotary(), std::span(parts),
                     {.band = sliding_window(6)});
  attention(x.q.view(), x.k.view(), x.v.view(), near_only.view(), rotary(), {.band = sliding_window(6)});
  for (std::size_t i = 0; i < out.values.size(); ++i) CHECK(std::abs(out.values[i] - near_only.values[i]) < 1e-14);
}

TEST_CASE("remapped: what makes no sense is refused, and nothing is written", "[remapped]") {
  CHECK_THROWS_WITH(self_extend({.group_size = 0}, {}), "self_extend: group_size is 0, expected at least 1");
  CHECK_THROWS_WITH(self_extend({.neighbor_window = 0}, {}), "self_extend: neighbor_window is 0, expected at least 1");
  CHECK_THROWS_WITH(rerope({.window = 0}, {}), "rerope: window is 0, expected at least 1");
  CHECK_THROWS_WITH(rerope({.window = 1, .slowdown = 0.5}, {}), "rerope: slowdown is 0.5, expected 0 or at least 1");
  CHECK_THROWS_WITH(dual_chunk({.chunk_size = 4, .local_size = 4}, {}),
                    "dual_chunk: local_size is 4, expected below 4, the chunk_size");
  CHECK_THROWS_WITH(dual_chunk({.chunk_size = 4, .local_size = -1}, {}),
                    "dual_chunk: local_size is -1, expected at least 0");

  random_values random(6);
  const call x(random, 2, 9);
  owned_heads<double> out(2, 4, value_dim, 99.0);
  const auto refuses = [&](const std::vector<remapped_part>& parts, const attend_options<double>& options,
                           const std::string& message) {
    CHECK_THROWS_WITH(
        attention_remapped(x.q.view(), x.k.view(), x.v.view(), out.view(), rotary(), std::span(parts), options),
        message);
    CHECK(out.values == std::vector<double>(out.values.size(), 99.0));
  };
  refuses({}, {}, "attend_remapped: number of parts is 0, expected at least 1");
  refuses(rerope({.window = 1}, {2, 8, 7}), {},
          "rotate: keys: number of positions is 8, expected 9, one for each token");
  refuses(rerope({.window = 1}, {1, 9, 8}), {},
          "rotate: queries: number of positions is 1, expected 2, one for each token");
  const std::vector<key_range> ranges(2);
  attend_options<double> ranged;
  ranged.more.key_ranges = ranges;
  refuses(rerope({.window = 1}, x.tokens()), ranged, "attend_remapped: number of key_ranges is 2, expected 0");
}

TEST_CASE("remapped: an encoding chosen at run time may not act on scores", "[remapped]") {
  using chosen = any_encoding<float, double>;
  random_values random(7);
  const call x(random, 2, 9);
  owned_heads<double> out(2, 4, value_dim, 99.0), expected(2, 4, value_dim);
  const auto parts = rerope({.window = 3}, x.tokens());
  const auto run = [&](const auto& encoding, owned_heads<double>& to) {
    attention_remapped(x.q.view(), x.k.view(), x.v.view(), to.view(), encoding, std::span(parts));
  };
  const char* message =
      "attend_remapped: number of encodings that act on scores is 1, expected 0: remapped positions reach queries and "
      "keys alone";
  CHECK_THROWS_WITH(run(chosen(alibi<double>(4)), out), message);
  CHECK_THROWS_WITH(run(chosen(combine(rotary(), alibi<double>(4))), out), message);
  CHECK_THROWS_WITH(run(combine(chosen(alibi<double>(4)), rotary()), out), message);
  CHECK(out.values == std::vector<double>(out.values.size(), 99.0));
  run(rotary(), expected);
  run(chosen(rotary()), out);
  CHECK(out.values == expected.values);
  run(combine(chosen(), rotary()), out);
  CHECK(out.values == expected.values);
}

TEST_CASE("remapped: the check is of what runs, with results in the compute type", "[remapped]") {
  random_values random(8);
  const owned_heads<bf16> q(random, 40, 1, 256), k(random, 40, 1, 256), v(random, 40, 1, 1);
  owned_heads<bf16> out(40, 1, 1);
  const std::vector<head_view<const bf16>> keys{k.view(), k.view()};
  const auto parts = rerope({.window = 3}, {40, 40, 0});
  const rope turns(pairing::half, frequencies(std::vector<float>(128, 0.5F)));
  const head_view<float> partial(nullptr, 40, 1, 1);
  int num_differing = 0;
  for (std::size_t size = 512; size < 20000; size += 64) {  // the least that suffices is among them
    std::vector<float> workspace(size);
    const attend_options<float> options{.run = {.workspace = workspace}};
    const bool fits = !check_attend(q.view(), k.view(), v.view(), partial, no_encoding{}, options);
    num_differing +=
        fits != !check_remapped(q.view(), std::span(keys), v.view(), out.view(), turns, std::span(parts), options);
  }
  CHECK(num_differing == 0);
}

TEST_CASE("remapped: negative sizes are refused before anything is copied", "[remapped]") {
  random_values random(9);
  const call x(random, 2, 9);
  owned_heads<double> out(2, 4, value_dim, 99.0);
  const auto parts = rerope({.window = 3}, x.tokens());
  auto k = x.k.view();
  k.num_heads = -2;
  CHECK_THROWS_WITH(attention_remapped(x.q.view(), k, x.v.view(), out.view(), rotary(), std::span(parts)),
                    "attend: num_heads of keys[0] is -2, expected at least 0");
  CHECK(out.values == std::vector<double>(out.values.size(), 99.0));
}
