#include <posenc/attention/ragged.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/quantized_view.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <atomic>
#include <limits>
#include <numeric>
#include <thread>
#include <vector>

using namespace posenc;

namespace {

/// Five sequences: a prompt, a chunk, a single token, one without queries, and one without keys.
const std::vector<std::int32_t> of_queries{0, 70, 79, 80, 80, 82};
const std::vector<std::int32_t> of_keys{0, 70, 170, 1700, 1703, 1703};

struct packed {
  owned_heads<float> q, k, v, out;
  std::vector<float> lse;

  explicit packed(random_values& random)
      : q(random, 82, 6, 16), k(random, 1703, 2, 16), v(random, 1703, 2, 9), out(82, 6, 9, 99.0F), lse(82 * 6, 99.0F) {}

  auto batch(const query_key_positions& p = {}) {
    return packed_batch(q.view(), k.view(), v.view(), out.view(), of_queries, of_keys, p, lse_view(lse.data(), 82, 6));
  }
  /// The same by calls of `attend`, one a sequence.
  void one_by_one(const attend_options<float>& shared, const alibi<float>& slopes, const query_key_positions& p = {}) {
    for (std::size_t i = 0; i + 1 < of_queries.size(); ++i) {
      const index_t q0 = of_queries[i], nq = of_queries[i + 1] - q0, k0 = of_keys[i], nk = of_keys[i + 1] - k0;
      attend_options<float> options = shared;
      options.lse = {lse.data() + q0 * 6, nq, 6};
      if (p.queries) options.positions.queries = p.queries->tokens(q0, nq);
      if (p.keys) options.positions.keys = p.keys->tokens(k0, nk);
      attend(q.view().tokens(q0, nq), k.view().tokens(k0, nk), v.view().tokens(k0, nk), out.view().tokens(q0, nq),
             slopes, options);
    }
  }
};

const auto three_threads = [](index_t num_tasks, task_ref task) {
  std::atomic<index_t> next = 0;
  std::vector<std::thread> threads;
  for (index_t worker = 0; worker < 3; ++worker) {
    threads.emplace_back([&, worker] {
      for (index_t i = next++; i < num_tasks; i = next++) task(i, worker);
    });
  }
  for (std::thread& thread : threads) thread.join();
};

}  // namespace

TEST_CASE("ragged: a batch gives the bits of its sequences, one by one", "[ragged]") {
  random_values random(1);
  CAPTURE(random.seed());
  packed together(random), apart = together;
  const alibi<float> slopes(8);
  const std::vector<float> sinks{0, 1, 2, 3, 4, 5};
  const attend_options<float> options{.band = sliding_window(90), .sinks = sinks, .more = {.first_head = 2}};
  attend_ragged(together.batch(), slopes, options);
  apart.one_by_one(options, slopes);
  CHECK(together.out.values == apart.out.values);
  CHECK(together.lse == apart.lse);
}

TEST_CASE("ragged: positions of all tokens are the sequences' own", "[ragged]") {
  random_values random(2);
  CAPTURE(random.seed());
  packed together(random), apart = together;
  const alibi<float> slopes(6);
  std::vector<position_t> query_ids(82), key_ids(1703);
  for (position_t& id : query_ids) id = static_cast<position_t>(random.whole(-9, 9));
  for (position_t& id : key_ids) id = static_cast<position_t>(random.whole(-9, 9));
  const query_key_positions ids{query_ids, key_ids};
  attend_ragged(together.batch(ids), slopes);
  apart.one_by_one({}, slopes, ids);
  CHECK(together.out.values == apart.out.values);
}

TEST_CASE("ragged: threads share one batch, and each has its share of the workspace", "[ragged]") {
  random_values random(3);
  CAPTURE(random.seed());
  packed serial(random), parallel = serial;
  const alibi<float> slopes(6);
  const parallel_for three(three_threads, 3);
  std::vector<float> of_one(static_cast<std::size_t>(ragged_workspace_size(serial.batch(), slopes)));
  std::vector<float> of_three(static_cast<std::size_t>(ragged_workspace_size(serial.batch(), slopes, three)));
  CHECK(of_three.size() == 3 * of_one.size());
  attend_ragged(serial.batch(), slopes, {.band = causal(), .run = {.workspace = of_one}});
  attend_ragged(parallel.batch(), slopes, {.band = causal(), .run = {.workspace = of_three, .threads = three}});
  CHECK(parallel.out.values == serial.out.values);
  CHECK(parallel.lse == serial.lse);
}

