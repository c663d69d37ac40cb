#include <posenc/encodings/any.hpp>

#include <posenc/encode.hpp>
#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"
#include "random_values.hpp"

#include <type_traits>
#include <utility>
#include <vector>

using namespace posenc;

namespace {

/// Reads content and keeps one value a query.
struct counts_tiles {
  bool reads_content() const noexcept { return true; }
  index_t scratch_size(index_t num_queries) const noexcept { return num_queries; }
  template <real T>
  void begin(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) tile.scratch[q] = 0;
  }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) tile.score(q, 0) += tile.scratch[q]++;
  }
};

rope small_rope() { return rope(pairing::interleaved, frequencies(std::vector<float>{1.0F, 0.5F})); }

/// One that lives for as long as the encoding held, so that its owners can be counted.
struct counted {
  int* alive;
  explicit counted(int& count) : alive(&count) { ++*alive; }
  counted(const counted& other) : alive(other.alive) { ++*alive; }
  counted(counted&& other) noexcept : alive(other.alive) { ++*alive; }
  ~counted() { --*alive; }
  float bias(index_t, position_t) const noexcept { return 1; }
};

}  // namespace

using any_of_two = any_encoding<float, bf16>;
static_assert(positional_encoding<any_of_two, float> && positional_encoding<any_of_two, bf16>);
static_assert(query_key_encoding<any_of_two, bf16> && !query_key_encoding<any_of_two, double> &&
              !query_key_encoding<any_of_two, f16> && real_query_key_encoding<any_of_two, float>);
static_assert(tile_bias<any_of_two, float> && !tile_bias<any_of_two, double>);
static_assert(tile_bias<any_encoding<bf16, double>, float> && tile_bias<any_encoding<bf16, double>, double>);
static_assert(std::is_convertible_v<alibi<float>, any_of_two> && std::is_convertible_v<rope, any_of_two>);
static_assert(!std::is_constructible_v<any_of_two, int>);

TEMPLATE_TEST_CASE("any: rows are treated as the held encoding treats them, bit by bit", "[any]", float, bf16) {
  random_values random(1);
  CAPTURE(random.seed());
  const learned<float> table(random.list<float>(20 * 4), 4);
  const auto held = combine(table, small_rope());
  const any_of_two any = held;
  owned_heads<TestType> x(random, 3, 2, 4), expected = x;
  const std::vector<position_t> ids{5, 0, 19};
  for (const auto& apply : {0, 1, 2}) {
    if (apply == 0) add_to(any, token_view(x.values.data(), 3, 4, 8), ids);
    if (apply == 0) add_to(held, token_view(expected.values.data(), 3, 4, 8), ids);
    if (apply == 1) apply_to_queries(any, x.view(), ids);
    if (apply == 1) apply_to_queries(held, expected.view(), ids);
    if (apply == 2) apply_to_keys(any, x.view(), positions(3, 3));
    if (apply == 2) apply_to_keys(held, expected.view(), positions(3, 3));
    for (std::size_t i = 0; i < x.values.size(); ++i)
      CHECK(widen<float>(x.values[i]) == widen<float>(expected.values[i]));
  }
  const any_of_two rotary = small_rope();
  apply_to_keys(rotary, x.view(), std::vector<double>{0.5, -3, 2});
  rotate(small_rope(), expected.view(), std::vector<double>{0.5, -3, 2});
  for (std::size_t i = 0; i < x.values.size(); ++i)
    CHECK(widen<float>(x.values[i]) == widen<float>(expected.values[i]));
}

TEST_CASE("any: scores are treated as the held encoding treats them", "[any]") {
  const any_of_two any = combine(counts_tiles{}, alibi<float>(2));
  CHECK(any.reads_content());
  CHECK(any.scratch_size(5) == 5);
  CHECK_FALSE(hooks::has_distance_bias<float>(any));
  owned_tile<float> x(contiguous::keys, 2, 3);
  std::vector<float> scratch(2, -1000.0F);
  x.tile.scratch = scratch.data();
  hooks::begin(any, x.tile);
  hooks::add_to_scores(any, x.tile);
  hooks::add_to_scores(any, x.tile);
  CHECK(scratch == std::vector<float>{2, 2});
  CHECK(x.tile.score(1, 0) == 1 + 2 * alibi<float>(2).bias(0, 1));
}

TEST_CASE("any: whether it has a bias of distance, reads content or wants scratch is known at run time", "[any]") {
  const any_encoding<double> biased = alibi<double>(4), rotary = small_rope(), nothing;
  CHECK(hooks::has_distance_bias<double>(biased));
  CHECK_FALSE(hooks::has_distance_bias<double>(rotary));
  CHECK_FALSE(hooks::has_distance_bias<double>(nothing));
  CHECK_FALSE(biased.reads_content());
  CHECK(nothing.scratch_size(64) == 0);
  double bias[3];
  hooks::fill_bias<double>(biased, 3, -1, 3, bias);
  for (index_t i = 0; i < 3; ++i) CHECK(bias[i] == alibi<double>(4).bias(3, static_cast<position_t>(i - 1)));
  std::vector<double> x{1, 2, 3, 4};
  add_to(nothing, token_view(x.data(), 1, 4), positions(7, 1));
  apply_to_queries(nothing, head_view(x.data(), 1, 1, 4), positions(7, 1));
  apply_to_keys(biased, head_view(x.data(), 1, 1, 4), std::vector<double>{0.5});  // not where it acts
  CHECK(x == std::vector<double>{1, 2, 3, 4});
}

TEST_CASE("any: the held encoding's checks speak", "[any]") {
  const any_of_two table = learned<float>(std::vector<float>(5 * 4), 4), rotary = small_rope(),
                   biased = alibi<float>(2);
  std::vector<float> x(4, 1.0F);
  const token_view embeddings(x.data(), 1, 4);
  const head_view<const float> narrow_heads(x.data(), 1, 2, 2);
  CHECK_THROWS_WITH(add_to(table, embeddings, positions(5, 1)), "add_to: positions[0] is 5, expected at most 4");
  CHECK_THROWS_WITH(add_to(table, embeddings, positions(0, 2)),
                    "add_to: number of positions is 2, expected 1, one for each token");
  CHECK_THROWS_WITH(
      add_to(table, embeddings, std::vector<double>{0.5}),
      "add_to: number of real-valued positions is 1, expected integer positions, which alone this encoding takes");
  CHECK(x == std::vector<float>(4, 1.0F));
  CHECK(check_rotate(rotary, narrow_heads, positions(0, 1)).message() ==
        "rotate: head_dim is 2, expected at least 4, the end of the rotary slice");
  CHECK(check_rotate(rotary, narrow_heads, positions(std::vector<position_t>(2), 2)).message() ==
        "rotate: number of axes of the positions is 2, expected 1");
  CHECK_FALSE(check_rotate(biased, narrow_heads, positions(0, 7)));  // it does not act there
  CHECK(hooks::check_scores<float>(biased, {1, 1, 3, 4, 0}, positions(0, 1), positions(0, 1)).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("any: copies share what they hold, and the last one frees it", "[any]") {
  int alive = 0;
  {
    any_encoding<float> first{counted(alive)};
    CHECK(alive == 1);
    const any_encoding<float> second = first;
    CHECK(alive == 1);
    first = alibi<float>(2);
    CHECK(alive == 1);
    first = second;
    const any_encoding<float> third = std::move(first);
    CHECK(alive == 1);
  }
  CHECK(alive == 0);
}
