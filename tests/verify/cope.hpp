// CoPE: contextual positions, the bias by them, and its gradients.
#pragma once

#include "golden_case.hpp"

namespace verify {

void check_cope(golden_case& one);

}  // namespace verify
