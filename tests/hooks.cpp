#include <posenc/hooks.hpp>

#include "catch.hpp"
#include "owned_tile.hpp"

#include <algorithm>
#include <span>
#include <vector>

using namespace posenc;

namespace {

struct by_distance {
  double rate = 1;
  double bias(index_t head, position_t distance) const noexcept {
    return rate * static_cast<double>(head + 1) * static_cast<double>(distance * distance % 17);
  }
  template <real T>
  void bias_backward(index_t head, position_t first, std::span<const T> sums, std::span<T> gradients) const noexcept {
    for (const T sum : sums) gradients[0] += sum * static_cast<T>(bias(head, first++) / rate);
  }
  std::span<double> parameters() noexcept { return {&rate, 1}; }
  std::span<const double> parameters() const noexcept { return {&rate, 1}; }
};

struct by_pair {
  float bias(index_t head, position_t query, position_t key) const noexcept {
    return static_cast<float>(head) + static_cast<float>(query) - 100 * static_cast<float>(key);
  }
  template <real T>
  void bias_backward(index_t, position_t query, position_t key, T gradient, std::span<T> gradients) const noexcept {
    gradients[0] += static_cast<T>(query + 10 * key) * gradient;
  }
};

struct by_tile {
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) tile.score(q, 0) += T(5);
  }
};

struct with_table {
  float bias(index_t, position_t) const noexcept { return 1; }
  template <real T>
  void fill_bias(index_t, position_t first, index_t count, T* out) const noexcept {
    for (index_t i = 0; i < count; ++i) out[i] = static_cast<T>(first + i);
  }
};

template <class E>
void expect_bias(const E& e, contiguous along, index_t num_queries, index_t num_keys, bool consecutive) {
  CAPTURE(num_queries, num_keys, consecutive);
  owned_tile<double> x(along, num_queries, num_keys);
  x.tile.head = 3;
  x.tile.consecutive = consecutive;
  for (auto& position : x.query_positions) position += 1000;
  for (auto& position : x.key_positions) position -= 20;
  if (!consecutive) std::reverse(x.key_positions.begin(), x.key_positions.end());
  hooks::add_to_scores(e, x.tile);
  bool right = true;
  double sum = 0;
  for (index_t q = 0; q < num_queries; ++q) {
    for (index_t k = 0; k < num_keys; ++k) {
      double expected = 0;
      if constexpr (relative_bias<E, double>)
        expected = e.bias(3, x.tile.distance(q, k));
      else
        expected = static_cast<double>(e.bias(3, x.tile.query_positions[q], x.tile.key_positions[k]));
      right = right && x.tile.score(q, k) == expected;
      sum += expected;
    }
  }
  CHECK(right);
  double all_of_memory = 0;  // nothing is written beside the tile
  for (const double score : x.scores) all_of_memory += score;
  CHECK(all_of_memory == sum);
}

}  // namespace

static_assert(relative_bias<by_distance, float> && pairwise_bias<by_pair, double> && tile_bias<by_tile, float>);
static_assert(score_encoding<by_tile, double> && !score_encoding<no_encoding, float>);
static_assert(noexcept(hooks::add_to_scores(by_distance{}, score_tile<float>{})));

TEST_CASE("hooks: a bias of distance or of a pair fills tiles of any shape, both ways, whatever the positions",
          "[hooks]") {
  const contiguous along = GENERATE(contiguous::queries, contiguous::keys);
  for (const index_t num_queries : {1, 2, 7, 64, 128, 200}) {
    for (const index_t num_keys : {1, 3, 64, 128, 129, 300}) {  // 256 together is the last tile that is tabulated
      for (const bool consecutive : {true, false}) {
        expect_bias(by_distance{}, along, num_queries, num_keys, consecutive);
        expect_bias(by_pair{}, along, num_queries, num_keys, consecutive);
      }
    }
  }
}

TEST_CASE("hooks: no queries or no keys are nothing to do", "[hooks]") {
  owned_tile<float> x(contiguous::queries, 2, 2);
  x.tile.num_queries = 0;
  hooks::add_to_scores(by_tile{}, x.tile);
  x.tile.num_queries = 2;
  x.tile.num_keys = 0;
  hooks::add_to_scores(by_tile{}, x.tile);
  hooks::add_to_scores(by_distance{}, x.tile);
  for (const float score : x.scores) CHECK(score == 0);
}

TEST_CASE("hooks: an encoding's own table of distances is used where distances are consecutive", "[hooks]") {
  owned_tile<float> x(contiguous::queries, 3, 2);
  x.tile.consecutive = true;
  hooks::add_to_scores(with_table{}, x.tile);
  CHECK(x.tile.score(2, 0) == 2);
  CHECK(x.tile.score(0, 1) == -1);
  float lifted[3];
  hooks::fill_bias<float>(by_distance{}, 1, -1, 3, lifted);
  CHECK(lifted[0] == 2);
  CHECK(lifted[1] == 0);
}

