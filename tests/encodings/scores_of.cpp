#include <posenc/encodings/scores_of.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/learned.hpp>
#include <posenc/encodings/rope.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"

#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

rope small_rope() { return rope(pairing::half, frequencies(std::vector<float>{1.0F, 0.5F})); }

template <class E>
bool leaves_scores_alone(const E& e) {
  owned_tile<float> x(contiguous::queries, 2, 3);
  hooks::begin(e, x.tile);
  hooks::add_to_scores(e, x.tile);
  return x.scores == owned_tile<float>(contiguous::queries, 2, 3).scores;
}

}  // namespace

// What is left of an encoding is a tile bias, or nothing at all.
static_assert(tile_bias<scores_view<alibi<float>>, float> && tile_bias<scores_view<any_encoding<float>>, float>);
static_assert(!score_encoding<scores_view<rope>, float> && !query_key_encoding<scores_view<rope>, float>);
static_assert(!embedding_encoding<scores_view<learned<float>>, float>);
static_assert(!query_key_encoding<scores_view<combined<rope, alibi<float>>>, float>);
static_assert(std::is_trivially_copyable_v<scores_view<rope>>);

TEST_CASE("scores_of: it does to scores what the whole encoding does", "[scores_of]") {
  const auto whole = combine(small_rope(), alibi<double>(2));
  const auto scores = scores_of(whole);
  owned_tile<double> x(contiguous::queries, 3, 4), expected(contiguous::queries, 3, 4);
  x.tile.head = expected.tile.head = 1;
  hooks::add_to_scores(scores, x.tile);
  hooks::add_to_scores(alibi<double>(2), expected.tile);
  CHECK(x.scores == expected.scores);
  CHECK(hooks::has_distance_bias<double>(scores));
  double bias[4];
  hooks::fill_bias<double>(scores, 1, -2, 4, bias);
  CHECK(bias[0] == alibi<double>(2).bias(1, -2));
  CHECK(hooks::check_scores<double>(scores, {3, 4, 3, 8, 0}, positions(0, 3), positions(0, 4)).message() ==
        "attend: num_heads is 3, expected at most 2, the heads of the encoding");
}

TEST_CASE("scores_of: nothing is left of an encoding that acts elsewhere", "[scores_of]") {
  const rope rotary = small_rope();
  const learned<float> table(std::vector<float>(8), 4);
  const any_encoding<float> any = rotary;
  CHECK(leaves_scores_alone(scores_of(rotary)));
  CHECK(leaves_scores_alone(scores_of(table)));
  CHECK(leaves_scores_alone(scores_of(any)));
  CHECK(leaves_scores_alone(scores_of(no_encoding{})));
  CHECK_FALSE(hooks::has_distance_bias<float>(scores_of(rotary)));
  CHECK_FALSE(hooks::has_distance_bias<float>(scores_of(any)));
  CHECK_FALSE(hooks::check_scores<float>(scores_of(rotary), {1, 1, 99, 1, 0}, positions(0, 1), positions(0, 1)));
}

TEST_CASE("scores_of: content and scratch are asked for as the encoding asks", "[scores_of]") {
  const auto gates = cope<float>(std::vector<float>(8 * 2), 2);
  const any_encoding<float> any = gates;
  CHECK(hooks::reads_content(scores_of(gates)));
  CHECK(hooks::reads_content(scores_of(any)));
  CHECK(hooks::scratch_size(scores_of(any), 5) == hooks::scratch_size(gates, 5));
  CHECK(hooks::scratch_size(gates, 5) > 0);
}

TEST_CASE("scores_of: gradients reach the encoding's parameters", "[scores_of]") {
  const alibi<double> slopes(2);
  CHECK(hooks::num_parameters(scores_of(slopes)) == 2);
  owned_tile<double> x(contiguous::queries, 2, 2), upstream(contiguous::queries, 2, 2);
  upstream.tile.score(0, 1) = 3;
  std::vector<double> gradients(2);
  hooks::add_to_scores_backward(scores_of(slopes), x.tile,
                                score_gradients<double>{upstream.scores.data(), nullptr, nullptr, gradients});
  CHECK(gradients == std::vector<double>{-3, 0});
}
