// Reads cache lines of stored elements as vectors of the compute type, and prefetches.
#pragma once

#include <posenc/kernels/vectors.hpp>
#include <posenc/scalar.hpp>

#include <algorithm>
#include <concepts>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace posenc::inline POSENC_ISA::detail {

using kernels::line_bytes;

/// Whether narrow elements (bf16 and int8) are extracted from 32-bit words by shifts: the elements of a word go to the
/// same lane of different vectors, so that no lanes are permuted.
template <class S, real T>
inline constexpr bool in_words = std::same_as<T, float> && (std::same_as<S, bf16> || std::same_as<S, std::int8_t>);

template <real T, class S>
T widen_element(S stored) noexcept {
  if constexpr (std::same_as<S, std::int8_t>)
    return static_cast<T>(stored);
  else
    return widen<T>(stored);
}

/// A line of S as vectors of T: `vector(p)` holds elements `element(p, 0)`, `element(p, 1)`, ... of the line.
template <class S, real T>
struct line {
  using vector = kernels::vector<T>;
  static constexpr index_t lanes = kernels::lanes<T>;
  static constexpr index_t num_vectors = std::max<index_t>(1, line_bytes / static_cast<index_t>(sizeof(S)) / lanes);
  static constexpr index_t num_elements = num_vectors * lanes;
  static constexpr index_t elements_a_word = in_words<S, T> ? static_cast<index_t>(4 / sizeof(S)) : 1;

  static constexpr index_t element(index_t p, index_t lane) noexcept {
    const index_t word_vector = p / elements_a_word;
    return (word_vector * lanes + lane) * elements_a_word + p % elements_a_word;
  }

  template <index_t P>
  [[gnu::always_inline]] static vector load(const S* from) noexcept {
    if constexpr (std::same_as<S, T>) {
      return kernels::load<vector>(from + P * lanes);
    } else if constexpr (in_words<S, T>) {
      return part<P % elements_a_word>(
          kernels::load<kernels::vector<std::int32_t>>(from + P / elements_a_word * lanes * elements_a_word));
    } else {
      return load_each(from + P * lanes);
    }
  }

 private:
  template <index_t Part>
  [[gnu::always_inline]] static vector part(kernels::vector<std::int32_t> words) noexcept {
    if constexpr (std::same_as<S, bf16>) {
      const kernels::vector<std::int32_t> bits =
          Part == 0 ? words << 16 : words & static_cast<std::int32_t>(0xffff0000U);
      return kernels::load<vector>(&bits);
    } else {
      return __builtin_convertvector(words << (24 - 8 * Part) >> 24, vector);
    }
  }

  [[gnu::always_inline]] static vector load_each(const S* from) noexcept {
#if defined(__F16C__)
    if constexpr (std::same_as<S, f16>) return kernels::load_f16(from);
#endif
    vector v;
    for (index_t l = 0; l < lanes; ++l) v[l] = widen_element<T>(from[l]);
    return v;
  }
};

/// Number of elements, rounded up to whole lines.
template <class Line>
constexpr index_t padded(index_t dim) noexcept {
  return (dim + Line::num_elements - 1) / Line::num_elements * Line::num_elements;
}

/// Calls f with std::integral_constant<index_t, 0>, 1, ... Count - 1.
template <index_t Count, class F>
[[gnu::always_inline]] inline void for_constants(F f) noexcept {
  [&]<index_t... I>(std::integer_sequence<index_t, I...>) __attribute__((always_inline)) {
    (f(std::integral_constant<index_t, I>{}), ...);
  }
  (std::make_integer_sequence<index_t, Count>{});
}

/// Rows of one head in a cache.
template <class S>
struct cache_rows {
  const S* first = nullptr;
  index_t stride = 0;  // in elements
  index_t count = 0;

  const S* operator[](index_t i) const noexcept { return first + i * stride; }
};

[[gnu::always_inline]] inline std::uintptr_t moved(std::uintptr_t address, index_t bytes) noexcept {
  return address + static_cast<std::uintptr_t>(bytes);
}
[[gnu::always_inline]] inline void fetch_line(std::uintptr_t address) noexcept {
  __builtin_prefetch(reinterpret_cast<const void*>(address), 0, 2);  // NOLINT(performance-no-int-to-ptr): not read
}

/// Lines of rows to prefetch into L2. Addresses are integers, because they may run past the rows, or there are no rows.
struct lines_ahead {
  std::uintptr_t first = 0;  // of row 0
  index_t row = 0;           // stride of rows, in bytes
  bool dense = false;        // rows are contiguous, and lines are prefetched in memory order

