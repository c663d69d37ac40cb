// A hook for embeddings that is almost right.
#include <posenc/encode.hpp>

#include <vector>

using namespace posenc;

struct constant {
#if POSENC_MISUSE == 1
  // expect: this encoding has a member add_to that cannot be called for this element type; it must read void
  void add_to(token_view<float> x, const positions& p) const {
#elif POSENC_MISUSE == 2
  // expect: this encoding has a member add_to that cannot be called for this element type
  void add_to(token_view<double> x, const positions& p) const noexcept {
#else
  void add_to(token_view<float> x, const positions& p) const noexcept {
#endif
    for (index_t t = 0; t < p.size(); ++t) {
      for (index_t c = 0; c < x.dim; ++c) x.token(t)[c] += 1;
    }
  }
#if POSENC_MISUSE == 3
  // expect: check_add must read problem check_add(const embedding_shape&, const positions&) const noexcept
  bool check_add(const embedding_shape&, const positions&) const noexcept { return true; }
#endif
};

int main() {
  std::vector<float> x(6);
  add_to(constant{}, token_view<float>(x.data(), 2, 3), positions(0, 2));
}
