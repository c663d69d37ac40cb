// Laws of types that are not encodings, or not quite.
#include <posenc/testing/laws.hpp>

#include <span>

using namespace posenc;

struct decay {
#if POSENC_MISUSE == 1
  // expect: this is no positional encoding for this element type: it has none of the hooks that concepts.hpp lists
#elif POSENC_MISUSE == 2
  // expect: this encoding has a member bias that cannot be called as it must be
  float bias(index_t, position_t distance) const { return -0.5F * static_cast<float>(distance); }
#else
  float bias(index_t, position_t distance) const noexcept { return -0.5F * static_cast<float>(distance); }
#endif
#if POSENC_MISUSE == 3
  // expect: this encoding has a member bias_backward that cannot be called as it must be
  void bias_backward(index_t, position_t, std::span<float>, std::span<float>) const noexcept {}
#endif
};

int main() { return static_cast<int>(check_encoding_laws(decay{}).violations.size()); }
