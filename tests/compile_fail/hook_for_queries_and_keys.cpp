// Hooks for queries and keys that are almost right.
#include <posenc/encode.hpp>

#include <vector>

using namespace posenc;

struct flip {
#if POSENC_MISUSE == 1
  // expect: this encoding has a member apply_to_queries or apply_to_keys, but not both as they must read
  void apply_to_queries(head_view<float> x, const positions& p) const { turn(x, p); }
#elif POSENC_MISUSE == 2
  // expect: not both as they must read for this element type: void apply_to_queries(head_view<S> x,
  void apply_to_queries(head_view<bf16> x, const positions& p) const noexcept { turn(x, p); }
#else
  void apply_to_queries(head_view<float> x, const positions& p) const noexcept { turn(x, p); }
#endif
#if POSENC_MISUSE == 3
  // expect: this encoding has a member apply_to_queries or apply_to_keys, but not both
#elif POSENC_MISUSE == 4
  // expect: and the same for apply_to_keys
  void apply_to_keys(head_view<float> x, const position_t* ids) const noexcept {
    turn(x, positions(*ids, x.num_tokens));
  }
#else
  void apply_to_keys(head_view<float> x, const positions& p) const noexcept { turn(x, p); }
#endif
#if POSENC_MISUSE == 5
  // expect: check_rotate must read problem check_rotate(const head_shape&, const positions&) const noexcept
  problem check_rotate(head_shape&, const positions&) const noexcept { return {}; }
#endif

 private:
  template <class S>
  static void turn(head_view<S> x, const positions& p) noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      if (p[t] % 2 != 0) x.row(t, 0)[0] = narrow<S>(-widen<float>(x.row(t, 0)[0]));
    }
  }
};

int main() {
  std::vector<float> q(12);
  const head_view<float> queries(q.data(), 2, 2, 3);
#if POSENC_MISUSE == 6
  // expect: this encoding acts on queries and keys at integer positions only
  const std::vector<double> coordinates(2, 0.5);
  apply_to_queries(flip{}, queries, coordinates);
#else
  apply_to_queries(flip{}, queries, positions(0, 2));
#endif
}
