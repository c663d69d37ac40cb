// Transposes sixteen vectors of sixteen lanes in registers.
#pragma once

#include <posenc/isa.hpp>
#include <posenc/kernels/vectors.hpp>  // zip_low, zip_high

#if defined(__AVX512F__)

namespace posenc::inline POSENC_ISA::kernels {

/// block[j][i] = block[i][j]: four perfect shuffles of sixteen rows and their lanes make a transposition.
template <class V>
[[gnu::always_inline]] inline void transpose_square(V (&block)[16]) noexcept {
  V zipped[16];
#pragma GCC unroll 4
  for (int stage = 0; stage < 4; ++stage) {
#pragma GCC unroll 8
    for (int i = 0; i < 8; ++i) {
      zipped[2 * i] = zip_low(block[i], block[i + 8]);
      zipped[2 * i + 1] = zip_high(block[i], block[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) block[i] = zipped[i];
  }
}

}  // namespace posenc::inline POSENC_ISA::kernels

#endif
