#include <posenc/encodings/window_bias.hpp>

#include "catch.hpp"

#include <utility>
#include <vector>

using namespace posenc;

namespace {

// Rows 0, 1, 2, ... of one column a head: 100 more in the second.
std::vector<float> numbered(index_t num_offsets) {
  std::vector<float> table;
  for (index_t o = 0; o < num_offsets; ++o) {
    table.push_back(static_cast<float>(o));
    table.push_back(static_cast<float>(1000 + o));
  }
  return table;
}

}  // namespace

TEST_CASE("window_bias: rows of the table are offsets of rows and columns", "[window_bias]") {
  for (const auto& [height, width] : {std::pair{1, 1}, std::pair{2, 3}, std::pair{5, 2}, std::pair{4, 4}}) {
    CAPTURE(height, width);
    const patch_window window{.height = height, .width = width};
    const window_bias<float> encoding(numbered(window.num_offsets()), window);
    for (position_t q = 0; q < height * width; ++q) {
      for (position_t k = 0; k < height * width; ++k) {
        const int dy = q / width - k / width, dx = q % width - k % width;
        const int offset = (dy + height - 1) * (2 * width - 1) + dx + width - 1;
        CHECK(encoding.bias(0, q, k) == static_cast<float>(offset));
        CHECK(encoding.bias(1, q, k) == static_cast<float>(1000 + offset));
      }
    }
  }
}

TEST_CASE("window_bias: a class token has the last three rows, and moves the patches by one", "[window_bias]") {
  const patch_window patches{.height = 2, .width = 3}, all{.height = 2, .width = 3, .class_token = true};
  CHECK(all.num_tokens() == 7);
  CHECK(all.num_offsets() == 18);
  const window_bias<float> without(numbered(15), patches), with(numbered(18), all);
  CHECK(with.bias(0, 0, 0) == 17);
  for (position_t p = 1; p < 7; ++p) {
    CHECK(with.bias(0, 0, p) == 15);
    CHECK(with.bias(0, p, 0) == 16);
    for (position_t r = 1; r < 7; ++r) CHECK(with.bias(0, p, r) == without.bias(0, p - 1, r - 1));
  }
}

TEST_CASE("window_bias: positions outside the window are found before attention starts", "[window_bias]") {
  const window_bias<float> encoding(numbered(15), {.height = 2, .width = 3});
  const std::vector<position_t> outside{0, 5, 6}, negative{-1, 0, 1};
  CHECK_FALSE(encoding.check_scores({.num_heads = 2}, positions(0, 6), positions(0, 6)));
  CHECK(encoding.check_scores({.num_heads = 2}, outside, positions(0, 6)).message() ==
        "attend: queries: positions[2] is 6, expected at most 5, the last of the window");
  CHECK(encoding.check_scores({.num_heads = 2}, positions(0, 6), negative).message() ==
        "attend: keys: positions[0] is -1, expected at least 0");
  CHECK(encoding.check_scores({.num_heads = 3}, positions(0, 6), positions(0, 6)).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("window_bias: the error names argument, value and rule", "[window_bias]") {
  CHECK_THROWS_WITH(window_bias<float>({1}, {.height = 0, .width = 1}),
                    "window: height is 0, expected at least 1 and below 2^30");
  CHECK_THROWS_WITH(window_bias<float>({1}, {.height = 1, .width = -3}),
                    "window: width is -3, expected at least 1 and below 2^30");
  CHECK_THROWS_WITH(window_bias<float>({1}, {.height = 1 << 20, .width = 1 << 20}),
                    "window: number of tokens is 1099511627776, expected below 2^29");
  CHECK_THROWS_WITH(window_bias<float>({1, 2, 3, 4}, {.height = 1, .width = 2}),
                    "window_bias: size of the table is 4, expected a multiple of num_offsets, 3");
  CHECK_THROWS_WITH(window_bias<float>({}, {.height = 1, .width = 2}),
                    "window_bias: size of the table is 0, expected a multiple of num_offsets, 3");
}
