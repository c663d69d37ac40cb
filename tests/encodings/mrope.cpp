#include <posenc/encodings/mrope.hpp>

#include <posenc/encodings/rope.hpp>

#include "catch.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using namespace posenc;

namespace {

std::vector<position_t> axis(const mrope_positions& p, index_t a) {
  const auto first = p.ids.begin() + a * p.num_tokens();
  return {first, first + p.num_tokens()};
}

}  // namespace

TEST_CASE("mrope: sections give each axis a run of pairs", "[mrope]") {
  CHECK(sectioned_axes({2, 3, 3}) == std::vector<index_t>{0, 0, 1, 1, 1, 2, 2, 2});
}

TEST_CASE("mrope: interleaved axes take turns, and time takes what is left", "[mrope]") {
  CHECK(interleaved_axes({4, 2, 2}) == std::vector<index_t>{0, 1, 2, 0, 1, 2, 0, 0});
  const auto qwen3_vl = interleaved_axes({24, 20, 20});
  REQUIRE(qwen3_vl.size() == 64);
  CHECK(qwen3_vl[59] == 2);
  for (std::size_t pair = 60; pair < 64; ++pair) CHECK(qwen3_vl[pair] == 0);
}

TEST_CASE("mrope: text counts up on all axes, and an image takes max(height, width) positions", "[mrope]") {
  const mrope_span spans[] = {mrope_span::text(2), mrope_span::image(4, 6), mrope_span::text(2)};
  const auto p = positions_of_spans(spans, 2);  // 2 x 3 merged patches
  CHECK(axis(p, 0) == std::vector<position_t>{0, 1, 2, 2, 2, 2, 2, 2, 5, 6});
  CHECK(axis(p, 1) == std::vector<position_t>{0, 1, 2, 2, 2, 3, 3, 3, 5, 6});
  CHECK(axis(p, 2) == std::vector<position_t>{0, 1, 2, 3, 4, 2, 3, 4, 5, 6});
  CHECK(p.delta == -3);  // the next token, index 10, stands at 7
}

TEST_CASE("mrope: frames of a video are time_interval apart, rounded down", "[mrope]") {
  const mrope_span spans[] = {mrope_span::video(3, 1, 2, 1.5), mrope_span::text(1)};
  const auto p = positions_of_spans(spans);
  CHECK(axis(p, 0) == std::vector<position_t>{0, 0, 1, 1, 3, 3, 2});
  CHECK(axis(p, 1) == std::vector<position_t>{0, 0, 0, 0, 0, 0, 2});
  CHECK(axis(p, 2) == std::vector<position_t>{0, 1, 0, 1, 0, 1, 2});
  CHECK(p.delta == -3);  // the largest position is the last frame's
}

TEST_CASE("mrope: text alone is one-dimensional rope", "[mrope]") {
  const std::vector<double> inv_freq{1.0, 0.5, 0.25, 0.125};
  const rope one_axis(pairing::half, frequencies(inv_freq));
  const rope three_axes(pairing::half, frequencies(inv_freq).with_axes(sectioned_axes({2, 1, 1})));
  const mrope_span spans[] = {mrope_span::text(5)};
  const auto text = positions_of_spans(spans);
  CHECK(text.delta == 0);

  std::vector<float> x(5 * 8);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
  std::vector<float> y = x;
  std::vector<float> z = x;
  rotate(one_axis, head_view<float>(x.data(), 5, 1, 8), positions(0, 5));
  rotate(three_axes, head_view<float>(y.data(), 5, 1, 8), text);
  rotate(three_axes, head_view<float>(z.data(), 5, 1, 8), positions(0, 5));  // one axis means all are equal
  CHECK(x == y);
  CHECK(x == z);
}

TEST_CASE("mrope: an empty sequence has no positions, and decoding starts at 0", "[mrope]") {
  const auto p = positions_of_spans({});
  CHECK(p.num_tokens() == 0);
  CHECK(p.delta == 0);
}

TEST_CASE("mrope: Ernie's rows and columns take turns, time comes last", "[mrope]") {
  CHECK(alternating_axes(2, 2, 3) == std::vector<index_t>{1, 2, 1, 2, 0, 0, 0});
  CHECK(alternating_axes(0, 0, 1) == std::vector<index_t>{0});
  CHECK_THROWS_WITH(alternating_axes(2, 3, 1), "alternating_axes: width_section is 3, expected 2, the height's");
  CHECK_THROWS_WITH(alternating_axes(2, 2, -1), "alternating_axes: a section is -1, expected at least 0");
}

TEST_CASE("mrope: the error names argument, value and rule", "[mrope]") {
  const mrope_span odd[] = {mrope_span::image(3, 4)};
  CHECK_THROWS_WITH(positions_of_spans(odd, 2),
                    "positions_of_spans: height is 3, expected a multiple of spatial_merge_size, 2");
  CHECK_THROWS_WITH(sectioned_axes({}),
                    "sectioned_axes: number of sections is 0, expected at least 1, one for each axis");
  CHECK_THROWS_WITH(interleaved_axes({1, -2}), "interleaved_axes: a section is -2, expected at least 0");
}

TEST_CASE("mrope: positions beyond 32 bits are refused, whatever takes them there", "[mrope]") {
  const auto refused = [](std::vector<mrope_span> spans, const char* message) {
    CHECK_THROWS_WITH(positions_of_spans(spans), message);
  };
  const auto clip = [](index_t num_frames, double time_interval) {
    return mrope_span::video(num_frames, 1, 1, time_interval);
  };
  constexpr double infinity = std::numeric_limits<double>::infinity();
  refused({clip(2, 0x1p31)}, "positions_of_spans: a position is 2.14748365e+09, expected below 2^31");
  refused({clip(2, 1e300)}, "positions_of_spans: a position is 1e+300, expected below 2^31");
  refused({clip(3, 1.5e308)}, "positions_of_spans: a position is inf, expected below 2^31");
  refused({mrope_span::text(2), clip(2, 2147483646.0)},
          "positions_of_spans: a position is 2.14748365e+09, expected below 2^31");
  for (const index_t num_frames : {0, 1, 2}) {
    refused({clip(num_frames, infinity)}, "positions_of_spans: time_interval is inf, expected at least 0 and finite");
    refused({clip(num_frames, std::nan(""))},
            "positions_of_spans: time_interval is nan, expected at least 0 and finite");
  }
  constexpr index_t most = std::numeric_limits<index_t>::max();
  refused({mrope_span::text(most)}, "positions_of_spans: a position is 9.22337204e+18, expected below 2^31");
  refused({mrope_span::image(most, 0), mrope_span::image(most, 0)},
          "positions_of_spans: a position is 9.22337204e+18, expected below 2^31");

  const mrope_span last[] = {mrope_span::text(1), clip(2, 2147483646.0)};
  CHECK(axis(positions_of_spans(last), 0) == std::vector<position_t>{0, 1, 2147483647});
}
