#include <posenc/eigen.hpp>

#include "catch.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

using namespace posenc;

static_assert(scalar<Eigen::half> && scalar<Eigen::bfloat16>);
static_assert(std::is_same_v<compute_t<Eigen::half>, float>);

TEST_CASE("eigen: row-major matrices are embeddings, in place", "[eigen]") {
  row_matrix<float> x = row_matrix<float>::Zero(3, 4);
  const auto view = as_tokens(x);
  static_assert(std::is_same_v<decltype(view), const token_view<float>>);
  CHECK(view.num_tokens == 3);
  CHECK(view.dim == 4);
  view.token(2)[1] = 5;
  CHECK(x(2, 1) == 5);
}

TEST_CASE("eigen: what is const gives a view that does not write", "[eigen]") {
  const row_matrix<double> x = row_matrix<double>::Ones(2, 6);
  static_assert(std::is_same_v<decltype(as_tokens(x)), token_view<const double>>);
  static_assert(std::is_same_v<decltype(as_heads(x, 3)), head_view<const double>>);
  CHECK(as_heads(x, 3).head_dim == 2);
}

TEST_CASE("eigen: blocks and maps keep their strides", "[eigen]") {
  row_matrix<float> packed(4, 12);  // [token, q | k | v]
  for (index_t i = 0; i < packed.size(); ++i) packed.data()[i] = static_cast<float>(i);
  const auto keys = as_heads(packed.middleCols(4, 4), 2);
  CHECK(keys.num_tokens == 4);
  CHECK(keys.num_heads == 2);
  CHECK(keys.head_dim == 2);
  CHECK(keys.row(3, 1)[0] == 3 * 12 + 4 + 2);
  const Eigen::Map<row_matrix<float>, 0, Eigen::OuterStride<>> every_other(packed.data(), 2, 3,
                                                                           Eigen::OuterStride<>(24));
  CHECK(as_tokens(every_other).token(1)[2] == 26);
  Eigen::RowVectorXf row = Eigen::RowVectorXf::Constant(6, 2.0F);
  CHECK(as_tokens(row).num_tokens == 1);
}

TEST_CASE("eigen: no rows and no columns are views of nothing", "[eigen]") {
  row_matrix<float> none(0, 4);
  CHECK(as_tokens(none).num_tokens == 0);
  CHECK(as_heads(none, 2).head_dim == 2);
  row_matrix<float> narrow(3, 0);
  CHECK(as_heads(narrow, 2).head_dim == 0);
}

TEST_CASE("eigen: errors name what does not fit", "[eigen]") {
  row_matrix<float> x(2, 6);
  CHECK_THROWS_WITH(as_heads(x, 0), "as_heads: num_heads is 0, expected at least 1");
  CHECK_THROWS_WITH(as_heads(x, 4), "as_heads: number of columns is 6, expected a multiple of num_heads, 4");
  using strided = Eigen::Map<row_matrix<float>, 0, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>>;
  const strided gaps(x.data(), 2, 3, Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>(6, 2));
  CHECK_THROWS_WITH(as_tokens(gaps), "as_tokens: inner stride is 2, expected 1");
  CHECK_THROWS_WITH(as_heads(gaps, 1), "as_heads: inner stride is 2, expected 1");
}

TEST_CASE("eigen: Eigen's 16-bit types widen and narrow as posenc's own", "[eigen]") {
  for (std::uint32_t i = 0; i < 0x10000U; ++i) {
    const auto bits = static_cast<std::uint16_t>(i);
    const auto half = Eigen::numext::bit_cast<Eigen::half>(bits);
    const auto brain = Eigen::numext::bit_cast<Eigen::bfloat16>(bits);
    if (std::isnan(static_cast<float>(half)) || std::isnan(static_cast<float>(brain))) continue;
    if (widen<float>(half) == static_cast<float>(half) && widen<double>(brain) == static_cast<double>(brain)) continue;
    CAPTURE(bits);
    REQUIRE(widen<float>(half) == static_cast<float>(half));
    REQUIRE(widen<double>(brain) == static_cast<double>(brain));
  }
  for (const double value : {1 + 0x1p-11 + 0x1p-40, 1 + 0x1p-8 + 0x1p-40, 0.1, 65519.9, 65520.0, 1e-40, -3e38}) {
    CAPTURE(value);
    CHECK(Eigen::numext::bit_cast<std::uint16_t>(narrow<Eigen::half>(value)) == f16(value).bits);
    CHECK(Eigen::numext::bit_cast<std::uint16_t>(narrow<Eigen::bfloat16>(value)) == bf16(value).bits);
  }
}
