#include <posenc/encodings/sinusoidal.hpp>

#include "hold.hpp"

#include <cmath>
#include <limits>
#include <vector>

using namespace posenc;

TEMPLATE_TEST_CASE("laws: sinusoidal", "[laws]", float, double, bf16, f16) {
  const sinusoidal_params forms[] = {
      {.dim = 17},
      {.dim = 17, .layout = sinusoid::half},
      {.dim = 17, .layout = sinusoid::half, .odd = odd_column::one_more, .cos_first = true},
      {.dim = 32, .layout = sinusoid::half, .downscale_freq_shift = 1, .amplitude = 0.5, .offset = 2, .padding_idx = 1},
      {.dim = 130, .base = 500, .position_scale = 0.25}};
  for (const sinusoidal_params& params : forms) {
    CAPTURE(params.dim, params.layout == sinusoid::half);
    const law_report report = laws_hold<TestType>(sinusoidal(params));
    CHECK(ran(report, "add_to: whole real positions agree with integers"));
  }
}

TEMPLATE_TEST_CASE("laws: sinusoidal is defined at every 32-bit position", "[laws]", float, double) {
  constexpr position_t last = std::numeric_limits<position_t>::max();
  const sinusoidal encoding({.dim = 64});
  for (const position_t p : {last, last - 1, -last - 1}) {
    CAPTURE(p);
    std::vector<TestType> row(64);
    add_to(encoding, token_view<TestType>(row.data(), 1, 64), positions(p, 1));
    CHECK(row[0] == static_cast<TestType>(std::sin(static_cast<double>(p))));
    for (std::size_t i = 0; i < row.size(); i += 2) {
      CHECK(std::abs(row[i] * row[i] + row[i + 1] * row[i + 1] - 1) < 4 * std::numeric_limits<TestType>::epsilon());
    }
  }
}
