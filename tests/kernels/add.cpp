#include <posenc/kernels/add.hpp>

#include "catch.hpp"

#include <array>
#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

// Small integers, which every element type holds and adds exactly.
template <class S>
std::vector<S> counted(int count, int first) {
  std::vector<S> values;
  for (int i = 0; i < count; ++i) values.push_back(narrow<S>(static_cast<compute_t<S>>(first + i)));
  return values;
}

template <class S>
int whole(S value) {
  return static_cast<int>(widen<double>(value));
}

}  // namespace

TEMPLATE_TEST_CASE("add: a row is added element by element, whatever its length", "[add]", float, double, bf16, f16) {
  for (int count = 0; count < 40; ++count) {
    auto x = counted<TestType>(count + 1, 10);  // one more, which stays
    const auto row = counted<TestType>(count + 1, 100);
    kernels::add(x.data(), row.data(), count);
    for (int i = 0; i < count; ++i) CHECK(whole(x.data()[i]) == 110 + 2 * i);
    CHECK(whole(x.data()[count]) == 10 + count);
  }
}

TEMPLATE_TEST_CASE("add: a sum in 16 bits is rounded once, from float", "[add]", bf16, f16) {
  // In the row's own 16 bits the small part would be lost, and the tie would go down.
  const float half_a_step = std::is_same_v<TestType, bf16> ? 0x1p-8F : 0x1p-11F;
  std::vector<float> row;
  for (int i = 0; i < 13; ++i) row.insert(row.end(), {half_a_step, half_a_step + 0x1p-20F, 3 * half_a_step});
  std::vector<TestType> x(39, TestType(1.0F));
  kernels::add(x.data(), row.data(), 39);
  for (std::size_t i = 0; i < 39; i += 3) {
    CHECK(widen<float>(x[i]) == 1.0F);
    CHECK(widen<float>(x[i + 1]) == 1.0F + 2 * half_a_step);
    CHECK(widen<float>(x[i + 2]) == 1.0F + 4 * half_a_step);
  }
}

TEST_CASE("add: a narrow row is widened to the type of a wide x", "[add]") {
  std::array<double, 2> x{0x1p-40, 1.0};
  const std::array<float, 2> row{1.0F, 0x1p-30F};
  kernels::add(x.data(), row.data(), 2);
  CHECK(x[0] == 1.0 + 0x1p-40);
  CHECK(x[1] == 1.0 + 0x1p-30);
}

TEST_CASE("add_rows: what lies between the rows stays as it is", "[add]") {
  const auto rows = counted<float>(3 * 7, 0);
  std::vector<float> x(3 * 5, 1000);
  kernels::add_rows(x.data(), 5, rows.data(), 7, 3, 4);
  for (int r = 0; r < 3; ++r) {
    for (int i = 0; i < 5; ++i)
      CHECK(x.data()[r * 5 + i] == (i < 4 ? 1000.0F + static_cast<float>(r * 7 + i) : 1000.0F));
  }
}

TEST_CASE("add_rows: rows without gaps, and one row for all", "[add]") {
  const auto rows = counted<float>(12, 0);
  std::vector<float> dense(12, 1);
  kernels::add_rows(dense.data(), 4, rows.data(), 4, 3, 4);
  CHECK(dense == counted<float>(12, 1));

  std::vector<float> same(12, 1);
  kernels::add_rows(same.data(), 4, rows.data(), 0, 3, 4);
  for (int i = 0; i < 12; ++i) CHECK(same.data()[i] == static_cast<float>(1 + i % 4));
}

TEMPLATE_TEST_CASE("add_transposed: rows are added to columns, whatever the shape", "[add]", float, double, bf16, f16) {
  using T = compute_t<TestType>;
  constexpr int sizes[] = {0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 19, 32, 35};
  for (const int num_rows : sizes) {
    for (const int count : sizes) {
      const auto rows = counted<TestType>(num_rows * 37 + 1, 0);
      std::vector<T> x(static_cast<std::size_t>(count * 38 + 1), T(5));
      kernels::add_transposed(x.data(), 38, rows.data(), 37, num_rows, count);
      CAPTURE(num_rows, count);
      bool right = true;
      for (int i = 0; i < count; ++i) {
        for (int r = 0; r < 38; ++r) {
          const T added = r < num_rows ? widen<T>(rows.data()[r * 37 + i]) : T(0);
          right = right && x.data()[i * 38 + r] == T(5) + added;
        }
      }
      CHECK(right);
    }
  }
}
