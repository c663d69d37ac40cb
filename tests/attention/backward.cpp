#include <posenc/attention/backward.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/dense_bias.hpp>
#include <posenc/encodings/kerple.hpp>
#include <posenc/encodings/scores_of.hpp>
#include <posenc/encodings/t5_bias.hpp>

#include "../catch.hpp"
#include "random_gradients.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <span>
#include <thread>
#include <vector>

using namespace posenc;

namespace {

constexpr index_t most_heads = 9;  // of the random calls: 6, from head 3 on

/// Sums of up to 150 products; a weight is as uncertain as its score, which is below 8, and adds the rounding of exp.
/// Seen: 20 epsilon in double, 60 in float.
template <real T>
constexpr double close = 250 * static_cast<double>(std::numeric_limits<T>::epsilon());

/// What a rounding of the output to 8 or 11 bits leaves of its product with the upstream gradient.
template <scalar S>
constexpr double output_rounding = std::same_as<S, bf16>  ? 0x1p-7
                                   : std::same_as<S, f16> ? 0x1p-10
                                                          : 0;

template <scalar S, class E>
void expect_reference_gradients(random_values& random, const random_attention& call, const E& encoding) {
  using T = compute_t<S>;
  CAPTURE(random.seed(), call.sizes());
  gradient_trial<S, E> trial(random, call, encoding);
  trial.go_forward();
  trial.go_backward();
  const reference_gradients expected = trial.expected();
  CHECK(trial.error(expected) < close<T> + output_rounding<S>);
  CHECK(trial.error_of_parameters(expected) < close<T> + output_rounding<S>);
}

template <scalar S, class E>
void expect_reference_gradients(unsigned seed, const E& encoding, int num_calls, index_t head_dim = 0) {
  random_values random(seed);
  for (int i = 0; i < num_calls; ++i) {
    random_attention call(random);
    if (head_dim > 0) call.head_dim = head_dim;
    CAPTURE(i);
    expect_reference_gradients<S>(random, call, encoding);
  }
}

template <real T>
alibi<T> slopes() {
  random_values random(100);
  return alibi<T>(random.list<T>(most_heads, 0, 1));
}
template <real T>
t5_bias<T> buckets() {
  random_values random(101);
  return t5_bias<T>(random.list<T>(16 * most_heads), {.num_buckets = 16, .max_distance = 40});
}
template <real T>
kerple<T> logarithms() {
  random_values random(102);
  const std::vector<T> rates = random.list<T>(2 * most_heads, 0.1, 1);
  const std::span<const T> all(rates);
  return kerple<T>(kerple_kernel::log, all.first(most_heads), all.last(most_heads));
}
template <real T>
cope<T> gates(index_t head_dim) {
  random_values random(103);
  return cope<T>(random.list<T>(5 * head_dim), head_dim);
}

/// A bias of two positions, with one parameter for all heads.
struct by_pair {
  double rate = 0.125;
  double bias(index_t head, position_t query, position_t key) const noexcept {
    return rate * static_cast<double>(head + 1) * std::sin(static_cast<double>(query + 2 * key));
  }
  template <real T>
  void bias_backward(index_t head, position_t query, position_t key, T gradient, std::span<T> sums) const noexcept {
    sums[0] += static_cast<T>(static_cast<double>(gradient) * bias(head, query, key) / rate);
  }
  std::span<double> parameters() noexcept { return {&rate, 1}; }
  std::span<const double> parameters() const noexcept { return {&rate, 1}; }
};

/// Multiplies scores by the query's position: not a bias, so that its adjoint changes the gradients of the scores.
struct stretched {
  static double factor(position_t query) noexcept { return 1 + static_cast<double>(query % 7) / 16; }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t q = 0; q < tile.num_queries; ++q) {
      for (index_t k = 0; k < tile.num_keys; ++k) tile.score(q, k) *= static_cast<T>(factor(tile.query_positions[q]));
    }
  }
  template <real T>
  void add_to_scores_backward(const score_tile<T>& before, const score_gradients<T>& gradients) const noexcept {
    for (index_t q = 0; q < before.num_queries; ++q) {
      for (index_t k = 0; k < before.num_keys; ++k)
        gradients.scores[q * before.query_stride + k * before.key_stride] *=
            static_cast<T>(factor(before.query_positions[q]));
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("backward: gradients are the reference's, without an encoding", "[backward]", double, float) {
  expect_reference_gradients<TestType>(1, no_encoding{}, 150);
}
TEMPLATE_TEST_CASE("backward: gradients are the reference's, with a bias of distance", "[backward]", double, float) {
  expect_reference_gradients<TestType>(2, slopes<TestType>(), 40);
  expect_reference_gradients<TestType>(3, buckets<TestType>(), 40);
  expect_reference_gradients<TestType>(4, logarithms<TestType>(), 40);
  expect_reference_gradients<TestType>(5, combine(slopes<TestType>(), buckets<TestType>()), 40);
}
TEMPLATE_TEST_CASE("backward: gradients are the reference's, with a bias of pairs", "[backward]", double, float) {
  expect_reference_gradients<TestType>(6, by_pair{}, 40);
  expect_reference_gradients<TestType>(7, combine(slopes<TestType>(), by_pair{}), 40);
}
TEMPLATE_TEST_CASE("backward: gradients are the reference's, with an encoding that reads content", "[backward]", double,
                   float) {
  expect_reference_gradients<TestType>(8, gates<TestType>(3), 30, 3);
  expect_reference_gradients<TestType>(9, combine(slopes<TestType>(), gates<TestType>(16)), 30, 16);
}
TEMPLATE_TEST_CASE("backward: gradients are the reference's, with one that is no bias", "[backward]", double, float) {
  expect_reference_gradients<TestType>(10, stretched{}, 40);
}
TEMPLATE_TEST_CASE("backward: gradients are the reference's, with a trained matrix of biases", "[backward]", double,
                   float) {
  random_values random(11);
  for (int i = 0; i < 30; ++i) {
    const random_attention call(random, 70);
    const index_t heads = i % 2 == 0 ? 1 : most_heads;
    const std::vector<float> matrix = random.list<float>(heads * (call.num_queries + 1) * call.num_keys);
    const dense_bias<float> bias(
        matrix.data(),
        {.num_heads = heads, .num_queries = call.num_queries + 1, .num_keys = call.num_keys, .trainable = true});
    expect_reference_gradients<TestType>(random, call, bias);
  }
}
TEMPLATE_TEST_CASE("backward: gradients are the reference's, of elements of two bytes", "[backward]", bf16, f16) {
  expect_reference_gradients<TestType>(12, no_encoding{}, 40);
  expect_reference_gradients<TestType>(13, slopes<float>(), 40);
  expect_reference_gradients<TestType>(14, gates<float>(16), 10, 16);
}

TEMPLATE_TEST_CASE("backward: an encoding chosen at run time has the gradients of the one it holds", "[backward]",
                   double, float) {
  using any = any_encoding<double, float>;
  const any distances(slopes<TestType>()), pairs(by_pair{}), content(combine(slopes<TestType>(), gates<TestType>(16)));
  expect_reference_gradients<TestType>(15, scores_of(distances), 20);
  expect_reference_gradients<TestType>(16, scores_of(pairs), 20);
  expect_reference_gradients<TestType>(17, scores_of(content), 10, 16);
}

// The fixed sizes, those between them, and rows that do not fill a vector.
TEMPLATE_TEST_CASE("backward: gradients are the reference's, whatever the sizes of the heads", "[backward]", double,
                   float) {
  random_values random(19);
  for (const index_t head_dim : {2, 15, 17, 48, 64, 72, 80, 96, 112, 128, 129, 256}) {
    for (const index_t value_dim : {head_dim, index_t{64}}) {
      random_attention call(random, 140);
      call.head_dim = head_dim;
      call.value_dim = value_dim;
      expect_reference_gradients<TestType>(random, call, slopes<TestType>());
    }
  }
}

// Distances of ids are kept by distance if their range is no wider than that of rows; else they come pair by pair.
TEMPLATE_TEST_CASE("backward: gradients of a bias of distance are the reference's for any ids", "[backward]", double,
                   float) {
  random_values random(20);
  for (const position_t spread : {0, 1, 90, 100000}) {
    random_attention call = plain_call(random, 130, 2, 16);
    call.band = causal();
    for (index_t t = 0; t < 130; ++t) {
      call.query_ids.push_back(static_cast<position_t>(random.whole(-spread, spread)));
      call.key_ids.push_back(static_cast<position_t>(random.whole(-spread, spread)));
    }
    CAPTURE(spread);
    expect_reference_gradients<TestType>(random, call, buckets<TestType>());
    expect_reference_gradients<TestType>(random, call, logarithms<TestType>());
  }
}

TEST_CASE("backward: gradients are those of finite differences of attend", "[backward]") {
  random_values random(21);
  CAPTURE(random.seed());
  random_attention call = plain_call(random, 9, 2, 4);
  call.num_kv_heads = 1;
  call.band = causal();
  call.softcap = 3;
  call.sinks = {0.3, -1};
  auto encoding = combine(alibi<double>(std::vector<double>{0.25, 0.5}), gates<double>(4));
  using trial_type = gradient_trial<double, decltype(encoding)>;
  trial_type trial(random, call, encoding);
  const auto loss = [&] {
    auto options = trial.options();
    attend(trial.q.view(), trial.k.view(), trial.v.view(), trial.out.view(), encoding, options);
    double sum = 0;
    for (std::size_t i = 0; i < trial.out.values.size(); ++i) sum += trial.out.values[i] * trial.d_out.values[i];
    return sum;
  };
  loss();
  trial.go_backward();
  const auto expect_differences = [&](std::vector<double>& values, const std::vector<double>& gradients) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double value = values[i];
      values[i] = value + 0x1p-17;
      const double above = loss();
      values[i] = value - 0x1p-17;
      const double below = loss();
      values[i] = value;
      CHECK(std::abs((above - below) * 0x1p16 - (gradients[i] - 1)) < 1e-7);
    }
  };
  expect_differences(trial.q.values, trial.dq.values);
  expect_differences(trial.k.values, trial.dk.values);
  expect_differences(trial.v.values, trial.dv.values);
  expect_differences(call.sinks, trial.d_sinks);
}

