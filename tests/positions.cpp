#include <posenc/positions.hpp>

#include "catch.hpp"
#include "random_values.hpp"

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <stdexcept>
#include <type_traits>
#include <vector>

using namespace posenc;

namespace {

constexpr std::int64_t least = std::numeric_limits<position_t>::min();
constexpr std::int64_t largest = std::numeric_limits<position_t>::max();

std::vector<position_t> all(const positions& p) {
  std::vector<position_t> ids;
  for (index_t t = 0; t < p.size(); ++t) ids.push_back(p[t]);
  return ids;
}

std::string found(const positions& p, index_t num_tokens, index_t num_axes = 1) {
  return check_positions("f", p, num_tokens, num_axes).message();
}

}  // namespace

static_assert(std::is_trivially_copyable_v<positions> && std::is_trivially_copyable_v<real_positions>);
static_assert(position_source<positions> && position_source<real_positions> &&
              position_source<std::vector<position_t>>);
static_assert(position_source<std::span<const position_t>> && position_source<std::array<double, 3>>);
static_assert(position_source<position_t[4]> && position_source<std::vector<double>>);
// Wider, narrower and unsigned ids would have to be converted, and floats are neither ids nor exact coordinates.
static_assert(!position_source<std::vector<std::int64_t>> && !position_source<std::vector<std::uint32_t>>);
static_assert(!position_source<std::vector<float>> && !position_source<int>);
static_assert(std::is_convertible_v<const std::vector<position_t>&, std::optional<positions>>);

TEST_CASE("positions: a range counts up from its start", "[positions]") {
  constexpr positions p(5, 3);
  static_assert(p.size() == 3 && p[2] == 7 && p.consecutive() && p.num_axes() == 1);
  CHECK(all(p) == std::vector<position_t>{5, 6, 7});
  CHECK(all(p.tokens(1, 2)) == std::vector<position_t>{6, 7});
  CHECK(p.at(4, 1) == 6);  // the same on all axes
  CHECK(all(positions(-1, 3)) == std::vector<position_t>{-1, 0, 1});
  CHECK(positions().size() == 0);
}

TEST_CASE("positions: ids may be unsorted, repeated and negative, and are never taken for a range", "[positions]") {
  const std::vector<position_t> ids{0, 7, 1, 3, 3, -2};
  const positions p(ids);
  CHECK(all(p) == ids);
  CHECK_FALSE(p.consecutive());
  CHECK_FALSE(positions(std::array<position_t, 3>{0, 1, 2}).consecutive());
  CHECK(all(p.tokens(2, 3)) == std::vector<position_t>{1, 3, 3});
  CHECK(p.bounds().least == -2);
  CHECK(p.bounds().largest == 7);
}

TEST_CASE("positions: an array, a span and a temporary serve as ids", "[positions]") {
  const position_t array[] = {4, 2};
  CHECK(all(positions(array)) == std::vector<position_t>{4, 2});
  CHECK(all(positions(std::span<const position_t>(array).last(1))) == std::vector<position_t>{2});
  CHECK(all(as_positions(std::vector<position_t>{3, 1})) == std::vector<position_t>{3, 1});
  CHECK(as_positions(std::vector<double>{0.5, 1}).at(2, 1) == 1);
}

TEST_CASE("positions: axes lie one after the other", "[positions]") {
  const std::vector<position_t> ids{1, 2, 3, 10, 20, 30};
  const positions p(ids, 2);
  CHECK(p.size() == 3);
  CHECK(p.num_axes() == 2);
  CHECK(p.at(0, 1) == 2);
  CHECK(p.at(1, 2) == 30);
  CHECK(p.bounds().largest == 30);  // of all axes
  const std::vector<double> coordinates{-1, 0.5, 0.25, 1};
  CHECK(real_positions(coordinates, 2).at(1, 0) == 0.25);
  CHECK(real_positions(coordinates, 2).size() == 2);
}

TEST_CASE("positions: a number of axes that does not divide the ids is refused", "[positions]") {
  const std::vector<position_t> ids(7);
  CHECK_THROWS_WITH(positions(ids, 3), "positions: number of ids is 7, expected a multiple of num_axes, 3");
  CHECK_THROWS_WITH(positions(ids, 0), "positions: num_axes is 0, expected at least 1");
  CHECK_THROWS_WITH(real_positions(std::vector<double>(5), 2),
                    "real_positions: number of values is 5, expected a multiple of num_axes, 2");
  CHECK_THROWS_WITH(real_positions(std::vector<double>(5), -1), "real_positions: num_axes is -1, expected at least 1");
}

TEST_CASE("positions: a check finds another number of tokens or of axes", "[positions]") {
  const std::vector<position_t> ids(6);
  CHECK(found(positions(0, 3), 4) == "f: number of positions is 3, expected 4, one for each token");
  CHECK(found(ids, 6).empty());
  CHECK(found(positions(ids, 2), 3, 2).empty());
  CHECK(found(positions(ids, 2), 3, 3) == "f: number of axes of the positions is 2, expected 1 or 3");
  CHECK(found(positions(ids, 2), 3) == "f: number of axes of the positions is 2, expected 1");
  CHECK(found(ids, 6, 3).empty());  // one axis for an encoding of three
}

