#include <posenc/encodings/rope_layout.hpp>

#include <posenc/encodings/rope.hpp>
#include <posenc/kernels/quantize.hpp>
#include <posenc/scaling/default.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <string>
#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

/// Elements that tell where they stood: 0, 1, 2, ...
template <class W>
std::vector<W> numbered(index_t count) {
  std::vector<W> values(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<W>(i);
  return values;
}

struct any_element {  // an engine's own block of four-bit weights, say
  std::uint8_t bytes[18];
};

}  // namespace

TEST_CASE("rope_layout: even columns of a head become its first half, odd ones its second", "[rope_layout]") {
  const projection_heads heads{.num_heads = 2, .head_dim = 6};
  auto bias = numbered<int>(12);
  interleaved_to_half(heads, row_view(bias.data(), 12));
  CHECK(bias == std::vector<int>{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11});
  half_to_interleaved(heads, row_view(bias.data(), 12));
  CHECK(bias == numbered<int>(12));
}

TEST_CASE("rope_layout: columns outside of the rotary slice stay", "[rope_layout]") {
  auto bias = numbered<int>(8);
  interleaved_to_half({.num_heads = 1, .head_dim = 8, .rotary_dim = 4}, row_view(bias.data(), 8));
  CHECK(bias == std::vector<int>{0, 2, 1, 3, 4, 5, 6, 7});
  bias = numbered<int>(8);
  interleaved_to_half({.num_heads = 1, .head_dim = 8, .rotary_dim = 4, .first_column = 3}, row_view(bias.data(), 8));
  CHECK(bias == std::vector<int>{0, 1, 2, 3, 5, 4, 6, 7});
  bias = numbered<int>(8);  // rotary_dim from first_column to the end
  interleaved_to_half({.num_heads = 1, .head_dim = 8, .first_column = 2}, row_view(bias.data(), 8));
  CHECK(bias == std::vector<int>{0, 1, 2, 4, 6, 3, 5, 7});
}

TEMPLATE_TEST_CASE("rope_layout: there and back is nothing, in place or out of place, for any element", "[rope_layout]",
                   float, double, bf16, f16, std::int8_t, any_element) {
  for (const auto& heads :
       {projection_heads{.num_heads = 3, .head_dim = 8}, projection_heads{.num_heads = 1, .head_dim = 2},
        projection_heads{.num_heads = 2, .head_dim = 11, .rotary_dim = 6, .first_column = 4},
        projection_heads{.num_heads = 0, .head_dim = 4},
        projection_heads{.num_heads = 2, .head_dim = 5, .rotary_dim = 4}}) {
    for (const index_t row_size : {0, 1, 5}) {
      const index_t num_rows = heads.num_heads * heads.head_dim;
      const index_t stride = row_size + 2;  // rows of a packed weight
      std::vector<TestType> before(static_cast<std::size_t>(num_rows * stride));
      for (std::size_t i = 0; i < before.size(); ++i) {
        if constexpr (std::is_class_v<TestType>)
          std::memcpy(&before[i], &i, 2);
        else
          before[i] = static_cast<TestType>(i % 100);
      }
      const auto same = [](const std::vector<TestType>& a, const std::vector<TestType>& b) {
        return a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(TestType)) == 0;
      };
      auto in_place = before, apart = before, back = before;
      const row_view<const TestType> source(before.data(), num_rows, row_size, stride);
      interleaved_to_half(heads, row_view<TestType>(in_place.data(), num_rows, row_size, stride));
      interleaved_to_half(heads, source, row_view<TestType>(apart.data(), num_rows, row_size, stride));
      CHECK(same(in_place, apart));
      half_to_interleaved(heads, row_view<const TestType>(apart.data(), num_rows, row_size, stride),
                          row_view<TestType>(back.data(), num_rows, row_size, stride));
      CHECK(same(back, before));
      half_to_interleaved(heads, row_view<TestType>(in_place.data(), num_rows, row_size, stride));
      CHECK(same(in_place, before));
    }
  }
}

