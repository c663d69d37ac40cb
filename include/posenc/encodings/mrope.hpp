// Multi-axis rotary positions (M-RoPE): which pair turns with time, row or column, and where text, images and video stand.
#pragma once

#include <posenc/error.hpp>
#include <posenc/positions.hpp>

#include <algorithm>
#include <limits>
#include <span>
#include <vector>

namespace posenc::inline POSENC_ISA {

// M-RoPE is RoPE whose pairs each read one of three position axes, so it is a list of axes for the frequencies:
//
//     const rope qwen2_vl(pairing::half, default_frequencies({.head_dim = 128, .rope_theta = 1e6})
//                                            .with_axes(sectioned_axes({16, 24, 24})));

namespace detail {

inline void check_sections(const char* operation, const std::vector<index_t>& sections) {
  require(!sections.empty(), operation, "number of sections", std::ssize(sections), "at least 1, one for each axis");
  for (const index_t section : sections) require(section >= 0, operation, "a section", section, "at least 0");
}

}  // namespace detail

/// The axis of each pair where an axis owns a run of them: the first sections[0] pairs read axis 0, the next axis 1, ...
/// Source: Wang et al. 2024, arXiv:2409.12191 (Qwen2-VL); sections as `mrope_section` in its configuration.
inline std::vector<index_t> sectioned_axes(const std::vector<index_t>& sections) {
  detail::check_sections("sectioned_axes", sections);
  std::vector<index_t> axes;
  for (index_t axis = 0; axis < std::ssize(sections); ++axis) {
    axes.insert(axes.end(), static_cast<std::size_t>(sections[static_cast<std::size_t>(axis)]), axis);
  }
  return axes;
}

/// The axis of each pair where the axes take turns: pair i reads axis i % n while that axis has pairs of its section left, and
/// axis 0 (time) after that.
/// Source: transformers' qwen3_vl, `mrope_interleaved`. ggml gives the left-over pairs a fourth id instead.
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

/// The axis of each pair where row and column take turns and time comes last: pair i of the first height + width pairs reads
/// the row if i is even and the column if it is odd; the other pairs read time. Ernie's sections are {22, 22, 20}, its
/// pairs interleaved.
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

/// A stretch of a multimodal sequence: text, or a grid of patches.
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
  /// What to add to a later token's index to get its position (on all axes) when decoding goes on.
  position_t delta = 0;

  index_t num_tokens() const noexcept { return std::ssize(ids) / 3; }
  operator positions() const { return positions(ids, 3); }
};

/// Where each token of a sequence of spans stands.
///
///     text    all three axes count up
///     vision  from the first free position s on: (s + floor(frame * time_interval), s + row, s + column), rows and columns of
///             merged patches; what follows starts at s + max(height, width) / spatial_merge_size
///
/// Errors   negative sizes, a grid that does not divide by spatial_merge_size, positions beyond 32 bits: invalid_argument.
/// Source   transformers 5, qwen2_vl get_rope_index. (Before 5, what follows a video started after its last frame too.)
inline mrope_positions positions_of_spans(std::span<const mrope_span> spans, index_t spatial_merge_size = 1) {
  require(spatial_merge_size >= 1, "positions_of_spans", "spatial_merge_size", spatial_merge_size, "at least 1");
  std::vector<position_t> by_axis[3];
  std::int64_t next = 0;
  std::int64_t largest = -1;
  const auto add = [&](std::int64_t time, std::int64_t row, std::int64_t column) {
    const std::int64_t most = std::max({time, row, column});
    require(most <= std::numeric_limits<position_t>::max(), "positions_of_spans", "a position", most, "below 2^31");
    largest = std::max(largest, most);
    by_axis[0].push_back(static_cast<position_t>(time));
    by_axis[1].push_back(static_cast<position_t>(row));
    by_axis[2].push_back(static_cast<position_t>(column));
  };
  for (const mrope_span& span : spans) {
    require(span.num_text_tokens >= 0, "positions_of_spans", "num_text_tokens", span.num_text_tokens, "at least 0");
    require(span.num_frames >= 0, "positions_of_spans", "num_frames", span.num_frames, "at least 0");
    require(span.height >= 0 && span.height % spatial_merge_size == 0, "positions_of_spans", "height", span.height,
            "a multiple of spatial_merge_size, #", spatial_merge_size);
    require(span.width >= 0 && span.width % spatial_merge_size == 0, "positions_of_spans", "width", span.width,
            "a multiple of spatial_merge_size, #", spatial_merge_size);
    require(span.time_interval >= 0, "positions_of_spans", "time_interval", span.time_interval, "at least 0");
    for (index_t i = 0; i < span.num_text_tokens; ++i, ++next) add(next, next, next);
    const index_t rows = span.height / spatial_merge_size;
    const index_t columns = span.width / spatial_merge_size;
    for (index_t frame = 0; frame < span.num_frames; ++frame) {
      const auto time = static_cast<std::int64_t>(static_cast<double>(frame) * span.time_interval);
      for (index_t row = 0; row < rows; ++row) {
        for (index_t column = 0; column < columns; ++column) add(next + time, next + row, next + column);
      }
    }
    if (span.num_frames > 0) next += std::max(rows, columns);
  }
  mrope_positions result;
  for (const auto& axis : by_axis) result.ids.insert(result.ids.end(), axis.begin(), axis.end());
  result.delta = static_cast<position_t>(largest + 1 - result.num_tokens());
  return result;
}

}  // namespace posenc::inline POSENC_ISA
