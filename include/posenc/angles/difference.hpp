// The difference of two lists of frequencies.
#pragma once

#include <posenc/angles/frequencies.hpp>
#include <posenc/angles/wide.hpp>
#include <posenc/error.hpp>

#include <cstddef>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The frequencies that rotate what was rotated by `from` as if it had been rotated by `to`.
///
///     inv_freq = to.inv_freq - from.inv_freq, attention_factor = to.attention_factor / from.attention_factor
///
/// Errors     a different number of frequencies, a different axis for one of them, or float32_angles in either list
///            throws invalid_argument.
/// Accuracy   2^-192 of a turn per position: a difference loses no digits of the lists.
inline frequencies difference(const frequencies& to, const frequencies& from) {
  require(to.size() == from.size(), "difference", "number of frequencies", to.size(), "#, as many as in the other list",
          from.size());
  require(!to.float32_angles() && !from.float32_angles(), "difference", "float32_angles", 1,
          "0: a difference of rounded angles is not linear");
  std::vector<wide> inv_freq;
  std::vector<index_t> axes;
  const wide radians_per_turn = 2 * wide::pi();
  for (index_t pair = 0; pair < to.size(); ++pair) {
    if (to.axis(pair) != from.axis(pair)) {
      raise(problem::invalid("difference", "axis_of_pair", to.axis(pair), "#, as in the other list", from.axis(pair))
                .at(pair));
    }
    const auto turns_of = [pair](const frequencies& list) {
      return wide::from_fixed_point(list.table().turns[static_cast<std::size_t>(pair)]);
    };
    inv_freq.push_back((turns_of(to) - turns_of(from)) * radians_per_turn);
    axes.push_back(to.axis(pair));
  }
  return frequencies(inv_freq).with_axes(axes).with_attention_factor(to.attention_factor() / from.attention_factor());
}

}  // namespace posenc::inline POSENC_ISA
