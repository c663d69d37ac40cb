// Encodings of queries and keys, each wrong in one way.
#include "breaks.hpp"

#include <cmath>
#include <span>

using namespace posenc;

namespace {

// Rotates columns 0 and 1 by a tenth of the position. Derived encodings are wrong in one way each.
struct turn {
  static constexpr double rate = 0.1;

  template <scalar S>
  static void rotate(head_view<S> x, index_t token, index_t head, double angle) noexcept {
    using T = compute_t<S>;
    S* row = x.row(token, head);
    const double a = widen<double>(row[0]);
    const double b = widen<double>(row[1]);
    row[0] = narrow<S>(static_cast<T>(a * std::cos(angle) - b * std::sin(angle)));
    row[1] = narrow<S>(static_cast<T>(a * std::sin(angle) + b * std::cos(angle)));
  }
  template <scalar S>
  static void rotate_all(head_view<S> x, const positions& p, double per_position) noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) rotate(x, t, h, per_position * p[t]);
    }
  }
  problem check_rotate(const head_shape& shape, const positions&) const noexcept {
    return shape.head_dim >= 2 ? problem{} : problem::invalid("rotate", "head_dim", shape.head_dim, "at least 2");
  }
};

struct right_turn : turn {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
};

struct wrong_inverse : right_turn {
  template <scalar S>
  friend void unrotate(const wrong_inverse&, head_view<S> x, const positions& p) {
    rotate_all(x, p, -1.001 * rate);
  }
};

struct wrong_shift : right_turn {
  template <scalar S>
  friend void shift(const wrong_shift&, head_view<S> x, const positions& by) {
    rotate_all(x, by, -rate);
  }
};

struct keys_turn_faster : turn {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, 1.001 * rate);
  }
};

struct stretches : turn {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) {
        for (index_t d = 0; d < x.head_dim; ++d)
          x.row(t, h)[d] = narrow<S>(widen<compute_t<S>>(x.row(t, h)[d]) * compute_t<S>(1.25));
      }
    }
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
};

struct heads_by_their_place : turn {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) rotate(x, t, h, rate * static_cast<double>(h + 1) * p[t]);
    }
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
};

struct adjoint_turns_forward : right_turn {
  template <scalar S>
  void apply_to_queries_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                                 std::span<compute_t<S>>) const noexcept {
    rotate_all(gradients, p, rate);
  }
  template <scalar S>
  void apply_to_keys_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                              std::span<compute_t<S>>) const noexcept {
    rotate_all(gradients, p, -rate);
  }
};

// Two axes, of which a position of one axis sets only the first.
struct forgets_an_axis : turn {
  index_t num_position_axes() const noexcept { return 2; }
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      const position_t column = p.num_axes() > 1 ? p.at(1, t) : 0;
      for (index_t h = 0; h < x.num_heads; ++h) rotate(x, t, h, rate * (p[t] + 2.0 * column));
    }
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
};

}  // namespace

TEST_CASE("violations: a right rotation has none", "[laws]") {
  CHECK(breaks(check_encoding_laws<float>(right_turn{}, {.claims = {.norm_factor = 1}}), {}));
}

TEST_CASE("violations: of rotations", "[laws]") {
  CHECK(breaks(check_encoding_laws(wrong_inverse{}),
               {"apply_to_queries: unrotate gives the input back", "apply_to_keys: unrotate gives the input back"}));
  CHECK(breaks(check_encoding_laws(wrong_shift{}),
               {"apply_to_queries: shift moves what was transformed to other positions",
                "apply_to_keys: shift moves what was transformed to other positions"}));
  CHECK(breaks(check_encoding_laws(stretches{}, {.claims = {.norm_factor = 1}}),
               {"apply_to_queries: keeps lengths, times its factor"}));
  CHECK(breaks(check_encoding_laws<double>(keys_turn_faster{}, {.claims = {.distance_only = true}}),
               {"queries and keys: their product depends on distance alone"}));
  CHECK(breaks(check_encoding_laws(heads_by_their_place{}), {"attention: heads apart equal heads together"}));
}

TEST_CASE("violations: of axes", "[laws]") {
  CHECK(
      breaks(check_encoding_laws(forgets_an_axis{}), {"apply_to_queries: positions of one axis are the same on all"}));
}

TEST_CASE("violations: of a rotation's adjoint", "[laws]") {
  CHECK(breaks(check_encoding_laws(adjoint_turns_forward{}),
               {"apply_to_queries: its adjoint matches finite differences"}));
}
