// Running on the caller's threads: posenc starts none; it passes tasks to the loop it is given.
#include <posenc/attention/attend.hpp>
#include <posenc/encodings/alibi.hpp>

#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#if defined(_OPENMP)
#include <omp.h>
#endif

using namespace posenc;

// A minimal thread pool. An engine already has one.
class thread_pool {
 public:
  explicit thread_pool(int num_threads) {
    for (int worker = 1; worker < num_threads; ++worker) threads_.emplace_back([this, worker] { serve(worker); });
  }
  ~thread_pool() {
    {
      const std::lock_guard lock(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  index_t size() const { return std::ssize(threads_) + 1; }

  // The loop that parallel_for requires: runs task(i, worker) for each i, and returns when all are done.
  void operator()(index_t num_tasks, task_ref task) const {
    std::unique_lock lock(mutex_);
    task_ = &task;
    next_ = 0;
    num_tasks_ = num_tasks;
    busy_ = 1;
    changed_.notify_all();
    work(lock, 0);
    changed_.wait(lock, [this] { return busy_ == 0; });
    task_ = nullptr;
  }

 private:
  void serve(index_t worker) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return ended_ || (task_ != nullptr && next_ < num_tasks_); });
      if (ended_) return;
      ++busy_;
      work(lock, worker);
    }
  }
  void work(std::unique_lock<std::mutex>& lock, index_t worker) const {
    while (next_ < num_tasks_) {
      const index_t i = next_++;
      lock.unlock();
      (*task_)(i, worker);
      lock.lock();
    }
    if (--busy_ == 0) changed_.notify_all();
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable const task_ref* task_ = nullptr;
  mutable index_t next_ = 0, num_tasks_ = 0;
  mutable int busy_ = 0;
  bool ended_ = false;
  std::vector<std::thread> threads_;
};

constexpr index_t num_heads = 8, num_kv_heads = 2, head_dim = 64, num_keys = 4000;

std::vector<float> random_heads(index_t count, std::mt19937& engine) {
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = normal(engine);
  return values;
}

int main() {
  std::mt19937 engine(1);
  const auto q = random_heads(num_heads * head_dim, engine);
  const auto k = random_heads(num_keys * num_kv_heads * head_dim, engine);
  const auto v = random_heads(num_keys * num_kv_heads * head_dim, engine);
  const head_view queries(q.data(), 1, num_heads, head_dim);
  const head_view keys(k.data(), num_keys, num_kv_heads, head_dim), values(v.data(), num_keys, num_kv_heads, head_dim);
  const alibi<float> slopes(num_heads);

  // One new token over a cache. With a workspace the keys are split, so that a few heads keep many threads busy.
  const auto attend_on = [&](const parallel_for& threads) {
    std::vector<float> out(static_cast<std::size_t>(num_heads * head_dim));
    std::vector<float> workspace(static_cast<std::size_t>(workspace_size(queries, keys, values, slopes, threads)));
    attend(queries, keys, values, head_view(out.data(), 1, num_heads, head_dim), slopes,
           {.run = {.workspace = workspace, .threads = threads}});
    return out;
  };

  const auto serial = attend_on({});
  const thread_pool pool(4);
  const bool same_on_pool = attend_on(parallel_for(pool, pool.size())) == serial;
  std::printf("a pool of 4: %s\n", same_on_pool ? "the same bits" : "different");

#if defined(_OPENMP)
  const auto openmp = [](index_t num_tasks, task_ref task) {
#pragma omp parallel for schedule(dynamic)
    for (index_t i = 0; i < num_tasks; ++i) task(i, omp_get_thread_num());
  };
  const bool same_on_openmp = attend_on(parallel_for(openmp, omp_get_max_threads())) == serial;
  std::printf("OpenMP: %s\n", same_on_openmp ? "the same bits" : "different");
#else
  const bool same_on_openmp = true;
#endif
  return same_on_pool && same_on_openmp ? 0 : 1;
}

// a pool of 4: the same bits
// OpenMP: the same bits
