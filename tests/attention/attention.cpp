#include <posenc/attention/attention.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/rope.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <vector>

using namespace posenc;

namespace {

/// A person's own: one element type, no templates, other factors for queries than for keys.
struct scales {
  void apply_to_queries(head_view<float> x, const positions& p) const noexcept { scale(x, p, 0.5F); }
  void apply_to_keys(head_view<float> x, const positions& p) const noexcept { scale(x, p, 2); }

  static void scale(head_view<float> x, const positions& p, float base) noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) {
        for (index_t d = 0; d < x.head_dim; ++d) x.row(t, h)[d] *= std::pow(base, static_cast<float>(p[t]) / 10);
      }
    }
  }
};

rope rotary(pairing pairs = pairing::half) { return rope(pairs, frequencies(std::vector<float>{1.0F, 0.25F, 0.1F})); }

struct call {
  owned_heads<float> q, k, v;

  explicit call(random_values& random, index_t num_queries = 9, index_t num_keys = 13)
      : q(random, num_queries, 4, 7), k(random, num_keys, 2, 7), v(random, num_keys, 2, 5) {}

  template <class E>
  std::vector<float> under(const E& encoding, const attend_options<float>& options = {.band = causal()}) const {
    owned_heads<float> out(q.num_tokens, 4, 5, 99.0F);
    attention(q.view(), k.view(), v.view(), out.view(), encoding, options);
    return out.values;
  }
  /// The same by hand: q and k turned, then attend.
  template <class E, class Scores>
  std::vector<float> by_hand(const E& encoding, const positions& queries, const positions& keys,
                             const Scores& scores) const {
    owned_heads<float> turned_q = q, turned_k = k, out(q.num_tokens, 4, 5);
    apply_to_queries(encoding, turned_q.view(), queries);
    apply_to_keys(encoding, turned_k.view(), keys);
    attend(turned_q.view(), turned_k.view(), v.view(), out.view(), scores,
           {.band = causal(), .positions = {queries, keys}});
    return out.values;
  }
};

float largest_difference(const std::vector<float>& a, const std::vector<float>& b) {
  float largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

}  // namespace

TEST_CASE("attention: it is the rotation of q and k, then attend, and q and k stay as they are", "[attention]") {
  random_values random(1);
  CAPTURE(random.seed());
  const call x(random);  // of const memory, as its views are
  const alibi<float> slopes(4);
  CHECK(x.under(rotary()) == x.by_hand(rotary(), positions(4, 9), positions(0, 13), no_encoding{}));
  CHECK(x.under(slopes) == x.by_hand(no_encoding{}, positions(4, 9), positions(0, 13), slopes));
  CHECK(x.under(combine(rotary(), slopes)) == x.by_hand(rotary(), positions(4, 9), positions(0, 13), slopes));
  CHECK(x.under(scales{}) == x.by_hand(scales{}, positions(4, 9), positions(0, 13), no_encoding{}));
  CHECK(x.under(no_encoding{}) == x.by_hand(no_encoding{}, positions(4, 9), positions(0, 13), no_encoding{}));
  CHECK(largest_difference(x.under(rotary()), x.under(no_encoding{})) > 0.01F);
}

TEST_CASE("attention: given positions serve the rotation and the scores", "[attention]") {
  random_values random(2);
  CAPTURE(random.seed());
  const call x(random);
  const alibi<float> slopes(4);
  const std::vector<position_t> queries{5, 5, -1, 0, 7, 100, 3, 2, 1};
  const std::vector<position_t> keys{0, 0, 0, 1, 2, 3, 50, -4, 9, 9, 8, 7, 6};
  CHECK(x.under(combine(slopes, rotary()), {.band = causal(), .positions = {queries, keys}}) ==
        x.by_hand(rotary(), queries, keys, slopes));
}

TEST_CASE("attention: wrappers of an encoding give its bits", "[attention]") {
  random_values random(3);
  CAPTURE(random.seed());
  const call x(random);
  const auto both = combine(alibi<float>(4), rotary(pairing::interleaved));
  const auto plain = x.under(both);
  CHECK(x.under(any_encoding<float>(both)) == plain);
  CHECK(x.under(any_encoding<float, bf16>(combine(no_encoding{}, both, no_encoding{}))) == plain);
  CHECK(x.under(combine(any_encoding<float>(alibi<float>(4)), any_encoding<float>(rotary(pairing::interleaved)))) ==
        plain);
  CHECK(x.under(any_encoding<float>()) == x.under(no_encoding{}));
}

TEST_CASE("attention: distance alone counts under rope", "[attention]") {
  random_values random(4);
  CAPTURE(random.seed());
  const call x(random);
  const auto there =
      x.under(rotary(), {.band = causal(), .positions = {positions(1'000'004, 9), positions(1'000'000, 13)}});
  CHECK(largest_difference(there, x.under(rotary())) < 2e-6F);
}