TEST_CASE("ragged: sequences may lie in pages, each with a table of its own", "[ragged]") {
  random_values random(4);
  CAPTURE(random.seed());
  using sequence = ragged_sequence<const float, paged_view<const float>, paged_view<const float>, float>;
  const owned_heads<float> pages(random, 12 * 4, 2, 8), q(random, 5, 4, 8);
  owned_heads<float> out(5, 4, 8), apart(5, 4, 8);
  const std::vector<position_t> first{7, 2, 9}, second{0, 11};
  const auto view = [&](const std::vector<position_t>& table, index_t num_tokens) {
    return paged_view<const float>(pages.values.data(), table, 4, num_tokens, 2, 8);
  };
  const auto queries = q.view();
  const std::vector<sequence> batch{{queries.tokens(0, 4), view(first, 10), view(first, 10), out.view().tokens(0, 4)},
                                    {queries.tokens(4, 1), view(second, 8), view(second, 8), out.view().tokens(4, 1)}};
  attend_ragged(batch, no_encoding{}, {.band = causal()});
  for (const sequence& s : batch) {
    const index_t row = s.q.num_tokens == 4 ? 0 : 4;
    attend(s.q, s.keys, s.values, apart.view().tokens(row, s.q.num_tokens), no_encoding{}, {.band = causal()});
  }
  CHECK(out.values == apart.values);
}

TEST_CASE("ragged: no sequences are nothing to do", "[ragged]") {
  const std::vector<std::int32_t> none{0};
  const head_view<float> nothing(nullptr, 0, 2, 4);
  attend_ragged(packed_batch(nothing, nothing, nothing, nothing, none, none), no_encoding{});
}

TEST_CASE("ragged: what does not fit is refused, with the number of the sequence, and nothing is written", "[ragged]") {
  random_values random(5);
  packed x(random);
  using sequence = ragged_sequence<float, head_view<float>, head_view<float>, float>;
  std::vector<sequence> batch{x.batch()[0], x.batch()[1]};
  batch[1].values.num_heads = 1;
  CHECK_THROWS_WITH(attend_ragged(batch, no_encoding{}),
                    "attend: num_heads of values[1] is 1, expected 2, that of the keys");
  batch[1] = x.batch()[1];
  batch[1].q.num_tokens = batch[1].out.num_tokens = batch[1].lse.num_tokens = -1;
  CHECK_THROWS_WITH(attend_ragged(batch, no_encoding{}), "attend: num_tokens of queries[1] is -1, expected at least 0");
  const bool allowed[1] = {true};
  attend_options<float> masked;
  masked.more.allowed.data = allowed;
  CHECK_THROWS_WITH(attend_ragged(x.batch(), no_encoding{}, masked),
                    "attend_ragged: number of masks is 1, expected 0: sequences have key_ranges of their own");
  CHECK(x.out.values == std::vector<float>(x.out.values.size(), 99.0F));

  const auto refuses = [&](std::vector<std::int32_t> queries, std::vector<std::int32_t> keys, const char* message) {
    CHECK_THROWS_WITH(packed_batch(x.q.view(), x.k.view(), x.v.view(), x.out.view(), queries, keys), message);
  };
  refuses({}, {0}, "packed_batch: queries: size of cu_seqlens is 0, expected at least 1");
  refuses({0, 5, 4}, {0, 1, 2}, "packed_batch: queries: cu_seqlens[2] is 4, expected at least 5, the one before");
  refuses({-1, 5}, {0, 1}, "packed_batch: queries: cu_seqlens[0] is -1, expected at least 0");
  refuses({0, 83}, {0, 1}, "packed_batch: queries: last of cu_seqlens is 83, expected at most 82, the tokens");
  refuses({0, 82}, {0, 1704}, "packed_batch: keys: last of cu_seqlens is 1704, expected at most 1703, the tokens");
  refuses({0, 82}, {0, 1, 2}, "packed_batch: size of cu_seqlens of keys is 3, expected 2, that of the queries");
}
