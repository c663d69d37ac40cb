// What attend promises for single rows (empty ones, NaN, values behind a mask), and for memory, pages and threads.
#include <posenc/attention/attend.hpp>
#include <posenc/attention/reference.hpp>

#include <posenc/encodings/alibi.hpp>

#include "../catch.hpp"
#include "random_attention.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posenc;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

struct call {
  owned_heads<float> q, k, v, out;
  std::vector<float> lse;

  call(random_values& random, index_t num_queries, index_t num_keys, index_t num_heads = 2, index_t num_kv_heads = 1)
      : q(random, num_queries, num_heads, 8),
        k(random, num_keys, num_kv_heads, 8),
        v(random, num_keys, num_kv_heads, 5),
        out(num_queries, num_heads, 5, 99.0F),
        lse(static_cast<std::size_t>(num_queries * num_heads), 99.0F) {}

  template <class E>
  void run(const E& encoding, attend_options<float> options = {}) {
    options.lse = lse_view<float>(lse.data(), q.num_tokens, q.num_heads);
    attend(q.view(), k.view(), v.view(), out.view(), encoding, options);
  }
  bool row_is_zero(index_t t) const {
    for (index_t h = 0; h < out.num_heads; ++h) {
      for (index_t d = 0; d < 5; ++d) {
        if (out.view().row(t, h)[d] != 0) return false;
      }
    }
    return true;
  }
};

const alibi<float> slopes(std::vector<float>{0.5F, 0.25F});

}  // namespace

TEST_CASE("attend: a query without any key gives zeros and a log-sum-exp of minus infinity", "[attend]") {
  random_values random(1);
  CAPTURE(random.seed());
  const index_t num_queries = GENERATE(5, 70);
  call x(random, num_queries, 66);
  x.run(slopes, {.band = causal(), .query_offset = -3});
  for (index_t t = 0; t < 3; ++t) {
    CHECK(x.row_is_zero(t));
    CHECK(x.lse[static_cast<std::size_t>(2 * t)] == -infinity);
  }
  CHECK_FALSE(x.row_is_zero(3));
  CHECK(std::isfinite(x.lse[6]));

  call without_keys(random, num_queries, 0);
  without_keys.run(no_encoding{});
  CHECK(without_keys.out.values == std::vector<float>(without_keys.out.values.size(), 0.0F));
  const std::vector<float> sinks{1.5F, -2.0F};
  without_keys.run(no_encoding{}, {.sinks = sinks});  // the sink alone takes part
  CHECK(without_keys.out.values == std::vector<float>(without_keys.out.values.size(), 0.0F));
  CHECK(without_keys.lse[0] == 1.5F);
  CHECK(without_keys.lse[1] == -2.0F);
  const std::vector<float> nothing(2, -infinity);  // heads without a sink
  without_keys.run(no_encoding{}, {.sinks = nothing});
  CHECK(without_keys.out.values == std::vector<float>(without_keys.out.values.size(), 0.0F));
  CHECK(without_keys.lse[0] == -infinity);
}

TEST_CASE("attend: no queries, no heads and no columns are nothing to do", "[attend]") {
  random_values random(2);
  CAPTURE(random.seed());
  const head_view<float> none(nullptr, 0, 2, 8);
  call x(random, 3, 4);
  attend(none, x.k.view(), x.v.view(), head_view<float>(nullptr, 0, 2, 5), slopes);
  attend(head_view<float>(nullptr, 3, 0, 8), x.k.view(), x.v.view(), head_view<float>(nullptr, 3, 0, 5), slopes);
  attend(x.q.view(), x.k.view(), head_view<float>(nullptr, 4, 1, 0), head_view<float>(nullptr, 3, 2, 0), slopes);
  // Of no columns all products are zero, and all keys weigh the same.
  std::vector<float> mean(6);
  attend(head_view<float>(nullptr, 3, 2, 0), head_view<float>(nullptr, 4, 1, 0),
         head_view(x.v.values.data(), 4, 1, 1, 5, 5), head_view(mean.data(), 3, 2, 1), no_encoding{});
  CHECK(std::abs(mean[0] - (x.v.values[0] + x.v.values[5] + x.v.values[10] + x.v.values[15]) / 4) < 1e-6F);
}

