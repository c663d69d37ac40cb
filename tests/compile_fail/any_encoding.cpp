// A run-time choice accepts only the element types it names, and rejects near misses of encodings.
#include <posenc/attention/attention.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/rope.hpp>

#include <vector>

using namespace posenc;

struct almost {
#if POSENC_MISUSE == 4
  float bias(index_t, float distance) const noexcept { return -distance; }
#else
  float bias(index_t, position_t distance) const noexcept { return -static_cast<float>(distance); }
#endif
};

int main() {
  const any_encoding<float, bf16> chosen = rope(pairing::half, frequencies(std::vector<double>{1, 0.1}));
#if POSENC_MISUSE == 1
  // expect: but not both as they must read for this element type
  std::vector<double> x(16);
  const head_view<double> q(x.data(), 2, 2, 4);
  apply_to_keys(chosen, q, positions(0, 2));
#elif POSENC_MISUSE == 2
  // expect: this encoding has a member add_to that cannot be called for this element type
  std::vector<double> x(16);
  add_to(chosen, token_view<double>(x.data(), 2, 8), positions(0, 2));
#elif POSENC_MISUSE == 3
  // expect: posenc: this encoding has a member
  std::vector<double> x(16);
  const head_view<double> q(x.data(), 2, 2, 4);
  attention(q, q, q, q, chosen);
#else
  std::vector<float> x(16);
  const head_view<float> q(x.data(), 2, 2, 4);
  apply_to_keys(chosen, q, positions(0, 2));
  attention(q, q, q, q, chosen);
#endif
  // expect: this encoding has a member bias that cannot be called as it must be
  const any_encoding<float> other = almost{};
  return chosen.reads_content() || other.reads_content();
}
