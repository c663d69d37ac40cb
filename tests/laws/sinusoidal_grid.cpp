#include <posenc/encodings/sinusoidal_grid.hpp>

#include "hold.hpp"

using namespace posenc;

TEMPLATE_TEST_CASE("laws: sinusoidal_grid", "[laws]", float, double, bf16, f16) {
  const sinusoidal_grid_params forms[] = {{.dim = 17},
                                          {.dim = 12, .num_axes = 3},
                                          {.dim = 24, .layout = grid_sinusoid::halves, .amplitude = 0.5},
                                          {.dim = 32, .layout = grid_sinusoid::sines_first, .base = 100}};
  for (const sinusoidal_grid_params& params : forms) {
    CAPTURE(params.dim, params.num_axes);
    laws_hold<TestType>(sinusoidal_grid(params));
  }
}
