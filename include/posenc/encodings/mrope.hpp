// Multi-axis rotary positions (M-RoPE): which pairs rotate with time, row or column; positions of multimodal sequences.
#pragma once

#include <posenc/angles/frequencies.hpp>  // is_below_two_to
#include <posenc/error.hpp>
#include <posenc/positions.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

// M-RoPE is RoPE in which each pair reads one of three position axes, so it is a list of axes for the frequencies:
//
//     const rope qwen2_vl(pairing::half, default_frequencies({.head_dim = 128, .rope_theta = 1e6})
//                                            .with_axes(sectioned_axes({16, 24, 24})));

namespace detail {

inline void check_sections(const char* operation, const std::vector<index_t>& sections) {
  require(!sections.empty(), operation, "number of sections", std::ssize(sections), "at least 1, one for each axis");
  for (const index_t section : sections) require(section >= 0, operation, "a section", section, "at least 0");
}

}  // namespace detail

/// The axes of pairs if each axis has a run of them: the first sections[0] pairs read axis 0, the next axis 1, ...
/// Source: Wang et al. 2024, arXiv:2409.12191 (Qwen2-VL); sections as `mrope_section` in its configuration.
inline std::vector<index_t> sectioned_axes(const std::vector<index_t>& sections) {
  detail::check_sections("sectioned_axes", sections);
  std::vector<index_t> axes;
  for (index_t axis = 0; axis < std::ssize(sections); ++axis) {
    axes.insert(axes.end(), static_cast<std::size_t>(sections[static_cast<std::size_t>(axis)]), axis);
  }
  return axes;
}

/// The axes of pairs if they alternate: pair i reads axis i % n while that axis has pairs of its section left, then
/// axis 0 (time).
/// Source: transformers' qwen3_vl, `mrope_interleaved`. ggml gives the leftover pairs a fourth id instead.
inline std::vector<index_t> interleaved_axes(const std::vector<index_t>& sections) {
  detail::check_sections("interleaved_axes", sections);
  const index_t num_axes = std::ssize(sections);
  index_t num_pairs = 0;
  for (const index_t section : sections) num_pairs += section;
  std::vector<index_t> axes;
  for (index_t pair = 0; pair < num_pairs; ++pair) {
    const index_t axis = pair % num_axes;
    axes.push_back(pair < num_axes * sections[static_cast<std::size_t>(axis)] ? axis : 0);
  }
  return axes;
}

/// The axes of pairs if row and column alternate and time comes last: pair i of the first height + width pairs reads
/// the row if i is even and the column if it is odd; the other pairs read time. Ernie: interleaved pairs, sections {22,
/// 22, 20}.
///
/// Errors: a section below 0, height and width of different sizes: invalid_argument.
/// Source: transformers' ernie4_5_vl_moe, `mrope_section` in the order height, width, time.
inline std::vector<index_t> alternating_axes(index_t height_section, index_t width_section, index_t time_section) {
  detail::check_sections("alternating_axes", {height_section, width_section, time_section});
  require(width_section == height_section, "alternating_axes", "width_section", width_section, "#, the height's",
          height_section);
  std::vector<index_t> axes;
  for (index_t pair = 0; pair < height_section + width_section; ++pair) axes.push_back(1 + pair % 2);
  axes.insert(axes.end(), static_cast<std::size_t>(time_section), 0);
  return axes;
}

/// A span of a multimodal sequence: text, or a grid of patches.
struct mrope_span {
  index_t num_frames = 0;
  index_t height = 0;  // in patches before merging
  index_t width = 0;
  double time_interval = 1;  // positions from one frame to the next, rounded down for each frame
  index_t num_text_tokens = 0;

  static mrope_span text(index_t num_tokens) noexcept { return {.num_text_tokens = num_tokens}; }
  static mrope_span image(index_t height, index_t width) noexcept {
    return {.num_frames = 1, .height = height, .width = width};
  }
  static mrope_span video(index_t num_frames, index_t height, index_t width, double time_interval = 1) noexcept {
    return {.num_frames = num_frames, .height = height, .width = width, .time_interval = time_interval};
  }
};

