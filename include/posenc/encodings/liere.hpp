// Rotary positions from learned generators, which rotate blocks of columns, not pairs (LieRE).
#pragma once

#include <posenc/encode.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

struct liere_params {
  index_t num_axes = 2;
  index_t num_blocks = 1;  // per head; the columns after them are unchanged
  index_t block_dim = 0;   // columns of a block
};

namespace detail {

/// A square matrix of at most 2 * 32 rows, on the stack.
template <index_t Max>
struct small_matrix {
  index_t size = 0;
  double values[static_cast<std::size_t>(Max * Max)];

  explicit small_matrix(index_t n) noexcept : size(n) { std::fill_n(values, n * n, 0.0); }
  double& at(index_t i, index_t j) noexcept { return values[i * size + j]; }
  double at(index_t i, index_t j) const noexcept { return values[i * size + j]; }
};

/// out = a * b
template <index_t Max>
void multiply(const small_matrix<Max>& a, const small_matrix<Max>& b, small_matrix<Max>& out) noexcept {
  const index_t n = a.size;
  std::fill_n(out.values, n * n, 0.0);
  for (index_t i = 0; i < n; ++i) {
    for (index_t k = 0; k < n; ++k) {
      for (index_t j = 0; j < n; ++j) out.at(i, j) += a.at(i, k) * b.at(k, j);
    }
  }
}

/// The exponential, in place: halved until it is small, a Taylor polynomial by Horner's rule, then squared again. Terms
/// after the sixteenth are below 2^-60 for a matrix of norm 1/2.
template <index_t Max>
void exponentiate(small_matrix<Max>& x) noexcept {
  const index_t n = x.size;
  double norm = 0;
  for (index_t i = 0; i < n; ++i) {
    double row = 0;
    for (index_t j = 0; j < n; ++j) row += std::abs(x.at(i, j));
    norm = std::max(norm, row);
  }
  int halvings = 0;
  for (; norm > 0.5 && halvings < 60; norm /= 2) ++halvings;
  const double scale = std::ldexp(1.0, -halvings);
  for (index_t i = 0; i < n * n; ++i) x.values[i] *= scale;

  small_matrix<Max> sum(n), product(n);
  for (index_t i = 0; i < n; ++i) sum.at(i, i) = 1;
  for (int term = 16; term > 0; --term) {
    multiply(x, sum, product);
    for (index_t i = 0; i < n * n; ++i) sum.values[i] = product.values[i] / term;
    for (index_t i = 0; i < n; ++i) sum.at(i, i) += 1;
  }
  for (; halvings > 0; --halvings) {
    multiply(sum, sum, product);
    std::swap(sum, product);
  }
  x = sum;
}

}  // namespace detail

/// Rotates blocks of columns by the exponential of a learned combination of the coordinates. If the generators commute,
/// scores depend only on the offset between two tokens; otherwise they nearly do.
///
///     y = exp(p[0] A[0] + p[1] A[1] + ...) x        A[a] skew-symmetric, its upper triangle learned, for each block
///
/// Acts on    queries and keys, in place: columns [0, num_blocks * block_dim) of each head, all heads alike.
/// Positions  any 32-bit, and real ones, on num_axes axes.
/// Storage    num_axes * num_blocks * block_dim (block_dim - 1) / 2 numbers; 100 KiB of stack for a gradient.
/// Errors     num_axes outside 1 to 8, num_blocks below 1, block_dim outside 2 to 32, a wrong number of generators or
///            one that is not finite: invalid_argument; check_rotate reports a head that is too narrow.
/// Accuracy   the exponential in double, within 2^-50 times the norm of its argument; then sums of block_dim products
///            in double, one rounding. It costs about 20 products of block_dim^3 per token and block.
/// Gradient   of the generators, [num_axes, num_blocks, upper triangle row by row], and of what is rotated.
/// Source     Ostmeier et al. 2024, arXiv:2406.10322; StanfordMIMI/LieRE.
template <real T>
class liere {
 public:
  using scalar_type = T;
  static constexpr index_t max_axes = 8;
  static constexpr index_t max_block_dim = 32;

  liere(std::vector<T> generators, const liere_params& params) : params_(params), generators_(std::move(generators)) {
    require(params.num_axes >= 1 && params.num_axes <= max_axes, "liere", "num_axes", params.num_axes, "from 1 to #",
            max_axes);
    require(params.num_blocks >= 1, "liere", "num_blocks", params.num_blocks, "at least 1");
    require(params.block_dim >= 2 && params.block_dim <= max_block_dim, "liere", "block_dim", params.block_dim,
            "from 2 to #", max_block_dim);
    const index_t expected = params.num_axes * params.num_blocks * triangle();
    require(std::ssize(generators_) == expected, "liere", "number of generators", std::ssize(generators_),
            "#, an upper triangle for each axis and block", expected);
    for (index_t i = 0; i < expected; ++i) {
      const T value = generators_[static_cast<std::size_t>(i)];
      if (!std::isfinite(value)) raise(problem::invalid("liere", "generators", value, "finite").at(i));
    }
  }

  const liere_params& params() const noexcept { return params_; }
  index_t num_position_axes() const noexcept { return params_.num_axes; }

