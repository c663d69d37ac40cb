// Each law is broken by a small encoding that is wrong in one way, and the report says how.
#include "hold.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

using namespace posenc;

namespace {

/// Whether the violations are those of exactly these laws, in this order; each begins with the law's name.
bool breaks(const law_report& report, const std::vector<std::string>& laws) {
  bool exactly = report.violations.size() == laws.size();
  for (std::size_t i = 0; exactly && i < laws.size(); ++i) exactly = report.violations[i].rfind(laws[i] + ": ", 0) == 0;
  if (exactly) return true;
  for (const std::string& violation : report.violations) WARN(violation);
  return false;
}

// ---- Embeddings ----

// What a right one looks like. `column` and `position` are where the wrong ones differ.
template <class S>
void add_wave(S* row, index_t column, double position) {
  row[column] = narrow<S>(widen<compute_t<S>>(row[column]) +
                          static_cast<compute_t<S>>(std::sin(position / static_cast<double>(column + 1))));
}

struct wave {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) add_wave(x.token(t), c, p[t]);
    }
  }
};

struct writes_beside_its_rows {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
    if (x.token_stride > x.dim) x.token(0)[x.dim] = x.token(0)[0];
  }
};

struct takes_tokens_for_dense {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(token_view<S>(x.data, x.num_tokens, x.dim), p);
  }
};

struct counts_from_its_first_token {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) wave{}.add_to(x.tokens(t, 1), positions(p[0] + t, 1));
  }
};

struct writes_without_tokens {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
    if (x.num_tokens == 0 && x.data != nullptr) x.data[0] = narrow<S>(compute_t<S>(7));
  }
};

struct overflows_far_out {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
    for (index_t t = 0; t < x.num_tokens; ++t) {
      if (p[t] == -1) x.token(t)[0] = narrow<S>(std::numeric_limits<compute_t<S>>::infinity());
    }
  }
};

struct looks_at_the_ends_of_a_list {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
  }
  problem check_add(const embedding_shape&, const positions& p) const noexcept {
    for (const index_t t : {index_t{0}, p.size() - 1}) {
      if (p[t] > 511) return problem::out_of_range("add_to", "positions", p[t], "at most 511").at(t);
    }
    return {};
  }
};

struct names_another_value {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
  }
  problem check_add(const embedding_shape&, const positions& p) const noexcept {
    for (index_t t = 0; t < p.size(); ++t) {
      if (p[t] > 511) return problem::out_of_range("add_to", "positions", t, "at most 511").at(t);
    }
    return {};
  }
};

struct computes_in_bf16 {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) {
        S wave_alone = narrow<S>(compute_t<S>(0));
        add_wave(&wave_alone - c, c, p[t]);
        x.token(t)[c] = narrow<S>(widen<compute_t<S>>(x.token(t)[c]) + widen<compute_t<S>>(wave_alone));
      }
    }
  }
};

struct knows_float_only_roughly {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
    for (index_t t = 0; t < x.num_tokens && sizeof(S) == 4; ++t) x.token(t)[0] += static_cast<S>(1e-5F);
  }
};

struct rounds_real_positions_up {
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    wave{}.add_to(x, p);
  }
  template <scalar S>
  void add_to(token_view<S> x, const real_positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) add_wave(x.token(t), c, p[t] + 0.5);
    }
  }
};

struct adds_the_same_everywhere {
  template <scalar S>
  void add_to(token_view<S> x, const positions&) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) add_wave(x.token(t), 0, 1);
  }
};

// Adds a multiple of the position to all columns. Its gradient is too large by `error`.
struct slope_with_gradient {
  double slope = 0.01;
  double error = 0;

