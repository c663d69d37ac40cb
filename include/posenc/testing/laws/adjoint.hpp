// Adjoints against finite differences.
#pragma once

#include <posenc/testing/laws/row_block.hpp>
#include <posenc/testing/laws/tiles.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

// The loss is a sum of outputs with random weights; its difference quotient in one input is that input's gradient. With
// everything in double it is accurate to nine digits, in float to three.
template <real T>
struct difference_quotient {
  double step = 0x1p-17;
  double allowed = 1e-7;  // times the largest gradient, at least 1
  bool is_wide = false;   // a kink may lie within a step

  static difference_quotient for_steps_in(bool in_double) {
    return std::same_as<T, double> && in_double ? difference_quotient{} : difference_quotient{0x1p-6, 2e-3, true};
  }
};

inline double largest_of(const std::vector<double>& values) {
  double largest = 1;
  for (const double value : values) largest = std::max(largest, std::abs(value));
  return largest;
}

/// At most `most` of the numbers from 0 to count - 1.
inline std::vector<index_t> some_of(index_t count, index_t most, random_numbers random) {
  std::vector<index_t> some;
  for (index_t i = 0; i < std::min(count, most); ++i) some.push_back(count <= most ? i : random.below(count));
  return some;
}

// ---- Parameters ----

/// Compares parameter gradients, accumulated from 1, with finite differences of `loss(encoding)` in the parameters.
template <real T, class Loss>
void expect_parameter_gradients(law& l, const subject<T>& encoding, const std::vector<T>& gradients, Loss loss,
                                random_numbers random) {
  if (!encoding.with_changed_parameter) return;
  const auto quotient = difference_quotient<T>::for_steps_in(encoding.has_parameters_in_double);
  std::vector<double> from_one;
  for (const T gradient : gradients) from_one.push_back(static_cast<double>(gradient) - 1);
  // Most parameters of a large table have no gradient; those that do are preferred.
  std::vector<index_t> in_use;
  for (index_t i = 0; i < std::ssize(from_one); ++i) {
    if (at(from_one, i) != 0) in_use.push_back(i);
  }
  std::vector<index_t> chosen = some_of(std::ssize(gradients), 16, random);
  for (const index_t i : some_of(std::ssize(in_use), 48, random)) chosen.push_back(at(in_use, i));
  const double allowed = quotient.allowed * largest_of(from_one);
  double result = 0;
  const auto run = [&](const subject<T>& changed) { result = loss(changed); };
  const auto step_by = [&](index_t i, double step) {
    return encoding.with_changed_parameter(
        i, step,
        [](const void* context, const subject<T>& changed) { (*static_cast<const decltype(run)*>(context))(changed); },
        &run);
  };
  for (const index_t i : chosen) {
    const double step_up = step_by(i, quotient.step);
    const double up = result;
    const double step_down = step_by(i, -quotient.step);
    l.expect_near(at(from_one, i), (up - result) / (step_up - step_down), allowed,
                  [&] { return "the gradient of parameter " + std::to_string(i); });
  }
}

// ---- Rows ----

template <real T>
double loss_of_rows(const row_hook<T>& hook, const row_block<T>& x, const row_block<T>& weights, const positions& p) {
  const row_block<T> y = applied(hook, x, p);
  double sum = 0;
  for (index_t i = 0; i < std::ssize(y.values); ++i)
    sum += static_cast<double>(at(weights.values, i)) * static_cast<double>(at(y.values, i));
  return sum;
}

/// Whether a step in a parameter that positions multiply is a small angle s at all of these positions: the difference
/// quotient of a sine over [-s, s] is off by s^2 / 6.
template <real T>
bool differences_are_fair(const subject<T>& encoding, const std::vector<position_t>& ids) {
  const auto quotient = difference_quotient<T>::for_steps_in(encoding.has_parameters_in_double);
  return std::all_of(ids.begin(), ids.end(), [&](position_t id) {
    const double step = quotient.step * static_cast<double>(id);
    return step * step < 3 * quotient.allowed;
  });
}

