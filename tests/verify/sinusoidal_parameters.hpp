// Sinusoidal encodings from the parameters of a case, under all names that projects use for them.
#pragma once

#include "golden_case.hpp"

#include <posenc/encodings/sinusoidal.hpp>

namespace verify {

/// `dim`: the width, if the case does not name it.
posenc::sinusoidal_params sinusoidal_params_of(const golden_case& one, index_t dim);

}  // namespace verify
