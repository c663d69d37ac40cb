// Includes all of posenc except what needs Eigen (posenc/eigen.hpp, posenc/attention/reference.hpp,
// posenc/attention/self_attention.hpp) and the laws (posenc/testing/laws.hpp).
#pragma once

// The interface: encodings, views, positions, errors.
#include <posenc/concepts.hpp>
#include <posenc/encode.hpp>
#include <posenc/error.hpp>
#include <posenc/grid.hpp>
#include <posenc/parallel.hpp>
#include <posenc/position_lists.hpp>
#include <posenc/positions.hpp>
#include <posenc/quantize.hpp>
#include <posenc/quantized_view.hpp>
#include <posenc/scalar.hpp>
#include <posenc/version.hpp>
#include <posenc/view.hpp>
#include <posenc/window.hpp>

// The encodings, and the recipes that scale rotary ones.
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/deberta.hpp>
#include <posenc/encodings/dense_bias.hpp>
#include <posenc/encodings/falcon_alibi.hpp>
#include <posenc/encodings/fire.hpp>
#include <posenc/encodings/fope.hpp>
#include <posenc/encodings/forgetting.hpp>
#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/learned_grid.hpp>
#include <posenc/encodings/liere.hpp>
#include <posenc/encodings/llama4_temperature.hpp>
#include <posenc/encodings/log_n_scaling.hpp>
#include <posenc/encodings/mixed_rope.hpp>
#include <posenc/encodings/mlp_bias.hpp>
#include <posenc/encodings/mrope.hpp>
#include <posenc/encodings/resample.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/rope_cache.hpp>
#include <posenc/encodings/rope_layout.hpp>
#include <posenc/encodings/rope_to.hpp>
#include <posenc/encodings/sandwich.hpp>
#include <posenc/encodings/scaled_sinusoidal.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/shaw.hpp>
#include <posenc/encodings/sinusoidal.hpp>
#include <posenc/encodings/sinusoidal_grid.hpp>
#include <posenc/encodings/swin_v2_bias.hpp>
#include <posenc/encodings/t5_bias.hpp>
#include <posenc/encodings/tabulated.hpp>
#include <posenc/encodings/transformer_xl.hpp>
#include <posenc/encodings/two_sided_alibi.hpp>
#include <posenc/encodings/window_bias.hpp>
#include <posenc/encodings/xpos.hpp>
#include <posenc/scaling/axial.hpp>
#include <posenc/scaling/default.hpp>
#include <posenc/scaling/dynamic_ntk.hpp>
#include <posenc/scaling/linear.hpp>
#include <posenc/scaling/llama3.hpp>
#include <posenc/scaling/longrope.hpp>
#include <posenc/scaling/ntk.hpp>
#include <posenc/scaling/ntk_by_parts.hpp>
#include <posenc/scaling/proportional.hpp>
#include <posenc/scaling/resonance.hpp>
#include <posenc/scaling/yarn.hpp>

// Attention with any of them.
#include <posenc/attention/attend.hpp>
#include <posenc/attention/attention.hpp>
#include <posenc/attention/backward.hpp>
#include <posenc/attention/key_source.hpp>
#include <posenc/attention/merge.hpp>
#include <posenc/attention/ragged.hpp>
#include <posenc/attention/remapped.hpp>