/// The adjoint of a hook on rows, with respect to rows and parameters.
template <real T>
void check_adjoint_of_rows(const trial<T>& t, std::size_t which) {
  const row_hook<T>& hook = t.encoding.rows[which];
  if (!hook.backward) return;
  law l = t.start(std::string(hook.name) + ": its adjoint matches finite differences");
  const index_t num_tokens = std::min<index_t>(t.sizes.num_tokens, 5);
  const row_block<T> x(num_tokens, t.heads_of(hook), t.columns_of(hook), t.random());
  const row_block<T> weights(num_tokens, x.num_heads, x.num_columns, random_numbers(t.options.seed + 1));
  for (const named_ids& list : lists_of_ids(num_tokens, t.random())) {
    const positions ids(list.ids);
    row_block<T> gradients = weights;
    if (hook.check(gradients.view(), ids)) continue;
    std::vector<T> of_parameters(static_cast<std::size_t>(t.encoding.num_parameters), T(1));
    hook.backward(x.view(), gradients.view(), ids, of_parameters);

    const auto quotient = difference_quotient<T>::for_steps_in(true);
    for (const index_t i : some_of(std::ssize(x.values), 64, t.random())) {
      row_block<T> up = x;
      row_block<T> down = x;
      at(up.values, i) += static_cast<T>(quotient.step);
      at(down.values, i) -= static_cast<T>(quotient.step);
      const double gain = loss_of_rows(hook, up, weights, ids) - loss_of_rows(hook, down, weights, ids);
      l.expect_near(static_cast<double>(at(gradients.values, i)), gain / (2 * quotient.step),
                    quotient.allowed * size_of(gradients.values),
                    [&] { return std::string(list.name) + ": the gradient of " + x.place_of(i, ids); });
    }
    if (t.options.claims.learned_angles && !differences_are_fair<T>(t.encoding, list.ids)) continue;
    expect_parameter_gradients(
        l, t.encoding, of_parameters,
        [&](const subject<T>& changed) { return loss_of_rows(changed.rows[which], x, weights, ids); }, t.random());
  }
}

// ---- Scores ----

template <real T>
double loss_of_scores(const score_hook<T>& hook, const tile_input<T>& input, const std::vector<T>& weights) {
  const std::vector<T> scores = biased(hook, input, {});
  double sum = 0;
  for (index_t i = 0; i < std::ssize(scores); ++i) {
    // Masked pairs do not count.
    if (at(weights, i) != T(0)) sum += static_cast<double>(at(weights, i)) * static_cast<double>(at(scores, i));
  }
  return sum;
}

/// Compares gradients with finite differences in the elements of one of the tile's arrays, `member`.
template <real T>
void expect_tile_gradients(law& l, const score_hook<T>& hook, const tile_input<T>& input, const std::vector<T>& weights,
                           std::vector<T> tile_input<T>::*member, const std::vector<T>& gradients,
                           const std::string& name, random_numbers random) {
  const auto quotient = difference_quotient<T>::for_steps_in(true);
  const double between = loss_of_scores(hook, input, weights);
  for (const index_t i : some_of(std::ssize(gradients), 48, random)) {
    if (!is_finite(static_cast<double>(at(input.*member, i)))) continue;  // masked
    tile_input<T> up = input;
    tile_input<T> down = input;
    at(up.*member, i) += static_cast<T>(quotient.step);
    at(down.*member, i) -= static_cast<T>(quotient.step);
    const double above = loss_of_scores(hook, up, weights);
    const double below = loss_of_scores(hook, down, weights);
    // If there is a kink in between, the slopes on both sides differ, and the gradient may be either.
    const double in_doubt = quotient.is_wide ? std::abs(above - 2 * between + below) / (2 * quotient.step) : 0;
    l.expect_near(static_cast<double>(at(gradients, i)), (above - below) / (2 * quotient.step),
                  quotient.allowed * size_of(gradients) + in_doubt,
                  [&] { return "the gradient of number " + std::to_string(i) + " of the " + name; });
  }
}