TEST_CASE("rope_layout: out of place, all rows arrive, also those that do not turn", "[rope_layout]") {
  const auto from = numbered<int>(2 * 7 * 3);
  std::vector<int> to(from.size(), -1);
  interleaved_to_half({.num_heads = 2, .head_dim = 7, .rotary_dim = 4, .first_column = 1}, row_view(from.data(), 14, 3),
                      row_view(to.data(), 14, 3));
  auto sorted = to;
  std::sort(sorted.begin(), sorted.end());
  CHECK(sorted == from);
  CHECK(std::vector<int>(to.begin(), to.begin() + 12) == std::vector<int>{0, 1, 2, 3, 4, 5, 9, 10, 11, 6, 7, 8});
}

TEST_CASE("rope_layout: converted weights under the half pairing give the scores of the interleaved ones",
          "[rope_layout]") {
  random_values random(1);
  CAPTURE(random.seed());
  constexpr index_t num_tokens = 5, hidden = 12, num_heads = 4, num_kv_heads = 2, head_dim = 10;
  const index_t rotary_dim = GENERATE(10, 6);
  const index_t first_column = rotary_dim == 10 ? 0 : 3;
  const auto x = random.list<double>(num_tokens * hidden);
  auto w_q = random.list<double>(num_heads * head_dim * hidden),
       w_k = random.list<double>(num_kv_heads * head_dim * hidden);
  auto b_q = random.list<double>(num_heads * head_dim), b_k = random.list<double>(num_kv_heads * head_dim);

  const auto project = [&](const std::vector<double>& w, const std::vector<double>& b, index_t heads) {
    owned_heads<double> y(num_tokens, heads, head_dim, 0);
    for (index_t t = 0; t < num_tokens; ++t) {
      for (index_t row = 0; row < heads * head_dim; ++row) {
        double sum = b.data()[row];
        for (index_t i = 0; i < hidden; ++i) sum += w.data()[row * hidden + i] * x.data()[t * hidden + i];
        y.values.data()[t * heads * head_dim + row] = sum;
      }
    }
    return y;
  };
  const auto scores = [&](const rope& rotary) {
    auto q = project(w_q, b_q, num_heads), k = project(w_k, b_k, num_kv_heads);
    rotate(rotary, q.view(), k.view(), positions(100, num_tokens));
    std::vector<double> products;
    for (index_t h = 0; h < num_heads; ++h) {
      for (index_t i = 0; i < num_tokens; ++i) {
        for (index_t j = 0; j < num_tokens; ++j) {
          const double* a = q.view().row(i, h);
          products.push_back(std::inner_product(a, a + head_dim, k.view().row(j, h / 2), 0.0));
        }
      }
    }
    return products;
  };
  const auto furthest = [](const std::vector<double>& a, const std::vector<double>& b) {
    double largest = 0;
    for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
    return largest;
  };

  const frequencies list = default_frequencies({.head_dim = rotary_dim});
  const auto expected = scores(rope(pairing::interleaved, list, first_column));
  CHECK(furthest(scores(rope(pairing::half, list, first_column)), expected) > 0.1);

  const projection_heads q_heads{num_heads, head_dim, rotary_dim, first_column};
  const projection_heads k_heads{num_kv_heads, head_dim, rotary_dim, first_column};
  interleaved_to_half(q_heads, row_view(w_q.data(), num_heads * head_dim, hidden));
  interleaved_to_half(k_heads, row_view(w_k.data(), num_kv_heads * head_dim, hidden));
  CHECK(furthest(scores(rope(pairing::half, list, first_column)), expected) > 0.01);  // the biases are still missing
  interleaved_to_half(q_heads, row_view(b_q.data(), num_heads * head_dim));
  interleaved_to_half(k_heads, row_view(b_k.data(), num_kv_heads * head_dim));
  CHECK(furthest(scores(rope(pairing::half, list, first_column)), expected) < 1e-13);
}

