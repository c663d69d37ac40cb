// Rotary encodings from the parameters of a case, spelled as in model configurations.
#pragma once

#include "golden_case.hpp"

#include <posenc/encodings/rope.hpp>

namespace verify {

/// Frequencies of a head: `rope_parameters` or plain `rope_theta`, `rotary_dim`, `mrope_section`.
posenc::frequencies rope_frequencies(const golden_case& one, index_t head_dim);

/// `layout`: "half" or "interleaved".
posenc::pairing rope_pairing(const golden_case& one);

/// With `output_layout`, the pairing that the rotation writes, if given.
posenc::rope rope_of(const golden_case& one, index_t head_dim);

}  // namespace verify
