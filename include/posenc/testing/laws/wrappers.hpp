// An encoding wrapped in another one does the same as alone: `any_encoding`, `combine`.
#pragma once

#include <posenc/encodings/any.hpp>
#include <posenc/encodings/combine.hpp>
#include <posenc/testing/laws/rows.hpp>
#include <posenc/testing/laws/tiles.hpp>

#include <algorithm>
#include <string>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// Acts on scores but changes nothing: a neutral part for `combine`.
struct zero_bias {
  float bias(index_t, position_t) const noexcept { return 0; }
};

/// The same with its own scratch, all of which it overwrites.
struct scribbles {
  index_t scratch_size(index_t num_queries) const noexcept { return 3 * num_queries; }
  template <real T>
  void begin(const score_tile<T>& tile) const noexcept {
    std::fill_n(tile.scratch, 3 * tile.num_queries, T(1));
  }
  template <real T>
  void add_to_scores(const score_tile<T>& tile) const noexcept {
    for (index_t i = 0; i < 3 * tile.num_queries; ++i) tile.scratch[i] = 2 * tile.scratch[i] + 1;
  }
};

/// Every hook of `wrapped` does the same as the encoding's own, bit for bit, except that a score may be 0 for -0.
template <scalar S>
void check_wrapped(const trial<S>& t, const subject<S>& wrapped, const std::string& name, bool keeps_distance_bias) {
  using T = compute_t<S>;
  law l = t.start(name + ": does what the encoding does");
  for (const row_hook<S>& hook : t.encoding.rows) {
    const row_hook<S>* same = nullptr;
    for (const row_hook<S>& candidate : wrapped.rows) {
      if (std::string(candidate.name) == hook.name) same = &candidate;
    }
    l.expect(same != nullptr, [&] { return std::string(hook.name) + " is gone"; });
    if (same == nullptr) continue;
    row_block<S> x = block_for(t, hook);
    for (const named_ids& list : lists_of_ids(x.num_tokens, t.random())) {
      const positions ids(list.ids);
      const problem expected = hook.check(x.view(), ids);
      const problem seen = same->check(x.view(), ids);
      l.expect(seen.message() == expected.message(), [&] {
        return std::string(hook.name) + ": its check says \"" + seen.message() + "\" to " + list.name +
               " ids, expected \"" + expected.message() + "\"";
      });
      if (!expected && !seen)
        expect_same_bits(l, applied(*same, x, ids), applied(hook, x, ids), ids, std::string(hook.name));
    }
  }
  for (const score_hook<T>& hook : t.encoding.scores) {
    l.expect(!wrapped.scores.empty(), [] { return std::string("the bias is gone"); });
    if (wrapped.scores.empty()) continue;
    const score_hook<T>& same = wrapped.scores.front();
    l.expect(static_cast<bool>(same.fill_bias) == (hook.fill_bias && keeps_distance_bias),
             [] { return std::string("has_distance_bias differs"); });
    l.expect(same.reads_content == hook.reads_content, [] { return std::string("reads_content differs"); });
    for_accepted_tiles<T>(t, hook, [&](const tile_input<T>& input, const char* list) {
      const std::vector<T> expected = biased(hook, input, {.key_major = true, .num_queries = 4, .num_keys = 3});
      const std::vector<T> seen = biased(same, input, {.key_major = true, .num_queries = 4, .num_keys = 3});
      expect_near_scores(l, seen, expected, 0, input, list);
    });
    const index_t too_many = index_t{1} << 40;
    const score_shape shape{1, 1, too_many, t.sizes.head_dim, 0};
    const std::string expected = hook.check(shape, positions(0, 1), positions(0, 1)).message();
    const std::string seen = same.check(shape, positions(0, 1), positions(0, 1)).message();
    l.expect(seen == expected,
             [&] { return "check_scores says \"" + seen + "\" to 2^40 heads, expected \"" + expected + "\""; });
  }
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
