#include <posenc/encodings/mrope.hpp>
#include <posenc/encodings/rope.hpp>
#include <posenc/scaling/default.hpp>
#include <posenc/scaling/yarn.hpp>

#include "hold.hpp"

#include <vector>

using namespace posenc;

namespace {

law_options rotary(double factor = 1) { return {.claims = {.distance_only = true, .norm_factor = factor}}; }

}  // namespace

TEMPLATE_TEST_CASE("laws: rope", "[laws]", float, double, bf16, f16) {
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    CAPTURE(pairs == pairing::half);
    const law_report report = laws_hold<TestType>(rope(pairs, default_frequencies({.head_dim = 8})), rotary());
    CHECK(ran(report, "queries and keys: their product depends on distance alone"));
    CHECK(ran(report, "apply_to_keys: keeps lengths, times its factor"));
    CHECK(ran(report, "apply_to_keys: unrotate gives the input back"));
    CHECK(ran(report, "apply_to_keys: shift moves what was transformed to other positions"));
    CHECK(ran(report, "apply_to_keys: its adjoint matches finite differences"));
  }
}

TEMPLATE_TEST_CASE("laws: rope on a slice of the columns", "[laws]", float, bf16) {
  for (const pairing pairs : {pairing::half, pairing::interleaved}) {
    for (const index_t first_column : {1, 3}) {
      CAPTURE(pairs == pairing::half, first_column);
      const rope sliced(pairs, default_frequencies({.head_dim = 6}), first_column);
      laws_hold<TestType>(sliced, rotary());
      auto wider = rotary();
      wider.head_dim = 20;
      laws_hold<TestType>(sliced, wider);
    }
  }
}

TEMPLATE_TEST_CASE("laws: rope at the sizes of models, and at others", "[laws]", float, bf16) {
  for (const index_t head_dim : {2, 10, 32, 64, 80, 96, 128, 256, 514}) {
    CAPTURE(head_dim);
    auto options = rotary();
    options.head_dim = head_dim;
    options.num_tokens = 9;
    laws_hold<TestType>(rope(pairing::half, default_frequencies({.head_dim = head_dim})), options);
    laws_hold<TestType>(rope(pairing::interleaved, default_frequencies({.head_dim = head_dim})), options);
  }
}

TEMPLATE_TEST_CASE("laws: rope under YaRN, whose factor multiplies lengths", "[laws]", float, double) {
  const frequencies stretched =
      yarn_frequencies({.head_dim = 16, .factor = 8, .original_max_position_embeddings = 2048});
  REQUIRE(stretched.attention_factor() > 1.2);
  auto options = rotary(stretched.attention_factor());
  options.head_dim = 16;  // columns beyond the slice are not multiplied
  laws_hold<TestType>(rope(pairing::half, stretched), options);
}

TEMPLATE_TEST_CASE("laws: rope of three axes", "[laws]", float, f16) {
  const auto list = default_frequencies({.head_dim = 16}).with_axes(sectioned_axes({2, 3, 3}));
  const law_report report = laws_hold<TestType>(rope(pairing::half, list), rotary());
  CHECK(ran(report, "apply_to_queries: positions of one axis are the same on all"));
}

TEST_CASE("laws: rope without motion does nothing, and is found out", "[laws]") {
  const law_report report = check_encoding_laws(rope(pairing::half, frequencies(std::vector<double>{0, 0})), rotary());
  REQUIRE(report.violations.size() == 1);
  CHECK(report.violations[0] == "it acts somewhere: no hook changes anything (seed 1)");
}
