#include <posenc/encodings/learned.hpp>

#include "catch.hpp"

#include <stdexcept>
#include <utility>
#include <vector>

using namespace posenc;

namespace {

// table[r, c] = 10 r + c
template <class S>
std::vector<S> tens(int max_positions, int dim) {
  std::vector<S> table;
  for (int r = 0; r < max_positions; ++r) {
    for (int c = 0; c < dim; ++c) table.push_back(narrow<S>(static_cast<compute_t<S>>(10 * r + c)));
  }
  return table;
}

template <class X>
token_view<X> rows_of(std::vector<X>& x, index_t dim) {
  return {x.data(), static_cast<index_t>(x.size()) / dim, dim};
}

}  // namespace

TEMPLATE_TEST_CASE("learned: each position adds its row, in any order and again", "[learned]", float, double, bf16,
                   f16) {
  const learned<TestType> table(tens<TestType>(5, 3), 3);
  std::vector<float> x(4 * 3, 100.0F);
  add_to(table, rows_of(x, 3), std::vector<position_t>{4, 0, 2, 4});
  CHECK(x == std::vector<float>{140, 141, 142, 100, 101, 102, 120, 121, 122, 140, 141, 142});
}

TEMPLATE_TEST_CASE("learned: the element type of x may be any, too", "[learned]", double, bf16, f16) {
  const learned<float> table(tens<float>(2, 2), 2);
  std::vector<TestType> x(2 * 2, narrow<TestType>(compute_t<TestType>(1)));
  add_to(table, rows_of(x, 2), positions(0, 2));
  const double expected[] = {1, 2, 11, 12};
  for (std::size_t i = 0; i < 4; ++i) CHECK(widen<double>(x[i]) == expected[i]);
}

TEST_CASE("learned: consecutive positions are a stretch of the table", "[learned]") {
  const learned<float> table(tens<float>(6, 2), 2);
  std::vector<float> dense(3 * 2, 0.0F);
  add_to(table, rows_of(dense, 2), positions(3, 3));
  CHECK(dense == std::vector<float>{30, 31, 40, 41, 50, 51});

  std::vector<float> strided(3 * 4, -1.0F);
  add_to(table, token_view<float>(strided.data(), 3, 2, 4), positions(3, 3));
  CHECK(strided == std::vector<float>{29, 30, -1, -1, 39, 40, -1, -1, 49, 50, -1, -1});
}

TEST_CASE("learned: an offset moves the row of position 0, so that -1 is one, as in OPT", "[learned]") {
  const learned<float> opt(tens<float>(6, 2), 2, {.offset = 2});
  std::vector<float> x(3 * 2, 0.0F);
  add_to(opt, rows_of(x, 2), std::vector<position_t>{-1, 0, 3});
  CHECK(x == std::vector<float>{10, 11, 20, 21, 50, 51});
}

TEST_CASE("learned: a position behind the last row is refused, before anything is written", "[learned]") {
  const learned<float> table(tens<float>(512, 1), 1);
  std::vector<float> x(5, 7.0F);
  CHECK_THROWS_WITH(add_to(table, rows_of(x, 1), std::vector<position_t>{0, 511, 5, 512, 600}),
                    "add_to: positions[3] is 512, expected at most 511");
  CHECK_THROWS_WITH(add_to(table, rows_of(x, 1), positions(509, 5)),
                    "add_to: positions[3] is 512, expected at most 511");
  CHECK_THROWS_WITH(add_to(table, rows_of(x, 1), positions(-1, 5)), "add_to: positions[0] is -1, expected at least 0");
  CHECK_THROWS_AS(add_to(table, rows_of(x, 1), positions(509, 5)), std::out_of_range);
  CHECK(x == std::vector<float>(5, 7.0F));
}

TEST_CASE("learned: the refusal counts the offset", "[learned]") {
  const learned<float> opt(tens<float>(10, 1), 1, {.offset = 2});
  std::vector<float> x(2, 0.0F);
  CHECK_THROWS_WITH(add_to(opt, rows_of(x, 1), std::vector<position_t>{7, 8}),
                    "add_to: positions[1] is 8, expected at most 7");
  CHECK_THROWS_WITH(add_to(opt, rows_of(x, 1), std::vector<position_t>{-2, -3}),
                    "add_to: positions[1] is -3, expected at least -2");
}

TEST_CASE("learned: clamp gives the last row again, and still refuses what is before the first", "[learned]") {
  const learned<float> table(tens<float>(4, 1), 1, {.offset = 1, .beyond = beyond_last_row::clamp});
  std::vector<float> x(4, 0.0F);
  add_to(table, rows_of(x, 1), std::vector<position_t>{0, 2, 3, 2147483647});
  CHECK(x == std::vector<float>{10, 30, 30, 30});

  std::vector<float> range(4, 0.0F);
  add_to(table, rows_of(range, 1), positions(1, 4));
  CHECK(range == std::vector<float>{20, 30, 30, 30});

  CHECK_THROWS_WITH(add_to(table, rows_of(x, 1), std::vector<position_t>{0, 2, -2, 1}),
                    "add_to: positions[2] is -2, expected at least -1");
}

