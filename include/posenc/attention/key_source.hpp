// Sources of keys and values: contiguous memory, or the pages of a cache.
#pragma once

#include <posenc/positions.hpp>  // position_t
#include <posenc/view.hpp>

#include <algorithm>
#include <concepts>
#include <span>
#include <type_traits>

namespace posenc::inline POSENC_ISA {

/// A sequence of tokens whose heads lie in strided pieces. `block(first, count)` returns a view of as many of the
/// `count` tokens from `first` on as lie in one piece, at least one. In a `head_view`, that is always all of them.
template <class K>
concept key_source = requires(const K& keys, index_t first, index_t count) {
  requires std::convertible_to<decltype(keys.num_tokens), index_t>;
  requires std::convertible_to<decltype(keys.num_heads), index_t>;
  requires std::convertible_to<decltype(keys.head_dim), index_t>;
  requires noexcept(keys.block(first, count));
  keys.block(first, count).row(first, count);
  keys.block(first, count).num_tokens;
};

/// The element type of a key source, without const.
template <key_source K>
using key_element_t = std::remove_cvref_t<decltype(*std::declval<const K&>().block(0, 1).row(0, 0))>;

/// A paged cache: token t is in page block_table[t / page_size], at slot t % page_size. All pages have the same layout;
/// page n starts at data + n * page_stride.
template <element S>
struct paged_view {
  S* data = nullptr;
  std::span<const position_t> block_table;  // [ceil(num_tokens / page_size)]: page numbers
  index_t page_size = 1;                    // tokens
  index_t num_tokens = 0;
  index_t num_heads = 0;
  index_t head_dim = 0;
  index_t page_stride = 0;   // in elements, like the two below
  index_t token_stride = 0;  // within a page
  index_t head_stride = 0;

  paged_view() = default;
  /// Dense pages: [page_size, num_heads, head_dim].
  paged_view(S* pages, std::span<const position_t> table, index_t tokens_a_page, index_t tokens, index_t heads,
             index_t columns)
      : paged_view(pages, table, tokens_a_page, tokens, heads, columns, tokens_a_page * heads * columns,
                   heads * columns, columns) {}
  paged_view(S* pages, std::span<const position_t> table, index_t tokens_a_page, index_t tokens, index_t heads,
             index_t columns, index_t stride_of_pages, index_t stride_of_tokens, index_t stride_of_heads)
      : data(pages),
        block_table(table),
        page_size(tokens_a_page),
        num_tokens(tokens),
        num_heads(heads),
        head_dim(columns),
        page_stride(stride_of_pages),
        token_stride(stride_of_tokens),
        head_stride(stride_of_heads) {
    require(page_size >= 1, "paged_view", "page_size", page_size, "at least 1");
    require(num_tokens <= std::ssize(block_table) * page_size, "paged_view", "num_tokens", num_tokens,
            "at most #, what the pages of the block table hold", std::ssize(block_table) * page_size);
  }

  head_view<S> block(index_t first, index_t count) const noexcept {
    const index_t page = first / page_size;
    const index_t place = first % page_size;
    S* start = data + block_table[static_cast<std::size_t>(page)] * page_stride + place * token_stride;
    return {start, std::min(count, page_size - place), num_heads, head_dim, token_stride, head_stride};
  }
};

namespace detail {

/// Calls f(i, row) for rows [first, first + count) of one head of a source.
template <class Source, class F>
void for_each_row(const Source& source, index_t head, index_t first, index_t count, F f) noexcept {
  for (index_t done = 0; done < count;) {
    const auto piece = source.block(first + done, count - done);
    const index_t rows = std::min(piece.num_tokens, count - done);
    for (index_t i = 0; i < rows; ++i) f(done + i, piece.row(i, head));
    done += rows;
  }
}

}  // namespace detail

}  // namespace posenc::inline POSENC_ISA