  std::span<double> parameters() noexcept { return {&slope, 1}; }
  std::span<const double> parameters() const noexcept { return {&slope, 1}; }
  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t c = 0; c < x.dim; ++c) {
        x.token(t)[c] = narrow<S>(widen<compute_t<S>>(x.token(t)[c]) + static_cast<compute_t<S>>(slope * (p[t] % 100)));
      }
    }
  }
  template <scalar S>
  void add_to_backward(token_view<const S> upstream, const positions& p, std::span<compute_t<S>> sums) const noexcept {
    for (index_t t = 0; t < upstream.num_tokens; ++t) {
      for (index_t c = 0; c < upstream.dim; ++c) {
        sums[0] += static_cast<compute_t<S>>((1 + error) * (p[t] % 100)) * widen<compute_t<S>>(upstream.token(t)[c]);
      }
    }
  }
};

// ---- Queries and keys ----

// Turns columns 0 and 1 by a tenth of the position. Derived ones are wrong in one way each.
struct turn {
  static constexpr double rate = 0.1;

  template <scalar S>
  static void rotate(head_view<S> x, index_t token, index_t head, double angle) noexcept {
    using T = compute_t<S>;
    S* row = x.row(token, head);
    const double a = widen<double>(row[0]);
    const double b = widen<double>(row[1]);
    row[0] = narrow<S>(static_cast<T>(a * std::cos(angle) - b * std::sin(angle)));
    row[1] = narrow<S>(static_cast<T>(a * std::sin(angle) + b * std::cos(angle)));
  }
  template <scalar S>
  static void rotate_all(head_view<S> x, const positions& p, double per_position) noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) rotate(x, t, h, per_position * p[t]);
    }
  }
  problem check_rotate(const head_shape& shape, const positions&) const noexcept {
    return shape.head_dim >= 2 ? problem{} : problem::invalid("rotate", "head_dim", shape.head_dim, "at least 2");
  }
};

struct right_turn : turn {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
};

struct wrong_inverse : right_turn {
  template <scalar S>
  friend void unrotate(const wrong_inverse&, head_view<S> x, const positions& p) {
    rotate_all(x, p, -1.001 * rate);
  }
};

struct wrong_shift : right_turn {
  template <scalar S>
  friend void shift(const wrong_shift&, head_view<S> x, const positions& by) {
    rotate_all(x, by, -rate);
  }
};

struct keys_turn_faster : turn {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, 1.001 * rate);
  }
};

struct stretches : turn {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) {
        for (index_t d = 0; d < x.head_dim; ++d)
          x.row(t, h)[d] = narrow<S>(widen<compute_t<S>>(x.row(t, h)[d]) * compute_t<S>(1.25));
      }
    }
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
};

struct heads_by_their_place : turn {
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) rotate(x, t, h, rate * static_cast<double>(h + 1) * p[t]);
    }
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
};

struct adjoint_turns_forward : right_turn {
  template <scalar S>
  void apply_to_queries_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                                 std::span<compute_t<S>>) const noexcept {
    rotate_all(gradients, p, rate);
  }
  template <scalar S>
  void apply_to_keys_backward(head_view<const S>, head_view<S> gradients, const positions& p,
                              std::span<compute_t<S>>) const noexcept {
    rotate_all(gradients, p, -rate);
  }
};

// Two axes, of which a position of one axis sets the first alone.
struct forgets_an_axis : turn {
  index_t num_position_axes() const noexcept { return 2; }
  template <scalar S>
  void apply_to_queries(head_view<S> x, const positions& p) const noexcept {
    for (index_t t = 0; t < x.num_tokens; ++t) {
      const position_t column = p.num_axes() > 1 ? p.at(1, t) : 0;
      for (index_t h = 0; h < x.num_heads; ++h) rotate(x, t, h, rate * (p[t] + 2.0 * column));
    }
  }
  template <scalar S>
  void apply_to_keys(head_view<S> x, const positions& p) const noexcept {
    rotate_all(x, p, rate);
  }
};

// ---- Scores ----