TEST_CASE("attend: NaN among keys and values of bf16 stays in the rows that see it", "[attend]") {
  random_values random(4);
  CAPTURE(random.seed());
  const index_t num_tokens = GENERATE(13, 79), head_dim = GENERATE(7, 16);
  owned_heads<bf16> q(random, num_tokens, 4, head_dim), k(random, num_tokens, 2, head_dim), v(random, num_tokens, 2, 5);
  const auto run = [&] {
    owned_heads<float> out(num_tokens, 4, 5, 99.0F);
    attend(q.view(), k.view(), v.view(), out.view(), no_encoding{}, {.band = causal()});
    return out;
  };
  owned_heads<float> clean = run();
  const index_t first = GENERATE(4, 9);
  k.view().row(first, 0)[6] = bf16(not_a_number);
  v.view().row(first + 1, 0)[0] = bf16(infinity);
  v.view().row(first + 2, 1)[3] = bf16(not_a_number);
  owned_heads<float> out = run();
  for (index_t t = 0; t < num_tokens; ++t) {
    for (index_t h = 0; h < 4; ++h) {
      for (index_t d = 0; d < 5; ++d) {
        CAPTURE(t, h, d);
        const float is = out.view().row(t, h)[d];
        const bool hit = h < 2 ? t >= first : t >= first + 2 && d == 3;
        if (hit)
          CHECK(std::isnan(is));
        else if (h >= 2 &&
                 t >= first + 2)  // a row that is not finite is added on its own, by a weight that is not rounded
          CHECK(std::abs(is - clean.view().row(t, h)[d]) < 4e-3F);
        else
          CHECK(is == clean.view().row(t, h)[d]);
      }
    }
  }
}

TEMPLATE_TEST_CASE("attend: infinities among 16 bits give what they give among floats", "[attend]", f16, bf16) {
  using other = std::conditional_t<std::is_same_v<TestType, f16>, f16, float>;  // of queries and outputs
  random_values random(6);
  CAPTURE(random.seed());
  const index_t num_tokens = 150, head_dim = 16;
  owned_heads<other> q(random, num_tokens, 1, head_dim);
  owned_heads<TestType> k(random, num_tokens, 1, head_dim), v(random, num_tokens, 1, 5);
  k.view().row(100, 0)[3] = TestType(infinity);
  v.view().row(140, 0)[2] = TestType(-infinity);
  q.view().row(120, 0)[3] = other(infinity);
  q.view().row(20, 0)[1] = other(-infinity);
  owned_heads<other> out(num_tokens, 1, 5, other(99.0F));
  attend(q.view(), k.view(), v.view(), out.view(), no_encoding{}, {.band = causal()});
  const auto wide_q = in_double(q), wide_k = in_double(k), wide_v = in_double(v);
  const auto expected =
      attend_reference(wide_q.view(), wide_k.view(), wide_v.view(), no_encoding{}, {.band = causal()})[0];
  for (index_t t = 0; t < num_tokens; ++t) {
    for (index_t d = 0; d < 5; ++d) {
      CAPTURE(t, d);
      const double is = widen<double>(out.view().row(t, 0)[d]), right = expected.out(t, d);
      if (std::isfinite(right))
        CHECK(std::abs(is - right) < 2e-3);
      else
        CHECK((std::isnan(right) ? std::isnan(is) : is == right));
    }
  }
}

TEST_CASE("attend: NaN in a query stays in its row, and NaN in a key in the rows that see it", "[attend]") {
  random_values random(3);
  CAPTURE(random.seed());
  const index_t num_tokens = GENERATE(6, 13, 80);
  const bool biased = GENERATE(false, true);
  const auto run = [&](call& it) {
    biased ? it.run(slopes, {.band = causal()}) : it.run(no_encoding{}, {.band = causal()});
  };
  call clean(random, num_tokens, num_tokens);
  call x = clean;
  run(clean);
  x.q.view().row(2, 1)[7] = not_a_number;
  x.k.view().row(4, 0)[0] = not_a_number;
  x.v.view().row(4, 0)[3] = not_a_number;
  run(x);
  for (index_t t = 0; t < num_tokens; ++t) {
    for (index_t h = 0; h < 2; ++h) {
      const bool hit = t >= 4 || (t == 2 && h == 1);
      CAPTURE(t, h);
      CHECK(std::isnan(x.lse[static_cast<std::size_t>(2 * t + h)]) == hit);
      for (index_t d = 0; d < 5; ++d) {
        CHECK(std::isnan(x.out.view().row(t, h)[d]) == hit);
        if (!hit) CHECK(x.out.view().row(t, h)[d] == clean.out.view().row(t, h)[d]);
      }
    }
  }
}

