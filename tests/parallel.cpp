#include <posenc/parallel.hpp>

#include "catch.hpp"

#include <atomic>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

using namespace posenc;

static_assert(std::is_trivially_copyable_v<task_ref> && std::is_trivially_copyable_v<parallel_for>);

TEST_CASE("parallel: without a loop of the caller's, tasks run one after the other, as worker 0", "[parallel]") {
  std::vector<std::pair<index_t, index_t>> calls;
  const auto task = [&](index_t i, index_t worker) { calls.emplace_back(i, worker); };
  const parallel_for serial;
  CHECK(serial.num_workers() == 1);
  serial(3, task_ref(task));
  CHECK(calls == std::vector<std::pair<index_t, index_t>>{{0, 0}, {1, 0}, {2, 0}});
  serial(0, task_ref(task));
  CHECK(calls.size() == 3);
}

TEST_CASE("parallel: the caller's loop gets the tasks and says which worker runs them", "[parallel]") {
  std::vector<std::pair<index_t, index_t>> calls;
  const auto task = [&](index_t i, index_t worker) { calls.emplace_back(i, worker); };
  const auto backwards = [](index_t num_tasks, task_ref run) {
    for (index_t i = num_tasks; i-- > 0;) run(i, i % 2);
  };
  const parallel_for loop(backwards, 2);
  CHECK(loop.num_workers() == 2);
  loop(3, task_ref(task));
  CHECK(calls == std::vector<std::pair<index_t, index_t>>{{2, 0}, {1, 1}, {0, 0}});
}

TEST_CASE("parallel: a task may run on several threads at once", "[parallel]") {
  std::vector<int> runs(1000);
  const auto task = [&](index_t i, index_t) { ++runs[static_cast<std::size_t>(i)]; };
  const auto threads = [](index_t num_tasks, task_ref run) {
    std::atomic<index_t> next = 0;
    const auto work = [&](index_t worker) {
      for (index_t i = next++; i < num_tasks; i = next++) run(i, worker);
    };
    std::thread other(work, 1);
    work(0);
    other.join();
  };
  parallel_for(threads, 2)(1000, task_ref(task));
  CHECK(runs == std::vector<int>(1000, 1));
}
