#include "activation.hpp"

#include <cmath>
#include <numbers>

namespace engine {

namespace {

// x times the cumulative normal distribution at x.
void gelu(matrix& x) {
  x = x.unaryExpr([](float t) { return 0.5f * t * (1 + std::erf(t * (std::numbers::sqrt2_v<float> / 2))); });
}

// The same with a tanh in place of erf: Hendrycks and Gimpel's approximation, used by GPT-2.
void gelu_tanh(matrix& x) {
  constexpr float sqrt_2_over_pi = 0.797884560802865356f;
  const auto t = x.array();
  x = 0.5f * t * (1 + (sqrt_2_over_pi * (t + 0.044715f * t.cube())).tanh());
}

void silu(matrix& x) { x = x.array() / (1 + (-x.array()).exp()); }

void relu(matrix& x) { x = x.array().max(0.0f); }

struct named_activation {
  std::string_view name;
  activation apply;
};
constexpr named_activation known_activations[] = {
    {"gelu", gelu}, {"gelu_new", gelu_tanh}, {"gelu_fast", gelu_tanh}, {"gelu_pytorch_tanh", gelu_tanh},
    {"silu", silu}, {"swish", silu},         {"relu", relu},
};

}  // namespace

activation find_activation(std::string_view name) {
  for (const named_activation& known : known_activations) {
    if (known.name == name) return known.apply;
  }
  return nullptr;
}

}  // namespace engine
