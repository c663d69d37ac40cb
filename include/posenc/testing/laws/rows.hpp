// Laws of hooks on embeddings, queries and keys: memory layout, call order, sizes and positions.
#pragma once

#include <posenc/testing/laws/row_block.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// The same tokens in one call, in chunks, and one by one, with ids given as a list and as ranges.
template <scalar S>
void check_chunks(const trial<S>& t, const row_hook<S>& hook) {
  law l = t.start(std::string(hook.name) + ": one pass equals chunks equals one by one");
  const row_block<S> x = block_for(t, hook);
  for_accepted_ids(t, hook, [&](const named_ids& list) {
    const positions ids(list.ids);
    const row_block<S> whole = applied(hook, x, ids);
    for (const index_t chunk : {index_t{1}, index_t{5}}) {
      row_block<S> parts = x;
      for (index_t first = 0; first < x.num_tokens; first += chunk) {
        const index_t count = std::min(chunk, x.num_tokens - first);
        const positions here = chunk == 1 ? positions(at(list.ids, first), 1) : ids.tokens(first, count);
        hook.apply(parts.view().tokens(first, count), here);
      }
      expect_same_bits(l, whole, parts, ids, std::string(list.name) + " ids against calls of " + std::to_string(chunk));
    }
  });
  const positions range(0, x.num_tokens);
  const auto ids = lists_of_ids(x.num_tokens, t.random()).front().ids;
  expect_same_bits(l, applied(hook, x, range), applied(hook, x, positions(ids)), range, "a range against its ids");
}

/// A memory layout of rows: [num_tokens, num_heads, num_columns], strided.
struct row_layout {
  const char* name;
  index_t token_stride, head_stride;
};

/// A slice of packed memory gives the same as dense memory, and nothing around it is written.
template <scalar S>
void check_memory(const trial<S>& t, const row_hook<S>& hook) {
  law l = t.start(std::string(hook.name) + ": writes what the view shows, whatever the strides, and nothing else");
  const row_block<S> x = block_for(t, hook);
  const positions ids(0, x.num_tokens);
  const row_block<S> dense = applied(hook, x, ids);
  const index_t columns = x.num_columns;
  const std::array<row_layout, 3> layouts{{{"packed with others", 3 * x.num_heads * columns + 5, columns},
                                           {"head by head", columns, x.num_tokens * columns + 2},
                                           {"columns of wider heads", x.num_heads * (columns + 4), columns + 4}}};
  for (const row_layout& layout : layouts) {
    if (hook.on_embeddings && layout.token_stride == columns) continue;  // the same as dense
    constexpr index_t margin = 7;
    random_numbers random(t.options.seed + 1);
    const index_t span = x.num_tokens * layout.token_stride + x.num_heads * layout.head_stride;
    std::vector<S> memory = random_values<S>(span + 2 * margin, random);
    const head_view<S> view(memory.data() + margin, x.num_tokens, x.num_heads, columns, layout.token_stride,
                            layout.head_stride);
    const auto copy = [&](const std::vector<S>& from, head_view<S> to) {
      for (index_t i = 0; i < std::ssize(from); ++i)
        to.row(x.token_of(i), i / columns % x.num_heads)[i % columns] = at(from, i);
    };
    copy(x.values, view);
    std::vector<S> expected = memory;
    copy(dense.values, head_view<S>(expected.data() + margin, x.num_tokens, x.num_heads, columns, layout.token_stride,
                                    layout.head_stride));
    hook.apply(view, ids);
    for (index_t i = 0; i < std::ssize(memory); ++i) {
      l.expect(same_bits(at(memory, i), at(expected, i)), [&] {
        return std::string(layout.name) + ": element " + std::to_string(i - margin) + " from the view's first is " +
               text_of(widen<double>(at(memory, i))) + ", expected " + text_of(widen<double>(at(expected, i)));
      });
    }
  }
}

