// Adapts Eigen matrices and 16-bit types to posenc views and elements.
#pragma once

#include <posenc/scalar.hpp>
#include <posenc/view.hpp>

#include <Eigen/Core>

#include <type_traits>

namespace posenc::inline POSENC_ISA {

template <>
struct storage<Eigen::half> {
  static float widen(Eigen::half value) noexcept {
    return detail::f16_to_float(Eigen::numext::bit_cast<std::uint16_t>(value));
  }
  static Eigen::half narrow(float value) noexcept {
    return Eigen::numext::bit_cast<Eigen::half>(detail::float_to_f16(value));
  }
};

template <>
struct storage<Eigen::bfloat16> {
  static float widen(Eigen::bfloat16 value) noexcept {
    return static_cast<float>(Eigen::numext::bit_cast<bf16>(value));
  }
  static Eigen::bfloat16 narrow(float value) noexcept { return Eigen::numext::bit_cast<Eigen::bfloat16>(bf16(value)); }
};

/// A dense, row-major matrix of T with one row per token.
template <class T>
using row_matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

namespace detail {

template <class M>
using matrix_element_t = std::remove_pointer_t<decltype(std::declval<M&>().data())>;

template <class M>
consteval bool has_token_rows() {
  static_assert(std::remove_cvref_t<M>::IsRowMajor,
                "posenc: a matrix must be row-major, so that the columns of a token lie side by side");
  return true;
}

}  // namespace detail

/// Views a row-major matrix, map or block [num_tokens, dim] as embeddings.
template <class M>
auto as_tokens(M&& x) {
  static_assert(detail::has_token_rows<M>());
  require(x.innerStride() == 1, "as_tokens", "inner stride", x.innerStride(), "1");
  return token_view<detail::matrix_element_t<M>>(x.data(), x.rows(), x.cols(), x.outerStride());
}

/// Views a row-major matrix, map or block [num_tokens, num_heads * head_dim] as heads.
template <class M>
auto as_heads(M&& x, index_t num_heads) {
  static_assert(detail::has_token_rows<M>());
  require(x.innerStride() == 1, "as_heads", "inner stride", x.innerStride(), "1");
  require(num_heads >= 1, "as_heads", "num_heads", num_heads, "at least 1");
  require(x.cols() % num_heads == 0, "as_heads", "number of columns", x.cols(), "a multiple of num_heads, #",
          num_heads);
  const index_t head_dim = x.cols() / num_heads;
  return head_view<detail::matrix_element_t<M>>(x.data(), x.rows(), num_heads, head_dim, x.outerStride(), head_dim);
}

}  // namespace posenc::inline POSENC_ISA
