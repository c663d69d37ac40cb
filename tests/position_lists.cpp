#include <posenc/position_lists.hpp>

#include "catch.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <vector>

using namespace posenc;

TEST_CASE("packed_positions: each sequence counts from zero", "[positions]") {
  CHECK(packed_positions(std::array<position_t, 4>{0, 3, 3, 5}) == std::vector<position_t>{0, 1, 2, 0, 1});
  CHECK(packed_positions(std::array<position_t, 1>{0}).empty());
}

TEST_CASE("randomized_positions: distinct, sorted, below the limit, and all of them in time", "[positions]") {
  std::mt19937 random(1);
  std::set<position_t> seen;
  for (int trial = 0; trial < 200; ++trial) {
    const auto ids = randomized_positions(5, 12, random);
    REQUIRE(ids.size() == 5);
    CHECK(std::adjacent_find(ids.begin(), ids.end(), [](position_t a, position_t b) { return a >= b; }) == ids.end());
    CHECK(ids.front() >= 0);
    CHECK(ids.back() < 12);
    seen.insert(ids.begin(), ids.end());
  }
  CHECK(seen.size() == 12);
  CHECK(randomized_positions(3, 3, random) == std::vector<position_t>{0, 1, 2});
  CHECK(randomized_positions(0, 3, random).empty());
}

TEST_CASE("randomized_positions: each position is as likely as any other", "[positions]") {
  std::mt19937 random(2);
  std::array<int, 10> counts{};
  for (int trial = 0; trial < 20000; ++trial) {
    for (const position_t p : randomized_positions(3, 10, random)) ++counts[static_cast<std::size_t>(p)];
  }
  for (const int count : counts) CHECK(std::abs(count - 6000) < 330);  // five standard deviations
}

TEST_CASE("pose_positions: consecutive within chunks, skips that never fall, all below the target", "[positions]") {
  std::mt19937 random(3);
  position_t largest = 0;
  for (int trial = 0; trial < 300; ++trial) {
    const auto ids = pose_positions(8, 40, 3, random);
    REQUIRE(ids.size() == 8);
    CHECK(ids.front() == 0);
    CHECK(ids.back() < 40);
    int breaks = 0;
    for (std::size_t t = 1; t < 8; ++t) {
      CHECK(ids[t] > ids[t - 1]);
      if (ids[t] != ids[t - 1] + 1) ++breaks;
    }
    CHECK(breaks <= 2);
    largest = std::max(largest, ids.back());
  }
  CHECK(largest > 35);
  CHECK(pose_positions(3, 3, 2, random) == std::vector<position_t>{0, 1, 2});
  CHECK(pose_positions(3, 30, 1, random) == std::vector<position_t>{0, 1, 2});
}

TEST_CASE("position lists: what does not fit is refused", "[positions]") {
  std::mt19937 random(4);
  CHECK_THROWS_WITH(packed_positions(std::array<position_t, 2>{1, 3}),
                    "packed_positions: first of cu_seqlens is 1, expected 0");
  CHECK_THROWS_WITH(packed_positions(std::array<position_t, 3>{0, 3, 2}),
                    "packed_positions: one of cu_seqlens is 2, expected at least 3, the one before");
  CHECK_THROWS_WITH(randomized_positions(4, 3, random),
                    "randomized_positions: num_tokens is 4, expected from 0 to 3, the positions there are");
  CHECK_THROWS_WITH(pose_positions(4, 3, 2, random),
                    "pose_positions: target_length is 3, expected at least 4, the number of tokens");
  CHECK_THROWS_WITH(pose_positions(4, 8, 5, random),
                    "pose_positions: num_chunks is 5, expected from 1 to 4, the number of tokens");
}