/// The adjoint of the bias of a causal tile, with respect to scores, queries, keys and parameters.
template <real T>
void check_adjoint_of_scores(const trial<T>& t) {
  const score_hook<T>& hook = t.encoding.scores.front();
  if (!hook.backward) return;
  law l = t.start("scores: their adjoint matches finite differences");
  const index_t count = std::min<index_t>(t.sizes.num_tokens, 6);
  const std::vector<position_t> ids = lists_of_ids(count, t.random()).front().ids;
  for (index_t head = 0; head < t.sizes.num_heads; ++head) {
    tile_input<T> input = tile_of<T>(t.sizes, head, ids, ids, t.random());
    random_numbers random(t.options.seed + 1);
    std::vector<T> weights = random_values<T>(count * count, random);
    for (index_t i = 0; i < count * count; ++i) {
      if (i % count <= i / count) continue;
      at(input.scores, i) = -std::numeric_limits<T>::infinity();
      at(weights, i) = 0;
    }

    std::vector<T> of_scores = weights;
    std::vector<T> of_queries(input.queries.size());
    std::vector<T> of_keys(input.keys.size());
    std::vector<T> of_parameters(static_cast<std::size_t>(t.encoding.num_parameters), T(1));
    piece_of_tile<T> before(input, {}, 0, count, count, hook.scratch_size(count));
    before.move_to(input, 0, count);
    hook.backward(before.tile, {of_scores.data(), of_queries.data(), of_keys.data(), of_parameters});

    expect_tile_gradients(l, hook, input, weights, &tile_input<T>::scores, of_scores, "scores", t.random());
    expect_tile_gradients(l, hook, input, weights, &tile_input<T>::queries, of_queries, "queries", t.random());
    expect_tile_gradients(l, hook, input, weights, &tile_input<T>::keys, of_keys, "keys", t.random());
    expect_parameter_gradients(
        l, t.encoding, of_parameters,
        [&](const subject<T>& changed) { return loss_of_scores(changed.scores.front(), input, weights); }, t.random());
  }
}

/// Attention sums score gradients by distance, and calls bias_backward for all distances of a head at once.
template <real T>
void check_adjoint_by_distance(const trial<T>& t) {
  const score_hook<T>& hook = t.encoding.scores.front();
  if (!hook.bias_backward || t.encoding.num_parameters == 0) return;
  law l = t.start("scores: gradients of many distances at once are those of each alone");
  constexpr index_t count = 300;
  const auto num_parameters = static_cast<std::size_t>(t.encoding.num_parameters);
  random_numbers random = t.random();
  for (index_t head = 0; head < t.sizes.num_heads; ++head) {
    for (const position_t first : {-200, 0, 1000}) {
      const std::vector<T> sums = random_values<T>(count, random);
      std::vector<T> at_once(num_parameters);
      hook.bias_backward(head, first, sums, at_once);
      std::vector<double> one_by_one(num_parameters);
      double size = 1;
      for (index_t i = 0; i < count; ++i) {
        std::vector<T> alone(num_parameters);
        hook.bias_backward(head, static_cast<position_t>(first + i), {&at(sums, i), 1}, alone);
        for (std::size_t p = 0; p < num_parameters; ++p) one_by_one[p] += static_cast<double>(alone[p]);
        size += size_of(alone);
      }
      const double allowed = 32 * rounding_of<T>() * size;
      for (index_t i = 0; i < t.encoding.num_parameters; ++i) {
        l.expect_near(static_cast<double>(at(at_once, i)), at(one_by_one, i), allowed, [&] {
          return "distances from " + std::to_string(first) + " on: the gradient of parameter " + std::to_string(i);
        });
      }
    }
  }
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
