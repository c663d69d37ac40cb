// Encodings that act on scores: T5's buckets and biases and KERPLE's here, CoPE in its own file.
#include "bias_matrix.hpp"
#include "cope.hpp"
#include "groups.hpp"
#include "heads.hpp"
#include "t5_parameters.hpp"

#include <posenc/encodings/kerple.hpp>

#include <limits>
#include <string>

namespace verify {

namespace {

// relative_position is key minus query, posenc's distance query minus key: the least one has no negative in 32 bits, and
// shares its bucket with the next.
position_t distance_of(position_t relative) {
  return relative == std::numeric_limits<position_t>::min() ? std::numeric_limits<position_t>::max() : -relative;
}

void give_buckets(golden_case& one) {
  const posenc::t5_params params = t5_params_of(one);
  const posenc::t5_bias<double> encoding(std::vector<double>(static_cast<std::size_t>(params.num_buckets)), params);
  std::vector<position_t> buckets;
  for (const position_t relative : ids_of(one.input("relative_position"))) {
    buckets.push_back(static_cast<position_t>(encoding.bucket(distance_of(relative))));
  }
  one.give_integers("bucket", buckets);
}

template <posenc::real T>
void give_bias(golden_case& one) {
  const posenc::t5_bias<T> encoding(values_as<T>(one.input("table")), t5_params_of(one));
  const tensor& want = one.wanted("bias");
  const std::vector<position_t> queries = counting_from(one.count("past", 0), want.dim(1));
  one.give("bias", bias_matrix<T>(encoding, want.dim(0), queries, counting_from(0, want.dim(2))));
}

void give_kerple_bias(golden_case& one) {
  const std::string kind = one.text("kind", "");
  if (kind != "log" && kind != "power") throw not_known("the kernel " + kind + " does not exist");
  const std::vector<double> r1 = values_as<double>(one.input("r1"));
  const std::vector<double> r2 = values_as<double>(one.input("r2"));
  const posenc::kerple<double> encoding(kind == "log" ? posenc::kerple_kernel::log : posenc::kerple_kernel::power, r1,
                                        r2);
  const tensor& want = one.wanted("bias_exact");
  one.give("bias_exact",
           bias_matrix<double>(encoding, want.dim(0), counting_from(0, want.dim(1)), counting_from(0, want.dim(2))));
}

}  // namespace

void check_score_bias(golden_case& one) {
  if (one.encoding() == "cope") return check_cope(one);
  if (one.encoding() == "kerple") return give_kerple_bias(one);
  if (one.encoding() != "t5") throw not_known("the encoding " + one.encoding() + " does not exist yet");
  if (one.has("relative_position")) give_buckets(one);
  if (!one.wants("bias")) return;
  give_bias<float>(one);
  give_bias<double>(one);
}

}  // namespace verify
