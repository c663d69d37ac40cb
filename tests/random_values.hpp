// Seeded random numbers, and heads filled with them: the same on every machine and standard library.
#pragma once

#include <posenc/view.hpp>

#include <cstdint>
#include <random>
#include <vector>

class random_values {
 public:
  explicit random_values(unsigned seed) : seed_(seed), bits_(seed) {}

  /// For tests to print: CAPTURE(random.seed()).
  unsigned seed() const { return seed_; }
  std::uint32_t bits() { return static_cast<std::uint32_t>(bits_()); }
  /// In [least, largest].
  posenc::index_t whole(posenc::index_t least, posenc::index_t largest) {
    const auto count = static_cast<std::uint64_t>(largest - least) + 1;
    return least + static_cast<posenc::index_t>((std::uint64_t{bits()} << 32 | bits()) % count);
  }
  /// In [least, largest), all of its bits random.
  double real(double least = -1, double largest = 1) {
    const auto fraction = static_cast<double>((std::uint64_t{bits()} << 21) ^ bits()) * 0x1p-53;
    return least + (largest - least) * fraction;
  }
  bool coin() { return (bits() & 1U) != 0; }
  template <class List>
  auto one_of(const List& list) {
    return *(std::begin(list) + whole(0, static_cast<posenc::index_t>(std::size(list)) - 1));
  }

  template <posenc::scalar S>
  std::vector<S> list(posenc::index_t count, double least = -1, double largest = 1) {
    std::vector<S> values;
    for (posenc::index_t i = 0; i < count; ++i) values.push_back(posenc::narrow<S>(real(least, largest)));
    return values;
  }

 private:
  unsigned seed_;
  std::mt19937 bits_;
};

/// Heads of tokens with their own memory, dense and token-major.
template <posenc::scalar S>
struct owned_heads {
  owned_heads(posenc::index_t tokens, posenc::index_t heads, posenc::index_t columns, S value = S(0.0F))
      : values(static_cast<std::size_t>(tokens * heads * columns), value),
        num_tokens(tokens),
        num_heads(heads),
        head_dim(columns) {}
  owned_heads(random_values& random, posenc::index_t tokens, posenc::index_t heads, posenc::index_t columns)
      : owned_heads(tokens, heads, columns) {
    values = random.list<S>(tokens * heads * columns);
  }

  posenc::head_view<S> view() { return {values.data(), num_tokens, num_heads, head_dim}; }
  posenc::head_view<const S> view() const { return {values.data(), num_tokens, num_heads, head_dim}; }

  std::vector<S> values;
  posenc::index_t num_tokens, num_heads, head_dim;
};
