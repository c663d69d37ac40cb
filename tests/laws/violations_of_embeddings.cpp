// Encodings of embeddings, each wrong in one way.
#include "breaks.hpp"

#include <cmath>
#include <limits>
#include <span>

using namespace posenc;

namespace {

// A correct one. `column` and `position` are where the wrong ones differ.
template <class S>
void add_wave(S* row, index_t column, double position) {
  row[column] = narrow<S>(widen<compute_t<S>>(row[column]) +
                          static_cast<compute_t<S>>(std::sin(position / static_cast<double>(column + 1))));
}

struct wave {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) add_wave(x.token(t), c, p[t]);
    }
  }
};

struct writes_beside_its_rows {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
    if (x.token_stride > x.dim) x.token(0)[x.dim] = x.token(0)[0];
  }
};

struct takes_tokens_for_dense {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(token_view<S>(x.data, x.num_tokens, x.dim), p);
  }
};

struct counts_from_its_first_token {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) wave{}.add_to(x.tokens(t, 1), positions(p[0] + t, 1));
  }
};

struct writes_without_tokens {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
    if (x.num_tokens == 0 && x.data != nullptr) x.data[0] = narrow<S>(compute_t<S>(7));
  }
};

struct overflows_far_out {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
    for (index_t t = 0; t < x.num_tokens; ++t) {
      if (p[t] == -1) x.token(t)[0] = narrow<S>(std::numeric_limits<compute_t<S>>::infinity());
    }
  }
};

struct looks_at_the_ends_of_a_list {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
  }
  problem check_add(const embedding_shape&, const positions& p) const noexcept {
    for (const index_t t : {index_t{0}, p.size() - 1}) {
      if (p[t] > 511) return problem::out_of_range("add_to", "positions", p[t], "at most 511").at(t);
    }
    return {};
  }
};

struct names_another_value {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
  }
  problem check_add(const embedding_shape&, const positions& p) const noexcept {
    for (index_t t = 0; t < p.size(); ++t) {
      if (p[t] > 511) return problem::out_of_range("add_to", "positions", t, "at most 511").at(t);
    }
    return {};
  }
};

struct computes_in_bf16 {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) {
        S wave_alone = narrow<S>(compute_t<S>(0));
        add_wave(&wave_alone - c, c, p[t]);
        x.token(t)[c] = narrow<S>(widen<compute_t<S>>(x.token(t)[c]) + widen<compute_t<S>>(wave_alone));
      }
    }
  }
};

struct knows_float_only_roughly {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
    for (index_t t = 0; t < x.num_tokens && sizeof(S) == 4; ++t) x.token(t)[0] += static_cast<S>(1e-5F);
  }
};

struct rounds_real_positions_up {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
  }
  template <scalar S>
  void add_to(token_view<S> x, const real_positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) add_wave(x.token(t), c, p[t] + 0.5);
    }
  }
};

struct adds_the_same_everywhere {
  template <scalar S>
  void add_to(token_view<S> x, const positions&) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) add_wave(x.token(t), 0, 1);
  }
};

// Adds a multiple of the position to all columns. Its gradient is too large by `error`.
struct slope_with_gradient {
  double slope = 0.01;
  double error = 0;

  std::span<double> parameters() noexcept { return {&slope, 1}; }
  std::span<const double> parameters() const noexcept { return {&slope, 1}; }
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) {
        x.token(t)[c] = narrow<S>(widen<compute_t<S>>(x.token(t)[c]) + static_cast<compute_t<S>>(slope * (p[t] % 100)));
      }
    }
  }
  template <scalar S>
  void add_to_backward(token_view<const S> upstream, const positions& p, std::span<compute_t<S>> sums) const noexcept {
    for (index_t t = 0; t < upstream.num_tokens; ++t) {
      for (index_t c = 0; c < upstream.dim; ++c) {
        sums[0] += static_cast<compute_t<S>>((1 + error) * (p[t] % 100)) * widen<compute_t<S>>(upstream.token(t)[c]);
      }
    }
  }
};

}  // namespace

TEST_CASE("violations: right embeddings have none", "[laws]") {
  CHECK(breaks(check_encoding_laws<bf16>(wave{}), {}));
  CHECK(breaks(check_encoding_laws<double>(slope_with_gradient{}), {}));
}

TEST_CASE("violations: of memory", "[laws]") {
  CHECK(breaks(check_encoding_laws(takes_tokens_for_dense{}),
               {"add_to: writes what the view shows, whatever the strides, and nothing else"}));
  CHECK(breaks(check_encoding_laws(writes_without_tokens{}),
               {"add_to: writes nothing where there are no tokens or no heads"}));
  CHECK(breaks(check_encoding_laws(writes_beside_its_rows{}),
               {"add_to: writes what the view shows, whatever the strides, and nothing else"}));
}

TEST_CASE("violations: of one pass, chunks and one by one", "[laws]") {
  CHECK(
      breaks(check_encoding_laws(counts_from_its_first_token{}), {"add_to: one pass equals chunks equals one by one"}));
  CHECK(breaks(check_encoding_laws(rounds_real_positions_up{}), {"add_to: whole real positions agree with integers"}));
}

TEST_CASE("violations: of what is refused", "[laws]") {
  CHECK(breaks(check_encoding_laws(looks_at_the_ends_of_a_list{}),
               {"add_to: refuses wherever the fault stands, and before anything is written"}));
  CHECK(breaks(check_encoding_laws(names_another_value{}),
               {"add_to: refuses wherever the fault stands, and before anything is written"}));
  CHECK(breaks(check_encoding_laws(overflows_far_out{}), {"add_to: is finite at every position that is not refused"}));
}

TEST_CASE("violations: of rounding", "[laws]") {
  CHECK(
      breaks(check_encoding_laws<bf16>(computes_in_bf16{}), {"add_to: 16 bits are the result in float, rounded once"}));
  CHECK(breaks(check_encoding_laws(knows_float_only_roughly{}), {"add_to: float agrees with double"}));
}

TEST_CASE("violations: of a parameter's adjoint", "[laws]") {
  CHECK(breaks(check_encoding_laws(slope_with_gradient{.error = 0.01}),
               {"add_to: its adjoint matches finite differences"}));
}

TEST_CASE("violations: of the same row everywhere", "[laws]") {
  CHECK(breaks(check_encoding_laws(adds_the_same_everywhere{}), {"add_to: order means something"}));
}
