#include <posenc/encodings/fope.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <vector>

using namespace posenc;

namespace {

// [cos | sin], each the unit matrix for every head.
std::vector<double> unit(index_t num_heads, index_t n) {
  std::vector<double> coefficients(static_cast<std::size_t>(2 * num_heads * n * n));
  for (index_t m = 0; m < 2 * num_heads; ++m) {
    for (index_t f = 0; f < n; ++f) coefficients[static_cast<std::size_t>((m * n + f) * n + f)] = 1;
  }
  return coefficients;
}

}  // namespace

TEST_CASE("fope: with unit matrices it is rope", "[fope]") {
  random_values random(1);
  CAPTURE(random.seed());
  const frequencies list = default_frequencies({.head_dim = 8});
  const std::vector<position_t> ids{0, 70, -3};
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    owned_heads<double> x(random, 3, 4, 9), y = x;
    apply_to_queries(fope<double>(list, unit(2, 4), {.num_heads = 2, .rotary_dim = 8, .layout = pairs}), x.view(), ids);
    apply_to_queries(rope(pairs, list), y.view(), ids);
    for (std::size_t i = 0; i < x.values.size(); ++i) CHECK(std::abs(x.values[i] - y.values[i]) < 1e-15);
  }
}

TEST_CASE("fope: a pair's cosine and sine are sums over the frequencies, for each group of heads", "[fope]") {
  const frequencies list(std::vector<double>{1, 0.5});
  // Head 0 mixes, head 1 takes twice the second frequency for both pairs.
  const std::vector<double> coefficients{1, 2, 3, 4, 0, 0, 2, 2, 5, 6, 7, 8, 0, 0, 2, 2};
  const fope<double> encoding(list, coefficients, {.num_heads = 2, .rotary_dim = 4});
  std::vector<double> x{1, 1, 0, 0, 1, 1, 0, 0};
  apply_to_keys(encoding, head_view<double>(x.data(), 1, 2, 4), positions(3, 1));
  const double c1 = std::cos(3.0), c2 = std::cos(1.5), s1 = std::sin(3.0), s2 = std::sin(1.5);
  const double expected[] = {c1 + 3 * c2, 2 * c1 + 4 * c2, 5 * s1 + 7 * s2, 6 * s1 + 8 * s2,
                             2 * c2,      2 * c2,          2 * s2,          2 * s2};
  for (std::size_t i = 0; i < 8; ++i) CHECK(std::abs(x[i] - expected[i]) < 1e-14);
}

TEST_CASE("fope: dropped pairs pass, or turn as the authors' code has them", "[fope]") {
  const frequencies list(std::vector<double>{1});
  for (const fope_dropped dropped : {fope_dropped::pass, fope_dropped::sine_of_one}) {
    const fope<double> encoding(list, {1, 1}, {.rotary_dim = 4, .dropped = dropped});
    std::vector<double> x{0, 2, 0, 5};
    apply_to_queries(encoding, head_view<double>(x.data(), 1, 1, 4), positions(9, 1));
    CHECK(x[1] == (dropped == fope_dropped::pass ? 2 : 2 - 5));
    CHECK(x[3] == (dropped == fope_dropped::pass ? 5 : 2 + 5));
  }
}

TEST_CASE("faster_than: frequencies that turn once within the training length are kept, exactly", "[fope]") {
  const frequencies list = default_frequencies({.head_dim = 8});  // 1, 0.1, 0.01, 0.001
  const frequencies kept = faster_than(list, 100);
  REQUIRE(kept.size() == 2);
  CHECK(kept.inv_freq(1) == list.inv_freq(1));
  CHECK(faster_than(list, 1).size() == 0);
  CHECK_THROWS_WITH(faster_than(list, 0), "faster_than: training_length is 0, expected at least 1");
}

TEST_CASE("fope: what does not fit is refused, and nothing is written", "[fope]") {
  const frequencies two(std::vector<double>{1, 0.5});
  CHECK_THROWS_WITH(fope<double>(frequencies(std::vector<double>{}), {}, {.rotary_dim = 4}),
                    "fope: number of frequencies is 0, expected at least 1");
  CHECK_THROWS_WITH(fope<double>(two, unit(1, 2), {.rotary_dim = 2}),
                    "fope: rotary_dim is 2, expected even and at least 4, twice the number of frequencies");
  CHECK_THROWS_WITH(fope<double>(two, unit(1, 2), {.num_heads = 2, .rotary_dim = 4}),
                    "fope: number of coefficients is 8, expected 16, two matrices a head");
  CHECK_THROWS_WITH(fope<double>(two, unit(1, 2), {.num_heads = 0, .rotary_dim = 4}),
                    "fope: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(fope<double>(two, unit(1, 2), {.rotary_dim = 258}),
                    "fope: number of pairs is 129, expected at most 128");
  const fope<double> encoding(two, unit(2, 2), {.num_heads = 2, .rotary_dim = 4});
  std::vector<double> x(12, 1.0);
  CHECK_THROWS_WITH(apply_to_keys(encoding, head_view<double>(x.data(), 1, 3, 4), positions(1, 1)),
                    "rotate: num_heads is 3, expected a multiple of 2, the heads of the encoding");
  CHECK_THROWS_WITH(apply_to_keys(encoding, head_view<double>(x.data(), 1, 4, 3), positions(1, 1)),
                    "rotate: head_dim is 3, expected at least 4, the rotary width");
  CHECK(x == std::vector<double>(12, 1.0));
}
