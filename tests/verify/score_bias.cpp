// Encodings that act on scores: those by position alone are here, the others in their own files.
#include "score_bias.hpp"
#include "bias_matrix.hpp"
#include "groups.hpp"
#include "heads.hpp"
#include "t5_parameters.hpp"

#include <posenc/encodings/fire.hpp>
#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/sandwich.hpp>

#include <limits>
#include <map>
#include <string>

namespace verify {

namespace {

// relative_position is key minus query, posenc's distance query minus key: the least one has no negative in 32 bits,
// and shares its bucket with the next.
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
void give_t5_bias(golden_case& one) {
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

template <posenc::real T>
void give_fire_bias(golden_case& one) {
  const std::vector<T> w1 = values_as<T>(one.input("w1")), b1 = values_as<T>(one.input("b1"));
  const std::vector<T> w2 = values_as<T>(one.input("w2")), b2 = values_as<T>(one.input("b2"));
  posenc::fire_params<T> params;
  params.num_heads = one.input("w2").dim(0);
  params.mlp_width = one.input("w2").dim(1);
  params.w1 = w1;
  params.b1 = b1;
  params.w2 = w2;
  params.b2 = b2;
  params.c = static_cast<T>(one.number("c"));
  params.threshold_factor = static_cast<T>(one.number("L_multiplier", 1));
  params.threshold = one.number("L");
  params.eps = one.number("eps", 0);
  const tensor& want = one.wanted("bias");
  one.give("bias", bias_matrix<T>(posenc::fire<T>(params), want.dim(0), counting_from(0, want.dim(1)),
                                  counting_from(0, want.dim(2))));
}

template <posenc::real T>
void give_sandwich_bias(golden_case& one) {
  const tensor& want = one.wanted("bias");
  const posenc::sandwich encoding(
      {.num_heads = want.dim(0), .dim = one.count("bar_d", 128), .base = one.number("base", 10000)});
  one.give("bias", bias_matrix<T>(encoding, want.dim(0), counting_from(0, want.dim(1)), counting_from(0, want.dim(2))));
}

void check_t5(golden_case& one) {
  if (one.has("relative_position")) give_buckets(one);
  if (!one.wants("bias")) return;
  give_t5_bias<float>(one);
  give_t5_bias<double>(one);
}

template <void (*InFloat)(golden_case&), void (*InDouble)(golden_case&)>
void in_both(golden_case& one) {
  InFloat(one);
  InDouble(one);
}

const std::map<std::string, void (*)(golden_case&)> checks{
    {"cope", check_cope},
    {"deberta", check_deberta},
    {"fire", in_both<give_fire_bias<float>, give_fire_bias<double>>},
    {"kerple", give_kerple_bias},
    {"sandwich", in_both<give_sandwich_bias<float>, give_sandwich_bias<double>>},
    {"shaw relative keys", check_shaw},
    {"swin", check_window},
    {"swin v2", check_swin_v2},
    {"t5", check_t5},
    {"transformer-xl", check_transformer_xl}};

}  // namespace

void check_score_bias(golden_case& one) {
  const auto check = checks.find(one.encoding());
  if (check == checks.end()) throw not_known("the encoding " + one.encoding() + " does not exist yet");
  check->second(one);
}

}  // namespace verify
