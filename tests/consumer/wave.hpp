// Numbers of ordinary size, the same in every unit.
#pragma once

#include <posenc/error.hpp>  // index_t

#include <cmath>
#include <cstddef>
#include <vector>

static std::vector<float> wave(posenc::index_t size, double step) {
  std::vector<float> x(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(std::sin(step * static_cast<double>(i)));
  return x;
}