TEST_CASE("learned: a view reads another's memory, where it lies and as it changes", "[learned]") {
  auto memory = tens<bf16>(3, 4);
  const learned_view<bf16> columns(token_view<const bf16>(memory.data() + 1, 3, 2, 4));  // columns 1 and 2
  std::vector<float> x(2, 0.0F);
  add_to(columns, rows_of(x, 2), std::vector<position_t>{2});
  CHECK(x == std::vector<float>{21, 22});
  memory[9] = bf16(-21.0F);
  add_to(columns, rows_of(x, 2), std::vector<position_t>{2});
  CHECK(x == std::vector<float>{0, 44});

  std::vector<float> range(2 * 2, 0.0F);
  add_to(columns, rows_of(range, 2), positions(0, 2));
  CHECK(range == std::vector<float>{1, 2, 11, 12});
}

TEST_CASE("learned: the table moves in, and a copy has its own", "[learned]") {
  auto weights = tens<float>(2, 2);
  const float* const where = weights.data();
  learned<float> table(std::move(weights), 2);
  CHECK(table.parameters().data() == where);
  const learned<float> copy = table;
  table.parameters()[0] = 99;
  CHECK(copy.parameters()[0] == 0);
  CHECK(copy.max_positions() == 2);
}

TEST_CASE("learned: gradients scatter and add, and leave padding_idx out", "[learned]") {
  const std::vector<position_t> ids{2, 0, 2, 1};
  const std::vector<float> upstream{1, 2, 30, 40, 500, 600, 7000, 8000};
  const token_view<const float> view(upstream.data(), 4, 2);
  for (const bool padded : {false, true}) {
    learned_params params;
    if (padded) params.padding_idx = 0;
    const learned<float> table(tens<float>(4, 2), 2, params);
    std::vector<float> gradients(8, 1.0F);  // accumulates
    REQUIRE(hooks::num_parameters(table) == 8);
    hooks::add_to_backward<learned<float>, float>(table, view, ids, gradients);
    const float first = padded ? 1.0F : 31.0F;
    const float second = padded ? 1.0F : 41.0F;
    CHECK(gradients == std::vector<float>{first, second, 7001, 8001, 502, 603, 1, 1});
  }
}

TEST_CASE("learned: the gradient is the adjoint of the addition, in offset and clamped positions as well",
          "[learned]") {
  const std::vector<position_t> ids{-1, 5, 0, 9, 5};
  const std::vector<double> upstream{0.5, -1, 2, 3, -0.25, 4, 1, 1.5, 8, -3};
  const auto numbers = tens<double>(6, 2);
  const learned<double> table(numbers, 2, {.offset = 1, .beyond = beyond_last_row::clamp});

  std::vector<double> added(10, 0.0);
  add_to(table, rows_of(added, 2), ids);
  std::vector<double> gradients(12, 0.0);
  hooks::add_to_backward<learned<double>, double>(table, token_view<const double>(upstream.data(), 5, 2), ids,
                                                  gradients);
  double forward = 0;
  for (std::size_t i = 0; i < 10; ++i) forward += upstream[i] * added[i];
  double backward = 0;
  for (std::size_t i = 0; i < 12; ++i) backward += gradients[i] * numbers[i];
  CHECK(forward == backward);  // exact: all products and sums are
}

TEST_CASE("learned: gradients of 16-bit embeddings add up in float", "[learned]") {
  const learned<bf16> table(tens<bf16>(2, 1), 1);
  const std::vector<bf16> upstream(300, bf16(1.0F));  // bf16 stops counting at 256
  const std::vector<position_t> ids(300, 1);
  std::vector<float> gradients(2, 0.0F);
  hooks::add_to_backward<learned<bf16>, bf16>(table, token_view<const bf16>(upstream.data(), 300, 1), ids, gradients);
  CHECK(gradients == std::vector<float>{0, 300});
}

TEST_CASE("learned: a width or a table that does not fit is refused", "[learned]") {
  std::vector<float> x(4, 7.0F);
  CHECK_THROWS_WITH(add_to(learned<float>(tens<float>(3, 3), 3), rows_of(x, 2), positions(0, 2)),
                    "add_to: dim is 2, expected 3, the width of the table");
  CHECK(x == std::vector<float>(4, 7.0F));
  CHECK_THROWS_WITH(learned<float>(tens<float>(3, 3), 2),
                    "learned: size of the table is 9, expected a multiple of dim, 2");
  CHECK_THROWS_WITH(learned<float>({}, 2), "learned: max_positions is 0, expected at least 1");
  CHECK_THROWS_WITH(learned<float>(tens<float>(3, 3), 0), "learned: dim is 0, expected at least 1");
  CHECK_THROWS_WITH(learned<float>(tens<float>(3, 3), 3, {.padding_idx = 3}),
                    "learned: padding_idx is 3, expected a row of the table, from 0 to 2");
}

TEST_CASE("learned: no tokens are nothing to do", "[learned]") {
  const learned<float> table(tens<float>(3, 3), 3);
  add_to(table, token_view<float>(nullptr, 0, 3), positions(0, 0));
  add_to(table, token_view<float>(nullptr, 0, 3), std::vector<position_t>{});
  hooks::add_to_backward<learned<float>, float>(table, token_view<const float>(nullptr, 0, 3), positions(0, 0), {});
}
