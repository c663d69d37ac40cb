// A learned table of positions, added to embeddings; owned, or a view of the caller's memory.
#pragma once

#include <posenc/encode.hpp>
#include <posenc/kernels/add.hpp>

#include <algorithm>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// What happens to a position beyond the last row of a table: an error, or the last row again.
enum class beyond_last_row { refuse, clamp };

/// The parameters of a learned table other than its values.
struct learned_params {
  index_t offset = 0;  // row of position 0: 2 for OPT
  beyond_last_row beyond = beyond_last_row::refuse;
  index_t padding_idx = -1;  // this row has no gradient; -1: every row has one
};

/// Adds one row of a table per position; the table is in the caller's memory.
///
///     x[p, :] += table[p + offset, :]
///
/// Acts on    embeddings.
/// Positions  from -offset to max_positions - 1 - offset; others are errors, except with `clamp` those beyond the last
///            row.
/// Storage    a view [max_positions, dim] of any element type and row stride; the memory must outlive it.
/// Errors     an empty table or a padding_idx outside it throws invalid_argument; check_add reports a different width
///            and the first position outside.
/// Accuracy   one rounding of the sum to the type of x.
/// Gradient   of the table, dense [max_positions, dim]: rows are scattered and added; the row padding_idx gets none.
/// Source     GPT-2, BERT, OPT, as in transformers' models.
template <scalar S>
class learned_view {
 public:
  explicit learned_view(token_view<const S> table, const learned_params& params = {}) : table_(table), params_(params) {
    require(table.num_tokens >= 1, "learned", "max_positions", table.num_tokens, "at least 1");
    require(table.dim >= 1, "learned", "dim", table.dim, "at least 1");
    require(params.padding_idx >= -1 && params.padding_idx < table.num_tokens, "learned", "padding_idx",
            params.padding_idx, "a row of the table, from 0 to #", table.num_tokens - 1);
  }

  index_t max_positions() const noexcept { return table_.num_tokens; }
  index_t dim() const noexcept { return table_.dim; }
  token_view<const S> table() const noexcept { return table_; }
  const learned_params& params() const noexcept { return params_; }

  template <scalar X>
  void add_to(token_view<X> x, const positions& p) const noexcept {
    if (p.consecutive() && x.num_tokens > 0 && row(p[x.num_tokens - 1]) == row(p[0]) + x.num_tokens - 1) {
      kernels::add_rows(x.data, x.token_stride, table_.token(row(p[0])), table_.token_stride, x.num_tokens, dim());
      return;
    }
    for (index_t t = 0; t < x.num_tokens; ++t) kernels::add(x.token(t), table_.token(row(p[t])), dim());
  }

  problem check_add(const embedding_shape& shape, const positions& p) const noexcept {
    if (shape.dim != dim()) return problem::invalid("add_to", "dim", shape.dim, "#, the width of the table", dim());
    const std::int64_t least = -params_.offset;
    const std::int64_t largest = max_positions() - 1 - params_.offset;
    for (index_t t = 0; t < p.size(); ++t) {
      if (p[t] < least) return problem::out_of_range("add_to", "positions", p[t], "at least #", least).at(t);
      if (p[t] > largest && params_.beyond == beyond_last_row::refuse)
        return problem::out_of_range("add_to", "positions", p[t], "at most #", largest).at(t);
    }
    return {};
  }

  index_t num_parameters() const noexcept { return max_positions() * dim(); }

  /// parameter_gradients[p + offset, :] += upstream[p, :]
  template <scalar X>
  void add_to_backward(token_view<const X> upstream,  // [num_tokens, dim]
                       const positions& p,
                       std::span<compute_t<X>> parameter_gradients) const noexcept {  // [max_positions, dim]
    for (index_t t = 0; t < upstream.num_tokens; ++t) {
      const index_t r = row(p[t]);
      if (r != params_.padding_idx) kernels::add(parameter_gradients.data() + r * dim(), upstream.token(t), dim());
    }
  }

 private:
  index_t row(position_t position) const noexcept {
    return std::min(position + params_.offset, max_positions() - 1);  // after the checks, only `clamp` cuts
  }

  token_view<const S> table_;  // [max_positions, dim]
  learned_params params_;
};

/// The same, owning its table.
///
///     learned<float> wpe(std::move(weights), 768);                      // [1024, 768], moved in
///     learned<float> opt(std::move(weights), 768, {.offset = 2});
///     learned_view<bf16> mapped(token_view<const bf16>(file, 512, 384));    // not copied
///
/// Storage    max_positions * dim scalars. The rest is as for `learned_view`.
template <scalar S>
class learned {
 public:
  explicit learned(std::vector<S> table, index_t dim, const learned_params& params = {})  // [max_positions, dim]
      : table_(std::move(table)), dim_(dim), params_(params) {
    require(dim >= 1, "learned", "dim", dim, "at least 1");
    require(std::ssize(table_) % dim == 0, "learned", "size of the table", std::ssize(table_), "a multiple of dim, #",
            dim);
    (void)view();  // checks the rest
  }

  index_t max_positions() const noexcept { return std::ssize(table_) / dim_; }
  index_t dim() const noexcept { return dim_; }
  const learned_params& params() const noexcept { return params_; }

  template <scalar X>
  void add_to(token_view<X> x, const positions& p) const noexcept {
    view().add_to(x, p);
  }
  problem check_add(const embedding_shape& shape, const positions& p) const noexcept {
    return view().check_add(shape, p);
  }

  std::span<S> parameters() noexcept { return table_; }  // [max_positions, dim]
  std::span<const S> parameters() const noexcept { return table_; }
  template <scalar X>
  void add_to_backward(token_view<const X> upstream, const positions& p,
                       std::span<compute_t<X>> parameter_gradients) const noexcept {
    view().add_to_backward(upstream, p, parameter_gradients);
  }

 private:
  learned_view<S> view() const {
    return learned_view<S>(token_view<const S>(table_.data(), max_positions(), dim_), params_);
  }

  std::vector<S> table_;
  index_t dim_;
  learned_params params_;
};

static_assert(embedding_encoding<learned<float>, bf16> && embedding_encoding<learned_view<bf16>, float>);

}  // namespace posenc::inline POSENC_ISA
