// Random numbers for the laws, reproducible from the seed on every machine.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/scalar.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// SplitMix64. The standard library's distributions would differ between implementations.
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t bits() noexcept {
    std::uint64_t z = state_ += 0x9e3779b97f4a7c15U;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
    return z ^ (z >> 31);
  }
  /// In [-1, 1).
  double real() noexcept { return static_cast<double>(static_cast<std::int64_t>(bits()) >> 11) * 0x1p-52; }
  /// In [0, end).
  index_t below(index_t end) noexcept { return static_cast<index_t>(bits() % static_cast<std::uint64_t>(end)); }

 private:
  std::uint64_t state_;
};

template <class V>
auto& at(V& values, index_t i) noexcept {
  return values[static_cast<std::size_t>(i)];
}

template <scalar S>
std::vector<S> random_values(index_t count, random_numbers& random) {
  std::vector<S> values;
  for (index_t i = 0; i < count; ++i) values.push_back(narrow<S>(random.real()));
  return values;
}

/// The same values as elements of another type.
template <scalar To, scalar From>
std::vector<To> converted(const std::vector<From>& values) {
  std::vector<To> other;
  for (const From value : values) other.push_back(narrow<To>(widen<double>(value)));
  return other;
}

/// 0 to count - 1, permuted, but neither ascending nor descending, which would keep all distances. count >= 3.
inline std::vector<index_t> random_order(index_t count, random_numbers& random) {
  std::vector<index_t> order;
  for (index_t i = 0; i < count; ++i) order.push_back(i);
  for (index_t i = count - 1; i > 0; --i) std::swap(at(order, i), at(order, random.below(i + 1)));
  const auto keeps_distances = [&] {
    for (index_t i = 2; i < count; ++i) {
      if (at(order, i) - at(order, i - 1) != at(order, 1) - at(order, 0)) return false;
    }
    return true;
  };
  if (keeps_distances()) std::swap(at(order, 0), at(order, 1));
  return order;
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
