// Encodings of scores, each wrong in one way that only attention, or an encoding around it, shows.
#include "breaks.hpp"

#include <cmath>
#include <cstdlib>

using namespace posenc;

namespace {

struct counts_the_rows_of_a_call {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(tile, [&](index_t q, index_t k) {
      return 0.01 * static_cast<double>((tile.first_query + q) * (tile.key_positions[k] % 8));
    });
  }
};

struct counts_keys_not_positions {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(tile, [&](index_t, index_t k) {
      const auto key = static_cast<double>(tile.first_key + k);
      return 0.001 * key * key;
    });
  }
};

// Padding in front shifts all of these by the same amount, which the softmax does not see.
struct counts_keys_evenly {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(tile, [&](index_t, index_t k) { return 0.01 * static_cast<double>(tile.first_key + k); });
  }
};

// Reads the keys; NaN behind the mask reaches the value that it carries from key to key.
struct counts_masked_keys {
  bool reads_content() const noexcept { return true; }
  index_t scratch_size(index_t num_queries) const noexcept { return num_queries; }
  template <real T>
  void begin(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) tile.scratch[q] = 0;
  }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t k = tile.num_keys; k-- > 0;) {
      for (index_t q = 0; q < tile.num_queries; ++q) tile.score(q, k) += tile.scratch[q] += tile.key(k, 0);
    }
  }
};

struct wants_all_heads_at_once {
  float bias(index_t head, position_t distance) const noexcept {
    return -0.1F * static_cast<float>(head + 1) * static_cast<float>(std::abs(distance % 32));
  }
  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    if (shape.num_heads == 2) return {};
    return problem::invalid("attend", "num_heads", shape.num_heads, "2");
  }
};

struct of_the_query_alone {
  float bias(index_t, position_t query, position_t) const noexcept { return 0.5F * static_cast<float>(query % 8); }
};

struct nothing_at_all {
  float bias(index_t, position_t) const noexcept { return 0; }
};

struct changes_when_copied {
  double rate = 0.5;

  changes_when_copied() = default;
  changes_when_copied(const changes_when_copied& other) : rate(2 * other.rate) {}
  changes_when_copied& operator=(const changes_when_copied&) = default;
  double bias(index_t, position_t distance) const noexcept { return -rate * std::abs(static_cast<double>(distance)); }
};

}  // namespace

TEST_CASE("violations: of attention", "[laws]") {
  const std::string chunks = "attention: one pass equals chunks equals one by one";
  const std::string padding = "attention: left-padded equals unpadded";
  const std::string order = "attention: tokens in another order, each with its position, are the same tokens";
  CHECK(breaks(check_encoding_laws(counts_the_rows_of_a_call{}), {chunks, padding, order}));
  CHECK(breaks(check_encoding_laws(counts_keys_not_positions{}), {padding, order}));
  CHECK(breaks(check_encoding_laws(counts_keys_evenly{}), {order}));
  CHECK(breaks(check_encoding_laws(counts_masked_keys{}), {"attention: masked keys have no influence"}));
  CHECK(breaks(check_encoding_laws(wants_all_heads_at_once{}), {"attention: heads apart equal heads together"}));
}

TEST_CASE("violations: of an encoding within another", "[laws]") {
  CHECK(breaks(check_encoding_laws(changes_when_copied{}),
               {"any_encoding: does what the encoding does",
                "combine with a bias of zero behind it: does what the encoding does",
                "combine with a bias of zero before it: does what the encoding does",
                "combine with another's scratch before it: does what the encoding does"}));
}

TEST_CASE("violations: of carrying no position", "[laws]") {
  CHECK(breaks(check_encoding_laws(of_the_query_alone{}), {"attention: order means something"}));
  CHECK(breaks(check_encoding_laws(nothing_at_all{}), {"it acts somewhere"}));
}
