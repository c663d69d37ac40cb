#include "limits.hpp"

#include "memory.hpp"

#include <posenc/kernels/matrix_registers.hpp>
#include <posenc/kernels/vectors.hpp>

#include <cmath>
#include <cstring>

namespace posenc_bench {

namespace {

using vector = posenc::kernels::vector<float>;
constexpr std::size_t lanes = posenc::kernels::lanes<float>;

void keep(const void* memory) { asm volatile("" : : "g"(memory) : "memory"); }

}  // namespace

void copy(const void* from, void* to, std::size_t bytes) { std::memcpy(to, from, bytes); }

void scale(float* x, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] *= -1.0F;  // keeps the values' size, however often
}

void triad(float* __restrict x, const float* __restrict y, const float* __restrict z, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] = y[i] + 3.0F * z[i];
}

void add(float* __restrict x, const float* __restrict y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) x[i] += y[i];
}

float sum(const float* x, std::size_t count) {
  constexpr std::size_t at_once = 8;  // sums of their own, so that the latency of addition does not count
  vector sums[at_once] = {};
  for (std::size_t i = 0; i + at_once * lanes <= count; i += at_once * lanes) {
    for (std::size_t j = 0; j < at_once; ++j) sums[j] += posenc::kernels::load<vector>(x + i + j * lanes);
  }
  vector total{};
  for (const vector& part : sums) total += part;
  keep(&total);
  return total[0];
}

constexpr int num_chains = 12;  // a latency of four cycles at two a cycle, and more

// A function of vectors: Clang, told to prefer narrower ones, splits those of a function that takes and returns none.
vector next(vector x) { return x * 0.999F + 0.001F; }

// No chain starts at the fixed point of its map, where a compiler could fold it.
[[gnu::noinline]] void multiply_add(int rounds) {
  vector chains[num_chains];
  for (int c = 0; c < num_chains; ++c) {
    for (std::size_t l = 0; l < lanes; ++l) chains[c][l] = static_cast<float>(2 + c + 13 * static_cast<int>(l));
  }
  for (int i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int c = 0; c < num_chains; ++c) chains[c] = next(chains[c]);
  }
  keep(chains);
}

double multiply_add_flops(int rounds) { return 2.0 * num_chains * static_cast<double>(lanes) * rounds; }

#if defined(POSENC_BF16_TILES)

namespace registers = posenc::kernels::matrix_registers;

bool has_matrix_unit() { return registers::permitted(); }

// Four sums of two operands each, as attention has them. The clock may be lower than without the unit: a run is long
// enough to be at the pace that it keeps.
[[gnu::noinline]] void multiply_matrices(int rounds) {
  constexpr std::size_t size = registers::num_rows * registers::row_bytes / sizeof(posenc::bf16);
  static const pages<posenc::bf16> operands(4 * size);
  const registers::in_use whole(true);
  registers::load<4>(operands.data(), registers::row_bytes);
  registers::load<5>(operands.data() + size, registers::row_bytes);
  registers::load<6>(operands.data() + 2 * size, registers::row_bytes);
  registers::load<7>(operands.data() + 3 * size, registers::row_bytes);
  registers::clear<0>();
  registers::clear<1>();
  registers::clear<2>();
  registers::clear<3>();
  for (int i = 0; i < rounds; ++i) {
    registers::multiply_pairs<0, 4, 6>();
    registers::multiply_pairs<1, 4, 7>();
    registers::multiply_pairs<2, 5, 6>();
    registers::multiply_pairs<3, 5, 7>();
  }
}

double multiply_matrices_flops(int rounds) {
  constexpr double columns = registers::row_bytes / 4, products = registers::row_bytes / 2;
  return 4 * 2.0 * registers::num_rows * columns * products * rounds;
}

#else

bool has_matrix_unit() { return false; }
void multiply_matrices(int /*rounds*/) {}
double multiply_matrices_flops(int /*rounds*/) { return 0; }

#endif

void exponentials(const float* x, float* y, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) y[i] = std::exp(x[i]);
}

void cosines_and_sines(const float* x, float* cos, float* sin, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) {
    cos[i] = std::cos(x[i]);
    sin[i] = std::sin(x[i]);
  }
}

}  // namespace posenc_bench
