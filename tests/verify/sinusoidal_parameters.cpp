#include "sinusoidal_parameters.hpp"

namespace verify {

namespace {

// The first name of a parameter that the case uses.
double named(const golden_case& one, std::initializer_list<const char*> names, double otherwise) {
  for (const char* name : names) {
    if (one.has_parameter(name)) return one.number(name);
  }
  return otherwise;
}

posenc::sinusoid layout_of(const golden_case& one) {
  // Timesteps name no layout: it is always halves.
  const std::string layout = one.text("layout", one.encoding() == "sinusoidal timestep" ? "half" : "interleaved");
  if (layout == "half") return posenc::sinusoid::half;
  if (layout == "interleaved") return posenc::sinusoid::interleaved;
  throw not_known("the layout " + layout + " is not known here");
}

}  // namespace

posenc::sinusoidal_params sinusoidal_params_of(const golden_case& one, index_t dim) {
  posenc::sinusoidal_params params;
  params.dim = static_cast<index_t>(named(one, {"d_model", "embedding_dim", "dim"}, static_cast<double>(dim)));
  params.layout = layout_of(one);
  params.base = named(one, {"base", "max_timescale", "max_period"}, 10000);
  // Where halves do not say what they divide by, they are tensor2tensor's.
  params.downscale_freq_shift = one.number("downscale_freq_shift", params.layout == posenc::sinusoid::half ? 1.0 : 0.0);
  // In attention `scale` is that of the scores.
  if (one.encoding() == "sinusoidal timestep") params.position_scale = one.number("scale", 1);
  params.cos_first = one.flag("flip_sin_to_cos", false);
  params.offset = static_cast<position_t>(one.count("offset", 0));
  if (one.has_parameter("padding_idx")) params.padding_idx = static_cast<position_t>(one.count("padding_idx"));
  // Odd widths differ from project to project, and no parameter says so.
  if (one.mentions("marian") || one.mentions("ceil(d/2) sines")) params.odd = posenc::odd_column::one_more;
  if (one.mentions("next even size") && params.dim % 2 == 1) params.downscale_freq_shift -= 0.5;
  return params;
}

}  // namespace verify
