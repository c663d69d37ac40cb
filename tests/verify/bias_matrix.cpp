#include "bias_matrix.hpp"

namespace verify {

bool consecutive(std::span<const position_t> ids) {
  for (std::size_t i = 1; i < ids.size(); ++i) {
    if (ids[i] != ids[i - 1] + 1) return false;
  }
  return true;
}

}  // namespace verify
