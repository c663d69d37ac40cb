// Frequencies, attention factors, and tables of cosines and sines, for every recipe.
#include "groups.hpp"
#include "heads.hpp"
#include "rope_parameters.hpp"

#include <cmath>

namespace verify {

namespace {

// |angle| of each element, by the golden's own frequencies and not by those under test.
std::vector<double> radians_of(const golden_case& one, std::span<const position_t> at) {
  std::vector<double> radians;
  for (const char* role : {"inv_freq_exact", "inv_freq_f32"}) {
    const tensor* inv_freq = one.find(role);
    if (inv_freq == nullptr) continue;
    for (const position_t position : at) {
      for (const double frequency : inv_freq->values) radians.push_back(std::abs(position * frequency));
    }
    break;
  }
  return radians;
}

template <posenc::real T>
void check_in(golden_case& one, const posenc::rope& rotary) {
  const posenc::frequencies& list = rotary.inv_freq();
  std::vector<T> inv_freq;
  for (index_t pair = 0; pair < list.size(); ++pair) inv_freq.push_back(static_cast<T>(list.inv_freq(pair)));
  one.give("inv_freq", inv_freq);
  one.give("attention_factor", std::vector<T>{static_cast<T>(list.attention_factor())});
  if (!one.has("position_ids")) return;

  const std::vector<position_t> at = ids_of(one.input("position_ids"));
  std::vector<T> cos(at.size() * inv_freq.size());
  std::vector<T> sin(cos.size());
  posenc::fill_cos_sin(rotary, at, posenc::cos_sin_rows<T>(cos.data(), sin.data(), std::ssize(at), list.size()));
  std::vector<double> radians = radians_of(one, at);
  if (radians.size() != cos.size()) radians.clear();
  one.give("cos", cos, radians);
  one.give("sin", sin, radians);
}

}  // namespace

void check_rope_tables(golden_case& one) {
  if (one.encoding() != "rope") throw not_known("the encoding " + one.encoding() + " does not exist yet");
  const posenc::rope rotary(posenc::pairing::half,
                            rope_frequencies(one, one.count("head_dim", one.count("rotary_dim", 0))));
  check_in<float>(one, rotary);
  check_in<double>(one, rotary);
}

}  // namespace verify
