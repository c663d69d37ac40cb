// Positions of tokens: a start and a count, a list of ids, several axes, or real coordinates.
#pragma once

#include <posenc/error.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <limits>
#include <ranges>
#include <span>
#include <type_traits>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// A position, or a distance (query minus key). 32 bits, because 64-bit differences do not vectorize on AVX2.
using position_t = std::int32_t;

/// Integer positions of a sequence of tokens. Does not own: a list of ids must outlive it, as with std::span.
///
///     positions(past, num_tokens)     past, past + 1, ...
///     positions(ids)                  any ids: unsorted, repeated, negative
///     positions(ids, 3)               three axes, [axis, token]: all times, then all rows, then all columns
class positions {
 public:
  constexpr positions() noexcept = default;

  /// Consecutive from `start`, which is 64-bit so that positions beyond 32 bits are reported, not wrapped.
  constexpr positions(std::int64_t start, index_t num_tokens) noexcept : start_(start), count_(num_tokens) {}

  /// Any ids, a contiguous range of position_t; `num_axes` lists of equal length, one after the other.
  template <std::ranges::contiguous_range R>
  requires(std::ranges::sized_range<R>&& std::same_as<std::ranges::range_value_t<R>, position_t> &&
           !std::same_as<std::remove_cvref_t<R>, positions>) constexpr positions(const R& ids, index_t num_axes = 1)
      : ids_(std::ranges::data(ids)),
        count_(static_cast<index_t>(std::ranges::size(ids)) / (num_axes > 0 ? num_axes : 1)),
        axes_(num_axes) {
    require(num_axes >= 1, "positions", "num_axes", num_axes, "at least 1");
    require(count_ * num_axes == static_cast<index_t>(std::ranges::size(ids)), "positions", "number of ids",
            std::ranges::size(ids), "a multiple of num_axes, #", num_axes);
  }

  constexpr index_t size() const noexcept { return count_; }  // tokens
  constexpr index_t num_axes() const noexcept { return axes_; }
  /// Whether constructed as a range. A list is never treated as one, even if its ids count up.
  constexpr bool consecutive() const noexcept { return ids_ == nullptr; }

  constexpr position_t operator[](index_t token) const noexcept {
    return ids_ != nullptr ? ids_[token] : static_cast<position_t>(start_ + token);
  }
  /// Position on one axis; positions of one axis are the same on all.
  constexpr position_t at(index_t axis, index_t token) const noexcept {
    return ids_ != nullptr && axes_ > 1 ? ids_[axis * count_ + token] : (*this)[token];
  }

  /// Positions of tokens [first, first + num_tokens). Requires one axis.
  constexpr positions tokens(index_t first, index_t num_tokens) const noexcept {
    positions part = *this;
    if (ids_ != nullptr)
      part.ids_ += first;
    else
      part.start_ += first;
    part.count_ = num_tokens;
    return part;
  }

  /// Least and largest position, in 64 bits; {0, -1} if there is none.
  struct bounds_t {
    std::int64_t least, largest;
  };
  constexpr bounds_t bounds() const noexcept {
    if (count_ <= 0) return {0, -1};
    if (ids_ == nullptr) {
      // Saturated, so that a start near the end of 64 bits is still reported as beyond 32 bits.
      constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
      return {start_, start_ > last - (count_ - 1) ? last : start_ + (count_ - 1)};
    }
    const auto [least, largest] = std::minmax_element(ids_, ids_ + count_ * axes_);
    return {*least, *largest};
  }

 private:
  const position_t* ids_ = nullptr;  // [axes_, count_]; null for a range
  std::int64_t start_ = 0;
  index_t count_ = 0;
  index_t axes_ = 1;
};

/// Real-valued positions: diffusion timesteps, interpolated positions, grid coordinates in [-1, 1]. Does not own.
class real_positions {
 public:
  constexpr real_positions() noexcept = default;

  /// A contiguous range of double; `num_axes` lists of equal length, one after the other.
  template <std::ranges::contiguous_range R>
  requires(std::ranges::sized_range<R>&& std::same_as<std::ranges::range_value_t<R>, double> &&
           !std::same_as<std::remove_cvref_t<R>, real_positions>) constexpr real_positions(const R& values,
                                                                                           index_t num_axes = 1)
      : values_(std::ranges::data(values)),
        count_(static_cast<index_t>(std::ranges::size(values)) / (num_axes > 0 ? num_axes : 1)),
        axes_(num_axes) {
    require(num_axes >= 1, "real_positions", "num_axes", num_axes, "at least 1");
    require(count_ * num_axes == static_cast<index_t>(std::ranges::size(values)), "real_positions", "number of values",
            std::ranges::size(values), "a multiple of num_axes, #", num_axes);
  }

  constexpr index_t size() const noexcept { return count_; }
  constexpr index_t num_axes() const noexcept { return axes_; }
  constexpr double operator[](index_t token) const noexcept { return values_[token]; }
  constexpr double at(index_t axis, index_t token) const noexcept {
    return values_[(axes_ > 1 ? axis * count_ : 0) + token];
  }

 private:
  const double* values_ = nullptr;  // [axes_, count_]
  index_t count_ = 0;
  index_t axes_ = 1;
};

