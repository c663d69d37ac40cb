#include <posenc/encodings/learned_grid.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: learned_grid", "[laws]", float, double, bf16, f16) {
  for (const grid_rows form : {grid_rows::sum, grid_rows::side_by_side}) {
    CAPTURE(form == grid_rows::sum);
    const index_t width = form == grid_rows::sum ? 18 : 6;
    const learned_grid<TestType> encoding(random_table<TestType>((70 + 80 + 90) * width),
                                          {.sizes = {70, 80, 90}, .dim = 18, .form = form});
    const law_report report = laws_hold<TestType>(encoding);
    CHECK(ran(report, "add_to: its adjoint matches finite differences"));
    CHECK(ran(report, "add_to: refuses wherever the fault stands, and before anything is written"));
    CHECK(ran(report, "add_to: positions of one axis are the same on all"));
  }
}

TEST_CASE("laws: learned_grid of another type than the embedding", "[laws]") {
  laws_hold<float>(learned_grid<double>(random_table<double>((20 + 21) * 70), {.sizes = {20, 21}, .dim = 70}));
  laws_hold<double>(learned_grid<bf16>(random_table<bf16>((20 + 21) * 70), {.sizes = {20, 21}, .dim = 70}));
}
