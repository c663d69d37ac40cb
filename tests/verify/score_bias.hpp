// The checks of encodings that act on scores, one per encoding.
#pragma once

#include "golden_case.hpp"

namespace verify {

void check_cope(golden_case& one);
void check_deberta(golden_case& one);
void check_shaw(golden_case& one);
void check_swin_v2(golden_case& one);
void check_transformer_xl(golden_case& one);
void check_window(golden_case& one);

}  // namespace verify
