// T5's buckets from the parameters of a case.
#pragma once

#include "golden_case.hpp"

#include <posenc/encodings/t5_bias.hpp>

namespace verify {

posenc::t5_params t5_params_of(const golden_case& one);

}  // namespace verify
