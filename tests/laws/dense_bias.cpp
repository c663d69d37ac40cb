#include <posenc/encodings/dense_bias.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

namespace {

// It counts rows within a call, so a chunk needs a different matrix: first_query.
constexpr law_options by_index{.claims = {.by_index = true}};

}  // namespace

TEMPLATE_TEST_CASE("laws: dense_bias", "[laws]", float, double, bf16, f16) {
  const std::vector<TestType> matrix = random_table<TestType>(3 * 20 * 22);
  laws_hold<TestType>(dense_bias<TestType>(matrix.data(), {.num_heads = 3, .num_queries = 20, .num_keys = 22}),
                      by_index);
  laws_hold<TestType>(dense_bias<TestType>(matrix.data(), {.num_queries = 20, .num_keys = 22}), by_index);
  laws_hold<TestType>(dense_bias<TestType>(matrix.data(), {.num_heads = 3, .num_keys = 22}), by_index);
  laws_hold<TestType>(
      dense_bias<TestType>(
          matrix.data(),
          {.num_queries = 20, .num_keys = 22, .query_stride = 1, .key_stride = 20, .beyond = beyond_last_key::mask}),
      by_index);
}

TEST_CASE("laws: dense_bias that is trained", "[laws]") {
  const std::vector<double> matrix = random_table<double>(2 * 7 * 7);
  const dense_bias<double> encoding(matrix.data(),
                                    {.num_heads = 2, .num_queries = 7, .num_keys = 7, .trainable = true});
  CHECK(lacks(laws_hold<double>(encoding, by_index), "parameters(): gradients of its parameters went unchecked"));
}
