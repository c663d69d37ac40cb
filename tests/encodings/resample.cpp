#include <posenc/encodings/resample.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <cmath>
#include <numeric>
#include <vector>

using namespace posenc;

namespace {

using rows = std::vector<double>;

// A line, one column.
rows line(index_t count) {
  rows values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0.0);
  return values;
}

void check_near(const rows& got, const rows& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i)
    CHECK(std::abs(got[i] - expected[i]) < 1e-14 * (1 + std::abs(expected[i])));
}

}  // namespace

TEST_CASE("resample: linear, as torch does it", "[resample]") {
  check_near(resample(rows{0, 1}, 1, {2}, {4}), {0, 0.25, 0.75, 1});
  check_near(resample(rows{0, 1}, 1, {2}, {4}, {.align_corners = true}), {0, 1.0 / 3, 2.0 / 3, 1});
  check_near(resample(line(4), 1, {4}, {2}), {0.5, 2.5});
  check_near(resample(line(8), 1, {8}, {2}), {1.5, 5.5});
  check_near(resample(line(8), 1, {8}, {2}, {.antialias = true}), {53.0 / 28, 143.0 / 28});
  check_near(resample(line(3), 1, {3}, {1}, {.align_corners = true}), {0});
}

TEST_CASE("resample: cubic with antialias, as torch does it", "[resample]") {
  const rows squares{0, 1, 4, 9, 16, 25, 36, 49};
  check_near(resample(squares, 1, {8}, {3}, {.mode = resampling::cubic, .antialias = true}),
             {1.0357935216683918, 12.718559656037264, 37.485283242123955});
}

TEST_CASE("resample: nearest takes the row below", "[resample]") {
  check_near(resample(line(3), 1, {3}, {7}, {.mode = resampling::nearest}), {0, 0, 0, 1, 1, 2, 2});
  check_near(resample(line(5), 1, {5}, {2}, {.mode = resampling::nearest}), {0, 2});
}

TEST_CASE("resample: to the same sizes nothing changes", "[resample]") {
  random_values random(3);
  CAPTURE(random.seed());
  const auto table = random.list<double>((1 + 12) * 5);
  for (const resampling mode : {resampling::nearest, resampling::linear, resampling::cubic}) {
    for (const bool antialias : {false, true}) {
      if (mode == resampling::nearest && antialias) continue;
      check_near(resample(table, 5, {3, 4}, {3, 4}, {.mode = mode, .antialias = antialias, .num_prefix_rows = 1}),
                 table);
    }
  }
}

TEST_CASE("resample: a constant stays, whatever the sizes", "[resample]") {
  const rows table(6 * 7 * 2, 3.0);
  for (const resampling mode : {resampling::nearest, resampling::linear, resampling::cubic}) {
    for (const index_t height : {1, 3, 6, 20}) {
      check_near(resample(table, 2, {6, 7}, {height, 5}, {.mode = mode, .antialias = mode == resampling::cubic}),
                 rows(static_cast<std::size_t>(height * 5 * 2), 3.0));
    }
  }
}

TEST_CASE("resample: cubic reproduces what is linear, away from the ends", "[resample]") {
  const auto made = resample(line(10), 1, {10}, {20}, {.mode = resampling::cubic, .cubic_a = -0.5});
  for (std::size_t i = 4; i < 16; ++i) CHECK(std::abs(made[i] - ((static_cast<double>(i) + 0.5) / 2 - 0.5)) < 1e-13);
  CHECK(resample(line(4), 1, {4}, {7}, {.mode = resampling::cubic}) !=
        resample(line(4), 1, {4}, {7}, {.mode = resampling::cubic, .cubic_a = -0.5}));
}

TEST_CASE("resample: axes are independent, prefix rows are copied", "[resample]") {
  random_values random(4);
  CAPTURE(random.seed());
  const auto table = random.list<double>((2 + 6) * 3);
  const rows grid(table.begin() + 6, table.end());
  const auto once = resample(resample(grid, 3, {2, 3}, {5, 3}), 3, {5, 3}, {5, 4});
  const auto made = resample(table, 3, {2, 3}, {5, 4}, {.num_prefix_rows = 2});
  check_near(rows(made.begin(), made.begin() + 6), rows(table.begin(), table.begin() + 6));
  check_near(rows(made.begin() + 6, made.end()), once);
}

TEST_CASE("resample: what does not fit is refused", "[resample]") {
  const std::vector<float> table(12);
  CHECK_THROWS_WITH(resample(table, 0, {12}, {5}), "resample: dim is 0, expected at least 1");
  CHECK_THROWS_WITH(resample(table, 2, {5}, {5}),
                    "resample: size of the table is 12, expected 10, prefix rows and grid");
  CHECK_THROWS_WITH(resample(table, 2, {}, {5}), "resample: number of old_sizes is 0, expected at least 1");
  CHECK_THROWS_WITH(resample(table, 2, {2, 3}, {5}),
                    "resample: number of new_sizes is 1, expected 2, that of the old ones");
  CHECK_THROWS_WITH(resample(table, 2, {6}, {0}), "resample: one of new_sizes is 0, expected at least 1");
  CHECK_THROWS_WITH(resample(table, 2, {6, 0}, {1, 1}), "resample: one of old_sizes is 0, expected at least 1");
  CHECK_THROWS_WITH(resample(table, 2, {6}, {3}, {.num_prefix_rows = -1}),
                    "resample: num_prefix_rows is -1, expected at least 0");
}
