// Owned tokens, run through a hook and compared.
#pragma once

#include <posenc/testing/laws/trial.hpp>

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace posenc::inline POSENC_ISA {

namespace laws {

/// Dense: [num_tokens, num_heads, num_columns].
template <scalar S>
struct row_block {
  std::vector<S> values;
  index_t num_tokens = 0;
  index_t num_heads = 0;
  index_t num_columns = 0;

  row_block(index_t tokens, index_t heads, index_t columns, random_numbers random)
      : values(random_values<S>(tokens * heads * columns, random)),
        num_tokens(tokens),
        num_heads(heads),
        num_columns(columns) {}
  template <scalar From>
  explicit row_block(const row_block<From>& other)
      : values(converted<S>(other.values)),
        num_tokens(other.num_tokens),
        num_heads(other.num_heads),
        num_columns(other.num_columns) {}

  head_view<S> view() { return {values.data(), num_tokens, num_heads, num_columns}; }
  head_view<const S> view() const { return {values.data(), num_tokens, num_heads, num_columns}; }
  index_t token_of(index_t i) const { return i / (num_heads * num_columns); }
  std::string place_of(index_t i, const positions& p) const {
    return place(token_of(i), p[token_of(i)], i / num_columns % num_heads, i % num_columns);
  }
};

/// Random tokens of a shape that suits a hook.
template <scalar S>
row_block<S> block_for(const trial<S>& t, const row_hook<S>& hook) {
  return {t.sizes.num_tokens, t.heads_of(hook), t.columns_of(hook), t.random()};
}

template <scalar S>
row_block<S> applied(const row_hook<S>& hook, row_block<S> x, const positions& p) {
  hook.apply(x.view(), p);
  return x;
}

template <scalar S>
bool same_bits(const S& a, const S& b) noexcept {
  return std::memcmp(&a, &b, sizeof(S)) == 0;
}
template <scalar S>
bool same_bits(const std::vector<S>& a, const std::vector<S>& b) noexcept {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(S)) == 0);
}

/// Tested by its bits: fast math may treat NaN and infinity as numbers.
inline bool is_finite(double value) noexcept { return (std::bit_cast<std::uint64_t>(value) >> 52 & 0x7ffU) != 0x7ffU; }

/// The relative error of one rounding to S: half a step at 1.
template <scalar S>
double rounding_of() noexcept {
  using T = compute_t<S>;
  double step = 1;
  while (!same_bits(narrow<S>(static_cast<T>(1 + step / 2)), narrow<S>(T(1)))) step /= 2;
  return step / 2;
}

/// The largest magnitude among the finite values, at least 1.
template <scalar S>
double size_of(const std::vector<S>& values) noexcept {
  double largest = 1;
  for (const S value : values) {
    const double size = std::abs(widen<double>(value));
    if (is_finite(size) && size > largest) largest = size;
  }
  return largest;
}

template <scalar S>
void expect_same_bits(law& l, const row_block<S>& seen, const row_block<S>& expected, const positions& p,
                      const std::string& when) {
  for (index_t i = 0; i < std::ssize(seen.values) && !l.broken(); ++i) {
    if (same_bits(at(seen.values, i), at(expected.values, i))) continue;
    l.expect(false, [&] {
      return when + ": " + seen.place_of(i, p) + " is " + text_of(widen<double>(at(seen.values, i))) + ", expected " +
             text_of(widen<double>(at(expected.values, i))) + " bit for bit";
    });
  }
}

template <scalar S, scalar U>
void expect_near(law& l, const row_block<S>& seen, const row_block<U>& expected, double allowed, const positions& p,
                 const std::string& when) {
  for (index_t i = 0; i < std::ssize(seen.values) && !l.broken(); ++i) {
    l.expect_near(widen<double>(at(seen.values, i)), widen<double>(at(expected.values, i)), allowed,
                  [&] { return when + ": " + seen.place_of(i, p); });
  }
}

/// Calls `visit(list)` for each list of ids that the hook accepts.
template <scalar S, class Visit>
void for_accepted_ids(const trial<S>& t, const row_hook<S>& hook, Visit visit) {
  row_block<S> x = block_for(t, hook);
  for (const named_ids& list : lists_of_ids(t.sizes.num_tokens, t.random())) {
    if (!hook.check(x.view(), positions(list.ids))) visit(list);
  }
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
