// Encodings of grids: sinusoids of several axes, and rotations whose pairs rotate with one axis each.
#pragma once

#include "golden_case.hpp"

namespace verify {

/// "sinusoidal 2D", "sinusoidal 3D".
void check_sinusoidal_grid(golden_case& one);

/// "axial rope", "axial rope 3D".
void check_axial_rope(golden_case& one);

/// "xpos".
void check_xpos(golden_case& one);

}  // namespace verify
