#include <posenc/attention/merge.hpp>

#include <posenc/attention/attend.hpp>
#include <posenc/encodings/alibi.hpp>

#include "../catch.hpp"
#include "random_attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

using namespace posenc;

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();

/// What attend gives for some of the keys.
struct part {
  owned_heads<float> out;
  std::vector<float> lse;

  part(index_t num_queries, index_t num_heads, index_t value_dim)
      : out(num_queries, num_heads, value_dim, 99.0F), lse(static_cast<std::size_t>(num_queries * num_heads), 99.0F) {}
  lse_view<float> lse_of() { return {lse.data(), out.num_tokens, out.num_heads}; }
  partial_attention<float> view() { return {out.view(), lse_of()}; }
};

struct data {
  owned_heads<float> q, k, v;
  std::vector<float> sinks;
  explicit data(random_values& random)
      : q(random, 40, 4, 8), k(random, 40, 2, 8), v(random, 40, 2, 6), sinks(random.list<float>(4)) {}

  part attended(attend_options<float> options) const {
    part result(40, 4, 6);
    options.lse = result.lse_of();
    attend(q.view(), k.view(), v.view(), result.out.view(), alibi<float>(4), options);
    return result;
  }
};

part merged(std::vector<partial_attention<float>> parts, std::span<const float> sinks = {}) {
  part result(40, 4, 6);
  merge(std::span<const partial_attention<float>>(parts), result.out.view(), {.sinks = sinks, .lse = result.lse_of()});
  return result;
}

void expect_equal(const part& a, const part& b) {
  float largest = 0;
  for (std::size_t i = 0; i < a.out.values.size(); ++i)
    largest = std::max(largest, std::abs(a.out.values[i] - b.out.values[i]));
  for (std::size_t i = 0; i < a.lse.size(); ++i) {
    if (a.lse[i] != b.lse[i]) largest = std::max(largest, std::abs(a.lse[i] - b.lse[i]));  // infinities are equal
  }
  CHECK(largest < 4e-6F);
}

}  // namespace

TEST_CASE("merge: a band and its complement give what one pass gives, and sinks join once", "[merge]") {
  random_values random(1);
  CAPTURE(random.seed());
  const data x(random);
  const index_t width = GENERATE(1, 7, 40);  // the last leaves nothing to the complement
  part near = x.attended({.band = sliding_window(width)});
  part beyond = x.attended({.band = beyond_window(width)});
  expect_equal(merged({near.view(), beyond.view()}), x.attended({.band = causal()}));
  expect_equal(merged({beyond.view(), near.view()}, x.sinks), x.attended({.band = causal(), .sinks = x.sinks}));
}

TEST_CASE("merge: in any order and grouping", "[merge]") {
  random_values random(2);
  CAPTURE(random.seed());
  const data x(random);
  part a = x.attended({.band = sliding_window(5)}), b = x.attended({.band = {5, 11}}),
       c = x.attended({.band = beyond_window(11)});
  const part all = merged({a.view(), b.view(), c.view()}, x.sinks);
  part first_two = merged({a.view(), b.view()}), last_two = merged({c.view(), b.view()});
  expect_equal(merged({first_two.view(), c.view()}, x.sinks), all);
  expect_equal(merged({last_two.view(), a.view()}, x.sinks), all);
}

TEST_CASE("merge: one part stays as it is, and parts without keys weigh nothing", "[merge]") {
  random_values random(3);
  CAPTURE(random.seed());
  const data x(random);
  part some = x.attended({.band = {-100, -3}});  // the last three queries see nothing
  part nothing = x.attended({.band = {100, 101}});
  CHECK(nothing.lse == std::vector<float>(160, -infinity));
  for (float& value : nothing.out.values)
    value = std::numeric_limits<float>::quiet_NaN();  // what weighs nothing is not read
  expect_equal(merged({some.view()}), some);
  expect_equal(merged({nothing.view(), some.view(), nothing.view()}), some);
  const part empty = merged({nothing.view(), nothing.view()});
  CHECK(empty.out.values == std::vector<float>(960, 0.0F));
  CHECK(empty.lse == nothing.lse);
  const part sunk = merged({nothing.view()}, x.sinks);
  CHECK(sunk.out.values == std::vector<float>(960, 0.0F));
  CHECK(sunk.lse[2] == x.sinks[2]);
}

