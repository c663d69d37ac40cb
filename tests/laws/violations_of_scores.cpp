// Encodings of scores, each wrong in one way that a tile shows.
#include "breaks.hpp"

#include <cmath>
#include <cstdlib>
#include <limits>
#include <span>

using namespace posenc;

namespace {

struct of_the_key_alone {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(tile, [&](index_t, index_t k) { return 0.1 * (tile.key_positions[k] % 16); });
  }
};

struct table_of_another_bias {
  float bias(index_t, position_t distance) const noexcept {
    return -0.25F * static_cast<float>(std::abs(distance % 64));
  }
  template <real T>
  void fill_bias(index_t head, position_t first, index_t count, T* out) const noexcept {
    for (index_t i = 0; i < count; ++i) {
      const index_t next = index_t{first} + i + 1;
      out[i] = static_cast<T>(bias(head, static_cast<position_t>(next % 64)));
    }
  }
};

struct guesses_consecutive_ids {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(
        tile, [&](index_t q, index_t k) { return -0.1 * std::abs(static_cast<double>(tile.distance(0, 0) + q - k)); });
  }
};

struct takes_a_tile_for_query_major {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = 0; k < tile.num_keys; ++k)
        tile.scores[q * tile.num_keys + k] -= static_cast<T>(0.01) * static_cast<T>(tile.distance(q, k) % 32);
    }
  }
};

struct starts_anew_in_each_tile {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(tile, [&](index_t, index_t k) { return 0.01 * static_cast<double>(k * k); });
  }
};

struct leaves_scratch_uncleared {
  index_t scratch_size(index_t num_queries) const noexcept { return num_queries; }
  template <real T>
  void begin(const score_tile<T>& tile) const noexcept {
    for (index_t q = 1; q < tile.num_queries; ++q) tile.scratch[q] = 0;
  }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t k = tile.num_keys; k-- > 0;) {
      for (index_t q = 0; q < tile.num_queries; ++q) tile.score(q, k) -= tile.scratch[q] += static_cast<T>(0.01);
    }
  }
};

struct no_number_far_out {
  float bias(index_t, position_t query, position_t key) const noexcept {
    return query == 2147483647 ? std::numeric_limits<float>::quiet_NaN() : 0.01F * static_cast<float>(key % 64);
  }
};

struct masks_in_float_alone {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(
        tile, [&](index_t q, index_t k) { return -0.1 * (tile.distance(q, k) % 16) + (sizeof(T) == 4 ? 0.001 : 0.0); });
  }
};

// A slope by distance, whose gradient is one percent too large.
struct slope_off_by_a_percent {
  double slope = 0.5;

  std::span<double> parameters() noexcept { return {&slope, 1}; }
  std::span<const double> parameters() const noexcept { return {&slope, 1}; }
  double bias(index_t, position_t distance) const noexcept { return -slope * std::abs(static_cast<double>(distance)); }
  template <real T>
  void bias_backward(index_t, position_t first, std::span<const T> sums, std::span<T> gradients) const noexcept {
    for (std::size_t i = 0; i < sums.size(); ++i)
      gradients[0] -= T(1.01) * sums[i] * std::abs(static_cast<T>(first) + static_cast<T>(i));
  }
};

struct takes_all_for_the_first_distance {
  double slope = 0.5;

  std::span<double> parameters() noexcept { return {&slope, 1}; }
  std::span<const double> parameters() const noexcept { return {&slope, 1}; }
  double bias(index_t, position_t distance) const noexcept { return -slope * std::abs(static_cast<double>(distance)); }
  template <real T>
  void bias_backward(index_t, position_t first, std::span<const T> sums, std::span<T> gradients) const noexcept {
    for (const T sum : sums) gradients[0] -= sum * std::abs(static_cast<T>(first));
  }
};

// The gate's own slope is missing from the gradient of the scores.
struct forgets_the_scores {
  bool reads_content() const noexcept { return true; }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = 0; k < tile.num_keys; ++k)
        tile.score(q, k) *= 1 + T(1) / static_cast<T>(1 + std::abs(tile.distance(q, k) % 16));
    }
  }
  template <real T>
  void add_to_scores_backward(const score_tile<T>&, const score_gradients<T>&) const noexcept {}
};

struct accepts_no_shape {
  float bias(index_t, position_t distance) const noexcept { return static_cast<float>(distance); }
  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return problem::invalid("attend", "num_heads", shape.num_heads, "what nobody has");
  }
};

}  // namespace

TEST_CASE("violations: of a bias that claims to be one of distance", "[laws]") {
  CHECK(breaks(check_encoding_laws(of_the_key_alone{}, {.claims = {.distance_only = true}}),
               {"scores: the bias depends on distance alone"}));
  CHECK(breaks(check_encoding_laws(table_of_another_bias{}),
               {"scores: every form of a tile gives the same", "fill_bias: is the bias of a tile"}));
}

TEST_CASE("violations: of the forms of a tile", "[laws]") {
  const std::string forms = "scores: every form of a tile gives the same";
  CHECK(breaks(check_encoding_laws(guesses_consecutive_ids{}), {forms}));
  CHECK(breaks(check_encoding_laws(takes_a_tile_for_query_major{}), {forms}));
  CHECK(breaks(check_encoding_laws(starts_anew_in_each_tile{}), {forms}));
  CHECK(breaks(check_encoding_laws(leaves_scratch_uncleared{}), {forms}));
  CHECK(
      breaks(check_encoding_laws(no_number_far_out{}), {"scores: are numbers at every distance that is not refused"}));
}

TEST_CASE("violations: of the rounding of scores", "[laws]") {
  CHECK(breaks(check_encoding_laws(masks_in_float_alone{}), {"scores: float agrees with double"}));
}

TEST_CASE("violations: of a bias's adjoint", "[laws]") {
  CHECK(breaks(check_encoding_laws(slope_off_by_a_percent{}), {"scores: their adjoint matches finite differences"}));
  CHECK(breaks(check_encoding_laws(takes_all_for_the_first_distance{}),
               {"scores: gradients of many distances at once are those of each alone"}));
  CHECK(breaks(check_encoding_laws(forgets_the_scores{}), {"scores: their adjoint matches finite differences"}));
}

TEST_CASE("violations: of sizes", "[laws]") {
  CHECK(breaks(check_encoding_laws(accepts_no_shape{}), {"it accepts some sizes"}));
}
