#include <posenc/encodings/learned.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("laws: learned", "[laws]", float, double, bf16, f16) {
  const learned<TestType> table(random_table<TestType>(100 * 17), 17);
  const law_report report = laws_hold<TestType>(table);
  CHECK(ran(report, "add_to: refuses wherever the fault stands, and before anything is written"));
  CHECK(ran(report, "add_to: its adjoint matches finite differences"));
}

TEST_CASE("laws: learned with an offset, clamped, with a row that is not trained, of another type, as a view",
          "[laws]") {
  laws_hold<float>(learned<float>(random_table<float>(70 * 5), 5, {.offset = 2}));
  laws_hold<float>(learned<float>(random_table<float>(20 * 5), 5, {.beyond = beyond_last_row::clamp}));
  laws_hold<float>(learned<double>(random_table<double>(20 * 5), 5));
  laws_hold<double>(learned<bf16>(random_table<bf16>(20 * 5), 5));
  laws_hold<float>(learned<float>(random_table<float>(3 * 5), 5));

  const std::vector<f16> file = random_table<f16>(40 * 8);
  const law_report report = laws_hold<bf16>(learned_view<f16>(token_view<const f16>(file.data(), 40, 7, 8)));
  CHECK(lacks(report, "parameters(): gradients of its parameters went unchecked"));
}

TEST_CASE("laws: learned refuses its first missing row by argument, value and rule, and writes nothing", "[laws]") {
  const learned<float> table(random_table<float>(512 * 4), 4);
  std::vector<float> x(2 * 4, 7.0F);
  const std::vector<position_t> ids{511, 512};
  CHECK_THROWS_WITH(add_to(table, token_view<float>(x.data(), 2, 4), ids),
                    "add_to: positions[1] is 512, expected at most 511");
  CHECK(x == std::vector<float>(2 * 4, 7.0F));
}
