// What attend_backward refuses.
#include <posenc/attention/backward.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/scores_of.hpp>

#include "../catch.hpp"
#include "random_gradients.hpp"

#include <cstddef>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace posenc;

TEST_CASE("backward: errors name the argument and the rule, before anything is written", "[backward]") {
  random_values random(29);
  const random_attention call = plain_call(random, 5, 2, 4);
  const alibi<float> encoding(std::vector<float>(9, 0.5F));
  gradient_trial<float, alibi<float>> x(random, call, encoding);
  x.go_forward();
  auto options = x.options();
  const auto before = x;
  x.workspace.resize(
      static_cast<std::size_t>(backward_workspace_size(x.q.view(), x.k.view(), x.v.view(), encoding, options)));
  options.run.workspace = x.workspace;
  const auto gradients = x.gradients();
  const auto run = [&](const auto& e, const attend_gradients<float>& g, const attend_options<float>& o) {
    attend_backward(x.q.view(), x.k.view(), x.v.view(), x.out.view(), x.d_out.view(), g, e, o);
  };
  const auto with = [&](auto change) {
    auto g = gradients;
    change(g);
    return g;
  };
  CHECK_THROWS_WITH(run(encoding, with([&](auto& g) { g.queries.num_tokens = 4; }), options),
                    "attend_backward: gradients.queries: num_tokens is 4, expected 5, that of what it belongs to");
  CHECK_THROWS_WITH(run(encoding, with([&](auto& g) { g.keys.num_heads = 1; }), options),
                    "attend_backward: gradients.keys: num_heads is 1, expected 2, that of what it belongs to");
  CHECK_THROWS_WITH(run(encoding, with([&](auto& g) { g.values.head_dim = 3; }), options),
                    "attend_backward: gradients.values: head_dim is 3, expected 4, that of what it belongs to");
  CHECK_THROWS_WITH(run(encoding, with([&](auto& g) { g.sinks = x.lse; }), options),
                    "attend_backward: number of gradients.sinks is 10, expected none or 0, one for each sink");
  CHECK_THROWS_WITH(run(encoding, with([&](auto& g) { g.parameters = x.lse; }), options),
                    "attend_backward: number of gradients.parameters is 10, expected none or 9, one for each "
                    "parameter of the encoding");
  CHECK_THROWS_WITH(run(alibi<float>(1), with([&](auto& g) { g.parameters = {}; }), options),
                    "attend_backward: num_heads is 2, expected at most 1, the heads of the encoding");
  auto below_zero = x.q.view();
  below_zero.num_tokens = -1;
  CHECK_THROWS_WITH(
      attend_backward(below_zero, x.k.view(), x.v.view(), x.out.view(), x.d_out.view(), gradients, encoding, options),
      "attend_backward: num_tokens of queries is -1, expected at least 0");
  auto no_scale = options;
  no_scale.scale = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_WITH(run(encoding, gradients, no_scale),
                    "attend_backward: scale is nan, expected finite in the compute type");
  auto no_cap = options;
  no_cap.softcap = 1e39;
  CHECK_THROWS_WITH(run(encoding, gradients, no_cap),
                    "attend_backward: softcap is 1e+39, expected 0 or a positive normal number of the compute type");
  auto no_lse = options;
  no_lse.lse = {};
  CHECK_THROWS_WITH(run(encoding, gradients, no_lse),
                    "attend_backward: num_tokens of lse is 0, expected 5: what attend has stored through the same "
                    "options");
  auto narrow = options;
  narrow.run.workspace = options.run.workspace.first(options.run.workspace.size() - 1);
  const std::string size = std::to_string(options.run.workspace.size());
  CHECK_THROWS_WITH(run(encoding, gradients, narrow),
                    "attend_backward: size of run.workspace is " + std::to_string(options.run.workspace.size() - 1) +
                        ", expected at least " + size + "; backward_workspace_size tells");
  CHECK_THROWS_WITH(attend_backward(x.q.view(), x.k.view(), x.v.view(), x.out.view(), x.d_out.view().tokens(0, 4),
                                    gradients, encoding, options),
                    "attend_backward: d_out: num_tokens is 4, expected 5, that of what it belongs to");
  CHECK(x.dq.values == before.dq.values);
  CHECK(x.dk.values == before.dk.values);
  CHECK(x.dv.values == before.dv.values);
  CHECK(x.d_parameters == before.d_parameters);
}

namespace {
struct untrainable {
  float rate = 1;
  float bias(index_t, position_t distance) const noexcept { return rate * static_cast<float>(distance); }
  std::span<float> parameters() noexcept { return {&rate, 1}; }
  std::span<const float> parameters() const noexcept { return {&rate, 1}; }
};
struct wrong_adjoint : untrainable {  // a bias of distance has bias_backward
  void add_to_scores_backward(const score_tile<float>&, const score_gradients<float>&) const noexcept {}
};
}  // namespace

TEST_CASE("backward: parameters that no gradient reaches are refused, not left out", "[backward]") {
  random_values random(30);
  const random_attention call = plain_call(random, 5, 2, 4);
  const untrainable frozen;
  gradient_trial<float, untrainable> x(random, call, frozen);
  const char* message =
      "attend_backward: number of gradients of the encoding is 0, expected its adjoint (bias_backward or "
      "add_to_scores_backward), because it has parameters or reads content";
  CHECK_THROWS_WITH(x.go_backward(), message);
  const cope<float> gates(std::vector<float>(20, 0.25F), 4);
  const any_encoding<float> two_readers = combine(gates, gates);
  const auto scores = scores_of(two_readers);
  gradient_trial<float, scores_view<any_encoding<float>>> y(random, call, scores);
  CHECK_THROWS_WITH(y.go_backward(), message);
  const any_encoding<float> of_another_form = wrong_adjoint{};
  const auto wrong = scores_of(of_another_form);
  gradient_trial<float, scores_view<any_encoding<float>>> z(random, call, wrong);
  CHECK_THROWS_WITH(z.go_backward(), message);
}
