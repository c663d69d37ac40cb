// A window of image patches, numbered row by row, and the offsets between two of them.
#pragma once

#include <posenc/error.hpp>
#include <posenc/positions.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The tokens that attend to each other: height * width patches, optionally after a class token. The position of the
/// patch at (row, column) is row * width + column, plus one after a class token, whose position is 0.
struct patch_window {
  index_t height = 0;
  index_t width = 0;
  bool class_token = false;

  index_t num_tokens() const noexcept { return height * width + (class_token ? 1 : 0); }
  /// One per difference of rows and columns; after them, class token to patch, patch to class token, class token to
  /// itself.
  index_t num_offsets() const noexcept { return (2 * height - 1) * (2 * width - 1) + (class_token ? 3 : 0); }
};

/// The index of the offset between two tokens of a window: with (dy, dx) from the key to the query,
///
///     offset = (dy + height - 1) * (2 * width - 1) + dx + width - 1
///
/// Storage    4 bytes per token.
/// Errors     a side below 1, or 2^29 tokens or more, throws invalid_argument.
/// Source     the relative_position_index of Swin (arXiv:2103.14030) and, with a class token, of BEiT
///            (arXiv:2106.08254).
class window_offsets {
 public:
  explicit window_offsets(const patch_window& w) : window_(checked(w)) {
    if (w.class_token) place_.push_back(0);
    for (index_t row = 0; row < w.height; ++row) {
      for (index_t column = 0; column < w.width; ++column)
        place_.push_back(static_cast<std::int32_t>(row * (2 * w.width - 1) + column));
    }
    middle_ = static_cast<std::int32_t>((w.height - 1) * (2 * w.width - 1) + w.width - 1);
  }

  const patch_window& window() const noexcept { return window_; }

  /// Both positions must be tokens of the window.
  std::int32_t operator()(position_t query, position_t key) const noexcept {
    if (window_.class_token && (query == 0 || key == 0)) {
      const std::int32_t behind = 2 * middle_ + 1;
      return behind + (query != 0 ? 1 : key != 0 ? 0 : 2);
    }
    return place_[static_cast<std::size_t>(query)] - place_[static_cast<std::size_t>(key)] + middle_;
  }

  /// Returns what is wrong with positions of queries or keys, if anything.
  problem check(const positions& p) const noexcept {
    const index_t last = window_.num_tokens() - 1;
    for (index_t t = 0; t < p.size(); ++t) {
      if (p[t] < 0) return problem::out_of_range("attend", "positions", p[t], "at least 0").at(t);
      if (p[t] > last)
        return problem::out_of_range("attend", "positions", p[t], "at most #, the last of the window", last).at(t);
    }
    return {};
  }
  problem check(const positions& queries, const positions& keys) const noexcept {
    if (const problem wrong = check(queries)) return wrong.of("queries");
    return check(keys).of("keys");
  }

 private:
  static const patch_window& checked(const patch_window& w) {
    constexpr index_t limit = index_t{1} << 30;
    require(w.height >= 1 && w.height < limit, "window", "height", w.height, "at least 1 and below 2^30");
    require(w.width >= 1 && w.width < limit, "window", "width", w.width, "at least 1 and below 2^30");
    // So that offsets, about four times as many, fit 32 bits.
    require(w.num_tokens() < (limit >> 1), "window", "number of tokens", w.num_tokens(), "below 2^29");
    return w;
  }

  patch_window window_;
  std::vector<std::int32_t> place_;  // [num_tokens]: index of a patch if rows were 2 * width - 1 wide
  std::int32_t middle_ = 0;          // offset of a patch to itself
};

}  // namespace posenc::inline POSENC_ISA