TEST_CASE("hooks: what a type lacks is nothing, and its queries say so", "[hooks]") {
  const no_encoding none;
  std::vector<float> x{1, 2};
  hooks::add_to(none, token_view(x.data(), 1, 2), positions(5, 1));
  hooks::apply_to_queries(none, head_view(x.data(), 1, 1, 2), positions(5, 1));
  hooks::apply_to_keys(by_distance{}, head_view(x.data(), 1, 1, 2), positions(5, 1));
  CHECK(x == std::vector<float>{1, 2});
  CHECK(hooks::has_distance_bias<float>(by_distance{}));
  CHECK_FALSE(hooks::has_distance_bias<float>(by_pair{}));
  CHECK_FALSE(hooks::has_distance_bias<float>(by_tile{}));
  CHECK_FALSE(hooks::reads_content(by_tile{}));
  CHECK(hooks::scratch_size(by_tile{}, 64) == 0);
  CHECK(hooks::num_parameters(by_distance{}) == 1);
  CHECK(hooks::num_parameters(none) == 0);
  CHECK(hooks::num_position_axes(none) == 1);
  CHECK_FALSE(hooks::check_add<float>(none, {7, 7}, positions(0, 3)));  // no hook, so nothing can be wrong
  CHECK_FALSE(hooks::check_rotate<float>(by_pair{}, {7, 7, 7}, positions(0, 3)));
}

TEST_CASE("hooks: gradients of a bias reach its parameters pair by pair", "[hooks]") {
  const contiguous along = GENERATE(contiguous::queries, contiguous::keys);
  owned_tile<double> x(along, 3, 4);
  owned_tile<double> upstream(along, 3, 4);
  x.tile.head = 1;
  double by_distance_sum = 0, by_pair_sum = 0;
  for (index_t q = 0; q < 3; ++q) {
    for (index_t k = 0; k < 4; ++k) {
      const double gradient = static_cast<double>(1 + q * 4 + k);
      upstream.tile.score(q, k) = gradient;
      by_distance_sum += gradient * by_distance{}.bias(1, static_cast<position_t>(q - k));
      by_pair_sum += gradient * static_cast<double>(q + 10 * k);
    }
  }
  std::vector<double> parameters(1, 0.5);  // what is there stays: gradients add up
  hooks::add_to_scores_backward(by_distance{}, x.tile,
                                score_gradients<double>{upstream.scores.data(), nullptr, nullptr, parameters});
  CHECK(parameters[0] == by_distance_sum + 0.5);
  hooks::add_to_scores_backward(by_pair{}, x.tile,
                                score_gradients<double>{upstream.scores.data(), nullptr, nullptr, parameters});
  CHECK(parameters[0] == by_distance_sum + by_pair_sum + 0.5);
}

namespace {

struct parameter_of_one {
  double rate = 1;
  std::span<const double> parameters() const noexcept { return {&rate, 1}; }
};
struct form_of_distance : parameter_of_one {
  double bias(index_t, position_t distance) const noexcept { return rate * distance; }
};
struct form_of_pair : parameter_of_one {
  double bias(index_t, position_t query, position_t) const noexcept { return rate * query; }
};
struct form_of_tile : parameter_of_one {
  void add_to_scores(const score_tile<double>&) const noexcept {}
};
struct form_chosen_at_run_time : form_of_tile {
  template <real T>
  bool has_distance_bias() const noexcept {
    return true;
  }
  void fill_bias(index_t, position_t, index_t, double*) const noexcept {}
};

template <class Form>
struct and_of_distances : Form {
  void bias_backward(index_t, position_t, std::span<const double>, std::span<double>) const noexcept {}
};
template <class Form>
struct and_of_pairs : Form {
  void bias_backward(index_t, position_t, position_t, double, std::span<double>) const noexcept {}
};
template <class Form>
struct and_of_tiles : Form {
  void add_to_scores_backward(const score_tile<double>&, const score_gradients<double>&) const noexcept {}
};

template <class E>
bool passes() {
  return hooks::passes_score_gradients<double>(E{});
}

}  // namespace

TEST_CASE("hooks: parameters have gradients by the adjoint of the form that the bias has, and by no other", "[hooks]") {
  CHECK_FALSE(passes<form_of_distance>());
  CHECK(passes<and_of_distances<form_of_distance>>());
  CHECK_FALSE(passes<and_of_pairs<form_of_distance>>());
  CHECK_FALSE(passes<and_of_tiles<form_of_distance>>());
  CHECK_FALSE(passes<and_of_distances<form_of_pair>>());
  CHECK(passes<and_of_pairs<form_of_pair>>());
  CHECK_FALSE(passes<and_of_tiles<form_of_pair>>());
  CHECK_FALSE(passes<and_of_distances<form_of_tile>>());
  CHECK_FALSE(passes<and_of_pairs<form_of_tile>>());
  CHECK(passes<and_of_tiles<form_of_tile>>());
  // By which of the two its gradients come is known at run time only.
  CHECK_FALSE(passes<and_of_distances<form_chosen_at_run_time>>());
  CHECK_FALSE(passes<and_of_tiles<form_chosen_at_run_time>>());
  CHECK(passes<and_of_distances<and_of_tiles<form_chosen_at_run_time>>>());
}
