// Converts checkpoints from one pairing to the other: weights, biases and scales of the query and key projections.
#pragma once

#include <posenc/error.hpp>           // index_t, require
#include <posenc/kernels/rotate.hpp>  // pairing

#include <algorithm>
#include <concepts>
#include <type_traits>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// Rows of elements of any type: the weights of a projection [num_rows, row_size], or one element per row, like a bias
/// or the scales of quantized rows.
template <class W>
struct row_view {
  W* data = nullptr;
  index_t num_rows = 0;
  index_t row_size = 0;
  index_t row_stride = 0;  // in elements

  row_view() = default;
  /// Dense.
  row_view(W* x, index_t rows, index_t columns = 1) : row_view(x, rows, columns, columns) {}
  row_view(W* x, index_t rows, index_t columns, index_t stride)
      : data(x), num_rows(rows), row_size(columns), row_stride(stride) {}
  /// A read-only view.
  template <class M>
  requires(std::is_const_v<W>&& std::same_as<M, std::remove_const_t<W>>) row_view(const row_view<M>& x)
      : row_view(x.data, x.num_rows, x.row_size, x.row_stride) {}

  W* row(index_t r) const noexcept { return data + r * row_stride; }  // [row_size]
};

/// How the rows of a query or key projection divide into heads. For keys, num_heads is num_kv_heads.
struct projection_heads {
  index_t num_heads = 0;
  index_t head_dim = 0;
  index_t rotary_dim = 0;    // 0: all of head_dim
  index_t first_column = 0;  // of the rotary slice in a head
};

namespace detail {

/// Calls `visit(from, to)` for the two rows of each pair of a slice that changes its layout.
template <class Visit>
void visit_pairs(pairing to, index_t num_pairs, Visit visit) {
  for (index_t i = 0; i < num_pairs; ++i) {
    for (index_t which = 0; which < 2; ++which) {
      const index_t in_halves = i + which * num_pairs;
      const index_t interleaved = 2 * i + which;
      if (to == pairing::half)
        visit(interleaved, in_halves);
      else
        visit(in_halves, interleaved);
    }
  }
}

inline void check_heads(const char* operation, const projection_heads& heads, index_t num_rows) {
  const index_t rotary_dim = heads.rotary_dim;
  require(heads.num_heads >= 0, operation, "num_heads", heads.num_heads, "at least 0");
  require(heads.head_dim >= 1, operation, "head_dim", heads.head_dim, "at least 1");
  require(heads.first_column >= 0, operation, "first_column", heads.first_column, "at least 0");
  if (rotary_dim == 0) {
    require((heads.head_dim - heads.first_column) % 2 == 0, operation, "head_dim less first_column",
            heads.head_dim - heads.first_column, "even, as rotary_dim is not given");
  }
  require(rotary_dim >= 0 && rotary_dim % 2 == 0, operation, "rotary_dim", rotary_dim, "even and at least 0");
  require(heads.first_column + rotary_dim <= heads.head_dim, operation, "end of the rotary slice",
          heads.first_column + rotary_dim, "at most #, head_dim", heads.head_dim);
  require(num_rows == heads.num_heads * heads.head_dim, operation, "number of rows", num_rows,
          "#, num_heads * head_dim (for keys, num_heads is num_kv_heads)", heads.num_heads * heads.head_dim);
}

template <class W>
void change_layout(const char* operation, pairing to_pairs, const projection_heads& heads, row_view<const W> from,
                   row_view<W> to) {
  static_assert(std::is_trivially_copyable_v<W>);
  check_heads(operation, heads, from.num_rows);
  require(to.num_rows == from.num_rows, operation, "number of rows of to", to.num_rows, "#, that of from",
          from.num_rows);
  require(to.row_size == from.row_size, operation, "row_size of to", to.row_size, "#, that of from", from.row_size);
  const bool in_place = to.data == from.data;
  require(!in_place || to.row_stride == from.row_stride, operation, "row_stride of to", to.row_stride,
          "#, because to is from", from.row_stride);

  const index_t rotary_dim = heads.rotary_dim > 0 ? heads.rotary_dim : heads.head_dim - heads.first_column;
  const auto copy_rows = [&](index_t first, index_t count) {
    for (index_t r = first; r < first + count; ++r) std::copy_n(from.row(r), from.row_size, to.row(r));
  };
  std::vector<W> kept(static_cast<std::size_t>(in_place ? rotary_dim * from.row_size : 0));
  for (index_t h = 0; h < heads.num_heads; ++h) {
    const index_t head = h * heads.head_dim;
    const index_t slice = head + heads.first_column;
    row_view<const W> read(from.row(slice), rotary_dim, from.row_size, from.row_stride);
    if (in_place) {
      for (index_t r = 0; r < rotary_dim; ++r) {
        std::copy_n(read.row(r), read.row_size, kept.data() + r * read.row_size);
      }
      read = row_view<const W>(kept.data(), rotary_dim, from.row_size);
    } else {
      copy_rows(head, heads.first_column);
      copy_rows(slice + rotary_dim, head + heads.head_dim - slice - rotary_dim);
    }
    visit_pairs(to_pairs, rotary_dim / 2, [&](index_t source, index_t target) {
      std::copy_n(read.row(source), read.row_size, to.row(slice + target));
    });
  }
}

}  // namespace detail

/// Converts the rows of a query or key projection from interleaved pairs to halves, so that
///
///     rope(pairing::half, list)  on  interleaved_to_half(W) x
///
/// gives the scores of rope(pairing::interleaved, list) on W x. Biases and per-row scales of quantized weights move
/// like the rows: call it for each of them. Value and output projections are unchanged.
///
///     const projection_heads q{.num_heads = 32, .head_dim = 128}, k{.num_heads = 8, .head_dim = 128};   // 8 kv heads
///     interleaved_to_half(q, row_view(w_q, 32 * 128, hidden_size));
///     interleaved_to_half(k, row_view(w_k, 8 * 128, hidden_size));
///     interleaved_to_half(k, row_view(k_scales, 8 * 128));
///
/// rows      [num_heads * head_dim, row_size]; weights stored as [in, num_heads * head_dim] are rows of one element,
///           for each `in`
/// Memory    allocates rotary_dim rows when in place; out of place, nothing. `to` is `from` or does not overlap it.
/// Errors    a slice beyond the head, an odd one, or a wrong number of rows (as when num_heads is taken for
///           num_kv_heads) throws invalid_argument, before anything is written.
/// Source    transformers' convert_llama_weights_to_hf.py, llama.cpp's convert_hf_to_gguf.py (the other way).
template <class W>
void interleaved_to_half(const projection_heads& heads, row_view<W> rows) {
  detail::change_layout<W>("interleaved_to_half", pairing::half, heads, rows, rows);
}
template <class R, class W>
requires std::same_as<std::remove_const_t<R>, W>
void interleaved_to_half(const projection_heads& heads, row_view<R> from, row_view<W> to) {
  detail::change_layout<W>("interleaved_to_half", pairing::half, heads, from, to);
}

/// The inverse.
template <class W>
void half_to_interleaved(const projection_heads& heads, row_view<W> rows) {
  detail::change_layout<W>("half_to_interleaved", pairing::interleaved, heads, rows, rows);
}
template <class R, class W>
requires std::same_as<std::remove_const_t<R>, W>
void half_to_interleaved(const projection_heads& heads, row_view<R> from, row_view<W> to) {
  detail::change_layout<W>("half_to_interleaved", pairing::interleaved, heads, from, to);
}

}  // namespace posenc::inline POSENC_ISA