namespace {

/// Threads that take whatever task is next, so that which worker runs what is left to chance.
struct racing_threads {
  index_t num_threads;
  void operator()(index_t num_tasks, task_ref task) const {
    std::vector<std::thread> threads;
    for (index_t worker = 0; worker < num_threads; ++worker) {
      threads.emplace_back([=, this] {
        for (index_t i = worker; i < num_tasks; i += num_threads) task(i, num_threads - 1 - worker);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

template <class E>
void expect_equal_bits(unsigned seed, const E& encoding, index_t head_dim) {
  const auto run = [&](const parallel_for& threads) {
    random_values random(seed);
    random_attention call = plain_call(random, 100, 6, head_dim);
    call.num_kv_heads = 3;
    call.band = causal();
    gradient_trial<float, E> trial(random, call, encoding);
    trial.go_forward();
    trial.threads = threads;
    trial.go_backward();
    return trial;
  };
  const auto serial = run({});
  for (const index_t num_threads : {1, 2, 3, 5}) {
    CAPTURE(num_threads);
    const racing_threads loop{num_threads};
    const auto parallel = run(parallel_for(loop, num_threads));
    CHECK(parallel.dq.values == serial.dq.values);
    CHECK(parallel.dk.values == serial.dk.values);
    CHECK(parallel.dv.values == serial.dv.values);
    CHECK(parallel.d_parameters == serial.d_parameters);
  }
}

}  // namespace

TEST_CASE("backward: bits are the same for any number of threads", "[backward]") {
  expect_equal_bits(22, no_encoding{}, 16);
  expect_equal_bits(23, buckets<float>(), 16);
  expect_equal_bits(24, by_pair{}, 16);         // one parameter for all heads
  expect_equal_bits(25, gates<float>(16), 16);  // one table for all heads
}

TEST_CASE("backward: rows may lie any stride apart, and what is between them is left alone", "[backward]") {
  random_values random(26);
  random_attention call = plain_call(random, 70, 4, 16);
  call.num_kv_heads = 2;
  gradient_trial<float, no_encoding> trial(random, call, no_encoding{});
  trial.go_forward();
  trial.go_backward();

  const auto spread = [](const owned_heads<float>& x) {  // head by head, with a gap of three after each row
    std::vector<float> memory(static_cast<std::size_t>(x.num_tokens * x.num_heads * (x.head_dim + 3)), 7.0F);
    head_view<float> view(memory.data(), x.num_tokens, x.num_heads, x.head_dim, x.head_dim + 3,
                          x.num_tokens * (x.head_dim + 3));
    for (index_t t = 0; t < x.num_tokens; ++t) {
      for (index_t h = 0; h < x.num_heads; ++h) std::copy_n(x.view().row(t, h), x.head_dim, view.row(t, h));
    }
    return std::pair(std::move(memory), view);
  };
  const auto ones = [](const owned_heads<float>& x) {
    return owned_heads<float>(x.num_tokens, x.num_heads, x.head_dim, 1.0F);
  };
  const auto q = spread(trial.q), k = spread(trial.k), v = spread(trial.v), out = spread(trial.out),
             d_out = spread(trial.d_out), dq = spread(ones(trial.q)), dk = spread(ones(trial.k)),
             dv = spread(ones(trial.v));
  auto options = trial.options();
  options.run.workspace = trial.workspace;
  attend_backward(q.second, k.second, v.second, out.second, d_out.second, {dq.second, dk.second, dv.second},
                  no_encoding{}, options);
  CHECK(dq.first == spread(trial.dq).first);
  CHECK(dk.first == spread(trial.dk).first);
  CHECK(dv.first == spread(trial.dv).first);
}

TEST_CASE("backward: whatever a query does not see stays out of all gradients", "[backward]") {
  constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
  random_values random(27);
  random_attention call = plain_call(random, 100, 1, 16);
  call.num_queries = 70;
  call.query_offset = 10;
  call.band = causal();
  call.softcap = GENERATE(0.0, 2.0);
  call.key_ranges.assign(70, {5, 100});
  call.key_ranges[3] = {0, 0};  // sees nothing
  const auto encoding = slopes<float>();
  gradient_trial<float, alibi<float>> clean(random, call, encoding);
  const auto poison = [&](gradient_trial<float, alibi<float>>& x, float value) {
    for (const index_t t : {0, 4, 80, 99}) {
      std::fill_n(x.k.view().row(t, 0), 16, value);
      std::fill_n(x.v.view().row(t, 0), 16, value);
    }
    std::fill_n(x.q.view().row(3, 0), 16, value);
    std::fill_n(x.d_out.view().row(3, 0), 16, value);
  };
  poison(clean, 0);
  clean.go_forward();
  auto hidden = clean;
  poison(hidden, not_a_number);
  clean.go_backward();
  hidden.go_backward();
  // Not the same bits: what is not finite takes another way.
  const auto expect_near = [](const std::vector<float>& seen, const std::vector<float>& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i) CHECK(std::abs(seen[i] - expected[i]) < 1e-5F);
  };
  expect_near(hidden.dq.values, clean.dq.values);
  expect_near(hidden.dk.values, clean.dk.values);
  expect_near(hidden.dv.values, clean.dv.values);
  expect_near({hidden.d_parameters[0] / 100}, {clean.d_parameters[0] / 100});
}

namespace {

/// The last value overflows times any gradient but its own query's, which is zero. No other query sees it.
template <class E>
void expect_the_last_value_hidden(random_values& random, const random_attention& call, const E& encoding) {
  CAPTURE(random.seed(), call.sizes(), call.softcap);
  gradient_trial<float, E> plain(random, call, encoding);
  const index_t last = call.num_keys - 1;
  for (index_t h = 0; h < call.num_heads; ++h) {
    for (index_t t = 0; t <= last; ++t) plain.d_out.view().row(t, h)[0] = t < last ? 2.0F : 0.0F;
    std::fill_n(plain.d_out.view().row(last, h), call.value_dim, 0.0F);
    std::fill_n(plain.v.view().row(last, h), call.value_dim, 1.0F);
  }
  auto huge = plain;
  for (index_t h = 0; h < call.num_heads; ++h) std::fill_n(huge.v.view().row(last, h), call.value_dim, 3e38F);
  for (auto* trial : {&plain, &huge}) {
    trial->go_forward();
    trial->go_backward();
  }
  double worst = 0;
  const auto compare = [&](const std::vector<float>& seen, const std::vector<float>& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      const double off = std::abs(static_cast<double>(seen[i]) - static_cast<double>(expected[i]));
      worst = off <= worst ? worst : std::isnan(off) ? std::numeric_limits<double>::infinity() : off;
    }
  };
  compare(huge.dq.values, plain.dq.values);
  compare(huge.dk.values, plain.dk.values);
  compare(huge.dv.values, plain.dv.values);
  CHECK(worst < 1e-5);  // where parts are multiplied, huge numbers may take another way
  worst = 0;
  compare(huge.d_parameters, plain.d_parameters);
  CHECK(worst < 1e-2);
}

}  // namespace

TEST_CASE("backward: a value that a query does not see may overflow the products with it", "[backward]") {
  random_values random(32);
  const index_t num_tokens = GENERATE(2, 40, 100);
  const double softcap = GENERATE(0.0, 2.0);
  random_attention call = plain_call(random, num_tokens, 2, GENERATE(1, 16));
  call.softcap = softcap;
  SECTION("by a band") { call.band = causal(); }
  SECTION("by ranges of keys") {
    for (index_t q = 0; q < num_tokens; ++q) call.key_ranges.push_back({0, q + 1});
  }
  SECTION("by a mask") {
    const index_t num_pairs = num_tokens * num_tokens;
    call.mask_memory = std::make_unique<bool[]>(static_cast<std::size_t>(num_pairs));
    for (index_t i = 0; i < num_pairs; ++i)
      call.mask_memory[static_cast<std::size_t>(i)] = i % num_tokens <= i / num_tokens;
    call.mask = {call.mask_memory.get(), num_tokens, num_tokens, 0};
  }
  expect_the_last_value_hidden(random, call, no_encoding{});
  expect_the_last_value_hidden(random, call, slopes<float>());
  expect_the_last_value_hidden(random, call, by_pair{});
  expect_the_last_value_hidden(random, call, gates<float>(call.head_dim));
}

namespace {
constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

struct number_to_the_left {
  double bias(index_t, position_t distance) const noexcept {
    return distance < 0 ? no_number : -0.125 * static_cast<double>(distance);
  }
};
struct number_to_the_left_by_pair {
  double bias(index_t, position_t query, position_t key) const noexcept {
    return number_to_the_left{}.bias(0, query - key);
  }
};
}  // namespace

TEST_CASE("backward: no bias revives a masked pair", "[backward]") {
  random_values random(31);
  random_attention call = plain_call(random, 100, 2, 16);
  call.band = causal();
  expect_reference_gradients<float>(random, call, number_to_the_left{});
  expect_reference_gradients<float>(random, call, number_to_the_left_by_pair{});
}

TEST_CASE("backward: numbers may be tiny or huge, all of them or those of one token", "[backward]") {
  random_values random(29);
  const float size = GENERATE(0x1p-115F, 0x1p-100F, 0x1p70F);
  const bool all = GENERATE(true, false);
  random_attention call = plain_call(random, 150, 1, 16);
  call.band = causal();
  gradient_trial<float, no_encoding> trial(random, call, no_encoding{});
  // Keys and queries that make up for each other leave scores as they are.
  const auto scale_row = [](auto view, index_t t, float factor) {
    for (index_t d = 0; d < 16; ++d) view.row(t, 0)[d] *= factor;
  };
  for (index_t t = 0; t < 150; ++t) {
    if (!all && t != 70) continue;
    if (all) scale_row(trial.q.view(), t, 1 / size);
    scale_row(trial.k.view(), t, all || size < 1 ? size : 1 / size);
  }
  trial.go_forward();
  trial.go_backward();
  const reference_gradients expected = trial.expected();
  const auto close_to = [](const std::vector<float>& seen, const std::vector<double>& wanted) {
    double largest = 0, error = 0;
    for (std::size_t i = 0; i < seen.size(); ++i) {
      largest = std::max(largest, std::abs(wanted[i]));
      error = std::max(error, std::abs(static_cast<double>(seen[i]) - 1 - wanted[i]));
    }
    return error <= 1e-5 * largest + 1e-6;
  };
  CHECK(close_to(trial.dv.values, expected.values));
  CHECK(close_to(trial.dq.values, expected.queries));
  CHECK(close_to(trial.dk.values, expected.keys));
}

TEST_CASE("backward: NaN in a query reaches its own row and the keys it sees", "[backward]") {
  random_values random(28);
  random_attention call = plain_call(random, 80, 1, 16);
  call.band = causal();
  gradient_trial<float, no_encoding> trial(random, call, no_encoding{});
  trial.q.view().row(20, 0)[5] = std::numeric_limits<float>::quiet_NaN();
  trial.go_forward();
  trial.go_backward();
  for (index_t t = 0; t < 80; ++t) {
    CAPTURE(t);
    CHECK(std::isnan(trial.dq.view().row(t, 0)[0]) == (t == 20));
    CHECK(std::isnan(trial.dk.view().row(t, 0)[0]) == (t <= 20));
    CHECK(std::isnan(trial.dv.view().row(t, 0)[0]) == (t <= 20));
  }
}

TEST_CASE("backward: there is a block of queries even where there are no queries", "[backward]") {
  const no_encoding none;
  const detail::backward_sizes<float> sizes(positions(0, 0), positions(0, 100), 16, 16, none, 0);
  CHECK(sizes.walk == 1);
  random_values random(33);
  random_attention call = plain_call(random, 0, 2, 16);
  call.num_keys = 100;
  expect_reference_gradients<float>(random, call, none);
}