/// No tokens, and no heads.
template <scalar S>
void check_zero_sizes(const trial<S>& t, const row_hook<S>& hook) {
  law l = t.start(std::string(hook.name) + ": writes nothing where there are no tokens or no heads");
  row_block<S> x = block_for(t, hook);
  const row_block<S> before = x;
  hook.apply(x.view().tokens(0, 0), positions(0, 0));
  l.expect(same_bits(x.values, before.values), [] { return std::string("no tokens: something was written"); });
  if (hook.on_embeddings) return;
  hook.apply(x.view().heads(0, 0), positions(0, x.num_tokens));
  l.expect(same_bits(x.values, before.values), [] { return std::string("no heads: something was written"); });
}

/// Results are finite at every position that the check accepts.
template <scalar S>
void check_far_positions(const trial<S>& t, const row_hook<S>& hook) {
  law l = t.start(std::string(hook.name) + ": is finite at every position that is not refused");
  constexpr position_t last = std::numeric_limits<position_t>::max();
  for (const position_t p : {position_t{0}, position_t{1}, position_t{-1}, (1 << 24) + 1, last, -last - 1}) {
    row_block<S> x(1, t.heads_of(hook), t.columns_of(hook), t.random());
    const positions id(p, 1);
    if (hook.check(x.view(), id)) continue;
    hook.apply(x.view(), id);
    for (index_t i = 0; i < std::ssize(x.values); ++i) {
      l.expect(is_finite(widen<double>(at(x.values, i))),
               [&] { return x.place_of(i, id) + " is " + text_of(widen<double>(at(x.values, i))); });
    }
  }
}

/// A real position with an integer value gives the same as that integer position.
template <scalar S>
void check_real_positions(const trial<S>& t, const row_hook<S>& hook) {
  if (!hook.apply_real) return;
  row_block<S> x = block_for(t, hook);
  if (hook.check_real(x.view(), real_positions(std::vector<double>(static_cast<std::size_t>(x.num_tokens))))) return;
  law l = t.start(std::string(hook.name) + ": whole real positions agree with integers");
  for_accepted_ids(t, hook, [&](const named_ids& list) {
    const std::vector<double> reals(list.ids.begin(), list.ids.end());
    row_block<S> at_reals = x;
    hook.apply_real(at_reals.view(), real_positions(reals));
    const row_block<S> at_integers = applied(hook, x, positions(list.ids));
    const double allowed = 4 * rounding_of<S>() * size_of(at_integers.values);
    expect_near(l, at_reals, at_integers, allowed, positions(list.ids), list.name);
  });
}

/// Positions of one axis apply to all axes; an encoding of one axis refuses several.
template <scalar S>
void check_axes(const trial<S>& t, const row_hook<S>& hook) {
  const index_t num_axes = t.encoding.num_axes;
  if (num_axes < 1) return;  // a composite, whose parts differ
  const row_block<S> x = block_for(t, hook);
  std::vector<position_t> ids = lists_of_ids(x.num_tokens, t.random()).front().ids;
  const std::vector<position_t> one = ids;
  for (index_t a = 1; a < std::max<index_t>(num_axes, 2); ++a) ids.insert(ids.end(), one.begin(), one.end());
  if (num_axes == 1) {
    law l = t.start(std::string(hook.name) + ": refuses positions of two axes");
    row_block<S> copy = x;
    l.expect(static_cast<bool>(hook.check(copy.view(), positions(ids, 2))),
             [] { return std::string("the check finds nothing"); });
  } else {
    law l = t.start(std::string(hook.name) + ": positions of one axis are the same on all");
    expect_same_bits(l, applied(hook, x, positions(ids, num_axes)), applied(hook, x, positions(one)), positions(one),
                     "equal axes against one");
  }
}

/// Whether the hook changes anything at all.
template <scalar S>
bool acts(const trial<S>& t, const row_hook<S>& hook) {
  const row_block<S> x = block_for(t, hook);
  bool changed = false;
  for_accepted_ids(t, hook, [&](const named_ids& list) {
    changed = changed || !same_bits(applied(hook, x, positions(list.ids)).values, x.values);
  });
  return changed;
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
