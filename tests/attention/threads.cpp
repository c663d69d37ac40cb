// Attention on several threads, and from several threads at once: the same bits, and no reports from a thread
// sanitizer.
#include <posenc/attention/attend.hpp>
#include <posenc/attention/ragged.hpp>

#include <posenc/encodings/alibi.hpp>
#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/encodings/cope.hpp>
#include <posenc/encodings/scores_of.hpp>

#include "../catch.hpp"
#include "../random_values.hpp"

#include <atomic>
#include <thread>
#include <vector>

using namespace posenc;

namespace {

/// Starts threads for each loop, which take tasks as they come.
struct thread_loop {
  index_t num_threads;
  void operator()(index_t num_tasks, task_ref task) const {
    std::atomic<index_t> next = 0;
    std::vector<std::thread> threads;
    for (index_t worker = 0; worker < num_threads; ++worker) {
      threads.emplace_back([&, worker] {
        for (index_t i = next++; i < num_tasks; i = next++) task(i, worker);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
};

template <class S = float>
struct call {
  owned_heads<S> q, k, v;
  any_encoding<float> encoding;

  call(random_values& random, index_t num_queries, index_t num_keys, bool contextual)
      : q(random, num_queries, 4, 16), k(random, num_keys, 2, 16), v(random, num_keys, 2, 16) {
    if (contextual)
      encoding = combine(cope<float>(random.list<float>(6 * 16), 16), alibi<float>(4));
    else
      encoding = alibi<float>(4);
  }
  std::vector<float> on(const parallel_for& threads) const {
    owned_heads<S> out(q.num_tokens, 4, 16);
    const auto scores = scores_of(encoding);
    std::vector<float> workspace(
        static_cast<std::size_t>(workspace_size(q.view(), k.view(), v.view(), scores, threads)));
    attend(q.view(), k.view(), v.view(), out.view(), scores,
           {.band = causal(), .run = {.workspace = workspace, .threads = threads}});
    return in_float(out);
  }

  static std::vector<float> in_float(const owned_heads<S>& x) {
    std::vector<float> wide;
    for (const S stored : x.values) wide.push_back(widen<float>(stored));
    return wide;
  }
};

}  // namespace

TEMPLATE_TEST_CASE("threads: any number of them gives the bits of one, for prompts and for single tokens", "[threads]",
                   float, f16, bf16) {
  random_values random(1);
  CAPTURE(random.seed());
  const bool contextual = GENERATE(false, true);
  const index_t num_queries = GENERATE(1, 4, 300);
  const call<TestType> x(random, num_queries, 2100, contextual);
  const std::vector<float> serial = x.on({});
  for (const index_t num_threads : {1, 2, 3, 8}) {
    const thread_loop loop{num_threads};
    CAPTURE(num_queries, num_threads);
    CHECK(x.on(parallel_for(loop, num_threads)) == serial);
  }
}

TEST_CASE("threads: calls of one encoding may run at once", "[threads]") {
  random_values random(2);
  CAPTURE(random.seed());
  const call<> x(random, 3, 1500, true);
  const std::vector<float> serial = x.on({});
  std::vector<std::vector<float>> results(4);
  const auto task = [&](index_t i, index_t) {
    const thread_loop two{2};
    results[static_cast<std::size_t>(i)] = x.on(parallel_for(two, 2));
  };
  thread_loop{4}(4, task_ref(task));
  for (const std::vector<float>& result : results) CHECK(result == serial);
}

TEST_CASE("threads: a batch of sequences is shared among them", "[threads]") {
  random_values random(3);
  CAPTURE(random.seed());
  const owned_heads<float> q(random, 40, 4, 16), k(random, 3000, 2, 16), v(random, 3000, 2, 16);
  const std::vector<std::int32_t> of_queries{0, 1, 2, 36, 40}, of_keys{0, 2500, 2600, 2634, 3000};
  owned_heads<float> serial(40, 4, 16), parallel(40, 4, 16);
  const alibi<float> slopes(4);
  const thread_loop loop{4};
  attend_ragged(packed_batch(q.view(), k.view(), v.view(), serial.view(), of_queries, of_keys), slopes,
                {.band = causal()});
  attend_ragged(packed_batch(q.view(), k.view(), v.view(), parallel.view(), of_queries, of_keys), slopes,
                {.band = causal(), .run = {.threads = parallel_for(loop, 4)}});
  CHECK(parallel.values == serial.values);
}
