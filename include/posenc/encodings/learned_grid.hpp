// One learned table per axis of a grid, added to embeddings.
#pragma once

#include <posenc/encode.hpp>
#include <posenc/kernels/add.hpp>

#include <algorithm>
#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// How the rows of the axes are combined.
///
///     sum           each is as wide as the embedding, and all are added to it     Pix2Struct, NaViT
///     side_by_side  each has its own columns, the first axis the first ones       DETR's learned positions
enum class grid_rows { sum, side_by_side };

struct learned_grid_params {
  std::vector<index_t> sizes = {};  // rows of each axis's table
  index_t dim = 0;                  // of the embedding
  grid_rows form = grid_rows::sum;
};

/// Adds one row per axis of a position, so that a grid of rows times columns costs rows plus columns.
///
///     x[p, :] += sum over a of table[a][p[a], :]                         grid_rows::sum
///     x[p, columns of a] += table[a][p[a], :]                            grid_rows::side_by_side
///
///     learned_grid<float> encoding(std::move(tables), {.sizes = {50, 50}, .dim = 256});
///
/// For one table over all points of a grid, use `learned` with the index of a point as position; `resample` converts it
/// to another grid.
///
/// Acts on    embeddings.
/// Positions  on each axis from 0 to its size - 1; others are errors. grid.hpp makes them. (DETR has the column first:
///            grid_order::last_axis_first.)
/// Storage    one list of scalars: the tables of the axes one after the other, [sizes[a], width], where width is dim,
///            or side by side dim / number of axes.
/// Errors     no axis or more than 8, a size or dim below 1, a dim that the axes do not divide (side by side), tables
///            of another size: invalid_argument; check_add reports a different width and the first position outside.
/// Accuracy   sum: one rounding per axis in the common compute type, then one to the type of x.
/// Gradient   of the tables: rows are scattered and added.
/// Source     Lee et al. 2023, arXiv:2210.03347 (Pix2Struct); Dehghani et al. 2023, arXiv:2307.06304 (NaViT);
///            transformers' DetrLearnedPositionEmbedding.
template <scalar T>
class learned_grid {
 public:
  static constexpr index_t max_axes = 8;

  learned_grid(std::vector<T> tables, learned_grid_params params)
      : tables_(std::move(tables)), params_(std::move(params)) {
    const index_t num_axes = std::ssize(params_.sizes);
    require(num_axes >= 1 && num_axes <= max_axes, "learned_grid", "number of sizes", num_axes, "from 1 to #",
            max_axes);
    require(params_.dim >= 1, "learned_grid", "dim", params_.dim, "at least 1");
    require(params_.form == grid_rows::sum || params_.dim % num_axes == 0, "learned_grid", "dim", params_.dim,
            "a multiple of #, the number of axes", num_axes);
    index_t num_rows = 0;
    for (const index_t size : params_.sizes) {
      require(size >= 1, "learned_grid", "a size", size, "at least 1");
      num_rows += size;
    }
    require(std::ssize(tables_) == num_rows * width(), "learned_grid", "size of the tables", std::ssize(tables_),
            "#, all rows of all axes", num_rows * width());
  }

  const learned_grid_params& params() const noexcept { return params_; }
  index_t dim() const noexcept { return params_.dim; }
  index_t num_position_axes() const noexcept { return std::ssize(params_.sizes); }

  std::span<T> parameters() noexcept { return tables_; }
  std::span<const T> parameters() const noexcept { return tables_; }

  template <scalar S>
  void add_to(token_view<S> x, const positions& p) const noexcept {
    using U = std::common_type_t<compute_t<S>, compute_t<T>>;
    for (index_t t = 0; t < x.num_tokens; ++t) {
      if (params_.form == grid_rows::side_by_side) {
        each_row(p, t, [&](index_t first, index_t column) {
          kernels::add(x.token(t) + column, tables_.data() + first, width());
        });
      } else {
        add_sum<U>(x.token(t), p, t);
      }
    }
  }

  problem check_add(const embedding_shape& shape, const positions& p) const noexcept {
    if (shape.dim != dim()) return problem::invalid("add_to", "dim", shape.dim, "#, the width of the tables", dim());
    for (index_t a = 0; a < num_position_axes(); ++a) {
      const index_t size = params_.sizes[static_cast<std::size_t>(a)];
      for (index_t t = 0; t < p.size(); ++t) {
        if (p.at(a, t) >= 0 && p.at(a, t) < size) continue;
        return problem::out_of_range("add_to", "positions", p.at(a, t), "from 0 to #, the last row of its axis",
                                     size - 1)
            .at(p.num_axes() > 1 ? a * p.size() + t : t);
      }
    }
    return {};
  }

  template <scalar S>
  void add_to_backward(token_view<const S> upstream, const positions& p,
                       std::span<compute_t<S>> parameter_gradients) const noexcept {
    for (index_t t = 0; t < upstream.num_tokens; ++t) {
      each_row(p, t, [&](index_t first, index_t column) {
        kernels::add(parameter_gradients.data() + first, upstream.token(t) + column, width());
      });
    }
  }

 private:
  static constexpr index_t block = 64;  // columns at a time

  index_t width() const noexcept {  // of a row
    return params_.form == grid_rows::sum ? params_.dim : params_.dim / num_position_axes();
  }

  /// Calls `act(index of the row's first value, its column in the embedding)` for each axis of token t.
  template <class Act>
  void each_row(const positions& p, index_t t, Act act) const noexcept {
    index_t first = 0;
    for (index_t a = 0; a < num_position_axes(); ++a) {
      act(first + p.at(a, t) * width(), params_.form == grid_rows::sum ? 0 : a * width());
      first += params_.sizes[static_cast<std::size_t>(a)] * width();
    }
  }

  // Block by block, so that 16-bit elements are rounded once for all axes.
  template <real U, scalar S>
  void add_sum(S* x, const positions& p, index_t t) const noexcept {
    for (index_t begin = 0; begin < dim(); begin += block) {
      const index_t count = std::min(block, dim() - begin);
      U sum[block];
      for (index_t i = 0; i < count; ++i) sum[i] = widen<U>(x[begin + i]);
      each_row(p, t, [&](index_t first, index_t) {
        const T* row = tables_.data() + first + begin;
        for (index_t i = 0; i < count; ++i) sum[i] += widen<U>(row[i]);
      });
      for (index_t i = 0; i < count; ++i) x[begin + i] = narrow<S>(sum[i]);
    }
  }

  std::vector<T> tables_;  // [sum of sizes, width]
  learned_grid_params params_;
};

static_assert(embedding_encoding<learned_grid<float>, bf16> && embedding_encoding<learned_grid<bf16>, double>);

}  // namespace posenc::inline POSENC_ISA
