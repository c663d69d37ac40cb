#include "t5_parameters.hpp"

namespace verify {

posenc::t5_params t5_params_of(const golden_case& one) {
  const index_t num_rows = one.has("table") ? one.input("table").dim(0) : 32;
  return {.num_buckets = one.count("num_buckets", num_rows),
          .max_distance = one.count("max_distance", 128),
          .bidirectional = one.flag("bidirectional", true)};
}

}  // namespace verify