TEST_CASE("positions: a range may fill 32 bits, and what leaves them is out of range", "[positions]") {
  CHECK(found(positions(largest, 1), 1).empty());
  CHECK(found(positions(largest - 1, 2), 2).empty());
  CHECK(found(positions(least, 2), 2).empty());
  CHECK(found(positions(largest, 2), 2) == "f: last position is 2147483648, expected below 2^31");
  CHECK(found(positions(least - 1, 2), 2) == "f: first position is -2147483649, expected at least -2^31");
  CHECK(check_positions("f", positions(largest, 2), 2).what() == problem::kind::out_of_range);
  CHECK(found(positions(largest + 1, 0), 0).empty());  // no token, no position
  CHECK_FALSE(found(positions(std::numeric_limits<std::int64_t>::max(), 2), 2).empty());
  CHECK_FALSE(found(positions(std::numeric_limits<std::int64_t>::min(), 2), 2).empty());
}

TEST_CASE("positions: real ones are finite, and small enough for exact angles", "[positions]") {
  const auto found_at_one = [](double value) {
    const std::vector<double> values{0.5, value};
    return check_positions("f", real_positions(values), 2).message();
  };
  CHECK(found_at_one(-0x1.fffffffffffffp62).empty());
  CHECK(found_at_one(5e-324).empty());
  CHECK(found_at_one(0x1p63) == "f: positions[1] is 9.22337204e+18, expected finite and less than 2^63 in size");
  CHECK(found_at_one(-std::numeric_limits<double>::infinity()) ==
        "f: positions[1] is -inf, expected finite and less than 2^63 in size");
  CHECK_FALSE(found_at_one(std::numeric_limits<double>::quiet_NaN()).empty());
  const std::vector<double> two_axes{0, 0, 0, 1e300};
  CHECK(check_positions("f", real_positions(two_axes, 2), 2, 2).what() == problem::kind::out_of_range);
  CHECK(check_positions("f", real_positions(two_axes), 3).message() ==
        "f: number of positions is 4, expected 3, one for each token");
  CHECK(check_positions("f", real_positions(two_axes, 2), 2, 3).message() ==
        "f: number of axes of the positions is 2, expected 1 or 3");
}

TEST_CASE("positions: distances fit 32 bits as well", "[positions]") {
  const auto distance = [](const positions& q, const positions& k) { return check_distances("f", q, k).message(); };
  CHECK(distance(positions(largest, 1), positions(0, 1)).empty());
  CHECK(distance(positions(-1, 1), positions(largest, 1)) ==
        "f: distance from query to key is -2147483648, expected less than 2^31 in size");
  CHECK(distance(positions(largest, 1), positions(-1, 1)) ==
        "f: distance from query to key is 2147483648, expected less than 2^31 in size");
  CHECK(distance(positions(least, 1), positions(-1, 1)).empty());
  CHECK(distance(positions(least, 0), positions(largest, 1)).empty());
}

TEST_CASE("positions: bounds hold all ids, and of nothing there are none", "[positions]") {
  random_values random(11);
  CAPTURE(random.seed());
  std::vector<position_t> ids;
  for (int i = 0; i < 100; ++i) {
    ids.push_back(static_cast<position_t>(random.bits()));
    const auto bounds = positions(ids).bounds();
    CHECK(bounds.least == *std::min_element(ids.begin(), ids.end()));
    CHECK(bounds.largest == *std::max_element(ids.begin(), ids.end()));
  }
  CHECK(positions(3, 4).bounds().largest == 6);
  CHECK(positions(std::vector<position_t>{}).bounds().largest < positions(3, 0).bounds().least);
}

TEST_CASE("positions: the first token behind padding stands at 0", "[positions]") {
  CHECK(positions_from_mask(std::vector<int>{0, 0, 1, 1, 1}) == std::vector<position_t>{0, 0, 0, 1, 2});
  CHECK(positions_from_mask(std::vector<bool>{true, false, true}) == std::vector<position_t>{0, 0, 1});
  CHECK(positions_from_mask(std::array<float, 3>{1, 1, 0}) == std::vector<position_t>{0, 1, 1});
  CHECK(positions_from_mask(std::vector<int>{}).empty());
}

TEST_CASE("positions: RoBERTa counts real tokens from behind its padding, within 32 bits", "[positions]") {
  const std::vector<int> mask{0, 1, 1, 0};
  CHECK(roberta_position_ids(mask, 1) == std::vector<position_t>{1, 2, 3, 1});
  CHECK(roberta_position_ids(mask, 1, 5) == std::vector<position_t>{1, 7, 8, 1});
  constexpr auto last = static_cast<position_t>(largest), first = static_cast<position_t>(least);
  CHECK(roberta_position_ids(mask, last - 2) == std::vector<position_t>{last - 2, last - 1, last, last - 2});
  CHECK_THROWS_WITH(roberta_position_ids(mask, last - 1),
                    "roberta_position_ids: a position is 2147483648, expected from -2^31 to 2^31 - 1");
  CHECK_THROWS_AS(roberta_position_ids(mask, 1, last - 1), std::out_of_range);
  CHECK_THROWS_AS(roberta_position_ids(mask, 1, last), std::out_of_range);
  CHECK_THROWS_AS(roberta_position_ids(mask, -2, first), std::out_of_range);
}
