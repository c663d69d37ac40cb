// Correctly rounded cos and sin, up to position 2^31 - 1. posenc promises a little more than half an ulp, so a result
// may be the other neighbor of the true value, one ulp from the correctly rounded one: such misses are counted and
// shown.
#include "groups.hpp"

#include "../ulp.hpp"

#include <posenc/angles/cos_sin.hpp>

#include <stdexcept>

namespace verify {

namespace {

// Frequencies that are given are exact as they are; else they are the real powers of theta.
posenc::frequencies frequencies_of(const golden_case& one) {
  if (one.has("inv_freq")) return posenc::frequencies(one.input("inv_freq").values);
  const index_t num_pairs = one.count("rotary_dim") / 2;
  return posenc::geometric_frequencies(one.number("rope_theta"), num_pairs, static_cast<double>(num_pairs));
}

// The frequency of each element: its own where each has one, else the one that its index names.
std::vector<index_t> pairs_of(const golden_case& one, const posenc::frequencies& list, index_t num_elements) {
  std::vector<index_t> pairs;
  if (one.has("inv_freq") && list.size() == num_elements) {
    for (index_t i = 0; i < num_elements; ++i) pairs.push_back(i);
    return pairs;
  }
  for (const position_t pair : ids_of(one.input("frequency_index", {num_elements}))) {
    if (pair < 0 || pair >= list.size()) throw std::runtime_error("there is no frequency " + std::to_string(pair));
    pairs.push_back(pair);
  }
  return pairs;
}

template <posenc::real T>
void count_misses(golden_case& one, const std::string& role, const std::vector<T>& got) {
  const tensor* want = one.judge_by_hand(role);
  if (want == nullptr) return;
  if (want->size() != std::ssize(got)) throw std::runtime_error(role + " has another size than position");
  std::vector<double> ulps;
  index_t misses = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    ulps.push_back(static_cast<double>(ulp_distance(got[i], static_cast<T>(want->values[i]))));
    if (ulps.back() != 0) ++misses;
  }
  one.found().compare(role + ", in ulps", ulps, {"F64", want->shape, std::vector<double>(ulps.size(), 0.0)},
                      {.abs = 1});
  one.found().remark(role + ": " + std::to_string(misses) + " of " + std::to_string(got.size()) +
                     " not correctly rounded");
}

template <posenc::real T>
void check_in(golden_case& one, const std::string& precision) {
  const std::vector<position_t> at = ids_of(one.input("position"));
  const posenc::frequencies list = frequencies_of(one);
  const std::vector<index_t> pairs = pairs_of(one, list, std::ssize(at));
  std::vector<T> cos(at.size());
  std::vector<T> sin(at.size());
  std::vector<T> inv_freq(at.size());
  for (std::size_t i = 0; i < at.size(); ++i) {
    posenc::cos_sin(list, &at[i], pairs[i], 1, &cos[i], &sin[i]);
    inv_freq[i] = static_cast<T>(list.inv_freq(pairs[i]));
  }
  count_misses(one, "cos_" + precision, cos);
  count_misses(one, "sin_" + precision, sin);
  count_misses(one, "inv_freq_" + precision, inv_freq);
}

}  // namespace

void check_exactness(golden_case& one) {
  check_in<float>(one, "f32");
  check_in<double>(one, "f64");
}

}  // namespace verify
