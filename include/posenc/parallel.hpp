// Runs tasks on the caller's threads: posenc starts none.
#pragma once

#include <posenc/error.hpp>  // index_t

#include <type_traits>

namespace posenc::inline POSENC_ISA {

/// A reference to the function that runs tasks. `worker` selects scratch memory: no two tasks may run with the same one
/// at once.
class task_ref {
 public:
  template <class F>
  requires(!std::is_same_v<F, task_ref>) explicit task_ref(const F& f) noexcept
      : context_(&f), call_([](const void* context, index_t task, index_t worker) noexcept {
          (*static_cast<const F*>(context))(task, worker);
        }) {}
  void operator()(index_t task, index_t worker) const noexcept { call_(context_, task, worker); }

 private:
  const void* context_;
  void (*call_)(const void*, index_t, index_t) noexcept;
};

/// Runs many tasks at once: a reference to the caller's loop, serial by default.
///
///     auto loop = [&](index_t num_tasks, task_ref task) {
///       pool.run(num_tasks, [&](index_t i, index_t worker) { task(i, worker); });
///     };
///     attend(q, k, v, out, e, {.run = {.threads = parallel_for(loop, pool.size())}});
///
/// The loop must call `task(i, worker)` once for each i in [0, num_tasks), in any order, with worker in [0,
/// num_workers), and return when all are done. Results do not depend on the order. Nor do they depend on the number of
/// workers, given no workspace or one of workspace_size(...) values for that many; with less, blocks are smaller, and
/// bits may differ.
class parallel_for {
 public:
  parallel_for() noexcept = default;
  template <class Loop>
  requires(!std::is_same_v<Loop, parallel_for>) parallel_for(const Loop& loop, index_t num_workers)
  noexcept
      : context_(&loop), num_workers_(num_workers), call_([](const void* context, index_t num_tasks, task_ref task) {
          (*static_cast<const Loop*>(context))(num_tasks, task);
        }) {}

  index_t num_workers() const noexcept { return num_workers_; }

  void operator()(index_t num_tasks, task_ref task) const {
    if (call_ != nullptr) return call_(context_, num_tasks, task);
    for (index_t i = 0; i < num_tasks; ++i) task(i, 0);
  }

 private:
  const void* context_ = nullptr;
  index_t num_workers_ = 1;
  void (*call_)(const void*, index_t, task_ref) = nullptr;
};

}  // namespace posenc::inline POSENC_ISA
