// The matrix registers of Intel AMX: eight, each of sixteen rows of 64 bytes.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/isa.hpp>

#if defined(POSENC_BF16_TILES)

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>

namespace posenc::inline POSENC_ISA::kernels::matrix_registers {

inline constexpr index_t num_rows = 16;
inline constexpr index_t row_bytes = 64;

namespace detail {

inline bool ask_for_permission() noexcept {
  constexpr int request_permission = 0x1023, tile_data = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  return syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
}

enum class answer : signed char { unknown, no, yes };
inline std::atomic<answer> permission{answer::unknown};

}  // namespace detail

/// Whether the machine has them and Linux lets this process use them, for which it has to be asked. The answer is
/// cached.
inline bool permitted() noexcept {
  detail::answer known = detail::permission.load(std::memory_order_relaxed);
  if (known == detail::answer::unknown) {
    known = detail::ask_for_permission() ? detail::answer::yes : detail::answer::no;
    detail::permission.store(known, std::memory_order_relaxed);
  }
  return known == detail::answer::yes;
}

/// Configures the registers of this thread, at full size, for the lifetime of the object. A caller's own configuration
/// is not restored: the ABI lets a callee change it.
class in_use {
 public:
  explicit in_use(bool wanted) noexcept : wanted_(wanted) {
    if (!wanted_) return;
    struct {
      std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
      std::uint16_t bytes_a_row[16] = {};
      std::uint8_t rows[16] = {};
    } layout;
    for (int i = 0; i < 8; ++i) {
      layout.bytes_a_row[i] = static_cast<std::uint16_t>(row_bytes);
      layout.rows[i] = static_cast<std::uint8_t>(num_rows);
    }
    asm volatile("ldtilecfg %0" : : "m"(layout));
  }
  ~in_use() {
    if (wanted_) asm volatile("tilerelease");
  }
  in_use(const in_use&) = delete;
  in_use& operator=(const in_use&) = delete;

 private:
  bool wanted_;
};

// Assembly, because the intrinsics of GCC 12 do not declare that they read and write memory.

/// Rows are `stride` bytes apart.
template <int Register>
[[gnu::always_inline]] inline void load(const void* from, index_t stride) noexcept {
  asm volatile("{tileloadd\t(%0,%1,1), %%tmm%c2|tileloadd\t%%tmm%c2, [%0+%1*1]}"
               :
               : "r"(from), "r"(stride), "i"(Register)
               : "memory");
}
template <int Register>
[[gnu::always_inline]] inline void store(void* to, index_t stride) noexcept {
  asm volatile("{tilestored\t%%tmm%c2, (%0,%1,1)|tilestored\t[%0+%1*1], %%tmm%c2}"
               :
               : "r"(to), "r"(stride), "i"(Register)
               : "memory");
}
template <int Register>
[[gnu::always_inline]] inline void clear() noexcept {
  asm volatile("tilezero\t%%tmm%c0" : : "i"(Register));
}
/// Sum[i][j] += sum over k of A[i][2 k] * B[k][2 j] + A[i][2 k + 1] * B[k][2 j + 1], of bf16, in float.
template <int Sum, int A, int B>
[[gnu::always_inline]] inline void multiply_pairs() noexcept {
  asm volatile("{tdpbf16ps\t%%tmm%c2, %%tmm%c1, %%tmm%c0|tdpbf16ps\t%%tmm%c0, %%tmm%c1, %%tmm%c2}"
               :
               : "i"(Sum), "i"(A), "i"(B));
}

}  // namespace posenc::inline POSENC_ISA::kernels::matrix_registers

#endif