TEST_CASE("attend: whatever stands behind a mask does not leak", "[attend]") {
  random_values random(4);
  CAPTURE(random.seed());
  const float garbage = GENERATE(not_a_number, infinity, -infinity, 3e38F);
  const index_t num_queries = GENERATE(2, 70);
  call clean(random, num_queries, 70);
  const auto mask = std::make_unique<bool[]>(70);
  for (std::size_t i = 0; i < 70; ++i) mask[i] = i % 3 != 1;
  attend_options<float> options;
  options.band = sliding_window(40);
  options.more.allowed = {mask.get(), 69, 0, 0};  // for all queries and heads; the last key has no entry at all
  options.softcap = GENERATE(0.0, 2.0);
  call x = clean;
  clean.run(slopes, options);
  for (index_t t = 0; t < 70; ++t) {
    if (t < 69 && t % 3 != 1) continue;
    for (index_t d = 0; d < 8; ++d) x.k.view().row(t, 0)[d] = garbage;
    for (index_t d = 0; d < 5; ++d) x.v.view().row(t, 0)[d] = garbage;
  }
  x.run(slopes, options);
  CHECK(x.out.values == clean.out.values);
  CHECK(x.lse == clean.lse);
}

TEST_CASE("attend: no bias revives a masked pair", "[attend]") {
  struct opens_all {
    float bias(index_t, position_t query, position_t key) const noexcept { return key > query ? infinity : 0; }
  };
  random_values random(5);
  CAPTURE(random.seed());
  call with(random, 9, 9);
  call without = with;
  with.run(opens_all{}, {.band = causal()});
  without.run(no_encoding{}, {.band = causal()});
  CHECK(with.out.values == without.out.values);
}

TEST_CASE("attend: the output may be the queries themselves", "[attend]") {
  random_values random(6);
  CAPTURE(random.seed());
  owned_heads<float> q(random, 70, 3, 8), out = q;
  const owned_heads<float> k(random, 70, 3, 8), v(random, 70, 3, 8);
  const alibi<float> three(3);
  attend(q.view(), k.view(), v.view(), out.view(), three, {.band = causal()});
  attend(q.view(), k.view(), v.view(), q.view(), three, {.band = causal()});
  CHECK(q.values == out.values);
}

TEST_CASE("attend: pages in any order give the bits of one piece", "[attend]") {
  random_values random(7);
  CAPTURE(random.seed());
  const index_t page_size = GENERATE(1, 5, 64);
  call x(random, 12, 83, 4, 2);
  const index_t num_pages = (83 + page_size - 1) / page_size;
  std::vector<position_t> table(static_cast<std::size_t>(num_pages));
  std::iota(table.begin(), table.end(), 0);
  for (std::size_t i = table.size(); i-- > 1;)
    std::swap(table[i], table[static_cast<std::size_t>(random.whole(0, static_cast<index_t>(i)))]);
  std::vector<float> pages(static_cast<std::size_t>(num_pages * page_size * 2 * 8), not_a_number);
  const paged_view<float> keys(pages.data(), table, page_size, 83, 2, 8);
  for (index_t t = 0; t < 83; ++t) {
    for (index_t h = 0; h < 2; ++h) std::copy_n(x.k.view().row(t, h), 8, keys.block(t, 1).row(0, h));
  }
  const alibi<float> four(4);
  x.run(four, {.band = causal()});
  owned_heads<float> out(12, 4, 5);
  attend(x.q.view(), keys, x.v.view(), out.view(), four, {.band = causal()});
  CHECK(out.values == x.out.values);
}

