#include <posenc/kernels/change_pairing.hpp>

#include "catch.hpp"

#include <numeric>
#include <vector>

using namespace posenc;

TEST_CASE("change_pairing: columns side by side become halves, head by head, and back", "[change_pairing]") {
  const std::vector<float> interleaved{0, 1, 10, 11, 20, 21, -1, -1, 30, 31, 40, 41, 50, 51, -1, -1};
  const std::vector<float> halves{0, 10, 20, 1, 11, 21, -1, -1, 30, 40, 50, 31, 41, 51, -1, -1};
  auto x = interleaved;
  kernels::change_pairing(x.data(), 2, 8, pairing::interleaved, 3);
  CHECK(x == halves);
  kernels::change_pairing(x.data(), 2, 8, pairing::half, 3);
  CHECK(x == interleaved);
}

TEMPLATE_TEST_CASE("change_pairing: there and back is nothing, up to the widest slice", "[change_pairing]", float,
                   double, bf16, f16) {
  for (const index_t num_pairs : {index_t{0}, index_t{1}, index_t{33}, kernels::max_moved_pairs}) {
    std::vector<double> counting(static_cast<std::size_t>(2 * num_pairs));
    std::iota(counting.begin(), counting.end(), -100.0);
    std::vector<TestType> x;
    for (const double value : counting) x.push_back(narrow<TestType>(value));
    const auto widened = [&x] {
      std::vector<double> values;
      for (const TestType value : x) values.push_back(widen<double>(value));
      return values;
    };
    const auto before = widened();
    kernels::change_pairing(x.data(), 1, 0, pairing::half, num_pairs);
    CHECK((num_pairs <= 1) == (widened() == before));
    kernels::change_pairing(x.data(), 1, 0, pairing::interleaved, num_pairs);
    CHECK(widened() == before);
  }
}
