// What a report says besides violations. The laws of each element type are compiled here.
#include "hold.hpp"

#include <limits>
#include <string>

using namespace posenc;

template struct posenc::laws::suite<float>;
template struct posenc::laws::suite<double>;
template struct posenc::laws::suite<bf16>;
template struct posenc::laws::suite<f16>;

namespace {

// For one element type only, and without an adjoint.
struct my_ramp {
  void add_to(token_view<float> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) x.token(t)[c] += 0.25F * float(p[t] % 64) / float(c + 1);
    }
  }
};

struct bias_that_overflows {
  void add_to(token_view<float> x, const positions& p) const noexcept {
    my_ramp{}.add_to(x, p);
    for (index_t t = 0; t < x.num_tokens; ++t) {
      if (p[t] == -1) x.token(t)[2] = std::numeric_limits<float>::infinity();
    }
  }
};

// Accepts two heads of eight columns only.
struct of_one_shape {
  float bias(index_t, position_t distance) const noexcept {
    return -0.5F * static_cast<float>(std::abs(distance % 64));
  }
  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    if (shape.head_dim != 8) return problem::invalid("attend", "head_dim", shape.head_dim, "8");
    return check_heads(shape, 2);
  }
};

}  // namespace

TEST_CASE("report: what an encoding lacks is listed, so that no violation is not mistaken for all is checked",
          "[laws]") {
  const law_report report = laws_hold<float>(my_ramp{});
  CHECK(lacks(report, "apply_to_queries, apply_to_keys: queries and keys stay as they are"));
  CHECK(lacks(report, "bias, add_to_scores: scores stay as they are"));
  CHECK(lacks(report, "hooks for double: the rounding of narrower types went unchecked"));
  CHECK(!lacks(report, "add_to: embeddings stay as they are"));
}

TEST_CASE("report: a violation names law, place, numbers and seed", "[laws]") {
  const law_report report = check_encoding_laws(bias_that_overflows{}, {.seed = 12});
  REQUIRE(report.violations.size() == 1);
  CHECK(report.violations[0] ==
        "add_to: is finite at every position that is not refused: token 0 (position -1), head 0, column 2 is inf (seed "
        "12)");
}

TEST_CASE("report: sizes are found, and sizes that are refused are a violation", "[laws]") {
  laws_hold<float>(of_one_shape{});
  const law_report report = check_encoding_laws(of_one_shape{}, {.head_dim = 4});
  REQUIRE(report.violations.size() == 1);
  CHECK(report.violations[0] ==
        "it accepts some sizes: none found, the last refusal was \"attend: head_dim is 4, expected 8\"");
}

TEST_CASE("report: every seed gives the same verdict", "[laws]") {
  for (std::uint64_t seed = 2; seed < 12; ++seed) laws_hold<float>(of_one_shape{}, {.seed = seed});
}
