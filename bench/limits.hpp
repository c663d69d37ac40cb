// What the machine allows: plain passes over memory, and multiply-adds in registers.
#pragma once

#include <cstddef>

namespace posenc_bench {

void copy(const void* from, void* to, std::size_t bytes);                 // memcpy
void scale(float* x, std::size_t count);                                  // x *= a
void triad(float* x, const float* y, const float* z, std::size_t count);  // x = y + a z
void add(float* x, const float* y, std::size_t count);                    // x += y
float sum(const float* x, std::size_t count);                             // reads only

/// Float multiply-adds in independent chains, as many as cover their latency.
void multiply_add(int rounds);
double multiply_add_flops(int rounds);

/// Multiply-adds of bf16 by the matrix unit, as many as its registers hold sums of. Call them only where there is one
/// that we were compiled for and may use.
bool has_matrix_unit();
void multiply_matrices(int rounds);
double multiply_matrices_flops(int rounds);

/// Exponentials and sines of `count` floats as the compiler's library computes them, one by one.
void exponentials(const float* x, float* y, std::size_t count);
void cosines_and_sines(const float* x, float* cos, float* sin, std::size_t count);

}  // namespace posenc_bench