  template <element S, token_positions P>
  void apply_to_queries(head_view<S> x, const P& p) const noexcept {
    turn(x, p, 1);
  }
  template <element S, token_positions P>
  void apply_to_keys(head_view<S> x, const P& p) const noexcept {
    turn(x, p, 1);
  }

  template <token_positions P>
  problem check_rotate(const head_shape& shape, const P&) const noexcept {
    const index_t width = params_.num_blocks * params_.block_dim;
    if (shape.head_dim >= width) return {};
    return problem::invalid("rotate", "head_dim", shape.head_dim, "at least #, the columns of the blocks", width);
  }

  std::span<T> parameters() noexcept { return generators_; }
  std::span<const T> parameters() const noexcept { return generators_; }

  template <element S>
  void apply_to_queries_backward(head_view<const S> x, head_view<S> gradients, const positions& p,
                                 std::span<compute_t<S>> parameter_gradients) const noexcept {
    turn_back(x, gradients, p, parameter_gradients);
  }
  template <element S>
  void apply_to_keys_backward(head_view<const S> x, head_view<S> gradients, const positions& p,
                              std::span<compute_t<S>> parameter_gradients) const noexcept {
    turn_back(x, gradients, p, parameter_gradients);
  }

 private:
  template <index_t Max>
  using matrix = detail::small_matrix<Max>;

  index_t triangle() const noexcept { return params_.block_dim * (params_.block_dim - 1) / 2; }
  std::size_t first_of(index_t axis, index_t block) const noexcept {
    return static_cast<std::size_t>((axis * params_.num_blocks + block) * triangle());
  }

  /// Adds sign * (p[0] A[0] + ...) to the upper left of `out`.
  template <index_t Max, token_positions P>
  void combine_generators(const P& p, index_t token, index_t block, double sign, matrix<Max>& out) const noexcept {
    for (index_t axis = 0; axis < params_.num_axes; ++axis) {
      const double coordinate = sign * static_cast<double>(p.at(axis, token));
      const T* upper = generators_.data() + first_of(axis, block);
      for (index_t i = 0; i < params_.block_dim; ++i) {
        for (index_t j = i + 1; j < params_.block_dim; ++j) {
          const double value = coordinate * static_cast<double>(*upper++);
          out.at(i, j) += value;
          out.at(j, i) -= value;
        }
      }
    }
  }

  template <element S, token_positions P>
  void turn(head_view<S> x, const P& p, double sign) const noexcept {
    const index_t n = params_.block_dim;
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t block = 0; block < params_.num_blocks; ++block) {
        matrix<max_block_dim> rotation(n);
        combine_generators(p, t, block, sign, rotation);
        detail::exponentiate(rotation);
        for (index_t h = 0; h < x.num_heads; ++h) multiply_row(rotation, x.row(t, h) + block * n);
      }
    }
  }

  template <element S>
  static void multiply_row(const matrix<max_block_dim>& rotation, S* row) noexcept {
    double before[max_block_dim];
    for (index_t j = 0; j < rotation.size; ++j) before[j] = widen<double>(row[j]);
    for (index_t i = 0; i < rotation.size; ++i) {
      double sum = 0;
      for (index_t j = 0; j < rotation.size; ++j) sum += rotation.at(i, j) * before[j];
      row[i] = narrow<S>(static_cast<compute_t<S>>(sum));
    }
  }

  // With X the combination and G = sum over heads of dy x^T, dL/dX is the upper right block of
  // exp([[X^T, G], [0, X^T]]) (Higham 2008, Functions of Matrices, section 3.2); X^T is -X.
  template <element S>
  void turn_back(head_view<const S> x, head_view<S> gradients, const positions& p,
                 std::span<compute_t<S>> parameter_gradients) const noexcept {
    using U = compute_t<S>;
    const index_t n = params_.block_dim;
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t block = 0; block < params_.num_blocks; ++block) {
        matrix<2 * max_block_dim> both(2 * n);
        combine_generators(p, t, block, -1, both);
        for (index_t i = 0; i < n; ++i) {
          for (index_t j = 0; j < n; ++j) {
            both.at(n + i, n + j) = both.at(i, j);
            for (index_t h = 0; h < x.num_heads; ++h) {
              both.at(i, n + j) +=
                  widen<double>(gradients.row(t, h)[block * n + i]) * widen<double>(x.row(t, h)[block * n + j]);
            }
          }
        }
        detail::exponentiate(both);
        for (index_t axis = 0; axis < params_.num_axes; ++axis) {
          U* out = parameter_gradients.data() + first_of(axis, block);
          for (index_t i = 0; i < n; ++i) {
            for (index_t j = i + 1; j < n; ++j) {
              *out++ += static_cast<U>(p.at(axis, t) * (both.at(i, n + j) - both.at(j, n + i)));
            }
          }
        }
      }
    }
    turn(gradients, p, -1);
  }

  liere_params params_;
  std::vector<T> generators_;  // [num_axes, num_blocks, upper triangle]
};

static_assert(query_key_encoding<liere<float>, float> && real_query_key_encoding<liere<double>, double>);

}  // namespace posenc::inline POSENC_ISA
