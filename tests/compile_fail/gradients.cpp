// A gradient does not pass through what has no adjoint.
#include <posenc/hooks.hpp>

#include <span>
#include <vector>

using namespace posenc;

struct flip {
  void apply_to_queries(head_view<double>, const positions&) const noexcept {}
  void apply_to_keys(head_view<double>, const positions&) const noexcept {}
#if POSENC_MISUSE != 1
  void apply_to_queries_backward(head_view<const double>, head_view<double>, const positions&,
                                 std::span<double>) const noexcept {}
#endif
#if POSENC_MISUSE != 2
  void apply_to_keys_backward(head_view<const double>, head_view<double>, const positions&,
                              std::span<double>) const noexcept {}
#endif
};

int main() {
  std::vector<double> x(8);
  const head_view<double> q(x.data(), 2, 1, 4);
  // expect: this encoding has no apply_to_queries_backward, so no gradient passes through it
  hooks::apply_to_queries_backward<flip, double>(flip{}, q, q, positions(0, 2), {});
  // expect: this encoding has no apply_to_keys_backward, so no gradient passes through it
  hooks::apply_to_keys_backward<flip, double>(flip{}, q, q, positions(0, 2), {});
}
