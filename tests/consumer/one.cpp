// The first of two units that both include everything.
#include "layer.hpp"

#include <cstdio>

double run_layer_in_two();

int main() {
  const double expected = 2.393706205792883;  // in double, with NumPy
  const double one = run_layer();
  const double two = run_layer_in_two();
  std::printf("one %.9g, two %.9g, expected %.9g\n", one, two, expected);
  return std::abs(one - expected) < 1e-5 && std::abs(two - expected) < 1e-5 ? 0 : 1;
}