// A bias for each pair of a tile, by what the tile says of it: `bias_of(tile, q, k)`.
template <class T, class Bias>
void add_to_pairs(const score_tile<T>& tile, Bias bias_of) noexcept {
  for (index_t q = 0; q < tile.num_queries; ++q) {
    for (index_t k = 0; k < tile.num_keys; ++k) tile.score(q, k) += static_cast<T>(bias_of(q, k));
  }
}

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
    for (index_t i = 0; i < count; ++i) out[i] = static_cast<T>(bias(head, first + static_cast<position_t>(i) + 1));
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

// Padding in front shifts all of these by one amount, which the softmax does not see.
struct counts_keys_evenly {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(tile, [&](index_t, index_t k) { return 0.01 * static_cast<double>(tile.first_key + k); });
  }
};

// Reads the keys; NaN behind the mask reaches what it carries from key to key.
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

struct no_number_far_out {
  float bias(index_t, position_t query, position_t key) const noexcept {
    return query == 2147483647 ? std::numeric_limits<float>::quiet_NaN() : 0.01F * static_cast<float>(key % 64);
  }
};

struct of_the_query_alone {
  float bias(index_t, position_t query, position_t) const noexcept { return 0.5F * static_cast<float>(query % 8); }
};

struct nothing_at_all {
  float bias(index_t, position_t) const noexcept { return 0; }
};

struct masks_in_float_alone {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    add_to_pairs(
        tile, [&](index_t q, index_t k) { return -0.1 * (tile.distance(q, k) % 16) + (sizeof(T) == 4 ? 0.001 : 0.0); });
  }
};

// A slope for the distance, whose gradient is a per cent too large.
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

struct changes_when_copied {
  double rate = 0.5;

  changes_when_copied() = default;
  changes_when_copied(const changes_when_copied& other) : rate(2 * other.rate) {}
  changes_when_copied& operator=(const changes_when_copied&) = default;
  double bias(index_t, position_t distance) const noexcept { return -rate * std::abs(static_cast<double>(distance)); }
};

struct accepts_no_shape {
  float bias(index_t, position_t distance) const noexcept { return static_cast<float>(distance); }
  problem check_scores(const score_shape& shape, const positions&, const positions&) const noexcept {
    return problem::invalid("attend", "num_heads", shape.num_heads, "what nobody has");
  }
};

constexpr law_options of_distance{.claims = {.distance_only = true}};

}  // namespace

TEST_CASE("violations: the right ones have none", "[laws]") {
  CHECK(breaks(check_encoding_laws<bf16>(wave{}), {}));
  CHECK(breaks(check_encoding_laws<float>(right_turn{}, {.claims = {.norm_factor = 1}}), {}));
  CHECK(breaks(check_encoding_laws<double>(slope_with_gradient{}), {}));
}

TEST_CASE("violations: of memory", "[laws]") {
  CHECK(breaks(check_encoding_laws(takes_tokens_for_dense{}),
               {"add_to: writes what the view shows, whatever the strides, and nothing else"}));
  CHECK(breaks(check_encoding_laws(writes_without_tokens{}),
               {"add_to: writes nothing where there are no tokens or no heads"}));
  CHECK(breaks(check_encoding_laws(writes_beside_its_rows{}),
               {"add_to: writes what the view shows, whatever the strides, and nothing else"}));
}

TEST_CASE("violations: of one pass, chunks and one by one", "[laws]") {
  CHECK(
      breaks(check_encoding_laws(counts_from_its_first_token{}), {"add_to: one pass equals chunks equals one by one"}));
  CHECK(breaks(check_encoding_laws(rounds_real_positions_up{}), {"add_to: whole real positions agree with integers"}));
  CHECK(
      breaks(check_encoding_laws(forgets_an_axis{}), {"apply_to_queries: positions of one axis are the same on all"}));
}

TEST_CASE("violations: of what is refused", "[laws]") {
  CHECK(breaks(check_encoding_laws(looks_at_the_ends_of_a_list{}),
               {"add_to: refuses wherever the fault stands, and before anything is written"}));
  CHECK(breaks(check_encoding_laws(names_another_value{}),
               {"add_to: refuses wherever the fault stands, and before anything is written"}));
  CHECK(breaks(check_encoding_laws(overflows_far_out{}), {"add_to: is finite at every position that is not refused"}));
  CHECK(breaks(check_encoding_laws(accepts_no_shape{}), {"it accepts some sizes"}));
}

