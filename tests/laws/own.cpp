// User-defined encodings, as short as they can be.
#include "hold.hpp"

#include <cmath>
#include <cstdlib>

using namespace posenc;

namespace {

struct my_decay {
  float rate;
  float bias(index_t, position_t distance) const noexcept { return -rate * std::log1p(float(std::abs(distance))); }
};
static_assert(positional_encoding<my_decay>);

// A bias of both positions, not of their distance.
struct my_anchor {
  double bias(index_t head, position_t query, position_t key) const noexcept {
    return 0.01 * double(head + 1) * double(query % 7) * double(key % 5);
  }
};

// Needs more scratch than `attend` has without a workspace.
struct my_running_sum {
  index_t scratch_size(index_t num_queries) const noexcept { return 10000 * num_queries; }
  template <real T>
  void begin(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) tile.scratch[10000 * q] = 0;
  }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t k = tile.num_keys; k-- > 0;) {
      for (index_t q = 0; q < tile.num_queries; ++q) {
        if (tile.score(q, k) > T(0)) tile.scratch[10000 * q] += T(0.1);
        tile.score(q, k) -= tile.scratch[10000 * q];
      }
    }
  }
};

// A reflection: its own inverse, and its own adjoint.
struct my_sign {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads && p[t] % 2 != 0; ++h) {
        for (index_t d = 0; d < x.head_dim; d += 2) x.row(t, h)[d] = narrow<S>(-widen<compute_t<S>>(x.row(t, h)[d]));
      }
    }
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    apply_to_queries(x, p);
  }
  template <scalar S>
  void apply_to_queries_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                                 std::span<compute_t<S>>) const noexcept {
    apply_to_queries(gradients, p);
  }
  template <scalar S>
  void apply_to_keys_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                              std::span<compute_t<S>>) const noexcept {
    apply_to_queries(gradients, p);
  }
  template <scalar S>
  friend void unrotate(const my_sign& e, head_view<S> x, const positions& p) {
    e.apply_to_queries(x, p);
  }
};

}  // namespace

TEMPLATE_TEST_CASE("laws: an encoding of five lines", "[laws]", float, double, bf16, f16) {
  const law_report report = laws_hold<TestType>(my_decay{0.5F});
  CHECK(ran(report, "scores: the bias depends on distance alone"));
}

TEMPLATE_TEST_CASE("laws: a bias of both positions", "[laws]", float, double, bf16, f16) {
  const law_report report = laws_hold<TestType>(my_anchor{});
  CHECK(!ran(report, "scores: the bias depends on distance alone"));
}

TEST_CASE("laws: a running sum that needs a workspace", "[laws]") {
  const law_report report = laws_hold<float>(my_running_sum{});
  CHECK(lacks(report, "an independent bias for each key"));
}

TEMPLATE_TEST_CASE("laws: a reflection", "[laws]", float, double, bf16, f16) {
  const law_report report = laws_hold<TestType>(my_sign{}, {.claims = {.norm_factor = 1}});
  CHECK(ran(report, "apply_to_queries: unrotate gives the input back"));
}
