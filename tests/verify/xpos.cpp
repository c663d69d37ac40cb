// Rotations that scale with position: queries, keys, and the scores, in which the center cancels.
#include "grids.hpp"
#include "heads.hpp"
#include "rope_parameters.hpp"

#include <posenc/encodings/xpos.hpp>

namespace verify {

namespace {

template <posenc::real T>
std::vector<T> rotated(golden_case& one, const std::string& name, const posenc::xpos& encoding) {
  const tensor& x = one.input(name);
  std::vector<T> turned = values_as<T>(x);
  const index_t num_tokens = x.dim(-2);
  const auto heads = posenc::head_major(turned.data(), x.size() / (num_tokens * x.dim(-1)), num_tokens, x.dim(-1));
  const posenc::positions at(0, num_tokens);
  if (name == "k")
    apply_to_keys(encoding, heads, at);
  else
    apply_to_queries(encoding, heads, at);
  one.give(name + "_rotated", turned);
  return turned;
}

template <posenc::real T>
void check_in(golden_case& one) {
  const index_t head_dim = one.count("head_dim");
  const posenc::xpos encoding(rope_of(one, head_dim), {.scale_base = one.number("scale_base"),
                                                       .centre = static_cast<position_t>(one.count("scale_centre"))});
  const std::vector<T> q = rotated<T>(one, "q", encoding);
  const std::vector<T> k = rotated<T>(one, "k", encoding);
  if (!one.wants("scores")) return;
  const index_t num_tokens = one.input("q").dim(-2);
  std::vector<T> scores;
  for (index_t h = 0; h < std::ssize(q) / (num_tokens * head_dim); ++h) {
    for (index_t i = 0; i < num_tokens; ++i) {
      for (index_t j = 0; j < num_tokens; ++j) {
        double sum = 0;
        for (index_t d = 0; d < head_dim; ++d) {
          sum += static_cast<double>(q[static_cast<std::size_t>((h * num_tokens + i) * head_dim + d)]) *
                 static_cast<double>(k[static_cast<std::size_t>((h * num_tokens + j) * head_dim + d)]);
        }
        scores.push_back(static_cast<T>(sum));
      }
    }
  }
  one.give("scores", scores);
}

}  // namespace

void check_xpos(golden_case& one) {
  check_in<float>(one);
  check_in<double>(one);
}

}  // namespace verify
