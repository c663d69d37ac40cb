#include <posenc/encodings/shaw.hpp>

#include "catch.hpp"
#include "content_tile.hpp"

#include <vector>

using namespace posenc;

TEST_CASE("shaw: rows count from the furthest key before the query to the furthest after it", "[shaw]") {
  const shaw<float> encoding(std::vector<float>(7), {.left_max = 4, .right_max = 2, .head_dim = 1});
  std::vector<index_t> rows;
  for (position_t distance = 6; distance >= -4; --distance) rows.push_back(encoding.row(distance));
  CHECK(rows == std::vector<index_t>{0, 0, 0, 1, 2, 3, 4, 5, 6, 6, 6});
  CHECK(encoding.row(std::numeric_limits<position_t>::max()) == 0);
  CHECK(encoding.row(std::numeric_limits<position_t>::min() + 1) == 6);
}

TEMPLATE_TEST_CASE("shaw: adds the product of query and row, in every form of a tile", "[shaw]", float, double) {
  for (const index_t num_tables : {1, 2}) {
    const shaw<TestType> encoding(random_values(3).list<TestType>(num_tables * 16 * 19),
                                  {.left_max = 10, .right_max = 5, .head_dim = 19, .num_tables = num_tables});
    const TestType* table = encoding.parameters().data() + (num_tables - 1) * 16 * 19;  // of head 1
    CHECK(adds_to_every_tile<TestType>(encoding, 19, [&](const auto& block, index_t q, index_t k) {
      return block.product_of_query(q, table + encoding.row(block.tile.distance(q, k)) * 19);
    }));
  }
}

TEST_CASE("shaw: another width and heads without a table are found before attention starts", "[shaw]") {
  const shaw<float> encoding(std::vector<float>(2 * 3 * 4),
                             {.left_max = 1, .right_max = 1, .head_dim = 4, .num_tables = 2});
  const positions none(0, 0);
  CHECK_FALSE(encoding.check_scores({.num_heads = 2, .head_dim = 4}, none, none));
  CHECK(encoding.check_scores({.num_heads = 2, .head_dim = 8}, none, none).message() ==
        "attend: head_dim is 8, expected 4, the width of the table");
  CHECK(encoding.check_scores({.num_heads = 3, .head_dim = 4}, none, none).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("shaw: the error names argument, value and rule", "[shaw]") {
  CHECK_THROWS_WITH(shaw<float>({}, {.left_max = -1, .head_dim = 1}),
                    "shaw: left_max is -1, expected at least 0 and below 2^31");
  CHECK_THROWS_WITH(shaw<float>({}, {.right_max = -1, .head_dim = 1}),
                    "shaw: right_max is -1, expected at least 0 and below 2^31");
  CHECK_THROWS_WITH(shaw<float>({}, {}), "shaw: head_dim is 0, expected at least 1");
  CHECK_THROWS_WITH(shaw<float>({}, {.head_dim = 1, .num_tables = 0}), "shaw: num_tables is 0, expected at least 1");
  CHECK_THROWS_WITH(shaw<float>({1, 2}, {.left_max = 1, .right_max = 1, .head_dim = 2}),
                    "shaw: size of the table is 2, expected 6");
}
