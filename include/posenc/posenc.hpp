// Positional encodings for transformers: everything but what needs Eigen (posenc/eigen.hpp, posenc/attention/reference.hpp,
// posenc/attention/self_attention.hpp) and the laws (posenc/testing/laws.hpp).
#pragma once

// The interface: what an encoding is, on what it acts, where tokens stand.
#include <posenc/concepts.hpp>
#include <posenc/encode.hpp>
#include <posenc/error.hpp>
#include <posenc/parallel.hpp>
#include <posenc/positions.hpp>
#include <posenc/scalar.hpp>
#include <posenc/version.hpp>
#include <posenc/view.hpp>

// The encodings, and the recipes that stretch rotary ones.
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/dense_bias.hpp>
#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/mrope.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/sinusoidal.hpp>
#include <posenc/encodings/t5_bias.hpp>
#include <posenc/scaling/default.hpp>
#include <posenc/scaling/dynamic_ntk.hpp>
#include <posenc/scaling/linear.hpp>
#include <posenc/scaling/llama3.hpp>
#include <posenc/scaling/longrope.hpp>
#include <posenc/scaling/ntk.hpp>
#include <posenc/scaling/ntk_by_parts.hpp>
#include <posenc/scaling/proportional.hpp>
#include <posenc/scaling/yarn.hpp>

// Attention under any of them.
#include <posenc/attention/attend.hpp>
#include <posenc/attention/attention.hpp>
#include <posenc/attention/key_source.hpp>
#include <posenc/attention/merge.hpp>