TEST_CASE("violations: of rounding", "[laws]") {
  CHECK(
      breaks(check_encoding_laws<bf16>(computes_in_bf16{}), {"add_to: 16 bits are the result in float, rounded once"}));
  CHECK(breaks(check_encoding_laws(knows_float_only_roughly{}), {"add_to: float agrees with double"}));
  CHECK(breaks(check_encoding_laws(masks_in_float_alone{}), {"scores: float agrees with double"}));
}

TEST_CASE("violations: of adjoints", "[laws]") {
  CHECK(breaks(check_encoding_laws(slope_with_gradient{.error = 0.01}),
               {"add_to: its adjoint matches finite differences"}));
  CHECK(breaks(check_encoding_laws(adjoint_turns_forward{}),
               {"apply_to_queries: its adjoint matches finite differences"}));
  CHECK(breaks(check_encoding_laws(slope_off_by_a_percent{}), {"scores: their adjoint matches finite differences"}));
  CHECK(breaks(check_encoding_laws(forgets_the_scores{}), {"scores: their adjoint matches finite differences"}));
}

TEST_CASE("violations: of rotations", "[laws]") {
  CHECK(breaks(check_encoding_laws(wrong_inverse{}),
               {"apply_to_queries: unrotate gives the input back", "apply_to_keys: unrotate gives the input back"}));
  CHECK(breaks(check_encoding_laws(wrong_shift{}),
               {"apply_to_queries: shift moves what was transformed to other positions",
                "apply_to_keys: shift moves what was transformed to other positions"}));
  CHECK(breaks(check_encoding_laws(stretches{}, {.claims = {.norm_factor = 1}}),
               {"apply_to_queries: keeps lengths, times its factor"}));
  CHECK(breaks(check_encoding_laws<double>(keys_turn_faster{}, of_distance),
               {"queries and keys: their product depends on distance alone"}));
  CHECK(breaks(check_encoding_laws(heads_by_their_place{}), {"attention: heads apart equal heads together"}));
}

TEST_CASE("violations: of a bias that claims to be one of distance", "[laws]") {
  CHECK(breaks(check_encoding_laws(of_the_key_alone{}, of_distance), {"scores: the bias depends on distance alone"}));
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

TEST_CASE("violations: of attention", "[laws]") {
  const std::string chunks = "attention: one pass equals chunks equals one by one";
  const std::string padding = "attention: left-padded equals unpadded";
  const std::string order = "attention: tokens in another order, each with its position, are the same tokens";
  CHECK(breaks(check_encoding_laws(counts_the_rows_of_a_call{}), {chunks, padding, order}));
  CHECK(breaks(check_encoding_laws(counts_keys_not_positions{}), {padding, order}));
  CHECK(breaks(check_encoding_laws(counts_keys_evenly{}), {order}));
  CHECK(breaks(check_encoding_laws(counts_masked_keys{}), {"attention: masked keys have no influence"}));
}

TEST_CASE("violations: of an encoding within another", "[laws]") {
  CHECK(breaks(check_encoding_laws(changes_when_copied{}),
               {"any_encoding: does what the encoding does",
                "combine with a bias of zero behind it: does what the encoding does",
                "combine with a bias of zero before it: does what the encoding does"}));
}

TEST_CASE("violations: of carrying position", "[laws]") {
  CHECK(breaks(check_encoding_laws(of_the_query_alone{}), {"attention: order means something"}));
  CHECK(breaks(check_encoding_laws(adds_the_same_everywhere{}), {"add_to: order means something"}));
  CHECK(breaks(check_encoding_laws(nothing_at_all{}), {"it acts somewhere"}));
}
