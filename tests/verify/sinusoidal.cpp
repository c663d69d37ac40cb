// Sinusoidal tables at integer positions, and diffusion timesteps at real ones.
#include "grids.hpp"
#include "groups.hpp"
#include "heads.hpp"
#include "sinusoidal_parameters.hpp"

#include <cmath>

namespace verify {

namespace {

using posenc::sinusoid;
using posenc::sinusoidal;
using posenc::sinusoidal_params;

// |angle| of each element, from the formula and not from the library under test.
std::vector<double> radians_of(const sinusoidal_params& params, std::span<const double> at) {
  const bool zero_column = params.layout == sinusoid::half && params.odd == posenc::odd_column::zero;
  const index_t columns = zero_column ? params.dim - params.dim % 2 : params.dim;
  const index_t num_pairs = (columns + 1) / 2;
  const double denominator = static_cast<double>(columns) / 2 - params.downscale_freq_shift;
  std::vector<double> radians;
  for (const double position : at) {
    for (index_t column = 0; column < params.dim; ++column) {
      const index_t pair = params.layout == sinusoid::half ? column % num_pairs : column / 2;
      const double frequency = pair == 0 ? 1 : std::pow(params.base, -static_cast<double>(pair) / denominator);
      radians.push_back(std::abs((position + params.offset) * params.position_scale * frequency));
    }
  }
  return radians;
}

// Both ways to the table: written, and added to nothing.
template <posenc::real T, class P>
void give_table(golden_case& one, const sinusoidal& encoding, const P& at, std::span<const double> radians) {
  std::vector<T> filled(static_cast<std::size_t>(at.size() * encoding.dim()));
  encoding.fill(posenc::token_view<T>(filled.data(), at.size(), encoding.dim()), at);
  std::vector<T> added(filled.size(), T(0));
  add_to(encoding, posenc::token_view<T>(added.data(), at.size(), encoding.dim()), at);
  for (const char* stem : {"exact", "table", "output"}) {
    one.give(stem, filled, radians);
    one.give(stem, added, radians);
  }
}

index_t width(const golden_case& one) {
  for (const char* stem : {"exact", "table", "output"}) {
    if (one.wants(stem)) return one.wanted(stem).dim(-1);
  }
  throw not_known("none of its outputs is known here");
}

template <class P>
void give_tables(golden_case& one, const P& at) {
  const sinusoidal encoding(sinusoidal_params_of(one, width(one)));
  std::vector<double> values;
  for (index_t t = 0; t < at.size(); ++t) values.push_back(static_cast<double>(at[t]));
  const std::vector<double> radians = radians_of(encoding.params(), values);
  give_table<float>(one, encoding, at, radians);
  give_table<double>(one, encoding, at, radians);
}

}  // namespace

void check_sinusoidal(golden_case& one) {
  if (one.encoding() == "sinusoidal timestep") {
    const std::vector<double>& timesteps = one.input("timesteps").values;
    return give_tables(one, posenc::real_positions(timesteps));
  }
  if (one.encoding() == "sinusoidal 2D" || one.encoding() == "sinusoidal 3D") return check_sinusoidal_grid(one);
  if (one.encoding() != "sinusoidal") throw not_known("the encoding " + one.encoding() + " does not exist yet");
  for (const char* role : {"position_ids", "rows"}) {
    if (!one.has(role)) continue;
    const std::vector<position_t> ids = ids_of(one.input(role));
    return give_tables(one, posenc::positions(ids));
  }
  const auto shape = one.parameter("shape").get<std::vector<index_t>>();
  if (shape.size() != 1) throw not_known("a line of " + std::to_string(shape.size()) + " sizes");
  give_tables(one, posenc::positions(0, shape.front()));
}

}  // namespace verify
