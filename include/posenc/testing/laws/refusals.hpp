// Errors name the bad value, wherever it is among the arguments, and occur before anything is written.
#pragma once

#include <posenc/testing/laws/row_block.hpp>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#if defined(__cpp_exceptions)
#include <stdexcept>
#endif

namespace posenc::inline POSENC_ISA {

namespace laws {

/// The message that `run` raised, or none. Not tested without exceptions, where errors abort.
template <class Run>
std::string error_of([[maybe_unused]] Run run, [[maybe_unused]] const problem& expected) {
#if defined(__cpp_exceptions)
  try {
    run();
  } catch (const std::logic_error& error) {
    return error.what();
  }
  return {};
#else
  return expected.message();
#endif
}

/// The checked call raises what the check found, and leaves memory unchanged.
template <scalar S>
void expect_refused(law& l, const row_hook<S>& hook, row_block<S> x, const positions& p, const std::string& when) {
  const problem wrong = hook.check(x.view(), p);
  const std::vector<S> before = x.values;
  const std::string message = error_of([&] { hook.checked(x.view(), p); }, wrong);
  l.expect(message == wrong.message(),
           [&] { return when + ": raised \"" + message + "\", but the check has found \"" + wrong.message() + "\""; });
  l.expect(same_bits(x.values, before), [&] { return when + ": something was written before the error"; });
}

/// A position from 0 on that the check refuses while it accepts the one before; 2^31 - 1 if it refuses none.
template <scalar S>
std::int64_t first_refused(const trial<S>& t, const row_hook<S>& hook) {
  row_block<S> x(1, t.heads_of(hook), t.columns_of(hook), t.random());
  const auto refused = [&](std::int64_t p) { return static_cast<bool>(hook.check(x.view(), positions(p, 1))); };
  std::int64_t accepted = 0;
  std::int64_t end = std::numeric_limits<position_t>::max();
  if (!refused(end)) return end;
  while (end - accepted > 1) {
    const std::int64_t middle = accepted + (end - accepted) / 2;
    (refused(middle) ? end : accepted) = middle;
  }
  return end;
}

/// A position that is refused alone is refused among any others, with its value in the message.
template <scalar S>
void check_refusals(const trial<S>& t, const row_hook<S>& hook) {
  law l = t.start(std::string(hook.name) + ": refuses wherever the fault stands, and before anything is written");
  const row_block<S> x = block_for(t, hook);
  expect_refused(l, hook, x, positions(0, x.num_tokens + 1), "one position too many");

  constexpr std::int64_t last = std::numeric_limits<position_t>::max();
  for (const std::int64_t p : {first_refused(t, hook), std::int64_t{-1}, last, -last - 1}) {
    row_block<S> single(1, x.num_heads, x.num_columns, t.random());
    if (!hook.check(single.view(), positions(p, 1))) continue;
    for (const index_t where : {index_t{0}, x.num_tokens / 2, x.num_tokens - 1}) {
      std::vector<position_t> ids = lists_of_ids(x.num_tokens, t.random()).front().ids;
      at(ids, where) = static_cast<position_t>(p);
      const std::string when = "position " + std::to_string(p) + " as token " + std::to_string(where);
      row_block<S> copy = x;
      const problem wrong = hook.check(copy.view(), positions(ids));
      l.expect(static_cast<bool>(wrong), [&] { return when + " is refused alone, but not among others"; });
      if (!wrong) continue;
      l.expect(wrong.message().find(" is " + std::to_string(p) + ", expected ") != std::string::npos,
               [&] { return when + ": the message does not name the value: \"" + wrong.message() + "\""; });
      expect_refused(l, hook, x, positions(ids), when);
    }
  }

  row_block<S> wider(x.num_tokens, x.num_heads, x.num_columns + 1, t.random());
  const positions ids(0, x.num_tokens);
  if (hook.check(wider.view(), ids)) expect_refused(l, hook, wider, ids, "another width");
}

}  // namespace laws

}  // namespace posenc::inline POSENC_ISA
