// Parts that are near misses of encodings, and gradients that do not exist.
#include <posenc/attention/reference.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/rope.hpp>

#include <vector>

using namespace posenc;

struct decay {
#if POSENC_MISUSE == 1
  // expect: this encoding has a member bias that cannot be called as it must be
  double bias(int, position_t distance) const noexcept { return -0.5 * distance; }
#else
  double bias(index_t, position_t distance) const noexcept { return -0.5 * distance; }
#endif
};

int main() {
  std::vector<double> x(16);
  const head_view<double> q(x.data(), 2, 2, 4);
  const cope<double> gates(std::vector<double>(12), 4);
  const rope rotary(pairing::half, frequencies(std::vector<double>{1, 0.1}));
#if POSENC_MISUSE == 2
  // expect: two encodings that both read content have no gradient together
  attend_reference_backward(q, q, q, combine(gates, gates), q);
#elif POSENC_MISUSE == 3
  // expect: two encodings that both read content have no gradient together
  attend_reference_backward(q, q, q, combine(gates, decay{}, gates), q);
#elif POSENC_MISUSE == 4
  // expect: attend takes keys as they lie in the cache, already rotated
  attend(q, q, q, q, combine(decay{}, rotary));
#else
  attend(q, q, q, q, combine(decay{}, gates));
  attend(q, q, q, q, combine(gates, gates));
  attend_reference_backward(q, q, q, combine(gates, decay{}), q);
#endif
}