TEST_CASE("attend: threads give the bits of one worker, with the stack and with a workspace", "[attend]") {
  random_values random(8);
  CAPTURE(random.seed());
  const auto loop = [](index_t num_tasks, task_ref task) {
    std::atomic<index_t> next = 0;
    std::vector<std::thread> threads;
    for (index_t worker = 0; worker < 3; ++worker) {
      threads.emplace_back([&, worker] {
        for (index_t i = next++; i < num_tasks; i = next++) task(i, worker);
      });
    }
    for (std::thread& thread : threads) thread.join();
  };
  const parallel_for three(loop, 3);
  call serial(random, 150, 150, 4, 2);
  const alibi<float> four(4);
  const bool on_stack = GENERATE(true, false);
  std::vector<float> of_one, of_three;
  if (!on_stack) {
    of_one.resize(static_cast<std::size_t>(workspace_size(serial.q.view(), serial.k.view(), serial.v.view(), four)));
    of_three.resize(
        static_cast<std::size_t>(workspace_size(serial.q.view(), serial.k.view(), serial.v.view(), four, three)));
    CHECK(of_three.size() == 3 * of_one.size());
  }
  call parallel = serial;
  serial.run(four, {.band = causal(), .run = {.workspace = of_one}});
  parallel.run(four, {.band = causal(), .run = {.workspace = of_three, .threads = three}});
  CHECK(parallel.out.values == serial.out.values);
  CHECK(parallel.lse == serial.lse);
}

namespace {

/// Adds nothing, in the way of a bias of distance.
struct adds_zero {
  float bias(index_t, position_t) const noexcept { return 0; }
};

/// Queries of one, and one of zero in the middle, over two keys; the first value is 1, the second 2.
template <class S, class E>
void expect_the_larger_key(const E& encoding, index_t num_queries, float first_key, float second_key, double scale) {
  using T = compute_t<S>;
  CAPTURE(num_queries, first_key, second_key, scale);
  owned_heads<S> q(num_queries, 1, 1, S(1.0F)), out(num_queries, 1, 1);
  q.values[q.values.size() / 2] = S(0.0F);
  owned_heads<S> k(2, 1, 1, S(first_key)), v(2, 1, 1, S(1.0F));
  k.values[1] = S(second_key);
  v.values[1] = S(2.0F);
  std::vector<T> lse(static_cast<std::size_t>(num_queries));
  std::vector<T> workspace(static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), encoding)));
  attend(q.view(), k.view(), v.view(), out.view(), encoding,
         {.scale = scale, .lse = {lse.data(), num_queries, 1}, .run = {.workspace = workspace}});
  const bool first = first_key > second_key;
  bool right = true;
  const auto expect = [&](double seen, double expected) {
    right = right && std::abs(seen - expected) <= 4 * 0x1p-23 * std::abs(expected);
  };
  for (std::size_t i = 0; i < lse.size(); ++i) {
    const bool between = i == lse.size() / 2;
    expect(widen<double>(out.values[i]), between ? 1.5 : first ? 1 : 2);
    expect(static_cast<double>(lse[i]), between ? std::log(2.0) : scale * widen<double>(k.values[first ? 0 : 1]));
  }
  CHECK(right);
}

}  // namespace

TEMPLATE_TEST_CASE("attend: scores reach up to either end of the range", "[attend]", float, bf16, double) {
  for (const index_t num_queries : {1, 13, 40}) {  // decoded, by tiles, and by parts where there is a unit for them
    const auto expect = [&](float first_key, float second_key, double scale) {
      expect_the_larger_key<TestType>(no_encoding{}, num_queries, first_key, second_key, scale);
      if constexpr (!std::is_same_v<TestType, double>)
        expect_the_larger_key<TestType>(adds_zero{}, num_queries, first_key, second_key, scale);
    };
    for (const float largest : {1e6F, 1e9F, 1e12F, 1e20F, 1e29F, 1e31F, 2.3e38F, 3e38F}) {
      expect(largest, 0, 1);
      expect(largest, -largest, 1);
      expect(0, -largest, 1);
      expect(-largest, -1.1F * largest, 1);
      expect(1, 0, static_cast<double>(largest));
      expect(-1, -2, static_cast<double>(largest / 2));
    }
  }
}