/// Either kind of positions.
template <class P>
concept token_positions = std::same_as<P, positions> || std::same_as<P, real_positions>;

/// What a call accepts as positions: either type itself, or a contiguous range of ids or of real coordinates.
template <class P>
concept position_source = std::convertible_to<const P&, positions> || std::convertible_to<const P&, real_positions>;

template <position_source P>
constexpr auto as_positions(const P& p) {
  if constexpr (std::convertible_to<const P&, positions>)
    return static_cast<positions>(p);
  else
    return static_cast<real_positions>(p);
}

namespace detail {

template <token_positions P>
problem check_position_sizes(const char* operation, const P& p, index_t num_tokens, index_t num_axes) noexcept {
  if (p.size() != num_tokens)
    return problem::invalid(operation, "number of positions", p.size(), "#, one for each token", num_tokens);
  if (p.num_axes() != 1 && p.num_axes() != num_axes) {
    return problem::invalid(operation, "number of axes of the positions", p.num_axes(), num_axes == 1 ? "#" : "1 or #",
                            num_axes);
  }
  return {};
}

}  // namespace detail

/// Returns what is wrong with `p` for `num_tokens` tokens and an encoding of `num_axes` axes, if anything.
inline problem check_positions(const char* operation, const positions& p, index_t num_tokens,
                               index_t num_axes = 1) noexcept {
  if (const problem wrong = detail::check_position_sizes(operation, p, num_tokens, num_axes)) return wrong;
  if (p.consecutive() && p.size() > 0) {
    const auto [least, largest] = p.bounds();
    if (least < std::numeric_limits<position_t>::min())
      return problem::out_of_range(operation, "first position", least, "at least -2^31");
    if (largest > std::numeric_limits<position_t>::max())
      return problem::out_of_range(operation, "last position", largest, "below 2^31");
  }
  return {};
}

inline problem check_positions(const char* operation, const real_positions& p, index_t num_tokens,
                               index_t num_axes = 1) noexcept {
  if (const problem wrong = detail::check_position_sizes(operation, p, num_tokens, num_axes)) return wrong;
  for (index_t axis = 0; axis < p.num_axes(); ++axis) {
    for (index_t t = 0; t < p.size(); ++t) {
      // Tested by exponent, because fast math may treat NaN as any number. Angles are exact below 2^63.
      const auto bits = std::bit_cast<std::uint64_t>(p.at(axis, t));
      if ((bits >> 52 & 0x7ffU) < 1023 + 63) continue;
      return problem::out_of_range(operation, "positions", p.at(axis, t), "finite and less than 2^63 in size").at(t);
    }
  }
  return {};
}

/// Returns what is wrong with the distances between queries and keys, if anything: they must fit 32 bits too.
inline problem check_distances(const char* operation, const positions& queries, const positions& keys) noexcept {
  if (queries.size() <= 0 || keys.size() <= 0) return {};
  const auto q = queries.bounds();
  const auto k = keys.bounds();
  const std::int64_t largest = q.largest - k.least;
  const std::int64_t least = q.least - k.largest;
  constexpr std::int64_t limit = std::numeric_limits<position_t>::max();
  if (largest > limit)
    return problem::out_of_range(operation, "distance from query to key", largest, "less than 2^31 in size");
  if (least < -limit)
    return problem::out_of_range(operation, "distance from query to key", least, "less than 2^31 in size");
  return {};
}

/// Positions of one padded sequence: real tokens count up from 0, wherever the padding is.
///
///     mask [0, 0, 1, 1, 1] gives [0, 0, 0, 1, 2]
///
/// A padding token gets the position of the real token before it (0 at the front): valid for every encoding, and
/// attended by no query once `attend` gets the mask too. `mask` is any range of numbers; zero means padding.
template <std::ranges::input_range R>
std::vector<position_t> positions_from_mask(const R& mask) {
  std::vector<position_t> ids;
  position_t seen = 0;
  for (const auto& token : mask) {
    if (static_cast<bool>(token)) ++seen;
    ids.push_back(seen > 0 ? seen - 1 : 0);
  }
  return ids;
}

/// Positions as fairseq and RoBERTa count them: real tokens up from padding_idx + 1, padding at padding_idx.
///
///     mask [0, 1, 1, 0] with padding_idx 1 gives [1, 2, 3, 1]
///
/// `past` is the number of real tokens before these. `mask` is any range of numbers; zero means padding.
/// Errors: a position beyond 32 bits throws out_of_range.
template <std::ranges::input_range R>
std::vector<position_t> roberta_position_ids(const R& mask, position_t padding_idx, position_t past = 0) {
  std::vector<position_t> ids;
  std::int64_t seen = past;
  for (const auto& token : mask) {
    const std::int64_t position = static_cast<bool>(token) ? ++seen + padding_idx : padding_idx;
    const auto id = static_cast<position_t>(position);
    if (id != position)
      raise(problem::out_of_range("roberta_position_ids", "a position", position, "from -2^31 to 2^31 - 1"));
    ids.push_back(id);
  }
  return ids;
}

}  // namespace posenc::inline POSENC_ISA