TEST_CASE("rope_layout: quantised rows and their scales move together", "[rope_layout]") {
  random_values random(2);
  CAPTURE(random.seed());
  constexpr index_t num_rows = 2 * 8, row_size = 20;
  const projection_heads heads{.num_heads = 2, .head_dim = 8, .rotary_dim = 6};
  auto w = random.list<float>(num_rows * row_size);
  for (std::size_t i = 0; i < w.size(); ++i) w[i] *= static_cast<float>(1 + i / 20);  // each row a scale of its own
  std::vector<std::int8_t> q(w.size());
  std::vector<float> scales(num_rows), converted(w.size()), back(w.size());
  kernels::quantize_rows(w.data(), row_size, num_rows, row_size, q.data(), row_size, scales.data());

  kernels::dequantize_rows(q.data(), row_size, scales.data(), 1, num_rows, row_size, converted.data(), row_size);
  interleaved_to_half(heads, row_view(converted.data(), num_rows, row_size));
  interleaved_to_half(heads, row_view(q.data(), num_rows, row_size));
  interleaved_to_half(heads, row_view(scales.data(), num_rows));
  kernels::dequantize_rows(q.data(), row_size, scales.data(), 1, num_rows, row_size, back.data(), row_size);
  CHECK(back == converted);
}

TEST_CASE("rope_layout: errors name argument, value and rule, and nothing is written", "[rope_layout]") {
  auto w = numbered<float>(32);
  const auto before = w;
  const auto refuses = [&](const projection_heads& heads, index_t num_rows, const std::string& message) {
    CHECK_THROWS_WITH(interleaved_to_half(heads, row_view(w.data(), num_rows)), message);
    CHECK(w == before);
  };
  // The projection of two kv heads, taken for one of four heads.
  refuses({.num_heads = 4, .head_dim = 8}, 16,
          "interleaved_to_half: number of rows is 16, expected 32, num_heads * head_dim (for keys, num_heads is "
          "num_kv_heads)");
  refuses({.num_heads = 2, .head_dim = 8, .rotary_dim = 10}, 16,
          "interleaved_to_half: end of the rotary slice is 10, expected at most 8, head_dim");
  refuses({.num_heads = 2, .head_dim = 8, .rotary_dim = 4, .first_column = 5}, 16,
          "interleaved_to_half: end of the rotary slice is 9, expected at most 8, head_dim");
  refuses({.num_heads = 2, .head_dim = 8, .rotary_dim = 5}, 16,
          "interleaved_to_half: rotary_dim is 5, expected even and at least 0");
  refuses({.num_heads = 2, .head_dim = 7}, 14,
          "interleaved_to_half: head_dim less first_column is 7, expected even, as rotary_dim is not given");
  refuses({.num_heads = 2}, 0, "interleaved_to_half: head_dim is 0, expected at least 1");
  refuses({.num_heads = -1, .head_dim = 8}, 0, "interleaved_to_half: num_heads is -1, expected at least 0");
  refuses({.num_heads = 1, .head_dim = 8, .rotary_dim = 4, .first_column = -1}, 8,
          "interleaved_to_half: first_column is -1, expected at least 0");

  std::vector<float> to(32);
  const projection_heads heads{.num_heads = 2, .head_dim = 8};
  CHECK_THROWS_WITH(half_to_interleaved(heads, row_view(w.data(), 16), row_view(to.data(), 15)),
                    "half_to_interleaved: number of rows of to is 15, expected 16, that of from");
  CHECK_THROWS_WITH(half_to_interleaved(heads, row_view(w.data(), 16, 2), row_view(to.data(), 16)),
                    "half_to_interleaved: row_size of to is 1, expected 2, that of from");
  CHECK_THROWS_WITH(half_to_interleaved(heads, row_view(w.data(), 16, 1, 1), row_view(w.data(), 16, 1, 2)),
                    "half_to_interleaved: row_stride of to is 2, expected 1, because to is from");
  CHECK(to == std::vector<float>(32));
}