/// Positions of a multimodal sequence on the axes time, row and column.
struct mrope_positions {
  std::vector<position_t> ids;  // [3, num_tokens]
  /// Added to a later token's index, it gives the position (on all axes) when decoding goes on.
  position_t delta = 0;

  index_t num_tokens() const noexcept { return std::ssize(ids) / 3; }
  operator positions() const { return positions(ids, 3); }
};

namespace detail {

inline void check_span(const mrope_span& span, index_t spatial_merge_size) {
  const char* operation = "positions_of_spans";
  require(span.num_text_tokens >= 0, operation, "num_text_tokens", span.num_text_tokens, "at least 0");
  require(span.num_frames >= 0, operation, "num_frames", span.num_frames, "at least 0");
  require(span.height >= 0 && span.height % spatial_merge_size == 0, operation, "height", span.height,
          "a multiple of spatial_merge_size, #", spatial_merge_size);
  require(span.width >= 0 && span.width % spatial_merge_size == 0, operation, "width", span.width,
          "a multiple of spatial_merge_size, #", spatial_merge_size);
  require(span.time_interval >= 0 && std::isfinite(span.time_interval), operation, "time_interval", span.time_interval,
          "at least 0 and finite");
}

/// In double, because a product may be beyond all integers.
inline void check_last_position(std::int64_t first, double offset) {
  const double last = static_cast<double>(first) + offset;
  require(is_below_two_to(31, last), "positions_of_spans", "a position", last, "below 2^31");
}

}  // namespace detail

/// Positions of the tokens of a sequence of spans.
///
///     text    all three axes count up
///     vision  from the first free position s on: (s + floor(frame * time_interval), s + row, s + column), rows and
///             columns of merged patches; what follows starts at s + max(height, width) / spatial_merge_size
///
/// Errors   negative sizes, a grid that does not divide by spatial_merge_size, a time_interval that is negative or not
///          finite, positions beyond 32 bits: invalid_argument.
/// Source   transformers 5, qwen2_vl get_rope_index. (Before 5, what follows a video also had to start after its last
///          frame.)
inline mrope_positions positions_of_spans(std::span<const mrope_span> spans, index_t spatial_merge_size = 1) {
  require(spatial_merge_size >= 1, "positions_of_spans", "spatial_merge_size", spatial_merge_size, "at least 1");
  std::vector<position_t> by_axis[3];
  std::int64_t next = 0;
  std::int64_t largest = -1;
  const auto add = [&](std::int64_t time, std::int64_t row, std::int64_t column) {
    largest = std::max({largest, time, row, column});
    by_axis[0].push_back(static_cast<position_t>(time));
    by_axis[1].push_back(static_cast<position_t>(row));
    by_axis[2].push_back(static_cast<position_t>(column));
  };
  for (const mrope_span& span : spans) {
    detail::check_span(span, spatial_merge_size);
    detail::check_last_position(next, static_cast<double>(span.num_text_tokens) - 1);
    for (index_t i = 0; i < span.num_text_tokens; ++i, ++next) add(next, next, next);
    if (span.num_frames == 0) continue;
    const index_t rows = span.height / spatial_merge_size;
    const index_t columns = span.width / spatial_merge_size;
    const index_t side = std::max(rows, columns);
    const auto time_of = [&](index_t frame) { return static_cast<double>(frame) * span.time_interval; };
    detail::check_last_position(next, std::max(time_of(span.num_frames - 1), static_cast<double>(side) - 1));
    for (index_t frame = 0; frame < span.num_frames; ++frame) {
      const auto time = static_cast<std::int64_t>(time_of(frame));
      for (index_t row = 0; row < rows; ++row) {
        for (index_t column = 0; column < columns; ++column) add(next + time, next + row, next + column);
      }
    }
    next += side;
  }
  mrope_positions result;
  for (const auto& axis : by_axis) result.ids.insert(result.ids.end(), axis.begin(), axis.end());
  result.delta = static_cast<position_t>(largest + 1 - result.num_tokens());
  return result;
}

}  // namespace posenc::inline POSENC_ISA