TEST_CASE("attention: several axes reach a rotation that reads them", "[attention]") {
  random_values random(5);
  CAPTURE(random.seed());
  const call x(random, 4, 4);
  const std::vector<index_t> axes{0, 1, 2};
  const rope on_three(pairing::half, rotary().inv_freq().with_axes(axes));
  const std::vector<position_t> ids{0, 1, 1, 2, 0, 1, 2, 2, 0, 5, 6, 2};
  const positions p(ids, 3);
  const attend_options<float> options{.band = causal(), .positions = {p, p}};
  const auto by_hand = [&] {
    owned_heads<float> q = x.q, k = x.k, out(4, 4, 5);
    rotate(on_three, q.view(), k.view(), p);
    attend(q.view(), k.view(), x.v.view(), out.view(), no_encoding{}, {.band = causal()});
    return out.values;
  }();
  CHECK(x.under(on_three, options) == by_hand);
  CHECK(x.under(any_encoding<float>(on_three), options) == by_hand);
  CHECK_THROWS_WITH(x.under(combine(on_three, alibi<float>(4)), options),
                    "attend: queries: number of axes of the positions is 3, expected 1");
}

TEST_CASE("attention: queries, keys, values and output may differ in type", "[attention]") {
  random_values random(6);
  CAPTURE(random.seed());
  const owned_heads<bf16> q(random, 5, 2, 6);
  const owned_heads<f16> k(random, 5, 1, 6);
  const owned_heads<float> v(random, 5, 1, 3);
  owned_heads<f16> out(5, 2, 3), by_hand(5, 2, 3);
  attention(q.view(), k.view(), v.view(), out.view(), rotary(), {.band = causal()});
  owned_heads<bf16> turned_q = q;
  owned_heads<f16> turned_k = k;
  rotate(rotary(), turned_q.view(), turned_k.view(), positions(0, 5));
  attend(turned_q.view(), turned_k.view(), v.view(), by_hand.view(), no_encoding{}, {.band = causal()});
  for (std::size_t i = 0; i < out.values.size(); ++i) CHECK(out.values[i].bits == by_hand.values[i].bits);
}

TEST_CASE("attention: what does not fit is refused before anything is written", "[attention]") {
  random_values random(7);
  CAPTURE(random.seed());
  const call x(random);
  owned_heads<float> out(9, 4, 5, 99.0F);
  const auto refuses = [&](const auto& encoding, const attend_options<float>& options, const std::string& message) {
    CHECK_THROWS_WITH(attention(x.q.view(), x.k.view(), x.v.view(), out.view(), encoding, options), message);
    CHECK(out.values == std::vector<float>(9 * 4 * 5, 99.0F));
  };
  const rope wide(pairing::half, rotary().inv_freq(), 2);
  refuses(wide, {}, "rotate: queries: head_dim is 7, expected at least 8, the end of the rotary slice");
  refuses(rotary(), {.positions = {positions(0, 3)}},
          "attend: queries: number of positions is 3, expected 9, one for each token");
  refuses(rotary(), {.positions = {.keys = positions(0, 3)}},
          "attend: keys: number of positions is 3, expected 13, one for each token");
  const std::vector<position_t> ids(2 * 9 * 13);
  const auto on_two_axes = [&](index_t num_tokens) {
    return positions(std::span(ids).first(static_cast<std::size_t>(2 * num_tokens)), 2);
  };
  refuses(rotary(), {.positions = {.queries = on_two_axes(9)}},
          "rotate: queries: number of axes of the positions is 2, expected 1");
  refuses(rotary(), {.positions = {.keys = on_two_axes(13)}},
          "rotate: keys: number of axes of the positions is 2, expected 1");
  refuses(combine(rotary(), alibi<float>(2)), {},
          "attend: num_heads is 4, expected at most 2, the heads of the encoding");
  refuses(rotary(), {.softcap = -1},
          "attend: softcap is -1, expected 0 or a positive normal number of the compute type");
  refuses(rotary(), {.scale = 1e39}, "attend: scale is 1e+39, expected finite in the compute type");
  const auto below_zero = [](auto view) { return decltype(view)(view.data, view.num_tokens, 4, -100); };
  const auto run = [&](const auto& encoding) {
    attention(below_zero(x.q.view()), below_zero(x.k.view()), below_zero(x.v.view()), below_zero(out.view()), encoding);
  };
  CHECK_THROWS_WITH(run(rotary()), "attend: head_dim of queries is -100, expected at least 0");
  CHECK_THROWS_WITH(run(no_encoding{}), "attend: head_dim of queries is -100, expected at least 0");
}
