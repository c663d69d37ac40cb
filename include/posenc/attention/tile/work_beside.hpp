// Work to be done between the products of a matrix unit.
#pragma once

#include <posenc/error.hpp>  // index_t
#include <posenc/isa.hpp>

namespace posenc::inline POSENC_ISA::detail {

/// No work.
struct nothing_beside {
  void operator()() const noexcept {}
};

/// Pieces of work, spread evenly over calls. A matrix unit is busy for many cycles after each product while the other
/// units are free, but no processor looks far enough ahead to find the work behind all the products.
class work_beside {
 public:
  using piece = void(void* of) noexcept;

  work_beside(piece* next, void* of, index_t num_pieces, index_t num_calls) noexcept
      : next_(next),
        of_(of),
        left_(num_pieces),
        rate_(num_calls > 0 ? (num_pieces << fraction_bits) / num_calls + 1 : 0) {}

  [[gnu::always_inline]] void operator()() noexcept {
    for (due_ += rate_; due_ >> fraction_bits > 0 && left_ > 0; due_ -= index_t{1} << fraction_bits) do_next();
  }
  void finish() noexcept {
    while (left_ > 0) do_next();
  }

 private:
  void do_next() noexcept {
    --left_;
    next_(of_);
  }

  static constexpr int fraction_bits = 8;

  piece* next_ = nullptr;
  void* of_ = nullptr;
  index_t left_ = 0;
  index_t rate_ = 0, due_ = 0;  // in fractions of a piece
};

}  // namespace posenc::inline POSENC_ISA::detail
