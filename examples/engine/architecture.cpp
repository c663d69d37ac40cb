#include "architecture.hpp"

namespace engine {

std::span<const architecture> known_architectures() {
  static const architecture all[] = {bert(), bloom(), gpt2(), gpt_neox(), gptj(), llama(), xglm()};
  return all;
}

}  // namespace engine
