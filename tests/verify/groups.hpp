// The checks, one per group of goldens. Each hands in every output of a case that it can compute.
#pragma once

#include "golden_case.hpp"

namespace verify {

void check_sinusoidal(golden_case& one);
void check_learned(golden_case& one);
void check_rope_tables(golden_case& one);
void check_rope_apply(golden_case& one);
void check_alibi(golden_case& one);
void check_score_bias(golden_case& one);
void check_attention(golden_case& one);
void check_exactness(golden_case& one);
void check_int8(golden_case& one);

}  // namespace verify