  /// Prefetches the lines that correspond to line i of `Rows` rows from row j on.
  template <int Rows>
  [[gnu::always_inline]] void fetch(index_t j, index_t i) const noexcept {
    const std::uintptr_t from = moved(first, j * row + i * (dense ? Rows * line_bytes : line_bytes));
    const index_t step = dense ? line_bytes : row;
#pragma GCC unroll 8
    for (int u = 0; u < Rows; ++u) fetch_line(moved(from, u * step));
  }
};

/// Lines to prefetch while as many lines of keys or values are read. Decoding is limited by memory parallelism, of
/// which hardware prefetchers alone reach half. Processors drop prefetches when too many are in flight, so every line
/// is prefetched twice: `once` for what is read next of the same kind, `again` for what is read before that (values, if
/// these are keys).
struct lines_to_fetch {
  lines_ahead once;
  lines_ahead again;

  template <int Rows>
  [[gnu::always_inline]] void fetch(index_t j, index_t i) const noexcept {
    once.fetch<Rows>(j, i);
    again.fetch<Rows>(j, i);
  }
};

/// The same lines one by one, in memory order.
class lines_in_order {
 public:
  lines_in_order(const lines_to_fetch& lines, index_t bytes_a_row) noexcept
      : num_lines_((bytes_a_row + line_bytes - 1) / line_bytes),
        left_(num_lines_),
        once_(lines.once, num_lines_),
        again_(lines.again, num_lines_) {}

  [[gnu::always_inline]] void fetch() noexcept {
    once_.fetch();
    again_.fetch();
    if (--left_ > 0) return;
    left_ = num_lines_;
    once_.at = moved(once_.at, once_.gap);
    again_.at = moved(again_.at, again_.gap);
  }

 private:
  struct cursor {
    std::uintptr_t at;
    index_t gap;  // between rows

    cursor(const lines_ahead& lines, index_t num_lines) noexcept
        : at(lines.first), gap(lines.row - num_lines * line_bytes) {}
    [[gnu::always_inline]] void fetch() noexcept {
      fetch_line(at);
      at = moved(at, line_bytes);
    }
  };

  index_t num_lines_;  // of a row
  index_t left_;       // of this row
  cursor once_, again_;
};

/// How many rows apart the keys are that are read together. Where memory is the limit, not arithmetic, they are spread:
/// hardware prefetchers follow a few streams in separate pages, but not jumps between adjacent rows. (Values are added
/// in order, or the result would depend on how many are read together.)
template <class S, real T>
inline constexpr index_t rows_apart = std::same_as<S, T> ? 8 : 1;

/// The same if only `count` rows are left, of which `Rows` are read together.
template <int Rows>
constexpr index_t rows_apart_at_end(index_t count, index_t apart) noexcept {
  return std::min(apart, (count + Rows - 1) / Rows);
}

/// Stores results of `Rows` rows that were read together, `apart` elements apart.
template <int Rows, real T>
[[gnu::always_inline]] inline void put_apart(const T* from, T* to, index_t apart) noexcept {
  if (apart == 1) {
    std::memcpy(to, from, Rows * sizeof(T));
  } else {
#pragma GCC unroll 4
    for (int u = 0; u < Rows; ++u) to[u * apart] = from[u];
  }
}

/// Rows that are read together. Rows past the end are replaced by a row of zeros; a partial last line is read from a
/// zero-padded copy.
template <int Rows, class Line, class S>
class row_group {
 public:
  [[gnu::always_inline]] row_group(const cache_rows<S>& rows, index_t j, index_t apart, const S* zeros) noexcept {
#pragma GCC unroll 8
    for (int u = 0; u < Rows; ++u) rows_[u] = j + u * apart < rows.count ? rows[j + u * apart] : zeros;
  }

  /// Calls f(rows, first element, line index) for each line of `dim` elements.
  template <class F>
  [[gnu::always_inline]] void for_each_line(index_t dim, F f) const noexcept {
    const index_t num_lines = dim / Line::num_elements;
    for (index_t i = 0; i < num_lines; ++i) f(rows_, i * Line::num_elements, i);
    if (const index_t left = dim % Line::num_elements; left > 0) for_last_line(dim - left, left, num_lines, f);
  }

 private:
  template <class F>
  [[gnu::always_inline]] void for_last_line(index_t first, index_t count, index_t i, F f) const noexcept {
    S copies[Rows][Line::num_elements];
    const S* rows[Rows];
    std::memset(static_cast<void*>(copies), 0, sizeof copies);
    for (int u = 0; u < Rows; ++u) {
      std::memcpy(static_cast<void*>(copies[u]), rows_[u] + first, static_cast<std::size_t>(count) * sizeof(S));
      rows[u] = copies[u];
    }
    f(rows, 0, i);
  }

  const S* rows_[Rows];
};

}  // namespace posenc::inline POSENC_ISA::detail
