// Threads that stay: starting one costs more than a small case takes.
#pragma once

#include <posenc/parallel.hpp>

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace posenc_bench {

/// Runs tasks on a fixed number of threads, the caller's one of them. As a loop of `parallel_for` it is called as
/// `pool(num_tasks, task)`.
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
    start_.notify_all();
  }
  thread_pool(const thread_pool&) = delete;
  thread_pool& operator=(const thread_pool&) = delete;

  posenc::index_t size() const noexcept { return std::ssize(threads_) + 1; }

  void operator()(posenc::index_t num_tasks, posenc::task_ref task) const {
    {
      const std::lock_guard lock(mutex_);
      task_ = &task;
      num_tasks_ = num_tasks;
      next_ = 0;
      busy_ = threads_.size();
      ++round_;
    }
    start_.notify_all();
    work(0);
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void work(posenc::index_t worker) const {
    for (posenc::index_t i = next_++; i < num_tasks_; i = next_++) (*task_)(i, worker);
  }

  void serve(posenc::index_t worker) const {
    for (long served = 0;;) {
      {
        std::unique_lock lock(mutex_);
        start_.wait(lock, [&] { return ended_ || round_ != served; });
        if (ended_) return;
        served = round_;
      }
      work(worker);
      const std::lock_guard lock(mutex_);
      if (--busy_ == 0) done_.notify_one();
    }
  }

  mutable std::mutex mutex_;
  mutable std::condition_variable start_, done_;
  mutable const posenc::task_ref* task_ = nullptr;
  mutable posenc::index_t num_tasks_ = 0;
  mutable std::atomic<posenc::index_t> next_ = 0;
  mutable std::size_t busy_ = 0;
  mutable long round_ = 0;
  bool ended_ = false;
  std::vector<std::jthread> threads_;  // last: they end before what they use
};

/// The same pool at each call with the same number.
inline const thread_pool& pool_of(int num_threads) {
  static std::unique_ptr<thread_pool> pool;
  if (pool == nullptr || pool->size() != num_threads) pool = std::make_unique<thread_pool>(num_threads);
  return *pool;
}

}  // namespace posenc_bench
