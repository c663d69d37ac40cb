// Compares narrow types with wide ones: the same values, rounded once.
#pragma once

#include <posenc/testing/laws/row_block.hpp>
#include <posenc/testing/laws/tiles.hpp>

#include <string>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// Compares rows in float with rows in double.
template <real T>
void check_against_double(const trial<T>& t, const row_hook<T>& hook, const row_hook<double>& in_double) {
  law l = t.start(std::string(hook.name) + ": float agrees with double");
  const row_block<T> x = block_for(t, hook);
  for_accepted_ids(t, hook, [&](const named_ids& list) {
    const positions ids(list.ids);
    const row_block<double> exact = applied(in_double, row_block<double>(x), ids);
    expect_near(l, applied(hook, x, ids), exact, 8 * rounding_of<T>() * size_of(exact.values), ids, list.name);
  });
}

/// 16-bit rows equal float rows rounded once. Float itself may be off by a few ulp.
template <scalar S>
void check_rounded_once(const trial<S>& t, const row_hook<S>& hook, const row_hook<float>& in_float) {
  law l = t.start(std::string(hook.name) + ": 16 bits are the result in float, rounded once");
  const row_block<S> x = block_for(t, hook);
  for_accepted_ids(t, hook, [&](const named_ids& list) {
    const positions ids(list.ids);
    const row_block<S> seen = applied(hook, x, ids);
    const row_block<float> exact = applied(in_float, row_block<float>(x), ids);
    const auto stray = static_cast<float>(4 * rounding_of<float>() * size_of(exact.values));
    for (index_t i = 0; i < std::ssize(seen.values); ++i) {
      const auto least = widen<double>(narrow<S>(at(exact.values, i) - stray));
      const auto largest = widen<double>(narrow<S>(at(exact.values, i) + stray));
      const auto value = widen<double>(at(seen.values, i));
      l.expect(least <= value && value <= largest, [&] {
        return std::string(list.name) + ": " + seen.place_of(i, ids) + " is " + text_of(value) + ", expected " +
               text_of(widen<double>(at(exact.values, i))) + " rounded once";
      });
    }
  });
}

/// Compares scores in float with scores in double.
template <scalar S>
void check_scores_against_double(const trial<S>& t, const score_hook<float>& hook,
                                 const score_hook<double>& in_double) {
  law l = t.start("scores: float agrees with double");
  for_accepted_tiles<float>(t, hook, [&](const tile_input<float>& input, const char* name) {
    const std::vector<double> exact = biased(in_double, tile_input<double>(input), {});
    const std::vector<float> seen = biased(hook, input, {});
    expect_near_scores(l, seen, exact, 256 * rounding_of<float>() * size_of(exact), input, name);
  });
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