TEST_CASE("merge: scores far apart neither overflow nor vanish", "[merge]") {
  part low(40, 4, 6), high(40, 4, 6);
  for (float& lse : low.lse) lse = -3e38F;
  for (float& lse : high.lse) lse = 3e38F;
  expect_equal(merged({low.view(), high.view()}), high);
  for (float& lse : high.lse) lse = -3e38F;
  for (float& value : high.out.values) value = 97;
  const part both = merged({low.view(), high.view()});
  CHECK(both.out.values == std::vector<float>(960, 98.0F));
}

TEST_CASE("merge: the output may be one of the parts, and NaN stays in its row", "[merge]") {
  random_values random(4);
  CAPTURE(random.seed());
  const data x(random);
  part a = x.attended({.band = sliding_window(5)}), b = x.attended({.band = beyond_window(5)});
  a.lse[7] = std::numeric_limits<float>::quiet_NaN();
  const part apart = merged({a.view(), b.view()});
  const std::vector<partial_attention<float>> parts{a.view(), b.view()};
  merge(std::span<const partial_attention<float>>(parts), a.out.view(), {.lse = a.lse_of()});
  for (std::size_t i = 0; i < 960; ++i) {
    if (i / 6 == 7)
      CHECK((std::isnan(a.out.values[i]) && std::isnan(apart.out.values[i])));
    else
      CHECK(a.out.values[i] == apart.out.values[i]);
  }
  CHECK(std::isnan(a.lse[7]));
  CHECK(a.lse[8] == apart.lse[8]);
}

TEST_CASE("merge: narrow parts and a narrow output are rounded once", "[merge]") {
  const std::vector<bf16> values{bf16(1.0F), bf16(2.0F)};
  std::vector<float> zeros(2);
  const std::vector<partial_attention<bf16>> parts{{{values.data(), 1, 1, 1}, {zeros.data(), 1, 1}},
                                                   {{values.data() + 1, 1, 1, 1}, {zeros.data(), 1, 1}}};
  std::vector<bf16> out(1);
  merge(std::span<const partial_attention<bf16>>(parts), head_view(out.data(), 1, 1, 1));
  CHECK(static_cast<float>(out[0]) == 1.5F);
}

TEST_CASE("merge: what does not fit is refused, and nothing is written", "[merge]") {
  part a(40, 4, 6), out(40, 4, 6);
  std::vector<partial_attention<float>> parts{a.view(), a.view()};
  merge_options<float> options{.lse = out.lse_of()};
  const auto refuses = [&](const std::string& message) {
    CHECK(check_merge(std::span<const partial_attention<float>>(parts), out.out.view(), options).message() == message);
    CHECK_THROWS_WITH(merge(std::span<const partial_attention<float>>(parts), out.out.view(), options), message);
    CHECK(out.out.values == std::vector<float>(960, 99.0F));
    CHECK(out.lse == std::vector<float>(160, 99.0F));
  };
  const std::vector<float> sinks(3);
  options.sinks = sinks;
  refuses("merge: number of sinks is 3, expected 4, one for each head");
  options.sinks = {};
  options.lse = {out.lse.data(), 4, 40};
  refuses("merge: num_tokens of lse is 4, expected 40, that of out");
  options.lse = {out.lse.data(), 40, 5};
  refuses("merge: num_heads of lse is 5, expected 4, that of out");
  options.lse = {};
  parts[1].out.head_dim = 5;
  refuses("merge: head_dim of parts[1] is 5, expected 6, that of out");
  parts[1].out.num_heads = 2;
  refuses("merge: num_heads of parts[1] is 2, expected 4, that of out");
  parts[1].out.num_tokens = 39;
  refuses("merge: num_tokens of parts[1] is 39, expected 40, that of out");
  parts[0].lse = {};
  refuses("merge: num_tokens of the lse of parts[0] is 0, expected 40, that of out");
  parts[0].lse = {a.lse.data(), 40, 1};
  refuses("merge: num_heads of the lse of parts[0] is 1, expected 4, that of out");
  parts.clear();
  refuses("merge: number of parts is 0, expected at least 1");
}
