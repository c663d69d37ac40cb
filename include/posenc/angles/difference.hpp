// What turns one list of frequencies into another.
#pragma once

#include <posenc/angles/frequencies.hpp>
#include <posenc/angles/wide.hpp>
#include <posenc/error.hpp>

#include <cstddef>
#include <vector>

namespace posenc::inline POSENC_ISA {

/// The frequencies by which something turned by `from` has to be turned on, to be as if turned by `to`.
///
///     inv_freq = to.inv_freq - from.inv_freq, attention_factor = to.attention_factor / from.attention_factor
///
/// Errors     another number of frequencies, or another axis for one of them, throws invalid_argument.
/// Accuracy   2^-192 of a turn a position, as the lists themselves: a difference loses no digits.
inline frequencies difference(const frequencies& to, const frequencies& from) {
  require(to.size() == from.size(), "difference", "number of frequencies", to.size(), "#, as many as in the other list",
          from.size());
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
