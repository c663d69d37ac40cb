// How position encodings affect real models: the README's first command.
//
//     run_demo TESTS_DATA MINILM
#include "sections.hpp"

#include <cstdio>
#include <exception>
#include <filesystem>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: run_demo TESTS_DATA MINILM\n");
    return 1;
  }
  try {
    const bool words = demo::word_order(argv[2]);
    const bool models = demo::models_against_goldens(std::filesystem::path(argv[1]) / "models");
    const bool lengths = demo::extrapolation();
    return words && models && lengths ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "run_demo: %s\n", error.what());
    return 1;
  }
}
